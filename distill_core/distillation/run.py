"""One set of a cohort: the request and its progress."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from distill_core.distillation.base import Base
from distill_core.distillation.check_parts import require_update
from distill_core.distillation.custom_loss import CustomLoss
from distill_core.distillation.objective import Losses
from distill_core.distillation.pixel_optimizers import take_adam_step
from distill_core.distillation.state import DistillationError, DistillationState
from distill_core.settings import DistillationSettings

CURVE_POINTS = 200
"""Points of a loss curve."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """How a long computation reports to its caller; the defaults do nothing."""

    progress: Callable[[int, int, dict[str, float]], None] = lambda step, total, values: None
    """Called after every iteration with iterations done, iterations in total, and the recorded
    values by name. Most iterations of a long run record nothing."""
    checkpoint_due: Callable[[], bool] = lambda: False
    """Asked after every iteration."""
    checkpoint: Callable[[DistillationState], None] = lambda state: None
    """Called with the state when a checkpoint is due; an exception that it raises ends the run."""


@dataclass(frozen=True, kw_only=True)
class SetRun:
    """A set to distill: its settings, where to start, and whom to report to."""

    settings: DistillationSettings
    resume: DistillationState | None = None
    """State to continue from; it is advanced in place."""
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(kw_only=True)
class ActiveRun:
    """A set that is being distilled."""

    set_run: SetRun
    state: DistillationState
    base: Base
    """Updates the pixels of this set. Networks come from one base for the whole cohort."""
    losses: tuple[CustomLoss, ...] = ()
    """Custom losses of this set, with their state."""
    error: Exception | None = None
    """What ended the run early."""
    recorded_iteration: int = field(init=False)
    """Iteration at which losses were last recorded."""
    recorded_seconds: float = field(init=False)
    """Seconds at which losses were last recorded."""

    def __post_init__(self) -> None:
        self._mark_recorded()

    @property
    def is_running(self) -> bool:
        """Whether iterations are left."""
        return self.error is None and self.state.iteration < self.set_run.settings.iterations

    def update(self, gradient: Tensor) -> None:
        """Update the pixels by their gradient."""
        state = self.state
        last = state.iteration + 1 == self.set_run.settings.iterations
        settings = self.set_run.settings
        if settings.base is None and settings.optimizer_img != "sgd":
            take_adam_step(state, gradient, settings)
        else:
            updated = self.base.update(state.images, state.velocity, gradient, last=last)
            if settings.base is not None:
                updated = require_update(settings.base, updated, state.images)
            state.images, state.velocity = updated
        state.iteration += 1

    def finish_iteration(self, losses: Losses, gradient: Tensor, source: Base) -> None:
        """Record, report and save after an iteration.

        An error ends this run alone: the other sets of the cohort continue.
        """
        try:
            self._report(losses, gradient)
            if not self.is_running:
                self.state.store_losses([loss.tensors() for loss in self.losses])
            if self.is_running and self.set_run.hooks.checkpoint_due():
                # A checkpoint with values that are not finite could never be resumed.
                _require_finite({}, self.state)
                self.state.source = source.tensors()
                self.state.store_losses([loss.tensors() for loss in self.losses])
                self.set_run.hooks.checkpoint(self.state)
        except Exception as error:
            self.error = error

    def _report(self, losses: Losses, gradient: Tensor) -> None:
        state, total = self.state, self.set_run.settings.iterations
        values: dict[str, float] = {}
        # Reading losses makes the host wait for the device, so only some iterations record them.
        if state.iteration % max(1, total // CURVE_POINTS) == 0 or state.iteration in (1, total):
            named = losses | {"gradient_norm": gradient.norm()}
            labels = {loss.term.label: loss.term.name for loss in self.losses}
            values = _require_finite(named, state, labels)
            state.curve.append(state.iteration, values)
            seconds = state.seconds - self.recorded_seconds
            iterations = state.iteration - self.recorded_iteration
            values["seconds_per_iteration"] = seconds / iterations
            self._mark_recorded()
        self.set_run.hooks.progress(state.iteration, total, values)

    def _mark_recorded(self) -> None:
        self.recorded_iteration = self.state.iteration
        self.recorded_seconds = self.state.seconds


def _require_finite(
    losses: dict[str, Tensor], state: DistillationState, custom: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Return losses as numbers; `custom` has the names of custom losses by their labels.

    Raises:
        DistillationError: a loss or a pixel is not finite.
    """
    values = {name: float(loss) for name, loss in losses.items()}
    largest_pixel = float(state.images.abs().max())
    custom = custom or {}
    weights = "of losses" if custom else "lambda_cc and lambda_cm"
    for name, value in (values | {"the largest pixel": largest_pixel}).items():
        if not math.isfinite(value):
            what = f"loss {custom[name]!r}" if name in custom else name
            raise DistillationError(
                f"{what} is {value} at iteration {state.iteration}; lower lr_img or the weights"
                f" {weights}"
            )
    return values
