"""How many operations the units of each kind take, counted from their settings.

A kind of units names its function here in `UnitKind.load`. All of them take the unit, its first
parent, the shape of its data set and the device ("cpu" or "cuda").
"""

from dataclasses import dataclass

from distill_core.runtime.chunk_sizes import choose_class_chunk, choose_forward_images
from distill_core.settings import EvaluationSettings
from orchestrator.planning.dataset_shape import DatasetShape
from orchestrator.planning.network_costs import (
    FORWARD,
    TRAINING,
    Work,
    count_network_work,
    count_parameters,
)
from orchestrator.units import (
    Continual,
    Distill,
    Embed,
    Evaluate,
    ExtractorUnit,
    Select,
    SetUnit,
    TrainExtractor,
    Unit,
)

_STATES = 6
"""Tensors as large as the synthetic images: they themselves, momentum and gradient, old and new."""
_COPIES = 8
"""Copies of the real images while they are augmented."""
_LAYOUT_FLOPS = 1e8
"""Operations of t-SNE per image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What a unit asks of a machine."""

    flops: float = 0.0
    steps: float = 0.0
    """Passes through a network and back."""
    numbers: float = 0.0
    """Numbers in memory at the peak: most of them kept for the largest backward pass."""


def count_extractor_training(
    unit: TrainExtractor, parent: Unit | None, shape: DatasetShape, device: str
) -> Load:
    """Count the training of one extractor on all training images."""
    settings = unit.settings
    work = _count_work(settings.network, shape)
    return Load(
        flops=settings.epochs * shape.train_images * TRAINING * work.macs,
        steps=settings.epochs * -(-shape.train_images // settings.batch_train),
        numbers=settings.batch_train * work.activations,
    )


def count_selection(unit: Select, parent: Unit | None, shape: DatasetShape, device: str) -> Load:
    """Count one forward pass of the extractor, if there is one, over all training images."""
    if not isinstance(parent, ExtractorUnit):
        return Load()
    macs = _count_work(parent.architecture, shape).macs
    return Load(flops=shape.train_images * FORWARD * macs)


def count_distillation(
    unit: Distill, parent: Unit | None, shape: DatasetShape, device: str
) -> Load:
    """Count the iterations of a distillation, queue of networks and extractors included."""
    settings = unit.settings
    work = _count_work(settings.network, shape)
    real, synthetic = _count_real_images(unit, shape), unit.images_per_class
    flops = shape.classes * (real * FORWARD + synthetic * TRAINING) * work.macs
    steps = 1.0
    if isinstance(parent, ExtractorUnit):
        extractor = _count_work(parent.architecture, shape)
        flops += shape.classes * synthetic * TRAINING * extractor.macs
        steps += 1
    if settings.queue is not None:
        trained = settings.queue.trained_networks * settings.queue.train_steps
        flops += trained * settings.queue.batch_train * TRAINING * work.macs
        steps += trained
    return Load(
        flops=settings.iterations * flops,
        steps=settings.iterations * steps,
        numbers=_count_distillation_numbers(unit, parent, shape, device),
    )


def _count_distillation_numbers(
    unit: Distill, parent: Unit | None, shape: DatasetShape, device: str
) -> float:
    """Count the numbers in memory: of the largest pass, the images, their state and the pool."""
    work = _count_work(unit.settings.network, shape)
    real, synthetic = _count_real_images(unit, shape), unit.images_per_class
    # Gradients are computed for a few classes at a time, which bounds the memory.
    chunk = choose_class_chunk(
        device,
        classes=shape.classes,
        image_size=shape.image_size,
        real=max(1, round(real)),
        synthetic=synthetic,
    )
    forward = min(chunk * real, choose_forward_images(device, shape.image_size)) * work.activations
    backward = chunk * synthetic * work.activations
    pool = 0.0
    if isinstance(parent, ExtractorUnit):
        backward += chunk * synthetic * _count_work(parent.architecture, shape).activations
        pool = len(unit.parents) * count_parameters(parent.architecture)
    pixels = shape.channels * shape.image_size**2
    state = _STATES * shape.classes * unit.ipc * pixels
    augmented = _COPIES * chunk * max(1, real) * pixels
    return max(backward, forward) + state + augmented + pool


def _count_real_images(unit: Distill, shape: DatasetShape) -> float:
    """Return the real images per class of one iteration."""
    return min(unit.settings.batch_real, shape.train_images / shape.classes)


def count_evaluation(unit: Evaluate, parent: Unit | None, shape: DatasetShape, device: str) -> Load:
    """Count the training and testing of networks on a set, or on all training images."""
    images = shape.train_images
    if parent is not None:
        images = shape.classes * count_images_per_class(parent)
    work = _count_work(unit.network, shape)
    return _count_training(unit.settings, work, images, shape.test_images)


def count_continual_evaluation(
    unit: Continual, parent: Unit | None, shape: DatasetShape, device: str
) -> Load:
    """Count the networks of all steps; the same number of classes comes with each step.

    After step s of S the memory and the test images are a share s/S of the whole.
    """
    memory = shape.classes * count_images_per_class(parent)
    steps, work = len(unit.parents), _count_work(unit.network, shape)
    loads = []
    for step in range(1, steps + 1):
        share = step / steps
        images, test_images = round(share * memory), round(share * shape.test_images)
        loads.append(_count_training(unit.settings, work, images, test_images))
    return Load(
        flops=sum(load.flops for load in loads),
        steps=sum(load.steps for load in loads),
        numbers=max(load.numbers for load in loads),
    )


def count_embedding(unit: Embed, parent: Unit | None, shape: DatasetShape, device: str) -> Load:
    """Count a forward pass through an extractor and the layout in the plane, which takes longer.

    Synthetic images come with as many initial ones.
    """
    images = shape.classes * (unit.settings.images + 2 * count_images_per_class(parent))
    features = FORWARD * _count_work("ConvNet", shape).macs
    return Load(flops=images * (features + _LAYOUT_FLOPS))


def count_images_per_class(unit: Unit | None) -> int:
    """Return the images per class that a unit makes to train on; 0 if it makes no set."""
    return unit.images_per_class if isinstance(unit, SetUnit) else 0


def _count_training(
    settings: EvaluationSettings, work: Work, images: int, test_images: int
) -> Load:
    """Count `num_eval` networks trained on some images and tested."""
    epochs = settings.num_eval * (settings.epoch_eval_train + 1)
    trained = epochs * images * TRAINING
    tested = settings.num_eval * test_images * FORWARD
    return Load(
        flops=(trained + tested) * work.macs,
        steps=epochs * -(-images // settings.batch_train),
        numbers=min(images, settings.batch_train) * work.activations,
    )


def _count_work(network: str, shape: DatasetShape) -> Work:
    return count_network_work(network, shape.channels, shape.image_size)
