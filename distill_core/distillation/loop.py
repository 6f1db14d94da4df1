"""The distillation loop that DM, IDM and their IID variants share, for one set or a cohort of them.

Every draw of an iteration is seeded by its purpose and the number of the iteration, never by λ. So
runs that differ in λ or base start from the same images and see the same real batches, networks and
augmentations. Sets that differ in nothing else are distilled as one cohort: real batches, networks
and real features are computed once for all of them, and each set is the same as if distilled alone.
"""

import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch

from distill_core.augmentation import draw_augmentation
from distill_core.datasets.load import Dataset
from distill_core.distillation.base import Base, MatchingNetwork
from distill_core.distillation.check_parts import (
    build_custom_base,
    check_custom_parts,
    name_errors,
    require_matching_network,
)
from distill_core.distillation.custom_loss import build_custom_losses
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
from distill_core.distillation.objective import DrawIdentity
from distill_core.distillation.run import ActiveRun, Hooks, SetRun
from distill_core.distillation.state import CheckpointError, DistillationError, DistillationState
from distill_core.networks import Network, uses_batch_statistics
from distill_core.runtime import chunk_sizes
from distill_core.runtime.device import get_free_memory
from distill_core.runtime.execution import ExecutionMode
from distill_core.runtime.precision import use_precision
from distill_core.seeds import derive_seed, generator, use_global_seed
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
    """Distill a synthetic set from the training images of `dataset`, on the device that holds them.

    Args:
        dataset: real images; only its training split is read.
        settings: method and hyper-parameters.
        ipc: stored images per class.
        seed: number of the set within an experiment.
        extractors: pool of feature extractors ψ; required where λ_CC is above 0.
        resume: state to continue from, which is advanced in place; the result equals that of an
            uninterrupted run.
        hooks: progress and checkpoints.
        class_chunk: classes in memory at once; None chooses it from the sizes. It changes only
            rounding.

    Returns:
        The state after the last iteration: images (K, ipc, C, H, W), normalized, and the loss
            curve.

    Raises:
        DistillationError: a class has too few images, extractors are missing, or a loss or pixel
            is not finite.
        CheckpointError: `resume` belongs to another run.
        SettingsError: the network does not fit the images.
    """
    set_run = SetRun(settings=settings, resume=resume, hooks=hooks or Hooks())
    (result,) = distill_cohort(
        dataset, [set_run], ipc=ipc, seed=seed, extractors=extractors, class_chunk=class_chunk
    )
    if isinstance(result, Exception):
        raise result
    return result


def distill_cohort(
    dataset: Dataset,
    set_runs: Sequence[SetRun],
    *,
    ipc: int,
    seed: int,
    extractors: ExtractorPool | None = None,
    class_chunk: int | None = None,
    chunk_share: float = 1.0,
) -> list[DistillationState | Exception]:
    """Distill several sets at once; on a CPU each is bit for bit what `distill` makes of it.

    A set that fails (its loss is not finite, its hooks raise an exception) ends alone. Sets that
    are ahead wait until the others have caught up, so sets that were stopped at different
    iterations can be joined in one cohort. The seconds in a state are an equal share of the time of
    the iterations that its set took part in.

    Args:
        dataset: as in `distill`, like the other arguments, which all sets share.
        set_runs: the sets; their `settings.cohort_settings` are equal.
        ipc: stored images per class.
        seed: number of the set.
        extractors: required where a λ_CC is above 0.
        class_chunk: classes in memory at once.
        chunk_share: part of the classes that are otherwise in memory at once, for a device whose
            memory ran out. It changes only rounding.

    Returns:
        For each set its last state, or the exception that ended it.

    Raises:
        ValueError: there are no sets, or they cannot share their draws.
        DistillationError, CheckpointError, SettingsError: as in `distill`; no set has started.
    """
    cohort = start_cohort(
        dataset,
        set_runs,
        ipc=ipc,
        seed=seed,
        extractors=extractors,
        class_chunk=class_chunk,
        chunk_share=chunk_share,
    )
    with use_precision(cohort.settings.precision):
        while cohort.advance():
            pass
    return [run.state if run.error is None else run.error for run in cohort.runs]


