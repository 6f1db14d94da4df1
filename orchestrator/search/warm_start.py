"""Rung to rung: start a longer distillation from where the shorter one of the same settings was.

The two have the same iterations as long as both run, except for the last iteration of the shorter
one, which ends differently (IDM moves a class by the steps of the classes after it only). So the
state one iteration before the end of the shorter one is a checkpoint of both.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, SupportsFloat

from distill_core.distillation.state import CheckpointError, Curve, DistillationState
from orchestrator.execution.context import Stopped, UnitContext, UnitProgress
from orchestrator.execution.trial import TrialSettings, count_cpu_threads
from orchestrator.search.rungs import compute_record_interval
from orchestrator.store import leases
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import Distill

_log = logging.getLogger(__name__)


class StopAtStep(UnitContext):
    """Stops a unit after a number of steps, with a checkpoint.

    Args:
        last: the step after which to stop.
        options: what `UnitContext` takes.
    """

    def __init__(self, *, last: int, **options: Any) -> None:
        super().__init__(**options)
        self._last = last
        self._done = 0

    def report_progress(
        self, step: int, total: int, values: Mapping[str, SupportsFloat] | None = None
    ) -> None:
        """Count the steps."""
        self._done = step
        super().report_progress(step, total, values)

    def is_checkpoint_due(self) -> bool:
        """Return whether to call `save_checkpoint` now."""
        return self._done >= self._last or super().is_checkpoint_due()

    def save_checkpoint(self, write: Callable[[Path], None]) -> None:
        """Save the state of the work; raise `Stopped` if it is that after the last step."""
        super().save_checkpoint(write)
        if self._done >= self._last:
            raise Stopped


def advance(
    unit: Distill,
    following: Distill,
    settings: TrialSettings,
    *,
    device: str,
    report: Callable[[UnitProgress], None] | None = None,
) -> None:
    """Run a distillation to one iteration before its end, and copy that state to a longer one.

    This only saves work. Where it does nothing or is interrupted, both units are computed all the
    same, with the same result. An error of the distillation is left to the unit itself, which runs
    into it again and records it.

    Args:
        unit: the shorter distillation.
        following: the longer one.
        settings: settings of the trial.
        device: "cpu" or "cuda".
        report: receives the progress, for a display.
    """
    store = open_store(settings.store)
    if store.is_done(unit) or store.is_done(following) or store.load_checkpoint(following):
        return
    # The lease of the shorter unit guards its checkpoints, which are written here.
    with leases.hold(store.storage, unit.key, settings.run) as lease:
        if lease is None:
            return
        try:
            _run_to_last_step(
                unit, store, settings, device, is_lost=lease.lost.is_set, report=report
            )
            _copy_checkpoint(unit, following, store)
        except Exception as error:
            _log.warning(
                "%s %s does not start from %s: %s: %s",
                *(following.kind, following.key, unit.key, type(error).__name__, error),
            )


def thin_curve(curve: Curve, interval: int) -> Curve:
    """Keep the points of a loss curve that a distillation with another interval would have.

    Args:
        curve: the loss curve of the shorter distillation.
        interval: iterations between two points of the longer one; its first iteration is always a
            point.
    """
    kept = []
    for place, iteration in enumerate(curve.iteration):
        if iteration == 1 or iteration % interval == 0:
            kept.append(place)
    values = {}
    for name, column in curve.values.items():
        values[name] = [column[place] for place in kept]
    return Curve(iteration=[curve.iteration[place] for place in kept], values=values)


def _run_to_last_step(
    unit: Distill,
    store: Store,
    settings: TrialSettings,
    device: str,
    *,
    is_lost: Callable[[], bool],
    report: Callable[[UnitProgress], None] | None,
) -> None:
    """Run a unit until one iteration is left, unless an earlier attempt has come that far."""
    last = unit.settings.iterations - 1
    state = _load_state(unit, store)
    if last < 1 or (state is not None and state.iteration >= last):
        return
    watched = store.stop_signal(settings.run).watched()
    with store.scratch(unit) as workdir, watched as is_stopping:
        context = StopAtStep(
            last=last,
            store=store,
            unit=unit,
            workdir=workdir,
            data_root=Path(settings.data_root),
            device=device,
            threads=count_cpu_threads(settings.cpus),
            checkpoint_seconds=settings.checkpoint_seconds,
            report=report,
            report_seconds=settings.report_seconds,
            is_stopping=lambda: is_lost() or is_stopping(),
        )
        try:
            resolve_name(settings.runner)(unit, context)
        except Stopped:
            # Either the last step is reached, which is the aim, or the launch is stopping, and the
            # checkpoint is found by the next one.
            _log.debug("%s %s stopped before its last iteration", unit.kind, unit.key)


def _copy_checkpoint(unit: Distill, following: Distill, store: Store) -> None:
    """Save the state of a unit as a checkpoint of the longer one, if it is the right state."""
    state = _load_state(unit, store)
    if state is None or state.iteration != unit.settings.iterations - 1:
        return
    shorter = compute_record_interval(unit.settings.iterations)
    longer = compute_record_interval(following.settings.iterations)
    if longer % shorter:
        _log.debug("%s cannot start from %s: its curve lacks points", following.key, unit.key)
        return
    state.curve = thin_curve(state.curve, longer)
    store.save_checkpoint(following, state.save)
    _log.info("%s %s starts from %s", following.kind, following.key, unit.key)


def _load_state(unit: Distill, store: Store) -> DistillationState | None:
    path = store.load_checkpoint(unit)
    if path is None:
        return None
    try:
        return DistillationState.load(path)
    except CheckpointError as error:
        # The checkpoint of another version: the unit itself is computed from its beginning.
        _log.warning("skipping checkpoint %s of %s %s: %s", path.name, unit.kind, unit.key, error)
        return None
