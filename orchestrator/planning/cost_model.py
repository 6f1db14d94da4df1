"""A model of what a unit costs: arithmetic at a stated rate, and a stated overhead for every step
and unit.

A backward pass counts as two forward passes. No torch: networks are known by name.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Literal

from distill_core.datasets.info import REGISTRY
from distill_core.networks import parse_network_name
from distill_core.runtime.chunk_sizes import choose_class_chunk, choose_forward_images
from distill_core.settings import DatasetRef, EvaluationSettings, is_custom
from orchestrator.units import (
    Continual,
    Distill,
    Embed,
    Evaluate,
    ImportExtractor,
    ImportSet,
    Select,
    TrainExtractor,
    Unit,
)

CPU_FLOPS = 50e9
"""Rate of one CPU core; a server core was seen to reach 25 (narrow ConvNets) to 110 (ResNets)
GFLOP/s.
"""
GPU_FLOPS = 20e12
"""Rate of one GPU."""
STEP_SECONDS = 2e-3
"""Overhead of one pass through a network and back, on either."""
UNIT_SECONDS = 1.0
"""Overhead of a unit: reading data, building networks, writing the result."""
PROCESS_BYTES = 600_000_000
"""Memory of a process, or of a GPU's context, before any work."""

FORWARD, TRAINING = 2.0, 6.0
"""Floating-point operations for each multiply-add of a forward pass, and of a forward and a
backward pass.
"""

_STATES, _COPIES = 6, 8
"""Tensors as large as the synthetic images (they themselves, momentum, gradient, each old and new),
and copies of the real images while they are augmented."""

_LAYOUT = 1e8
"""Operations of t-SNE an image."""

