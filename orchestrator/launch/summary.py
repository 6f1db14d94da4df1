"""How a launch ended: for the exit code, for the launch's record, and for people."""

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.execution.commit import describe_taker
from orchestrator.launch.progress import Failure, LaunchProgress
from orchestrator.text import choose_error_console, format_count, format_duration
from orchestrator.units import Unit, describe_unit

SHOWN_FAILURES = 10

LaunchOutcome = Literal["done", "failed", "stopped", "incomplete", "error"]
"""done: the store has every unit; failed: units failed; stopped: by Ctrl-C or a signal, before the
end; incomplete: it could not continue; error: the launch itself broke down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How a launch ended."""

    run: str | None
    """Name of the launch; None if there was nothing to do."""
    computed: Mapping[str, int]
    """Units computed by this launch, by kind."""
    already: int
    """Units that were in the store, or that another launch computed in the meantime."""
    failures: tuple[Failure, ...]
    blocked: tuple[Unit, ...]
    """Units that were not tried, because one that they need failed."""
    waiting: int
    """Units that were not tried, because the launch was stopped or could not continue."""
    stopped_by: str | None
    """Name of the signal that ended it, SIGINT for Ctrl-C; None if none came."""
    halted: str | None
    """Why it could not continue; None if it could."""
    seconds: float
    deaths: int = 0
    """Workers that died, alone or with their node; their units were tried again."""
    taken_over: Mapping[str, str] = field(default_factory=dict)
    """Launches that took units over while this one stood still, by key of the unit."""
    lost_devices: Mapping[str, str] = field(default_factory=dict)
    """GPUs that were taken out of use, and the last error there."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Store and data folder that other commands need, by option; none that are the defaults."""
    log: str | None = None
    """Path or URL of its log."""

    @property
    def stopped(self) -> bool:
        """Whether Ctrl-C or a signal ended it."""
        return self.stopped_by is not None

    @property
    def outcome(self) -> LaunchOutcome:
        """The end in one word."""
        if self.failures or self.blocked:
            return "failed"
        if self.waiting:
            return "stopped" if self.stopped else "incomplete"
        return "done"

    @property
    def exit_code(self) -> int:
        """0 if everything is done, 130 if it was stopped before that, otherwise 1."""
        return {"done": 0, "stopped": 130}.get(self.outcome, 1)


def summarize(
    progress: LaunchProgress, began: float, *, run: str | None = None, stopped_by: str | None = None
) -> Summary:
    """Summarize a launch that began at `began` by the monotonic clock."""
    done = sum(progress.count_done(kind) for kind in progress.pending)
    return Summary(
        run=run,
        computed=dict(progress.computed),
        already=progress.already + progress.present.total(),
        deaths=progress.workers_died,
        taken_over=dict(progress.taken_over),
        lost_devices=dict(progress.lost_devices),
        failures=tuple(progress.failures.values()),
        blocked=tuple(progress.blocked.values()),
        waiting=len(progress.units) - done - len(progress.failures) - len(progress.blocked),
        stopped_by=stopped_by,
        halted=progress.halted,
        seconds=time.monotonic() - began,
    )


def print_summary(summary: Summary, console: Console) -> None:
    """Print how a launch ended, the reasons of failures, and how to continue.

    A quiet console still lets errors through, to stderr.
    """
    if summary.run is None:
        console.print(
            f"Everything is already done: {format_count(summary.already, 'unit')}, nothing"
            " to compute."
        )
        return
    console.print(_build_table(summary))
    if summary.deaths:
        died = "A worker" if summary.deaths == 1 else f"{summary.deaths} workers"
        console.print(
            f"{died} died, alone or with a node; the units at hand were tried again",
            highlight=False,
        )
    for run, count in Counter(summary.taken_over.values()).items():
        units = "1 unit was" if count == 1 else f"{count} units were"
        console.print(
            f"{units} taken over by {describe_taker(run)} while this one stood still;"
            " nothing is lost by that",
            highlight=False,
            soft_wrap=True,
        )
    errors = choose_error_console(console)
    for device, reason in summary.lost_devices.items():
        line = (
            f"{device} is out of use since it broke one process after the other ({reason}); check"
            " it with nvidia-smi, and restart the machine if it stays so"
        )
        errors.print(Text(line, style="red"), soft_wrap=True)
    _print_failures(summary, errors)
    if summary.waiting:
        _print_end(summary, errors)
    if summary.exit_code and summary.log:
        errors.print(Text(f"Log: {summary.log}"), soft_wrap=True)
    console.print(f"{format_duration(summary.seconds)}, launch {summary.run}")


def _build_table(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("computed", "already there", "failed", "blocked", "not tried"):
        table.add_column(heading, justify="right")
    counts = (
        sum(summary.computed.values()),
        summary.already,
        len(summary.failures),
        len(summary.blocked),
        summary.waiting,
    )
    table.add_row(*map(str, counts))
    return table


def _print_failures(summary: Summary, console: Console) -> None:
    groups = _group_failures(summary.failures)
    for alike in groups[:SHOWN_FAILURES]:
        first = alike[0]
        others = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        name = first.name or describe_unit(first.unit)
        line = f"failed: {name}{others}: {first.error}: {first.reason}"
        console.print(Text(line, style="red"), soft_wrap=True)
    if left := groups[SHOWN_FAILURES:]:
        console.print(f"and {sum(map(len, left))} more failed; iid status shows all")
    if summary.failures:
        status = shlex.join(["iid", "status", "--tracebacks", *_build_options(summary, "store")])
        key = summary.failures[0].unit.key
        again = shlex.join(["iid", "unit", key, *_build_options(summary, "store", "data")])
        console.print(Text(f"Tracebacks: {status}; or {again} to try one here."), soft_wrap=True)
        console.print(
            Text(
                "The same command tries failed units again. Change what their messages name first,"
                " or they fail again in the same way."
            ),
            soft_wrap=True,
        )


def _group_failures(failures: Iterable[Failure]) -> list[list[Failure]]:
    """Put failures of one reason together, in the order of their first ones."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.error, failure.reason), []).append(failure)
    return list(groups.values())


def _print_end(summary: Summary, console: Console) -> None:
    if summary.stopped_by == "SIGINT":
        ended = "Stopped."
    elif summary.stopped_by is not None:
        ended = f"Stopped by {summary.stopped_by}."
    else:
        reason = summary.halted or "Ray Tune ended early"
        ended = f"Could not continue: {reason}. Once that is mended:"
    line = f"{ended} Run the same command again to continue; what is done stays done."
    console.print(Text(line.replace(": Run", ": run")), soft_wrap=True)


def _build_options(summary: Summary, *names: str) -> list[str]:
    """Return the options that find the same store and data folder as the launch."""
    options = []
    for name in names:
        if name in summary.places:
            options += [f"--{name}", summary.places[name]]
    return options
