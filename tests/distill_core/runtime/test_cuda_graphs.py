"""Captured work neither waits nor copies to the device, as tensors without values show."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from distill_core.augmentation import Draw, draw_augmentation
from distill_core.distillation.base import MatchingNetwork
from distill_core.distillation.gradients import Iteration, compute_iteration
from distill_core.distillation.network_queue import QueueMember, take_train_step
from distill_core.networks import build_network
from distill_core.runtime import chunk_sizes
from distill_core.runtime.cuda_graphs import ReplayedFunction, capture_on_gpu
from distill_core.runtime.execution import eager_mode
from distill_core.settings import DSA_ALL, DistillationSettings, QueueSettings
from distill_core.training.trainer import Schedule, _build_optimizer, _Steps

DM = DistillationSettings(network="ConvNetW8D2", batch_real=10, lambda_cc=0.05, lambda_cm=0.01)
QUEUE = QueueSettings(networks=2, train_steps=2, batch_train=16)
NO_VALUES = torch.device("meta")


class Alone(TorchDispatchMode):
    """Refuses operations between device and CPU; reading a value from the device raises anyway."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [
            leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)
        ]
        copies = (
            "copy" in function.name()
        )  # a scalar may be an operand, but a copy of it would wait
        devices = {tensor.device.type for tensor in tensors if tensor.dim() or copies}
        assert "cpu" not in devices, f"{function} on {devices}"
        return result


@pytest.fixture
def data(tiny_dataset, monkeypatch):
    """A data set on a device that only knows shapes."""
    for module in (
        "distillation.objective",
        "distillation.network_queue",
        "training.trainer",
    ):  # there is none for such tensors
        monkeypatch.setattr(
            f"distill_core.{module}.autocast", lambda precision, device: nullcontext()
        )
    for sizes in (chunk_sizes.FORWARD_PIXELS, chunk_sizes.SYNTHETIC_PIXELS):
        monkeypatch.setitem(sizes, "meta", sizes["cuda"])

    def moved(images):
        found = replace(
            images, images=images.images.to(NO_VALUES), labels=images.labels.to(NO_VALUES)
        )
        found.normalized(
            torch.zeros(1, dtype=torch.int64, device=NO_VALUES)
        )  # as the first step does
        return found

    return replace(tiny_dataset, train=moved(tiny_dataset.train), test=moved(tiny_dataset.test))


def network(name="ConvNetW8D2"):
    return (
        build_network(name, channels=1, classes=3, image_size=16)
        .to(NO_VALUES)
        .requires_grad_(False)
    )


def draw(groups, ops=frozenset(("color", "crop", "cutout", "flip", "scale", "rotate"))):
    drawn = draw_augmentation(DSA_ALL, groups, 16, torch.Generator())
    return Draw.from_tensors(ops, [tensor.to(NO_VALUES) for tensor in drawn.tensors()])


@pytest.mark.parametrize(
    "changes", [{}, {"partition": 2}, {"covariance": "global"}, {"cc_alpha": 0.1}], ids=str
)
def test_gradients(data, changes):
    settings = replace(DM, **changes)
    step = Iteration(
        settings=(settings, replace(settings, lambda_cc=0.0)),
        images=(torch.empty(3, 2, 1, 16, 16, device=NO_VALUES),) * 2,
        matching=MatchingNetwork(network().train(), ce_weight=torch.empty((), device=NO_VALUES)),
        extractor=network("ResNet18W8").eval(),
        indices=torch.empty(3, 10, dtype=torch.int64, device=NO_VALUES),
        draw=draw(3),
    )
    with Alone():
        (gradient, losses), _ = compute_iteration(
            step,
            images=data.train,
            mode=eager_mode("asked for"),
            extractor_mode=eager_mode("asked for"),
            class_chunk=2,
        )
    assert gradient.shape == (3, 2, 1, 16, 16) and losses.keys() == {
        "mean",
        "cc",
        "cm",
        "ce",
        "total",
    }


@pytest.mark.parametrize("architecture", ["ConvNetW8D2", "ConvNetW8D2BN"])
def test_a_step_of_the_queue(data, architecture):
    member = QueueMember.build(data, architecture, QUEUE)
    step = partial(
        take_train_step,
        images=data.train,
        batch_train=16,
        precision="tf32",
        mode=eager_mode("asked for"),
    )
    batch = torch.empty(16, dtype=torch.int64, device=NO_VALUES)
    member.network.train()
    step(member, batch)  # the first makes the momenta
    with Alone():
        step(member, batch)
    assert member.momenta.keys() == dict(member.network.named_parameters()).keys()


@pytest.mark.parametrize("soft", [False, True])
def test_a_step_of_training(data, soft):
    schedule = Schedule(
        epochs=1,
        batch=8,
        lr=0.01,
        momentum=0.9,
        weight_decay=5e-4,
        dsa_strategy=DSA_ALL,
        precision="tf32",
    )
    made = network().train().requires_grad_(True)
    labels = torch.empty(30, 3, device=NO_VALUES) if soft else data.train.labels
    steps = _Steps(made, data.train.normalized, labels, schedule, eager_mode("asked for"))
    optimizer = _build_optimizer(made, schedule, 0.01)
    for op in ("color", "crop", "cutout", "flip", "scale", "rotate"):
        index, drawn = (
            torch.empty(8, dtype=torch.int64, device=NO_VALUES),
            draw(8, frozenset((op,))),
        )
        steps.build_step(optimizer)(index, drawn)
        with Alone():
            steps.build_step(optimizer)(index, drawn)


def test_a_failed_capture_makes_the_stream_of_before_the_current_one(monkeypatch):
    current = ["before"]

    class Graph:
        """Fails like torch's, which switches the stream before the capture begins."""

        def __init__(self, graph, pool):
            pass

        def __enter__(self):
            current[0] = "capturing"
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

        def __exit__(self, *_):
            raise AssertionError

    fakes = {
        "graph": Graph,
        "CUDAGraph": object,
        "graph_pool_handle": object,
        "current_stream": lambda: current[0],
        "set_stream": lambda stream: current.__setitem__(0, stream),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    capture = capture_on_gpu()
    with pytest.raises(RuntimeError, match="not permitted"):
        capture(lambda: None)
    assert current == ["before"]


def test_a_failed_capture_is_told_once_and_the_work_goes_on_without(caplog):
    attempts = []

    def refuse(work):
        attempts.append(work)
        raise RuntimeError("CUDA error: out of memory")

    replayed = ReplayedFunction(lambda kind, inputs: kind * inputs[0], refuse)
    results = [float(replayed(kind, [torch.tensor(2.0)])) for kind in (1, 1, 3, 3, 1)]
    assert results == [2, 2, 6, 6, 2] and len(attempts) == 1
    assert replayed.failure == "RuntimeError: CUDA error: out of memory"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert eager_mode("").describe(None, replayed.failure).startswith("eager: no CUDA graph (Run")


def test_errors_of_the_work_itself_are_not_taken_for_failed_captures():
    def capture(work):
        raise ValueError("of the work")

    replayed = ReplayedFunction(lambda kind, inputs: None, capture)
    replayed(1, [])
    with pytest.raises(ValueError, match="of the work"):
        replayed(1, [])
