"""One set of a cohort: what it is asked to be, and where it stands."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from distill_core.distillation.base import Base
from distill_core.distillation.objective import Losses
from distill_core.distillation.state import DistillationError, DistillationState
from distill_core.settings import DistillationSettings

CURVE_POINTS = 200
"""Points of a loss curve."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """How a long computation speaks with whoever started it; the defaults do nothing."""

    progress: Callable[[int, int, dict[str, float]], None] = lambda step, total, values: None
    """Called after every iteration with iterations done, iterations in all, and by name the values
    that were recorded, which are none in most iterations of a long run."""
    checkpoint_due: Callable[[], bool] = lambda: False
    """Asked after every iteration."""
    checkpoint: Callable[[DistillationState], None] = lambda state: None
    """Called with the state when one is due; an exception that it raises ends the run there."""


@dataclass(frozen=True, kw_only=True)
class SetRun:
    """One set of a cohort."""

    settings: DistillationSettings
    resume: DistillationState | None = None
    """State to continue from, which is advanced in place."""
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(kw_only=True)
class ActiveRun:
    """A cell on its way."""

    cell: SetRun
    state: DistillationState
    base: Base
    """Its own, for its rule of updating pixels; networks come from one base for all."""
    error: Exception | None = None
    """What ended it early."""
    recorded: tuple[int, float] = field(init=False)
    """Iterations and seconds when losses were last recorded."""

    def __post_init__(self) -> None:
        self.recorded = self.state.iteration, self.state.seconds

    @property
    def going(self) -> bool:
        """Whether there is more to do."""
        return self.error is None and self.state.iteration < self.cell.settings.iterations

    def update(self, gradient: Tensor) -> None:
        """Take the pixels' step."""
        state = self.state
        last = state.iteration + 1 == self.cell.settings.iterations
        state.images, state.velocity = self.base.update(
            state.images, state.velocity, gradient, last=last
        )
        state.iteration += 1

    def follow(self, losses: Losses, gradient: Tensor, source: Base) -> None:
        """Do what follows an iteration: record, report, save; an error ends this cell alone."""
        try:
            self._report(losses, gradient)
            if self.going and self.cell.hooks.checkpoint_due():
                _require_finite({}, self.state)
                self.state.source = source.tensors()
                self.cell.hooks.checkpoint(self.state)
        except Exception as error:
            self.error = error

    def _report(self, losses: Losses, gradient: Tensor) -> None:
        state, total = self.state, self.cell.settings.iterations
        values: dict[str, float] = {}
        if state.iteration % max(1, total // CURVE_POINTS) == 0 or state.iteration in (1, total):
            values = _require_finite(losses | {"gradient_norm": gradient.norm()}, state)
            state.curve.append(state.iteration, values)
            since, before = self.recorded
            values["seconds_per_iteration"] = (state.seconds - before) / (state.iteration - since)
            self.recorded = state.iteration, state.seconds
        self.cell.hooks.progress(state.iteration, total, values)


def _require_finite(losses: dict[str, Tensor], state: DistillationState) -> dict[str, float]:
    """Return losses as numbers; DistillationError if one of them, or a pixel, is not finite."""
    values = {name: float(loss) for name, loss in losses.items()}
    for name, value in (values | {"the largest pixel": float(state.images.abs().max())}).items():
        if not math.isfinite(value):
            raise DistillationError(
                f"{name} is {value} at iteration {state.iteration}; lower lr_img or the weights"
                " lambda_cc and lambda_cm"
            )
    return values
