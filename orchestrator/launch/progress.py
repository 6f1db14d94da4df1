"""What a launch is doing: which units are running, done and failed, and how long the rest takes."""

import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field

from orchestrator.execution.commit import describe_taker
from orchestrator.execution.context import UnitProgress
from orchestrator.execution.trial import UnitResult
from orchestrator.launch.progress_view import (
    KindView,
    ProgressView,
    RunningView,
    SteadyEstimate,
)
from orchestrator.text import format_count
from orchestrator.units import KINDS, Unit, describe_unit

_log = logging.getLogger(__name__)


TRUST_SECONDS = 15.0
"""Time after which the speed of a unit counts fully, and no longer what was expected of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A unit that failed, and why."""

    unit: Unit
    error: str
    reason: str
    name: str = ""
    """Name for people, if it is known better than by the unit alone."""


@dataclass(kw_only=True, slots=True)
class Running:
    """A unit that is being computed."""

    unit: Unit
    since: float
    together: int = 1
    """Units of its trial, which share a worker."""
    first_step: int | None = None
    first_time: float = 0.0
    report: UnitProgress | None = None
    report_time: float = 0.0

    @property
    def speed(self) -> float | None:
        """Steps per second, once there are two reports."""
        if self.report is None or self.first_step is None or self.report_time <= self.first_time:
            return None
        return (self.report.step - self.first_step) / (self.report_time - self.first_time)

    @property
    def share(self) -> float:
        """Part of its steps that are done."""
        return 0.0 if self.report is None else self.report.step / max(1, self.report.total)

    @property
    def trust(self) -> float:
        """How much its own speed says about its end, from 0 to 1.

        The first steps of a process are slow: it compiles, and fills its caches.
        """
        watched = self.report_time - self.first_time if self.speed else 0.0
        return min(1.0, watched / TRUST_SECONDS)

    @property
    def seconds_left(self) -> float | None:
        """Seconds to its last step at this speed."""
        if self.report is None or not self.speed:
            return None
        return (self.report.total - self.report.step) / self.speed


@dataclass(slots=True)
class TimeSpent:
    """Seconds that the finished units of a kind took, and were expected to take."""

    actual: float = 0.0
    expected: float = 0.0

    def add(self, actual: float, expected: float) -> None:
        """Add what some units took."""
        self.actual += actual
        self.expected += expected


