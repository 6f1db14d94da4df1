"""The distillation loop that DM, IDM and their IID variants share, for one set or a cohort of them.

Every draw of an iteration is seeded by what it is for and by the iteration's number, and never by
λ: runs that differ in λ or base start from the same images and see the same real batches, networks
and augmentations. Sets that differ in nothing else are distilled as one cohort: real batches,
networks and real features are made once for all of them, and each set is what it would have been
alone.
"""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch

from distill_core.augmentation import draw_augmentation
from distill_core.datasets.load import Dataset
from distill_core.distillation.base import Base
from distill_core.distillation.dm import DM
from distill_core.distillation.execution_modes import choose_extractor_mode, choose_matching_mode
from distill_core.distillation.gradients import (
    Iteration,
    IterationResults,
    ReplayedIterations,
    compute_iteration,
)
from distill_core.distillation.idm import IDM
from distill_core.distillation.initial_images import make_initial_images
from distill_core.distillation.run import ActiveRun, Hooks, SetRun
from distill_core.distillation.state import CheckpointError, DistillationError, DistillationState
from distill_core.extensions import import_object
from distill_core.networks import Network
from distill_core.runtime import chunk_sizes
from distill_core.runtime.device import get_free_memory
from distill_core.runtime.execution import ExecutionMode
from distill_core.runtime.precision import use_precision
from distill_core.seeds import generator
from distill_core.settings import DistillationSettings
from distill_core.training.extractors import ExtractorPool


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
    """Distill a synthetic set from the training images of `dataset`, on the device they lie on.

    Args:
        dataset: real images; only its training split is read.
        settings: method and hyper-parameters.
        ipc: stored images per class.
        seed: tells sets of one experiment apart.
        extractors: pool of feature extractors ψ; needed where λ_CC is above 0.
        resume: state to continue from, which is advanced in place; the result equals that of an
            uninterrupted run.
        hooks: progress and checkpoints.
        class_chunk: classes in memory at once, chosen from the sizes when None; it changes nothing
            but rounding.

    Returns:
        The state after the last iteration: images (K, ipc, C, H, W), normalized, and the loss
            curve.

    Raises:
        DistillationError: too few images in a class, no extractors, or a loss or pixel that is not
            finite.
        CheckpointError: `resume` belongs to another run.
        SettingsError: the network does not fit the images.
    """
    cell = SetRun(settings=settings, resume=resume, hooks=hooks or Hooks())
    (ended,) = distill_cohort(
        dataset, [cell], ipc=ipc, seed=seed, extractors=extractors, class_chunk=class_chunk
    )
    if isinstance(ended, Exception):
        raise ended
    return ended


def distill_cohort(
    dataset: Dataset,
    cells: Sequence[SetRun],
    *,
    ipc: int,
    seed: int,
    extractors: ExtractorPool | None = None,
    class_chunk: int | None = None,
) -> list[DistillationState | Exception]:
    """Distill several sets at once; on a CPU each is bit for bit what `distill` makes of it.

    A cell that fails (a loss that is not finite, an exception of its hooks) ends alone. Cells that
    are ahead wait until the others have caught up, so that cells of cohorts that were stopped at
    different iterations can be joined. The seconds in a state are an equal share of the time of the
    iterations that it took part in.

    Args:
        dataset: see `distill`, also for the other arguments, which all cells share.
        cells: the sets, equal in `settings.cohort_settings`.
        ipc: stored images per class.
        seed: number of the set.
        extractors: needed where a λ_CC is above 0.
        class_chunk: classes in memory at once.

    Returns:
        For each cell its last state, or what ended it.

    Raises:
        ValueError: there are no cells, or they cannot share their draws.
        DistillationError, CheckpointError, SettingsError: as `distill`, where no cell can start.
    """
    cohort = start_cohort(
        dataset, cells, ipc=ipc, seed=seed, extractors=extractors, class_chunk=class_chunk
    )
    with use_precision(cohort.settings.precision):
        while cohort.advance():
            pass
    return [run.state if run.error is None else run.error for run in cohort.runs]


def start_cohort(
    dataset: Dataset,
    cells: Sequence[SetRun],
    *,
    ipc: int,
    seed: int,
    extractors: ExtractorPool | None = None,
    class_chunk: int | None = None,
) -> "Cohort":
    """Return a cohort before its next iteration; arguments and errors are those of
    `distill_cohort`.
    """
    shared = {cell.settings.cohort_settings for cell in cells}
    if len(shared) != 1 or (None in shared and len(cells) > 1):
        raise ValueError(
            "the cells of a cohort may differ in weights, losses and the optimizer of the pixels"
            " alone"
        )
    settings = cells[0].settings
    runs = _start_runs(dataset, cells, ipc=ipc, seed=seed, extractors=extractors)
    chunk = class_chunk or chunk_sizes.choose_class_chunk(
        dataset.train.device.type,
        classes=len(dataset.info.classes),
        image_size=dataset.info.image_size,
        real=min(settings.batch_real, max(dataset.train.counts)),
        synthetic=ipc * settings.partition**2,
        free=get_free_memory(dataset.train.device),
    )
    return Cohort(
        dataset=dataset,
        settings=settings,
        runs=runs,
        source=runs[0].base,
        extractors=extractors,
        seed=seed,
        class_chunk=chunk,
        mode=choose_matching_mode(dataset, settings),
        extractor_mode=choose_extractor_mode(extractors, dataset, settings, ipc),
    )


