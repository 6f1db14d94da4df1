"""Which networks are compiled, and how others are run."""

import shutil

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.custom_graph_pass import CustomGraphPass

from distill_core.networks import build_network
from distill_core.runtime import execution as module
from distill_core.runtime.execution import choose_execution_mode, compiled_mode, eager_mode
from distill_core.runtime.winograd import COMPILERS, build_transforms

ONLY = (
    "eager: only ConvNets, ResNets and VGGs with instance or group norm were measured to gain from"
    " compilation"
)


def test_what_cannot_be_compiled_runs_eagerly(monkeypatch):
    tries = []

    def broken(*arguments):
        tries.append(arguments)
        raise TorchDynamoException("the compiler lacks a header")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    mode = compiled_mode.__wrapped__(winograd=False)
    network, images = (
        build_network("MLP", channels=1, classes=2, image_size=4),
        torch.randn(3, 1, 4, 4),
    )
    for _ in range(2):
        assert torch.equal(mode.run(network, images), network(images))
    assert (
        len(tries) == 1
        and mode.describe(network) == "eager: compilation failed (TorchDynamoException)"
    )
    other = build_network("LeNet", channels=1, classes=2, image_size=28)
    assert mode.describe(other) == "compiled"
    mode.run(other, torch.randn(3, 1, 28, 28))
    assert len(tries) == 2


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="needs a C++ compiler")
def test_shapes_beyond_the_limit_run_eagerly_and_are_reported(monkeypatch):
    monkeypatch.setattr(module, "RECOMPILE_LIMIT", 1)
    torch._dynamo.reset()
    mode = compiled_mode.__wrapped__(winograd=False)
    network = build_network("MLP", channels=1, classes=2, image_size=4)
    for count in (3, 4, 3):
        images = torch.randn(count, 1, 4, 4)
        torch.testing.assert_close(mode.run(network, images), network(images))
    assert mode.describe(network) == "eager: this process compiled for 1 shapes before"


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="needs a C++ compiler")
def test_a_backward_pass_that_cannot_be_compiled_is_found_out_in_the_forward_one():
    """Compiled at its first call, it would fail outside of our handler and end the run."""

    class NoBackward(CustomGraphPass):
        def __call__(self, graph):
            if any(node.op == "placeholder" and "tangents" in node.name for node in graph.nodes):
                raise RuntimeError("the compiler lacks a header")

        def uuid(self):
            return "no backward pass"

    torch._dynamo.reset()
    mode = compiled_mode.__wrapped__(winograd=False)
    network, images = (
        build_network("MLP", channels=1, classes=2, image_size=4),
        torch.randn(3, 1, 4, 4),
    )
    with torch._inductor.config.patch(post_grad_custom_pre_pass=NoBackward()):
        logits = mode.run(network, images)
    logits.sum().backward()
    assert torch.equal(logits, network(images)) and network.head.weight.grad is not None
    assert mode.describe(network).startswith("eager: compilation failed")


WINOGRAD = "compiled, Winograd convolutions"
SLOW = "eager: nearly all of it are convolutions in float32"


@pytest.mark.parametrize(
    ("network", "images", "precision", "available", "reason"),
    [
        ("ConvNetW8", 1e12, "tf32", "all", WINOGRAD),
        ("ConvNetW8", 1e12, "tf32", "no transforms", "compiled"),
        ("ConvNetW8", 1e12, "float32", "all", "compiled"),
        ("ConvNetW8", 1e12, "bf16", "all", "compiled"),
        ("ConvNetW8", 1e2, "tf32", "all", "eager: too short to repay compilation"),
        ("ConvNetW8BN", 1e12, "tf32", "all", ONLY),
        ("ResNet18W8", 1e12, "tf32", "all", WINOGRAD),
        ("ResNet18W8", 1e12, "tf32", "no transforms", f"{SLOW}, and Winograd's did not compile"),
        ("ResNet18W8", 1e12, "float32", "all", SLOW),
        ("ResNet18W8", 1e12, "bf16", "all", "compiled"),
        ("VGG11", 1e12, "tf32", "all", WINOGRAD),
        ("VGG11", 1e12, "bf16", "all", "compiled"),
        ("AlexNet", 1e12, "bf16", "all", ONLY),
        ("ResNet18W8", 1e2, "bf16", "all", "eager: too short to repay compilation"),
        ("ResNet18W8BN", 1e12, "bf16", "all", ONLY),
        (
            "ConvNetW8",
            1e12,
            "tf32",
            "no compiler",
            "eager: there is no C++ compiler, none of g++, clang++, c++",
        ),
    ],
)
def test_compilation_is_chosen_where_it_pays(
    monkeypatch, network, images, precision, available, reason
):
    monkeypatch.setattr(
        shutil, "which", lambda name: None if available == "no compiler" else "/bin/cc"
    )
    monkeypatch.setattr(
        module, "build_transforms", lambda: "transforms" if available == "all" else None
    )
    network = build_network(network, channels=3, classes=3, image_size=32)
    chosen = choose_execution_mode(network, lambda: torch.zeros(1, 3, 32, 32), images, precision)
    assert chosen.reason == reason
    assert network.training


@pytest.mark.skipif(build_transforms() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    "network", ["ConvNetW16D1", pytest.param("ResNet18W16", marks=pytest.mark.slow)]
)
def test_a_training_step_by_winograd_is_that_of_float64_within_rounding(network):
    network = build_network(
        network, channels=3, classes=10, image_size=32, generator=torch.Generator().manual_seed(2)
    )
    images = torch.randn(
        4, 3, 32, 32, generator=torch.Generator().manual_seed(3)
    )  # no ReLU's input is at its kink

    def step(way, images):
        gradients = torch.autograd.grad(
            way.run(network, images).square().mean(), network.parameters()
        )
        return torch.cat([gradient.flatten() for gradient in gradients])

    fast, plain = step(compiled_mode(winograd=True), images), step(eager_mode("asked for"), images)
    assert compiled_mode(winograd=True).describe(network) == WINOGRAD
    network.double()
    exact = step(eager_mode("asked for"), images.double())
    errors = [float((way - exact).norm() / exact.norm()) for way in (fast, plain)]
    assert errors[1] < errors[0] < 1e-4, errors