Basis = Literal["measured", "model"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a data set."""

    channels: int
    image_size: int
    classes: int
    train_images: int
    test_images: int


UNKNOWN = Shape(channels=3, image_size=32, classes=10, train_images=10_000, test_images=2_000)
"""Stands in for a user's own data set, whose size is not known before it is read."""


@dataclass(frozen=True, slots=True)
class Work:
    """One image through a network once: multiply-adds of a forward pass, and numbers that a
    backward pass needs.
    """

    macs: float
    activations: float

    def scaled(self, factor: float) -> "Work":
        """Return the work times a factor."""
        return Work(self.macs * factor, self.activations * factor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Expected cost of a unit."""

    seconds: float
    """On one CPU core, or on one GPU."""
    memory: int
    """Bytes at the peak: of the GPU, or of the process on a CPU."""
    basis: Basis


_WORK_AT_32: dict[tuple[str, int | None], Work] = {
    ("AlexNet", None): Work(245e6, 0.49e6),
    ("VGG", 11): Work(153e6, 0.49e6),
    ("VGG", 13): Work(228e6, 0.78e6),
    ("VGG", 16): Work(313e6, 0.86e6),
    ("VGG", 19): Work(398e6, 0.94e6),
    ("ResNet", 18): Work(555e6, 1.66e6),
    ("ResNet", 34): Work(1159e6, 2.89e6),
    ("ResNet", 50): Work(1298e6, 8.63e6),
    ("MLP", None): Work(0.41e6, 266),
    ("LeNet", None): Work(0.65e6, 14e3),
    ("ViT", None): Work(170e6, 1.13e6),
}
"""Counted on the networks of `distill_core.networks` for images of 32×32×3, without variants; a
test counts again.
"""


_PARAMETERS: dict[tuple[str, int | None], float] = {
    ("ResNet", 18): 11.2e6,
    ("ResNet", 34): 21.3e6,
    ("ResNet", 50): 23.5e6,
    ("VGG", 11): 9.2e6,
}
FEW_PARAMETERS = 4e6
"""Of networks that are not listed."""


@functools.cache
def network_work(name: str, channels: int, image_size: int) -> Work:
    """Return the work of a network on one image; exact for ConvNets but for the head, scaled from
    32×32 for others.

    A network of one's own counts as the published ConvNet: nothing is known of it before it is
    imported.
    """
    architecture = parse_network_name("ConvNet" if is_custom(name) else name)
    if architecture.family == "ConvNet":
        pooled = architecture.pooling != "NP"
        return _convnet(
            architecture.width or 128, architecture.depth or 3, channels, image_size, pooled
        )
    work = _WORK_AT_32[architecture.family, architecture.depth]
    if architecture.family == "ResNet" and architecture.width:
        thinner = architecture.width / 64
        work = Work(work.macs * thinner**2, work.activations * thinner)
    return work.scaled((image_size / 32) ** 2)


def parameters(name: str) -> float:
    """Return the parameters of a network of the extractor pool, roughly; exact enough for ResNets
    of 10 classes.
    """
    architecture = parse_network_name("ConvNet" if is_custom(name) else name)
    width = (architecture.width or 64) / 64 if architecture.family == "ResNet" else 1
    return _PARAMETERS.get((architecture.family, architecture.depth), FEW_PARAMETERS) * width**2


def _convnet(width: int, depth: int, channels: int, image_size: int, pooled: bool) -> Work:
    """3×3 convolutions at full size, each followed by a norm, an activation and 2×2 pooling; 28×28
    is padded to 32.
    """
    side = 32 if image_size == 28 else image_size
    work, inputs = Work(0, 0), channels
    for _ in range(depth):
        positions = side * side
        work = Work(
            work.macs + 9 * inputs * width * positions, work.activations + 3.25 * width * positions
        )
        inputs, side = width, side // 2 if pooled else side
    return work


def shape_of(dataset: DatasetRef) -> Shape:
    """Return the size of a data set; what is not said of a user's own is `UNKNOWN`'s."""
    whole = _whole(dataset)
    if not dataset.classes:
        return whole
    share = len(dataset.classes) / whole.classes
    train, test = round(share * whole.train_images), round(share * whole.test_images)
    return dataclasses.replace(
        whole, classes=len(dataset.classes), train_images=train, test_images=test
    )


def _whole(dataset: DatasetRef) -> Shape:
    info = REGISTRY.get(dataset.name)
    if info is None:
        size, classes = (
            dataset.image_size or UNKNOWN.image_size,
            dataset.num_classes or UNKNOWN.classes,
        )
        return dataclasses.replace(UNKNOWN, image_size=size, classes=classes)
    return Shape(
        info.channels, info.image_size, len(info.classes), info.train_images, info.test_images
    )


@dataclass(frozen=True, slots=True)
class _Load:
    """Arithmetic, steps and the largest step of a unit."""

    flops: float
    steps: float
    activations: float
    """Numbers in memory at the peak: most of them kept for the largest backward pass."""


def model(unit: Unit, parent: Unit | None, *, gpu: bool) -> Estimate:
    """Estimate a unit from its settings.

    Args:
        unit: the unit.
        parent: the unit that makes the set (the first step's set) of what measures one, the first
            extractor of a distillation, or None.
        gpu: whether it runs on a GPU or on a CPU core.
    """
    shape = shape_of(unit.dataset)
    load = _load(unit, parent, shape, gpu=gpu)
    rate = GPU_FLOPS if gpu else CPU_FLOPS
    seconds = UNIT_SECONDS + load.flops / rate + load.steps * STEP_SECONDS
    images = (shape.train_images + shape.test_images) * shape.channels * shape.image_size**2
    return Estimate(
        seconds=seconds, memory=int(PROCESS_BYTES + images + 4 * load.activations), basis="model"
    )


def _load(unit: Unit, parent: Unit | None, shape: Shape, *, gpu: bool) -> _Load:
    if isinstance(unit, ImportExtractor | ImportSet):
        return _Load(0, 0, 0)
    if isinstance(unit, TrainExtractor):
        work = _work(unit.settings.network, shape)
        steps = unit.settings.epochs * -(-shape.train_images // unit.settings.batch_train)
        flops = unit.settings.epochs * shape.train_images * TRAINING * work.macs
        return _Load(flops, steps, unit.settings.batch_train * work.activations)
    if isinstance(unit, Select):
        features = (
            _work(parent.settings.network, shape).macs
            if isinstance(parent, TrainExtractor)
            else 0.0
        )
        return _Load(shape.train_images * FORWARD * features, 0, 0)
    if isinstance(unit, Distill):
        return _distillation(unit, parent, shape, "cuda" if gpu else "cpu")
    if isinstance(unit, Embed):
        return _embedding(unit, parent, shape)
    if isinstance(unit, Continual):
        return _continual(unit, parent, shape)
    return _evaluation(unit, parent, shape)


def _distillation(unit: Distill, parent: Unit | None, shape: Shape, device: str) -> _Load:
    settings = unit.settings
    work = _work(settings.network, shape)
    real = shape.classes * min(settings.batch_real, shape.train_images / shape.classes)
    synthetic = shape.classes * unit.ipc * settings.partition**2
    flops = (real * FORWARD + synthetic * TRAINING) * work.macs
    chunk = choose_class_chunk(
        device,
        classes=shape.classes,
        image_size=shape.image_size,
        real=max(1, round(real / shape.classes)),
        synthetic=unit.ipc * settings.partition**2,
    )
    at_once = chunk * unit.ipc * settings.partition**2
    pixels = shape.channels * shape.image_size**2
    state = _STATES * shape.classes * unit.ipc * pixels
    images = _COPIES * chunk * max(1, real / shape.classes) * pixels
    forward = (
        min(chunk * real / shape.classes, choose_forward_images(device, shape.image_size))
        * work.activations
    )
    steps, activations, pool = 1.0, at_once * work.activations, 0.0
    if isinstance(parent, TrainExtractor | ImportExtractor):
        name = parent.settings.network if isinstance(parent, TrainExtractor) else parent.network
        extractor, pool = _work(name, shape), len(unit.parents) * parameters(name)
        flops += synthetic * TRAINING * extractor.macs
        activations += at_once * extractor.activations
        steps += 1
    if settings.queue is not None:
        trained = settings.queue.trained_networks * settings.queue.train_steps
        flops += trained * settings.queue.batch_train * TRAINING * work.macs
        steps += trained
    numbers = max(activations, forward) + state + images + pool
    return _Load(settings.iterations * flops, settings.iterations * steps, numbers)


def _evaluation(unit: Evaluate, parent: Unit | None, shape: Shape) -> _Load:
    images = shape.train_images if parent is None else shape.classes * images_per_class(parent)
    return _trained(unit.settings, _work(unit.network, shape), images, shape.test_images)


def _continual(unit: Continual, parent: Unit | None, shape: Shape) -> _Load:
    """After step s of S a share s/S of memory and test images; an equal number of classes comes
    with each step.
    """
    memory = shape.classes * (images_per_class(parent) if parent else 0)
    count, work = len(unit.parents), _work(unit.network, shape)
    shares = [(step + 1) / count for step in range(count)]
    loads = [
        _trained(unit.settings, work, round(s * memory), round(s * shape.test_images))
        for s in shares
    ]
    return _Load(
        sum(load.flops for load in loads),
        sum(load.steps for load in loads),
        max(load.activations for load in loads),
    )


def _trained(settings: EvaluationSettings, work: Work, images: int, test_images: int) -> _Load:
    """`num_eval` networks trained on some images and tested."""
    epochs = settings.num_eval * (settings.epoch_eval_train + 1)
    flops = (epochs * images * TRAINING + settings.num_eval * test_images * FORWARD) * work.macs
    steps = epochs * -(-images // settings.batch_train)
    return _Load(flops, steps, min(images, settings.batch_train) * work.activations)


def _embedding(unit: Embed, parent: Unit | None, shape: Shape) -> _Load:
    """A forward pass through an extractor and the layout in the plane, which takes longer."""
    images = shape.classes * (
        unit.settings.images + 2 * (images_per_class(parent) if parent else 0)
    )
    features = FORWARD * network_work("ConvNet", shape.channels, shape.image_size).macs
    return _Load(images * (features + _LAYOUT), 0, 0)


def _work(network: str, shape: Shape) -> Work:
    return network_work(network, shape.channels, shape.image_size)


def images_per_class(unit: Unit) -> int:
    """Return the images a class that a network trains on."""
    if isinstance(unit, Distill):
        return unit.ipc * unit.settings.partition**2
    if isinstance(unit, ImportSet):
        return unit.ipc * unit.reading.partition**2
    return unit.ipc if isinstance(unit, Select) else 0