def start_cohort(
    dataset: Dataset,
    set_runs: Sequence[SetRun],
    *,
    ipc: int,
    seed: int,
    extractors: ExtractorPool | None = None,
    class_chunk: int | None = None,
    chunk_share: float = 1.0,
) -> "Cohort":
    """Return a cohort ready for its next iteration.

    Arguments and errors are those of `distill_cohort`.
    """
    shared = {set_run.settings.cohort_settings for set_run in set_runs}
    if len(shared) != 1 or (None in shared and len(set_runs) > 1):
        raise ValueError(
            "the sets of a cohort may differ only in weights, losses and the optimizer of the"
            " pixels"
        )
    settings = set_runs[0].settings
    runs = _start_runs(dataset, set_runs, ipc=ipc, seed=seed, extractors=extractors)
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
        class_chunk=max(1, math.ceil(chunk_share * chunk)),
        mode=choose_matching_mode(dataset, settings),
        extractor_mode=choose_extractor_mode(extractors, dataset, settings, ipc),
    )


def _start_runs(
    dataset: Dataset,
    set_runs: Sequence[SetRun],
    *,
    ipc: int,
    seed: int,
    extractors: ExtractorPool | None,
) -> list[ActiveRun]:
    """Give each set its state: the one to resume from, or the initial images."""
    # Cached, not computed up front: a cohort whose sets all resume needs no initial images.
    initial = functools.cache(
        lambda: make_initial_images(dataset, set_runs[0].settings, ipc=ipc, seed=seed)
    )
    runs = []
    for set_run in set_runs:
        settings = set_run.settings
        if settings.lambda_cc and not extractors:
            raise DistillationError(
                f"lambda_cc is {settings.lambda_cc}, which needs a pool of extractors; none was"
                " given"
            )
        state = set_run.resume or DistillationState.at_start(initial())
        _check_fits(state, dataset, ipc)
        _check_objective(settings)
        check_custom_parts(dataset, settings, state.images)
        base = _build_base(dataset, settings, seed)
        losses = build_custom_losses(settings)
        for place, loss in enumerate(losses):
            loss.restore(state.select_loss(place))
        runs.append(ActiveRun(set_run=set_run, state=state, base=base, losses=losses))
    return runs


def _check_objective(settings: DistillationSettings) -> None:
    """Check that there is something to minimize.

    Raises:
        DistillationError: all weights are zero.
    """
    weights = [settings.lambda_mean, settings.lambda_cc, settings.lambda_cm]
    weights += [term.weight for term in settings.loss_terms]
    if not any(weights):
        raise DistillationError(
            "lambda_mean is 0, and no other loss has a weight: nothing would be minimized"
        )


def _check_fits(state: DistillationState, dataset: Dataset, ipc: int) -> None:
    info = dataset.info
    expected = (len(info.classes), ipc, info.channels, info.image_size, info.image_size)
    if tuple(state.images.shape) != expected:
        raise CheckpointError(
            f"the state to resume from has images {tuple(state.images.shape)}, not {expected}; it"
            " belongs to another run"
        )


def _build_base(dataset: Dataset, settings: DistillationSettings, seed: int) -> Base:
    if settings.base is not None:
        return build_custom_base(settings.base, dataset, settings, seed)
    return DM(dataset, settings, seed) if settings.queue is None else IDM(dataset, settings, seed)


