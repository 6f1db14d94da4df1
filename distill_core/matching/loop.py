"""The distillation loop that DM, IDM and their IID variants share.

Every draw of an iteration is seeded by what it is for and by the iteration's number, and never by λ: runs that differ
in λ or base start from the same images and see the same real batches, networks and augmentations.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from distill_core import chunks
from distill_core.augment import draw_augmentation
from distill_core.datasets.load import Dataset
from distill_core.extensions import find
from distill_core.extractors import ExtractorPool
from distill_core.matching.base import Base
from distill_core.matching.dm import DM
from distill_core.matching.idm import IDM
from distill_core.matching.objective import Objective
from distill_core.matching.state import CheckpointError, DistillationState
from distill_core.networks import Network
from distill_core.partition import require_divisible, tile
from distill_core.precision import arithmetic
from distill_core.seeds import generator
from distill_core.settings import DistillationSettings

RECORDS = 200
"""Points of a loss curve."""


class DistillationError(RuntimeError):
    """A distillation cannot start or go on; the message says where and why."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """How a long computation speaks with whoever started it; the defaults do nothing."""

    progress: Callable[[int, int, dict[str, float]], None] = lambda step, total, values: None
    """Called after every iteration with iterations done, iterations in all, and by name the values that were recorded,
    which are none in most iterations of a long run."""
    checkpoint_due: Callable[[], bool] = lambda: False
    """Asked after every iteration."""
    checkpoint: Callable[[DistillationState], None] = lambda state: None
    """Called with the state when one is due; an exception that it raises ends the run there."""


def distill(
    dataset: Dataset,
    settings: DistillationSettings,
    *,
    ipc: int,
    seed: int,
    extractors: ExtractorPool | None = None,
    resume: DistillationState | None = None,
    hooks: Hooks | None = None,
    class_chunk: int | None = None,
) -> DistillationState:
    """Distil a synthetic set from the training images of `dataset`, on the device they lie on.

    Args:
        dataset: real images; only its training split is read.
        settings: method and hyper-parameters.
        ipc: stored images per class.
        seed: tells sets of one experiment apart.
        extractors: pool of feature extractors ψ; needed where λ_CC is above 0.
        resume: state to continue from, which is advanced in place; the result equals that of an uninterrupted run.
        hooks: progress and checkpoints.
        class_chunk: classes in memory at once, chosen from the sizes when None; it changes nothing but rounding.

    Returns:
        The state after the last iteration: images (K, ipc, C, H, W), normalised, and the loss curve.

    Raises:
        DistillationError: too few images in a class, no extractors, or a loss or pixel that is not finite.
        CheckpointError: `resume` belongs to another run.
        SettingsError: the network does not fit the images.
    """
    hooks = hooks or Hooks()
    if settings.lambda_cc and not extractors:
        raise DistillationError(f"lambda_cc is {settings.lambda_cc}, which needs a pool of extractors; none was given")
    base = _base(dataset, settings, seed)
    state = resume or _start(dataset, settings, ipc=ipc, seed=seed)
    if resume is not None:
        _check_fits(resume, dataset, ipc)
        base.restore(state.source, state.iteration)
    chunk = class_chunk or chunks.class_chunk(
        classes=len(dataset.info.classes),
        image_size=dataset.info.image_size,
        real=min(settings.batch_real, max(dataset.train.counts)),
        synthetic=ipc * settings.partition**2,
    )
    iteration = _Iteration(dataset, settings, base, extractors, seed, chunk)
    began = time.monotonic() - state.seconds
    every = max(1, settings.iterations // RECORDS)
    recorded, recorded_at = state.iteration, time.monotonic()
    with arithmetic(settings.precision):
        while state.iteration < settings.iterations:
            losses = iteration.advance(state)
            values: dict[str, float] = {}
            if state.iteration % every == 0 or state.iteration in (1, settings.iterations):
                values = _finite(losses, state)
                state.curve.append(state.iteration, values)
                now = time.monotonic()
                values = values | {"seconds_per_iteration": (now - recorded_at) / (state.iteration - recorded)}
                recorded, recorded_at = state.iteration, now
            hooks.progress(state.iteration, settings.iterations, values)
            if state.iteration < settings.iterations and hooks.checkpoint_due():
                _finite({}, state)
                state.source, state.seconds = base.tensors(), time.monotonic() - began
                hooks.checkpoint(state)
    state.seconds = time.monotonic() - began
    return state


def _base(dataset: Dataset, settings: DistillationSettings, seed: int) -> Base:
    if settings.base is not None:
        own: Base = find(settings.base)(dataset, settings, seed)
        return own
    return DM(dataset, settings, seed) if settings.queue is None else IDM(dataset, settings, seed)


def _check_fits(state: DistillationState, dataset: Dataset, ipc: int) -> None:
    info = dataset.info
    expected = (len(info.classes), ipc, info.channels, info.image_size, info.image_size)
    if tuple(state.images.shape) != expected:
        raise CheckpointError(
            f"the state to resume from has images {tuple(state.images.shape)}, not {expected}; it is another run's"
        )


def initial_images(dataset: Dataset, settings: DistillationSettings, *, ipc: int, seed: int) -> Tensor:
    """Return the images that a distillation starts from, (K, ipc, C, H, W), normalised.

    The first images of a class are the same whatever the method, so methods are compared from one start.

    Raises:
        DistillationError: a class has too few images, or the partition does not fit the image size.
    """
    info, images = dataset.info, dataset.train
    try:
        require_divisible(info.image_size, settings.partition)
    except ValueError as error:
        raise DistillationError(f"partition {settings.partition} on {info.name}: {error}") from error
    draws = generator("initial images", info.name, seed)
    if settings.init == "noise":
        shape = (len(info.classes), ipc, info.channels, info.image_size, info.image_size)
        return torch.randn(shape, generator=draws).to(images.device)
    cells = settings.partition**2
    real = images.normalised(draw_initial(dataset, ipc * cells, seed=seed))
    if cells == 1:
        return real
    # The first ipc images become the first cells, so that canvases share them with methods without a partition.
    return torch.stack([tile(of_class, settings.partition) for of_class in real])


def draw_initial(dataset: Dataset, count: int, *, seed: int) -> Tensor:
    """Draw indices (K, count) of distinct real training images of each class; a larger count extends a smaller one.

    Raises:
        DistillationError: a class has fewer images than `count`.
    """
    smallest = min(dataset.train.counts)
    if smallest < count:
        raise DistillationError(
            f"{count} images of each class are needed, but the smallest class of {dataset.info.name} has {smallest}; "
            "lower ipc"
        )
    return dataset.train.draw(generator("initial images", dataset.info.name, seed), count)


@dataclass(frozen=True)
class _Iteration:
    """Everything that one iteration needs besides the state it changes."""

    dataset: Dataset
    settings: DistillationSettings
    base: Base
    extractors: ExtractorPool | None
    seed: int
    class_chunk: int

    def advance(self, state: DistillationState) -> dict[str, Tensor]:
        """Advance `state` by one iteration; return its losses and the gradient's norm, still on the device."""
        settings, images, iteration = self.settings, self.dataset.train, state.iteration
        matching = self.base.draw(iteration)
        extractor = self._extractor(iteration)
        objective = Objective(
            network=matching.network,
            extractor=extractor,
            settings=settings,
            ce_weight=matching.ce_weight,
            forward_images=chunks.forward_images(images.device.type, images.image_size),
        )
        indices = images.draw(self._draws("real batch", iteration), settings.batch_real)
        draw = draw_augmentation(
            settings.dsa_strategy,
            groups=len(indices),
            image_size=self.dataset.info.image_size,
            generator=self._draws("augmentation", iteration),
            device=images.device,
        )
        gradient, losses = objective.gradient(
            state.images, lambda classes: images.normalised(indices[classes]), draw, class_chunk=self.class_chunk
        )
        last = iteration + 1 == settings.iterations
        state.images, state.velocity = self.base.update(state.images, state.velocity, gradient, last=last)
        self.base.after(iteration)
        state.iteration += 1
        return losses | {"gradient_norm": gradient.norm()}

    def _extractor(self, iteration: int) -> Network | None:
        if self.extractors is None or not self.settings.lambda_cc:
            return None
        return self.extractors.draw(self._draws("extractor", iteration))

    def _draws(self, purpose: str, iteration: int) -> torch.Generator:
        return generator(purpose, self.dataset.info.name, self.seed, iteration)


def _start(dataset: Dataset, settings: DistillationSettings, *, ipc: int, seed: int) -> DistillationState:
    images = initial_images(dataset, settings, ipc=ipc, seed=seed)
    return DistillationState(iteration=0, images=images, velocity=torch.zeros_like(images))


def _finite(losses: dict[str, Tensor], state: DistillationState) -> dict[str, float]:
    """Return losses as numbers; DistillationError if one of them, or a pixel, is not finite."""
    values = {name: float(loss) for name, loss in losses.items()}
    for name, value in (values | {"the largest pixel": float(state.images.abs().max())}).items():
        if not math.isfinite(value):
            raise DistillationError(
                f"{name} is {value} at iteration {state.iteration}; lower lr_img or the weights lambda_cc and lambda_cm"
            )
    return values