@dataclass(kw_only=True, slots=True)
class LaunchProgress:
    """Counts of one launch by kind; every change is a line in the log.

    A display may read it from another thread: it copies a collection before it iterates over it.
    """

    units: Mapping[str, Unit]
    """Units to be computed, each after those it needs."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names for people by key; units without one describe themselves."""
    already: int = 0
    """Units that were done before."""
    computed: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    """Units that another launch computed in the meantime."""
    failures: dict[str, Failure] = field(default_factory=dict)
    blocked: dict[str, Unit] = field(default_factory=dict)
    """Units that cannot be tried, because one that they need failed."""
    running: dict[str, Running] = field(default_factory=dict)
    held_elsewhere: dict[str, Unit] = field(default_factory=dict)
    """Units that another launch is working on."""
    taken_over: dict[str, str] = field(default_factory=dict)
    """Launches that took units over while this one stood still, by key of the unit."""
    deaths: Counter[str] = field(default_factory=Counter)
    """How often a unit's worker died, by key; a cohort's deaths count for none of its units."""
    workers_died: int = 0
    """All deaths of workers."""
    lost_devices: dict[str, str] = field(default_factory=dict)
    """GPUs that are out of use, and the last error there."""
    halted: str | None = None
    """Why no more units are started although some are left."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """Seconds that units are expected to take."""
    is_measured: bool = False
    """Whether all of these were measured on such units before."""
    settled: set[str] = field(default_factory=set)
    """Units that are done, here or by another launch."""
    spent: dict[str, TimeSpent] = field(
        default_factory=lambda: {kind: TimeSpent() for kind in KINDS}
    )
    """Time of the units computed here, by kind."""
    began: float = field(default_factory=time.monotonic)
    pending: Counter[str] = field(init=False)
    """How many were to be computed, by kind."""

    steady: SteadyEstimate = field(default_factory=SteadyEstimate)

    def __post_init__(self) -> None:
        self.pending = Counter(unit.kind for unit in self.units.values())

    def name(self, unit: Unit) -> str:
        """Name a unit for people."""
        return self.names.get(unit.key) or describe_unit(unit)

    def record_start(self, unit: Unit, together: int = 1) -> None:
        """Note that a worker has started a unit, one of `together` in the same trial."""
        _log.info("%s: started", self.name(unit))
        self.held_elsewhere.pop(unit.key, None)
        self.running[unit.key] = Running(unit=unit, since=time.monotonic(), together=together)

    def record_progress(self, unit: Unit, report: UnitProgress) -> None:
        """Note how far a unit is."""
        running = self.running.get(unit.key)
        if running is not None:
            now = time.monotonic()
            if running.first_step is None:
                running.first_step, running.first_time = report.step, now
            running.report, running.report_time = report, now

    def record_death(self, unit: Unit) -> None:
        """Note that a unit's worker died, after which it is tried again."""
        _log.warning("%s: its worker died; it is tried again", self.name(unit))
        self.running.pop(unit.key, None)
        self.deaths[unit.key] += 1

    def record_lost_device(self, device: str, reason: str) -> None:
        """Note a GPU that broke one process after the other, and gets no more units."""
        _log.error("%s is out of use: %s", device, reason)
        self.lost_devices[device] = reason

    def record_wait(self, unit: Unit) -> None:
        """Note that another launch is working on a unit."""
        if unit.key not in self.held_elsewhere:
            _log.info("%s: another launch is working on it", self.name(unit))
        self.held_elsewhere[unit.key] = unit

    def record_result(self, unit: Unit, result: UnitResult) -> None:
        """Note how a unit ended."""
        # The worker logs a failure as an error, with its traceback; the summary prints it.
        _log.info("%s: %s", self.name(unit), _format_result(result))
        self.running.pop(unit.key, None)
        self.held_elsewhere.pop(unit.key, None)
        if result.taken_over_by is not None:
            self.taken_over[unit.key] = result.taken_over_by
        if result.status == "done":
            self.computed[unit.kind] += 1
            self.settled.add(unit.key)
            self.spent[unit.kind].actual += result.seconds
            self.spent[unit.kind].expected += self.expected.get(unit.key, 0.0)
        elif result.status == "present":
            self.settled.add(unit.key)
            self.present[unit.kind] += 1
        if result.status == "failed":
            reason = result.reason or "unknown reason"
            self.failures[unit.key] = Failure(
                unit=unit,
                error=result.error or "Error",
                reason=reason,
                name=self.names.get(unit.key, ""),
            )
            self._update_blocked()
        elif self.failures.pop(unit.key, None) is not None:
            self._update_blocked()

    def count_done(self, kind: str) -> int:
        """Count the units of a kind that are done since the start."""
        return self.computed[kind] + self.present[kind]

    def count_failed(self, kind: str) -> int:
        """Count the units of a kind that failed."""
        return sum(failure.unit.kind == kind for failure in list(self.failures.values()))

    def view(self) -> ProgressView:
        """Return what people see of this moment."""
        kinds = []
        for kind in sorted(self.pending, key=list(KINDS).index):
            done, failed = self.count_done(kind), self.count_failed(kind)
            kinds.append(KindView(name=kind, total=self.pending[kind], done=done, failed=failed))
        running = tuple(self._view_unit(unit) for unit in list(self.running.values()))
        notes = []
        if self.workers_died:
            died = self.workers_died
            notes.append("a worker died" if died == 1 else f"{died} workers died")
        if self.held_elsewhere:
            units = format_count(len(self.held_elsewhere), "unit")
            notes.append(f"waiting for {units} that another launch is computing")
        notes += [f"{device} is out of use" for device in list(self.lost_devices)]
        now = time.monotonic()
        left = self.estimate_seconds_left() if self._has_evidence() else None
        return ProgressView(
            kinds=tuple(kinds),
            running=running,
            notes=tuple(notes),
            seconds=now - self.began,
            seconds_left=self.steady.update(left, now),
        )

    def _view_unit(self, unit: Running) -> RunningView:
        name, report = self.name(unit.unit), unit.report
        if report is None:
            return RunningView(name=name)
        return RunningView(
            name=name,
            step=report.step,
            total=report.total,
            speed=unit.speed,
            values=dict(report.values),
        )

    def _has_evidence(self) -> bool:
        """Return whether anything was measured; a model alone may be wrong by a factor of ten."""
        if self.is_measured or any(spent.actual for spent in self.spent.values()):
            return True
        return any(unit.trust > 0.3 for unit in list(self.running.values()))

    def estimate_seconds_left(self) -> float | None:
        """Estimate the time to the end; None if a remaining unit has no estimate.

        Units take as long as expected, corrected by how long the finished units of their kind took.
        """
        work = 0.0
        for key, unit in self.units.items():
            if key in self.settled or key in self.failures or key in self.blocked:
                continue
            left = self._estimate_unit(unit)
            if left is None:
                return None
            work += max(0.0, left)
        # A cohort has one worker, of which each of its running units counts as a part.
        workers = sum(1 / running.together for running in list(self.running.values()))
        return work / max(1.0, workers)

    def _estimate_unit(self, unit: Unit) -> float | None:
        """Estimate the seconds that a unit still takes, alone or as its share of a cohort."""
        running = self.running.get(unit.key)
        own = running.seconds_left if running is not None else None
        if unit.key not in self.expected:
            return own / running.together if running is not None and own else None
        left = self.expected[unit.key] * self._find_correction(unit.kind)
        if running is None:
            return left
        if own is None:
            return left - (time.monotonic() - running.since) / running.together
        by_plan = (1 - running.share) * left
        return running.trust * own / running.together + (1 - running.trust) * by_plan

    def _update_blocked(self) -> None:
        self.blocked = find_blocked(self.failures, self.units)

    def _find_correction(self, kind: str) -> float:
        """Return the ratio of actual to expected seconds: of this kind, else of all kinds.

        Running units count with the part that is done of them.
        """
        total, of_kind = TimeSpent(), TimeSpent(**asdict(self.spent[kind]))
        for spent in self.spent.values():
            total.add(spent.actual, spent.expected)
        for running in list(self.running.values()):
            if running.trust < 1 or running.unit.key not in self.expected:
                continue
            seconds = (running.report_time - running.since) / running.together
            expected = running.share * self.expected[running.unit.key]
            total.add(seconds, expected)
            if running.unit.kind == kind:
                of_kind.add(seconds, expected)
        for spent in (of_kind, total):
            if spent.actual and spent.expected:
                return spent.actual / spent.expected
        return 1.0


def _format_result(result: UnitResult) -> str:
    if result.status == "done":
        return f"done in {result.seconds:.1f} s"
    if result.status == "failed":
        return f"failed: {result.error}: {result.reason}"
    if result.taken_over_by is not None:
        return f"taken over by {describe_taker(result.taken_over_by)}"
    return result.status


def find_blocked(failed: Collection[str], units: Mapping[str, Unit]) -> dict[str, Unit]:
    """Return the units that need a failed one, directly or through others.

    Args:
        failed: keys of the failed units.
        units: by key, each after those it needs.
    """
    blocked: dict[str, Unit] = {}
    for key, unit in units.items():
        is_blocked = any(parent in failed or parent in blocked for parent in unit.parents)
        if key not in failed and is_blocked:
            blocked[key] = unit
    return blocked
