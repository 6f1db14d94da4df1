"""What a launch is doing: the count of it, and its display in a terminal or as plain lines."""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.execution.context import UnitProgress
from orchestrator.execution.trial import UnitResult
from orchestrator.text import duration
from orchestrator.units import KINDS, Unit, describe_unit

PLAIN_SECONDS = 15.0
SHOWN_TRIALS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A unit that failed, and why."""

    unit: Unit
    error: str
    reason: str


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
        """Steps a second, once there are two reports."""
        if self.report is None or self.first_step is None or self.report_time <= self.first_time:
            return None
        return (self.report.step - self.first_step) / (self.report_time - self.first_time)

    @property
    def seconds_left(self) -> float | None:
        """Seconds to its last step at this speed."""
        return (
            (self.report.total - self.report.step) / self.speed
            if self.report and self.speed
            else None
        )


@dataclass(kw_only=True, slots=True)
class LaunchProgress:
    """Counts of one launch, by kind, kept up to date by whoever starts and finishes units.

    A display may read it from another thread: it copies what changes before it goes through it.
    """

    units: Mapping[str, Unit]
    """Units to be computed, each after those it needs."""
    already: int = 0
    """Units that were there before."""
    computed: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    """Units that another launch computed in the meantime."""
    failures: dict[str, Failure] = field(default_factory=dict)
    blocked: dict[str, Unit] = field(default_factory=dict)
    """Units that cannot be tried, because one that they need failed."""
    running: dict[str, Running] = field(default_factory=dict)
    held_elsewhere: dict[str, Unit] = field(default_factory=dict)
    """Units that another launch is working on."""
    deaths: Counter[str] = field(default_factory=Counter)
    """How often the worker of a unit died, by key; those that died with a cohort are nobody's."""
    workers_died: int = 0
    """All of them."""
    halted: str | None = None
    """Why no more units are started although some are left."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """Seconds that units are expected to take."""
    settled: set[str] = field(default_factory=set)
    """Units that are done, here or by another launch."""
    spent: dict[str, list[float]] = field(
        default_factory=lambda: {kind: [0.0, 0.0] for kind in KINDS}
    )
    """By kind: seconds spent on the units computed here, and seconds that were expected of them."""
    began: float = field(default_factory=time.monotonic)
    pending: Counter[str] = field(init=False)
    """How many were to be computed, by kind."""

    def __post_init__(self) -> None:
        self.pending = Counter(unit.kind for unit in self.units.values())

    def started(self, unit: Unit, together: int = 1) -> None:
        """Note that a worker has a unit, one of so many in the same trial."""
        self.held_elsewhere.pop(unit.key, None)
        self.running[unit.key] = Running(unit=unit, since=time.monotonic(), together=together)

    def progressed(self, unit: Unit, report: UnitProgress) -> None:
        """Note how far it is."""
        running = self.running.get(unit.key)
        if running is not None:
            now = time.monotonic()
            if running.first_step is None:
                running.first_step, running.first_time = report.step, now
            running.report, running.report_time = report, now

    def died(self, unit: Unit) -> None:
        """Note that its worker died; it is tried again."""
        self.running.pop(unit.key, None)
        self.deaths[unit.key] += 1

    def awaiting(self, unit: Unit) -> None:
        """Note that another launch is working on it."""
        self.held_elsewhere[unit.key] = unit

    def finished(self, unit: Unit, result: UnitResult) -> None:
        """Note how it ended."""
        self.running.pop(unit.key, None)
        self.held_elsewhere.pop(unit.key, None)
        if result.status == "done":
            self.computed[unit.kind] += 1
            self.settled.add(unit.key)
            spent = self.spent[unit.kind]
            spent[0] += result.seconds
            spent[1] += self.expected.get(unit.key, 0.0)
        elif result.status == "present":
            self.settled.add(unit.key)
            self.present[unit.kind] += 1
        if result.status == "failed":
            reason = result.reason or "unknown reason"
            self.failures[unit.key] = Failure(
                unit=unit, error=result.error or "Error", reason=reason
            )
            self._block()
        elif self.failures.pop(unit.key, None) is not None:
            self._block()

    def done(self, kind: str) -> int:
        """Count the units of a kind that are done since the start."""
        return self.computed[kind] + self.present[kind]

    def failed(self, kind: str) -> int:
        """Count the units of a kind that failed."""
        return sum(failure.unit.kind == kind for failure in list(self.failures.values()))

    def seconds_left(self) -> float | None:
        """Estimate the time to the end; None where nothing is known of a unit that is left.

        Units cost what was expected of them, corrected by how the finished ones of their kind
        compared with that.
        """
        work = 0.0
        for key, unit in self.units.items():
            if key in self.settled or key in self.failures or key in self.blocked:
                continue
            running = self.running.get(key)
            left = (
                running.seconds_left / running.together
                if running is not None and running.seconds_left
                else None
            )
            if left is None:
                if key not in self.expected:
                    return None
                left = self.expected[key] * self._correction(unit.kind)
                left -= (
                    (time.monotonic() - running.since) / running.together
                    if running is not None
                    else 0.0
                )
            work += max(0.0, left)
        workers = sum(1 / running.together for running in list(self.running.values()))
        return work / max(1.0, workers)

    def _block(self) -> None:
        self.blocked = blocked_by(self.failures, self.units)

    def _correction(self, kind: str) -> float:
        for spent in (
            self.spent[kind],
            [sum(sums) for sums in zip(*self.spent.values(), strict=True)],
        ):
            if spent[0] and spent[1]:
                return spent[0] / spent[1]
        return 1.0


def blocked_by(failed: Collection[str], units: Mapping[str, Unit]) -> dict[str, Unit]:
    """Return the units that need a failed one, directly or through others; `units` has each after
    those it needs.
    """
    blocked: dict[str, Unit] = {}
    for key, unit in units.items():
        if key not in failed and any(
            parent in failed or parent in blocked for parent in unit.parents
        ):
            blocked[key] = unit
    return blocked


@contextmanager
def display(board: LaunchProgress, console: Console) -> Iterator[None]:
    """Show a board while the block runs: live in a terminal, otherwise a line every
    `PLAIN_SECONDS`.
    """
    if console.is_terminal:
        with Live(
            get_renderable=lambda: render(board),
            console=console,
            refresh_per_second=4,
            transient=True,
        ):
            yield
        return
    over = threading.Event()
    thread = threading.Thread(
        target=_print_lines, args=(board, console, over), name="progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def render(board: LaunchProgress) -> RenderableType:
    """Draw a board: a bar a kind, the running units, the time."""
    kinds = Table.grid(padding=(0, 2))
    for kind in sorted(board.pending, key=list(KINDS).index):
        total, done, failed = board.pending[kind], board.done(kind), board.failed(kind)
        note = Text(f"{failed} failed", style="red") if failed else Text()
        kinds.add_row(
            kind, ProgressBar(total=total, completed=done, width=30), f"{done}/{total}", note
        )
    trials = Table.grid(padding=(0, 2))
    running = list(board.running.values())
    for unit in running[:SHOWN_TRIALS]:
        trials.add_row(*_trial_cells(unit))
    if len(running) > SHOWN_TRIALS:
        trials.add_row(f"and {len(running) - SHOWN_TRIALS} more")
    if board.held_elsewhere:
        trials.add_row(_awaited(board))
    if board.workers_died:
        trials.add_row(_deaths(board))
    return Group(kinds, Text(), trials, Text(), Text(_times(board), style="dim"))


def plain_line(board: LaunchProgress) -> str:
    """Tell a board in one line."""
    done = sum(board.done(kind) for kind in board.pending)
    parts = [f"{done}/{board.pending.total()} done"]
    if board.failures:
        parts.append(f"{len(board.failures)} failed")
    parts.append(f"{len(board.running)} running")
    if board.workers_died:
        parts.append(_deaths(board))
    if board.held_elsewhere:
        parts.append(_awaited(board))
    for unit in list(board.running.values())[:2]:
        steps = f" {unit.report.step}/{unit.report.total}" if unit.report else ""
        parts.append(f"{describe_unit(unit.unit)}{steps}")
    return " · ".join([*parts, _times(board)])


def _awaited(board: LaunchProgress) -> str:
    return f"waiting for another launch, which is at {len(board.held_elsewhere)} of these units"


def _deaths(board: LaunchProgress) -> str:
    return "a worker died" if board.workers_died == 1 else f"{board.workers_died} workers died"


def _trial_cells(unit: Running) -> tuple[RenderableType, ...]:
    name = Text(describe_unit(unit.unit))
    if unit.report is None:
        return name, Text("…")
    report = unit.report
    speed = f"{unit.speed:.3g}/s" if unit.speed else ""
    values = "  ".join(f"{name} {value:.4g}" for name, value in list(report.values.items())[:2])
    bar = ProgressBar(total=report.total, completed=report.step, width=16)
    return name, bar, Text(f"{report.step}/{report.total}"), Text(speed), Text(values, style="dim")


def _times(board: LaunchProgress) -> str:
    left = board.seconds_left()
    remaining = "time left not known yet" if left is None else f"about {duration(left)} left"
    return f"{duration(time.monotonic() - board.began)} so far, {remaining}"


def _print_lines(board: LaunchProgress, console: Console, over: threading.Event) -> None:
    while not over.wait(PLAIN_SECONDS):
        console.print(Text(plain_line(board)), soft_wrap=True)
