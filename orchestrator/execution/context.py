"""What a unit function receives from the orchestrator, and what it returns.

A unit function has the signature `run_unit(unit: Unit, context: UnitContext) -> Outcome`. It writes
its artifacts to `context.workdir`, reads those of its parents from `context.parent_folder(key)`,
and knows neither Ray nor the layout of the store:

    state = load(path) if (path := context.load_checkpoint()) else new_state()
    for step in range(state.step, total):
        losses = advance(state)
        context.report_progress(step + 1, total, losses)
        if context.is_checkpoint_due():
            # raises Stopped when the launch is stopping
            context.save_checkpoint(lambda path: save(state, path))
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from orchestrator.execution.tensorboard import TensorBoardLog
from orchestrator.store.storage import Storage
from orchestrator.store.store import Store
from orchestrator.store.tables import Row
from orchestrator.units import Unit

if TYPE_CHECKING:
    import numpy as np

_log = logging.getLogger(__name__)

STOP_CHECK_SECONDS = 0.5
CHECKPOINT_TIME_SHARE = 0.1
"""Largest share of the time that goes into writing checkpoints."""


class Stopped(Exception):
    """The launch is stopping or another process took the unit over; unit functions let it pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a unit function returns."""

    rows: Sequence[Row]
    """Rows of the table of the unit's kind: the columns of that table, `seconds` and
    `peak_memory`. The shared columns of provenance are added where a row does not have them."""
    fingerprint: str | None
    """Fingerprint of the images that were read; None if there were none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitProgress:
    """How far a unit is, for a display."""

    step: int
    total: int
    values: Mapping[str, float]


def _never() -> bool:
    return False


