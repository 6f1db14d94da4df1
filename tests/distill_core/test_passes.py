"""What is compiled, and what becomes of networks that cannot be."""

import re
import shutil

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.custom_graph_pass import CustomGraphPass

from distill_core import passes as module
from distill_core.networks import build_network
from distill_core.passes import COMPILERS, choose_passes, compiled

ONLY = "eager: only ConvNets, and in bf16 ResNets and VGGs, with instance or group norm were measured to gain"


def test_what_cannot_be_compiled_runs_eagerly(monkeypatch):
    tries = []

    def broken(*arguments):
        tries.append(arguments)
        raise TorchDynamoException("the compiler lacks a header")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    passes = compiled.__wrapped__()
    network, images = build_network("MLP", channels=1, classes=2, image_size=4), torch.randn(3, 1, 4, 4)
    for _ in range(2):
        assert torch.equal(passes.run(network, images), network(images))
    assert len(tries) == 1 and passes.told(network) == "eager: compilation failed (TorchDynamoException)"
    other = build_network("LeNet", channels=1, classes=2, image_size=28)
    assert passes.told(other) == "compiled"
    passes.run(other, torch.randn(3, 1, 28, 28))
    assert len(tries) == 2


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="needs a C++ compiler")
def test_shapes_beyond_the_limit_run_eagerly_and_that_is_told(monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 1)
    torch._dynamo.reset()
    passes = compiled.__wrapped__()
    network = build_network("MLP", channels=1, classes=2, image_size=4)
    for count in (3, 4, 3):
        images = torch.randn(count, 1, 4, 4)
        torch.testing.assert_close(passes.run(network, images), network(images))
    assert passes.told(network) == "eager: this process compiled for 1 shapes before"


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="needs a C++ compiler")
def test_a_backward_pass_that_cannot_be_compiled_is_found_out_in_the_forward_one():
    """It would be compiled at its first call, out of reach, and end the run."""

    class NoBackward(CustomGraphPass):
        def __call__(self, graph):
            if any(node.op == "placeholder" and "tangents" in node.name for node in graph.nodes):
                raise RuntimeError("the compiler lacks a header")

        def uuid(self):
            return "no backward pass"

    torch._dynamo.reset()
    passes = compiled.__wrapped__()
    network, images = build_network("MLP", channels=1, classes=2, image_size=4), torch.randn(3, 1, 4, 4)
    with torch._inductor.config.patch(post_grad_custom_pre_pass=NoBackward()):
        logits = passes.run(network, images)
    logits.sum().backward()
    assert torch.equal(logits, network(images)) and network.head.weight.grad is not None
    assert passes.told(network).startswith("eager: compilation failed")


@pytest.mark.parametrize(
    ("network", "images", "precision", "compiler", "reason"),
    [
        ("ConvNetW8", 1e12, "tf32", True, "compiled"),
        ("ConvNetW8", 1e12, "bf16", True, "compiled"),
        ("ConvNetW8", 1e2, "tf32", True, "eager: too short"),
        (
            "ConvNetW8BN",
            1e12,
            "tf32",
            True,
            "eager: only ConvNets, and in bf16 ResNets and VGGs, with instance or group norm were",
        ),
        ("ResNet18W8", 1e12, "tf32", True, ONLY),
        ("ResNet18W8", 1e12, "bf16", True, "compiled"),
        ("VGG11", 1e12, "bf16", True, "compiled"),
        ("AlexNet", 1e12, "bf16", True, ONLY),
        ("ResNet18W8", 1e2, "bf16", True, "eager: too short"),
        ("ResNet18W8BN", 1e12, "bf16", True, ONLY),
        ("ConvNetW8", 1e12, "tf32", False, "eager: there is no C.. compiler"),
    ],
)
def test_compilation_is_chosen_where_it_pays(monkeypatch, network, images, precision, compiler, reason):
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/cc" if compiler else None)
    built = build_network(network, channels=3, classes=3, image_size=32)
    chosen = choose_passes(built, lambda: torch.zeros(1, 3, 32, 32), images, precision)
    assert re.match(reason, chosen.reason)
    assert built.training