@dataclass(kw_only=True)
class Cohort:
    """Sets that are being distilled together, and everything that their iterations share."""

    dataset: Dataset
    settings: DistillationSettings
    """Of any of the sets: only what all of them share is read."""
    runs: Sequence[ActiveRun]
    source: Base
    """Where the networks come from."""
    extractors: ExtractorPool | None
    seed: int
    class_chunk: int
    mode: ExecutionMode
    extractor_mode: ExecutionMode
    source_iteration: int = 0
    """Iterations that the source has done."""
    last_time: float = field(default_factory=time.monotonic)
    """When time was last shared out."""

    def advance(self) -> bool:
        """Advance the sets that are furthest behind by one iteration.

        Returns:
            False where all sets have ended.
        """
        active = [run for run in self.runs if run.is_running]
        if not active:
            return False
        iteration = min(run.state.iteration for run in active)
        runs = [run for run in active if run.state.iteration == iteration]
        with self._seeded("global draws of the source", iteration):
            if iteration != self.source_iteration:
                self.source.restore(runs[0].state.source, iteration)
            with name_errors(self.settings.base, "draw"):
                matching = self.source.draw(iteration)
        extractor = self._draw_extractor(runs, iteration)
        results = self._compute_gradients(runs, matching, extractor, iteration)
        self._note_way(runs, matching, extractor)
        for run, result in zip(runs, results, strict=True):
            with (
                self._seeded("global draws of the update", iteration),
                name_errors(self.settings.base, "update"),
            ):
                run.update(result.gradient)
        with self._seeded("global draws after an iteration", iteration):
            self.source.after(iteration)
        self.source_iteration = iteration + 1
        # Before the runs report, so that what they record includes this iteration.
        self._share_time(runs)
        for run, result in zip(runs, results, strict=True):
            run.finish_iteration(result.losses, result.gradient, self.source)
        self._share_time(runs)
        return True

    def _note_way(
        self, runs: Sequence[ActiveRun], matching: MatchingNetwork, extractor: Network | None
    ) -> None:
        """Note how this iteration's networks were run, which is known once they were."""
        compute = self._compute
        failure = compute.failure if isinstance(compute, ReplayedIterations) else None
        passes = self.mode.describe(matching.network, failure)
        if extractor is not None:
            with_extractor = self.extractor_mode.describe(extractor)
            if with_extractor != passes:
                passes += f"; extractors {with_extractor}"
        network = matching.network
        whole = network.training and uses_batch_statistics(network)
        chunk = len(self.dataset.info.classes) if whole else self.class_chunk
        for run in runs:
            run.state.note_way(passes, chunk)

    def _compute_gradients(
        self,
        runs: Sequence[ActiveRun],
        matching: MatchingNetwork,
        extractor: Network | None,
        iteration: int,
    ) -> IterationResults:
        images = self.dataset.train
        if self.settings.base is not None:
            require_matching_network(self.settings.base, matching)
        indices = images.draw(self._generator("real batch", iteration), self.settings.batch_real)
        draw = draw_augmentation(
            self.settings.dsa_strategy,
            groups=len(indices),
            image_size=self.dataset.info.image_size,
            generator=self._generator("augmentation", iteration),
            device=images.device,
        )
        return self._compute(
            Iteration(
                settings=tuple(run.set_run.settings for run in runs),
                images=tuple(run.state.images for run in runs),
                matching=matching,
                extractor=extractor,
                indices=indices,
                draw=draw,
                seed=self._derive_global_seed("global draws of the features", iteration),
                losses=tuple(run.losses for run in runs),
                draws=DrawIdentity(self.dataset.info.name, self.seed, iteration),
            )
        )

    def _seeded(self, purpose: str, iteration: int) -> AbstractContextManager[None]:
        """Seed the global generators where custom code or dropout may draw from them."""
        seed = self._derive_global_seed(purpose, iteration)
        return nullcontext() if seed is None else use_global_seed(seed)

    def _derive_global_seed(self, purpose: str, iteration: int) -> int | None:
        if not any(run.set_run.settings.has_custom_parts for run in self.runs):
            return None
        return derive_seed(purpose, self.dataset.info.name, self.seed, iteration)

    @cached_property
    def _compute(self) -> Callable[[Iteration], IterationResults]:
        compute = partial(
            compute_iteration,
            images=self.dataset.train,
            mode=self.mode,
            extractor_mode=self.extractor_mode,
            class_chunk=self.class_chunk,
        )
        if self.mode.capture is None:
            return compute
        return ReplayedIterations(compute, self.mode.capture)

    def _draw_extractor(self, runs: Sequence[ActiveRun], iteration: int) -> Network | None:
        if self.extractors is None or not any(run.set_run.settings.lambda_cc for run in runs):
            return None
        extractor = self.extractors.draw(self._generator("extractor", iteration))
        # The draws of an iteration are known in advance, so the next network is read meanwhile.
        self.extractors.prefetch(self._generator("extractor", iteration + 1))
        return extractor

    def _generator(self, purpose: str, iteration: int) -> torch.Generator:
        return generator(purpose, self.dataset.info.name, self.seed, iteration)

    def _share_time(self, runs: Sequence[ActiveRun]) -> None:
        """Add the time since the last call to some runs, in equal shares."""
        now = time.monotonic()
        for run in runs:
            run.state.seconds += (now - self.last_time) / len(runs)
        self.last_time = now
