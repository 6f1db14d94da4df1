"""How the progress of a launch is shown: live in a terminal, as plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.launch.progress import LaunchProgress, Running
from orchestrator.text import format_count, format_duration
from orchestrator.units import KINDS, describe_unit

PLAIN_SECONDS = 15.0
"""Time between two lines, outside a terminal."""
SHOWN_TRIALS = 12


@contextmanager
def display(progress: LaunchProgress, console: Console) -> Iterator[None]:
    """Show progress during the block: live in a terminal, elsewhere as lines, quietly not at all.

    A live display captures stderr, and on a quiet console all errors would be lost with it.
    """
    if console.quiet:
        yield
        return
    if console.is_terminal:
        with Live(
            get_renderable=lambda: render(progress),
            console=console,
            refresh_per_second=4,
            transient=True,
        ):
            yield
        return
    over = threading.Event()
    thread = threading.Thread(
        target=_print_lines, args=(progress, console, over), name="progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def render(progress: LaunchProgress) -> RenderableType:
    """Draw a bar per kind, the running units, and the time."""
    kinds = Table.grid(padding=(0, 2))
    for kind in sorted(progress.pending, key=list(KINDS).index):
        total, done = progress.pending[kind], progress.count_done(kind)
        failed = progress.count_failed(kind)
        note = Text(f"{failed} failed", style="red") if failed else Text()
        bar = ProgressBar(total=total, completed=done, width=30)
        kinds.add_row(kind, bar, f"{done}/{total}", note)
    trials = Table.grid(padding=(0, 2))
    running = list(progress.running.values())
    for unit in running[:SHOWN_TRIALS]:
        trials.add_row(*_format_trial(unit))
    if len(running) > SHOWN_TRIALS:
        trials.add_row(f"and {len(running) - SHOWN_TRIALS} more")
    if progress.held_elsewhere:
        trials.add_row(_format_wait(progress))
    if progress.workers_died:
        trials.add_row(_format_deaths(progress))
    return Group(kinds, Text(), trials, Text(), Text(_format_times(progress), style="dim"))


def format_line(progress: LaunchProgress) -> str:
    """Describe the progress in one line."""
    done = sum(progress.count_done(kind) for kind in progress.pending)
    parts = [f"{done}/{progress.pending.total()} done"]
    if progress.failures:
        parts.append(f"{len(progress.failures)} failed")
    parts.append(f"{len(progress.running)} running")
    if progress.workers_died:
        parts.append(_format_deaths(progress))
    if progress.held_elsewhere:
        parts.append(_format_wait(progress))
    for unit in list(progress.running.values())[:2]:
        steps = f" {unit.report.step}/{unit.report.total}" if unit.report else ""
        parts.append(f"{describe_unit(unit.unit)}{steps}")
    return " · ".join([*parts, _format_times(progress)])


def _format_wait(progress: LaunchProgress) -> str:
    units = format_count(len(progress.held_elsewhere), "unit")
    return f"waiting for {units} that another launch is computing"


def _format_deaths(progress: LaunchProgress) -> str:
    return (
        "a worker died" if progress.workers_died == 1 else f"{progress.workers_died} workers died"
    )


def _format_trial(unit: Running) -> tuple[RenderableType, ...]:
    name = Text(describe_unit(unit.unit))
    if unit.report is None:
        return name, Text("…")
    report = unit.report
    speed = f"{unit.speed:.3g}/s" if unit.speed else ""
    values = "  ".join(f"{name} {value:.4g}" for name, value in list(report.values.items())[:2])
    bar = ProgressBar(total=report.total, completed=report.step, width=16)
    return name, bar, Text(f"{report.step}/{report.total}"), Text(speed), Text(values, style="dim")


def _format_times(progress: LaunchProgress) -> str:
    left = progress.estimate_seconds_left()
    remaining = "time left not known yet" if left is None else f"about {format_duration(left)} left"
    return f"{format_duration(time.monotonic() - progress.began)} so far, {remaining}"


def _print_lines(progress: LaunchProgress, console: Console, over: threading.Event) -> None:
    while not over.wait(PLAIN_SECONDS):
        console.print(Text(format_line(progress)), soft_wrap=True)
