"""What a unit function gets from and gives to the orchestrator.

A unit function has the signature `run_unit(unit: Unit, context: UnitContext) -> Outcome`. It writes
its artefacts into `context.workdir`, reads its parents' from `context.parent(key)`, and knows
neither Ray nor the store's layout:

    state = load(path) if (path := context.load_checkpoint()) else new_state()
    for step in range(state.step, total):
        losses = advance(state)
        context.progress(step + 1, total, losses)
        if context.checkpoint_due():
            # raises Stopped when the launch is to stop
            context.save_checkpoint(lambda path: save(state, path))
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from orchestrator.execution.tensorboard import TensorBoardLog
from orchestrator.store.integrity import intact_folder
from orchestrator.store.store import Store
from orchestrator.store.tables import Row
from orchestrator.units import Unit

if TYPE_CHECKING:
    import numpy as np

STOP_CHECK_SECONDS = 0.5


class Stopped(Exception):
    """The launch is to stop, or another process took the unit over; the unit function lets this
    pass.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a unit function returns."""

    rows: Sequence[Row]
    """Rows of `tables.TABLE_OF_KIND[unit.kind]` with that table's own columns, `seconds` and
    `peak_memory`; the shared columns of provenance are filled in, unless a row gives its own."""
    fingerprint: str | None
    """Of the images that were read; None if there were none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitProgress:
    """How far a unit is, for a display."""

    step: int
    total: int
    values: Mapping[str, float]


def _never() -> bool:
    return False


class UnitContext:
    """A unit's window to the orchestrator.

    Args:
        store: where parents and checkpoints lie.
        unit: the unit to compute.
        workdir: empty private folder for its artefacts.
        data_root: folder of the data sets.
        device: "cpu" or "cuda".
        threads: CPU threads the unit may use.
        checkpoint_seconds: pause between checkpoints; a tenth of the time at most goes into writing
            them.
        together: units that are computed together, each of which writes its own.
        report_seconds: pause between reports.
        report: takes a report, for a display.
        stopping: asked now and then whether to stop.
        log: TensorBoard log; None writes none.
    """

    def __init__(
        self,
        *,
        store: Store,
        unit: Unit,
        workdir: Path,
        data_root: Path,
        device: str = "cpu",
        threads: int = 1,
        checkpoint_seconds: float = 30.0,
        together: int = 1,
        report_seconds: float = 0.5,
        report: Callable[[UnitProgress], None] | None = None,
        stopping: Callable[[], bool] = _never,
        log: TensorBoardLog | None = None,
    ) -> None:
        self.workdir = workdir
        self.data_root = data_root
        self.device = device
        self.threads = threads
        self.checkpoint_seconds = checkpoint_seconds
        self._together = together
        self._store = store
        self._unit = unit
        self._report = report
        self._report_seconds = report_seconds
        self._is_stopping = stopping
        self._log = log
        self._step = 0
        self._values: Mapping[str, float] = {}
        self._next_report = time.monotonic() + report_seconds
        self._next_checkpoint = time.monotonic() + checkpoint_seconds
        self._next_stop_check = 0.0
        self._stop = False

    def parent(self, key: str) -> Path:
        """Return the folder with the artefacts of a done unit, which are what they were when it was
        finished.

        Raises:
            StoreError: it is not done, or damaged.
        """
        return intact_folder(self._store, key)

    def load_parent_unit(self, key: str) -> Unit:
        """Return a done unit itself, settings and all; StoreError if it is not done."""
        return self._store.spec_of(key)

    def check_fingerprint(self, fingerprint: str) -> None:
        """Refuse, before any work, images that differ from those behind the store's other results.

        Raises:
            StoreError: they differ.
        """
        self._store.check_fingerprint(self._unit.dataset, fingerprint)

    def progress(
        self, step: int, total: int, values: Mapping[str, SupportsFloat] | None = None
    ) -> None:
        """Say that `step` of `total` steps are done; cheap without values, since most calls go
        nowhere.

        Args:
            step: steps done, counted from the unit's beginning, earlier attempts included.
            total: steps in all.
            values: named numbers of this step, such as losses: all of them for TensorBoard, the
                latest for the display. Tensors without dimensions will do. Reading one off its
                device costs a synchronisation, so a loop of many short steps passes them every few
                steps.
        """
        self._step = step
        if values:
            self._values = {name: float(value) for name, value in values.items()}
            if self._log is not None:
                self._log.write_scalars(step, self._values)
        if self._report is not None and time.monotonic() >= self._next_report:
            self._next_report = time.monotonic() + self._report_seconds
            self._report(UnitProgress(step=step, total=total, values=self._values))

    def log_image(self, tag: str, image: "np.ndarray[Any, Any]") -> None:
        """Show a picture in TensorBoard at the current step, uint8 (H, W, C)."""
        if self._log is not None:
            self._log.image(self._step, tag, image)

    def load_checkpoint(self) -> Path | None:
        """Return the file that the last `save_checkpoint` of this unit wrote, on any machine; None
        at the start.
        """
        return self._store.load_checkpoint(self._unit)

    def checkpoint_due(self) -> bool:
        """Whether to call `save_checkpoint` now: its time has come, or the launch is to stop."""
        return time.monotonic() >= self._next_checkpoint or self.should_stop()

    def save_checkpoint(self, write: Callable[[Path], None]) -> None:
        """Save the state of the work, replacing the last checkpoint.

        Args:
            write: writes the state to the path it is given.

        Raises:
            Stopped: afterwards, if the launch is to stop.
            StoreError: the store cannot be written.
        """
        began = time.monotonic()
        self._store.save_checkpoint(self._unit, write)
        now = time.monotonic()
        self._next_checkpoint = now + max(
            self.checkpoint_seconds, 9 * self._together * (now - began)
        )
        self.raise_if_stopping()

    def should_stop(self) -> bool:
        """Whether the launch is to stop or the lease was lost; looks twice a second at most."""
        now = time.monotonic()
        if not self._stop and now >= self._next_stop_check:
            self._next_stop_check = now + STOP_CHECK_SECONDS
            self._stop = self._is_stopping()
        return self._stop

    def raise_if_stopping(self) -> None:
        """Raise `Stopped` if the launch is to stop; for work that keeps no checkpoint."""
        if self.should_stop():
            raise Stopped