class UnitContext:
    """A unit's view of the orchestrator.

    Args:
        store: has the parents and the checkpoints.
        unit: the unit to compute.
        workdir: empty private folder for its artifacts.
        data_root: folder of the data sets.
        device: "cpu" or "cuda".
        threads: CPU threads that the unit may use.
        checkpoint_seconds: pause between checkpoints; longer where writing them would otherwise
            take more than `CHECKPOINT_TIME_SHARE` of the time.
        cohort_size: number of units that are computed together, each of which writes checkpoints.
        report_seconds: pause between reports.
        report: receives the progress, for a display.
        is_stopping: returns whether to stop; called now and then.
        log: TensorBoard log; None writes none.
        chunk_share: part of the classes that are otherwise in memory at once; less after memory ran
            out.
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
        cohort_size: int = 1,
        report_seconds: float = 0.5,
        report: Callable[[UnitProgress], None] | None = None,
        is_stopping: Callable[[], bool] = _never,
        log: TensorBoardLog | None = None,
        chunk_share: float = 1.0,
    ) -> None:
        self.workdir = workdir
        self.data_root = data_root
        self.device = device
        self.threads = threads
        self.chunk_share = chunk_share
        self.checkpoint_seconds = checkpoint_seconds
        self._cohort_size = cohort_size
        self._store = store
        self._unit = unit
        self._report = report
        self._report_seconds = report_seconds
        self._is_stopping = is_stopping
        self._log = log
        self._step = 0
        self._values: Mapping[str, float] = {}
        self._next_report = time.monotonic() + report_seconds
        self._next_checkpoint = time.monotonic() + checkpoint_seconds
        self._next_stop_check = 0.0
        self._stop = False

    def parent_folder(self, key: str) -> Path:
        """Return the folder with the artifacts of a done unit, after checking their hashes.

        Raises:
            StoreError: the unit is not done, or its artifacts are damaged.
        """
        return self._store.fetch_intact_folder(key)

    def load_parent_unit(self, key: str) -> Unit:
        """Return a done unit with all its settings.

        Raises:
            StoreError: it is not done.
        """
        return self._store.read_unit(key)

    @property
    def storage(self) -> Storage:
        """The place that keeps the store, for what units share."""
        return self._store.storage

    def check_fingerprint(self, fingerprint: str, classes: Sequence[str] = ()) -> None:
        """Refuse, before any work, images that differ from those behind the store's other results.

        Args:
            fingerprint: hash of the images.
            classes: names of the data set's classes, which the store remembers.

        Raises:
            StoreError: they differ.
        """
        self._store.check_fingerprint(self._unit.dataset, fingerprint, classes)

    def claim_extractor(self, place: tuple[str, ...], index: int, file: str, digest: str) -> None:
        """Refuse a file of a user's pool whose place was another's, or that has another place.

        Raises:
            StoreError: so it is.
        """
        self._store.claim_extractor(place, index, file, digest)

    def report_progress(
        self, step: int, total: int, values: Mapping[str, SupportsFloat] | None = None
    ) -> None:
        """Report that `step` of `total` steps are done; cheap to call without values.

        Args:
            step: steps done since the unit's beginning, including those of earlier attempts.
            total: number of all steps.
            values: named numbers of this step, such as losses. TensorBoard gets all of them, the
                display only the latest. They may be tensors without dimensions. Reading one costs a
                synchronization with its device, so a loop of many short steps passes values only
                every few steps.
        """
        self._step = step
        if values:
            self._values = {name: float(value) for name, value in values.items()}
            if self._log is not None:
                self._log.write_scalars(step, self._values)
        # Every report costs a message to the launch's process, so most calls end here.
        if self._report is not None and time.monotonic() >= self._next_report:
            self._next_report = time.monotonic() + self._report_seconds
            self._report(UnitProgress(step=step, total=total, values=self._values))

    def log_image(self, tag: str, image: "np.ndarray[Any, Any]") -> None:
        """Show an image in TensorBoard at the current step, uint8 (H, W, C)."""
        if self._log is not None:
            self._log.write_image(self._step, tag, image)

    def log_results(self, rows: Sequence[Row]) -> None:
        """Show the results of the unit in TensorBoard, at the step that was reported last."""
        if self._log is not None:
            self._log.write_results(self._step, rows)

    def load_checkpoint(self) -> Path | None:
        """Return the file of this unit's last checkpoint, from whatever machine; None without one.

        A checkpoint that is damaged is skipped for the one before it.
        """
        path = self._store.load_checkpoint(self._unit)
        if path is not None:
            _log.info("%s %s resumes at checkpoint %s", self._unit.kind, self._unit.key, path.name)
        return path

    def is_checkpoint_due(self) -> bool:
        """Return whether to call `save_checkpoint` now, because of the time or of a stop."""
        return time.monotonic() >= self._next_checkpoint or self.should_stop()

    def save_checkpoint(self, write: Callable[[Path], None]) -> None:
        """Save the state of the work, replacing the last checkpoint.

        Args:
            write: writes the state to the path it is given.

        Raises:
            Stopped: afterwards, if the launch is stopping.
            StoreError: the store cannot be written.
        """
        began = time.monotonic()
        self._store.save_checkpoint(self._unit, write)
        now = time.monotonic()
        seconds = now - began
        _log.debug("checkpoint of %s %s in %.2f s", self._unit.kind, self._unit.key, seconds)
        # The other units of a cohort wait while one is written, and each of them writes as long.
        work_per_write = (1 - CHECKPOINT_TIME_SHARE) / CHECKPOINT_TIME_SHARE * self._cohort_size
        self._next_checkpoint = now + max(self.checkpoint_seconds, work_per_write * seconds)
        self.raise_if_stopping()

    def should_stop(self) -> bool:
        """Return whether the launch is stopping or the lease is lost."""
        now = time.monotonic()
        # A check may read the store, and loops call this in every step.
        if not self._stop and now >= self._next_stop_check:
            self._next_stop_check = now + STOP_CHECK_SECONDS
            self._stop = self._is_stopping()
        return self._stop

    def raise_if_stopping(self) -> None:
        """Raise `Stopped` if the unit is to stop; for work that keeps no checkpoint."""
        if self.should_stop():
            raise Stopped
