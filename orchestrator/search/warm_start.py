"""From rung to rung: a distillation that goes on where the shorter one of the same settings was
before its last step.

Nothing but the length tells the two apart, save for the last iteration, which ends differently (IDM
moves a class by the steps of the classes after it only). So the state of one iteration before the
end is a checkpoint of both.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, SupportsFloat

from distill_core.distillation.state import CheckpointError, Curve, DistillationState
from orchestrator.execution.context import Stopped, UnitContext
from orchestrator.execution.trial import TrialSettings
from orchestrator.search.rungs import compute_record_interval
from orchestrator.store import leases
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import Distill


class StopAtStep(UnitContext):
    """Ends a unit after some steps, with a checkpoint; takes `last` and what `UnitContext`
    takes.
    """

    def __init__(self, *, last: int, **options: Any) -> None:
        super().__init__(**options)
        self._last = last
        self._done = 0

    def progress(
        self, step: int, total: int, values: Mapping[str, SupportsFloat] | None = None
    ) -> None:
        """Count the steps."""
        self._done = step
        super().progress(step, total, values)

    def checkpoint_due(self) -> bool:
        """Whether to call `save_checkpoint` now."""
        return self._done >= self._last or super().checkpoint_due()

    def save_checkpoint(self, write: Callable[[Path], None]) -> None:
        """Save the state of the work; raises `Stopped` if it is that after the last step."""
        super().save_checkpoint(write)
        if self._done >= self._last:
            raise Stopped


def advance(unit: Distill, following: Distill, settings: TrialSettings, *, device: str) -> None:
    """Bring a distillation to one iteration before its end, and make that a checkpoint of a longer
    one.

    It only saves work: where it does nothing, or was interrupted, both units are computed all the
    same, with the same result. An error of the distillation is left to the unit itself, which meets
    it again and records it.

    Args:
        unit: the shorter distillation.
        following: the longer one.
        settings: of the trial.
        device: "cpu" or "cuda".
    """
    store = open_store(settings.store)
    if store.is_done(unit) or store.is_done(following) or store.load_checkpoint(following):
        return
    with leases.hold(store.lease_storage, unit.key, settings.run) as lease:
        if lease is None:
            return
        with suppress(Exception):
            _run_to_last_step(unit, store, settings, device, stopping=lease.lost.is_set)
            _copy_checkpoint(unit, following, store)


def _run_to_last_step(
    unit: Distill,
    store: Store,
    settings: TrialSettings,
    device: str,
    *,
    stopping: Callable[[], bool],
) -> None:
    last = unit.settings.iterations - 1
    before = _load_state(unit, store)
    if last < 1 or (before is not None and before.iteration >= last):
        return
    watched = store.stop_signal(settings.run).watched()
    with store.scratch(unit) as workdir, watched as is_to_stop, suppress(Stopped):
        context = StopAtStep(
            last=last,
            store=store,
            unit=unit,
            workdir=workdir,
            data_root=Path(settings.data_root),
            device=device,
            threads=max(1, int(settings.cpus)),
            checkpoint_seconds=settings.checkpoint_seconds,
            stopping=lambda: stopping() or is_to_stop(),
        )
        resolve_name(settings.runner)(unit, context)


def _copy_checkpoint(unit: Distill, following: Distill, store: Store) -> None:
    state = _load_state(unit, store)
    if state is None or state.iteration != unit.settings.iterations - 1:
        return
    shorter, longer = (compute_record_interval(u.settings.iterations) for u in (unit, following))
    if longer % shorter:
        return  # the longer one's loss curve would lack points
    state.curve = thin_curve(state.curve, longer)
    store.save_checkpoint(following, state.save)


def thin_curve(curve: Curve, interval: int) -> Curve:
    """Return the points of a loss curve that a distillation records which records every `interval`
    iterations.
    """
    kept = [
        place
        for place, iteration in enumerate(curve.iteration)
        if iteration == 1 or iteration % interval == 0
    ]
    return Curve(
        iteration=[curve.iteration[place] for place in kept],
        values={name: [values[place] for place in kept] for name, values in curve.values.items()},
    )


def _load_state(unit: Distill, store: Store) -> DistillationState | None:
    path = store.load_checkpoint(unit)
    with suppress(CheckpointError):
        return None if path is None else DistillationState.load(path)
    return None