def _start_runs(
    dataset: Dataset,
    cells: Sequence[SetRun],
    *,
    ipc: int,
    seed: int,
    extractors: ExtractorPool | None,
) -> list[ActiveRun]:
    """Put each cell where it stands: at its own state, or at the initial images, which are the same
    for all.
    """
    initial = functools.cache(
        lambda: make_initial_images(dataset, cells[0].settings, ipc=ipc, seed=seed)
    )
    runs = []
    for cell in cells:
        if cell.settings.lambda_cc and not extractors:
            raise DistillationError(
                f"lambda_cc is {cell.settings.lambda_cc}, which needs a pool of extractors; none"
                " was given"
            )
        state = DistillationState.at_start(initial()) if cell.resume is None else cell.resume
        _check_fits(state, dataset, ipc)
        runs.append(
            ActiveRun(cell=cell, state=state, base=_build_base(dataset, cell.settings, seed))
        )
    return runs


def _check_fits(state: DistillationState, dataset: Dataset, ipc: int) -> None:
    info = dataset.info
    expected = (len(info.classes), ipc, info.channels, info.image_size, info.image_size)
    if tuple(state.images.shape) != expected:
        raise CheckpointError(
            f"the state to resume from has images {tuple(state.images.shape)}, not {expected}; it"
            " is another run's"
        )


def _build_base(dataset: Dataset, settings: DistillationSettings, seed: int) -> Base:
    if settings.base is not None:
        own: Base = import_object(settings.base)(dataset, settings, seed)
        return own
    return DM(dataset, settings, seed) if settings.queue is None else IDM(dataset, settings, seed)


@dataclass(kw_only=True)
class Cohort:
    """Cells on their way, and everything that their iterations share."""

    dataset: Dataset
    settings: DistillationSettings
    """Of any cell: only what all of them share is read."""
    runs: Sequence[ActiveRun]
    source: Base
    """Where the networks come from."""
    extractors: ExtractorPool | None
    seed: int
    class_chunk: int
    mode: ExecutionMode
    extractor_mode: ExecutionMode
    at: int = 0
    """Iterations that the source has done."""
    clock: float = field(default_factory=time.monotonic)
    """When time was last shared out."""

    def advance(self) -> bool:
        """Advance the cells that are furthest behind by one iteration; False where all have
        ended.
        """
        going = [run for run in self.runs if run.going]
        if not going:
            return False
        iteration = min(run.state.iteration for run in going)
        runs = [run for run in going if run.state.iteration == iteration]
        if iteration != self.at:
            self.source.restore(runs[0].state.source, iteration)
        results = self._gradients(runs, iteration)
        for run, (gradient, _) in zip(runs, results, strict=True):
            run.update(gradient)
        self.source.after(iteration)
        self.at = iteration + 1
        self._share_time(runs)
        for run, (gradient, losses) in zip(runs, results, strict=True):
            run.follow(losses, gradient, self.source)
        self._share_time(runs)
        return True

    def _gradients(self, runs: Sequence[ActiveRun], iteration: int) -> IterationResults:
        images = self.dataset.train
        matching = self.source.draw(iteration)
        extractor = self._extractor(runs, iteration)
        indices = images.draw(self._draws("real batch", iteration), self.settings.batch_real)
        draw = draw_augmentation(
            self.settings.dsa_strategy,
            groups=len(indices),
            image_size=self.dataset.info.image_size,
            generator=self._draws("augmentation", iteration),
            device=images.device,
        )
        return self._compute(
            Iteration(
                settings=tuple(run.cell.settings for run in runs),
                images=tuple(run.state.images for run in runs),
                matching=matching,
                extractor=extractor,
                indices=indices,
                draw=draw,
            )
        )

    @cached_property
    def _compute(self) -> Callable[[Iteration], IterationResults]:
        anew = partial(
            compute_iteration,
            images=self.dataset.train,
            mode=self.mode,
            extractor_mode=self.extractor_mode,
            class_chunk=self.class_chunk,
        )
        return anew if self.mode.capture is None else ReplayedIterations(anew, self.mode.capture)

    def _extractor(self, runs: Sequence[ActiveRun], iteration: int) -> Network | None:
        if self.extractors is None or not any(run.cell.settings.lambda_cc for run in runs):
            return None
        drawn = self.extractors.draw(self._draws("extractor", iteration))
        self.extractors.ahead(self._draws("extractor", iteration + 1))
        return drawn

    def _draws(self, purpose: str, iteration: int) -> torch.Generator:
        return generator(purpose, self.dataset.info.name, self.seed, iteration)

    def _share_time(self, runs: Sequence[ActiveRun]) -> None:
        """Count the time since the last call as an equal share to each of some cells."""
        now = time.monotonic()
        for run in runs:
            run.state.seconds += (now - self.clock) / len(runs)
        self.clock = now
