"""How the progress of a launch is shown: live in a terminal, as plain lines elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.launch.progress_view import HasView, ProgressView, RunningView
from orchestrator.text import format_duration

PLAIN_SECONDS = 15.0
"""Time between two lines, outside a terminal."""
SHOWN_TRIALS = 12


@contextmanager
def display(progress: HasView, console: Console) -> Iterator[None]:
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


def render(progress: HasView) -> RenderableType:
    """Draw a bar per kind, the running units, and the time."""
    view = progress.view()
    kinds = Table.grid(padding=(0, 2))
    for kind in view.kinds:
        note = Text(f"{kind.failed} failed", style="red") if kind.failed else Text()
        bar = ProgressBar(total=kind.total, completed=kind.done, width=30)
        kinds.add_row(kind.name, bar, f"{kind.done}/{kind.total}", note)
    trials = Table.grid(padding=(0, 2))
    for unit in view.running[:SHOWN_TRIALS]:
        trials.add_row(*_format_trial(unit))
    if len(view.running) > SHOWN_TRIALS:
        trials.add_row(f"and {len(view.running) - SHOWN_TRIALS} more")
    for note_line in view.notes:
        trials.add_row(Text(note_line))
    return Group(kinds, Text(), trials, Text(), Text(_format_times(view), style="dim"))


def format_line(progress: HasView) -> str:
    """Describe the progress in one line."""
    view = progress.view()
    failed = sum(kind.failed for kind in view.kinds)
    total = sum(kind.total for kind in view.kinds)
    parts = [f"{sum(kind.done for kind in view.kinds)}/{total} done"]
    if failed:
        parts.append(f"{failed} failed")
    parts += [f"{len(view.running)} running", *view.notes]
    for unit in view.running[:2]:
        steps = "" if unit.step is None else f" {unit.step}/{unit.total}"
        parts.append(f"{unit.name}{steps}")
    return " · ".join([*parts, _format_times(view)])


def _format_trial(unit: RunningView) -> tuple[RenderableType, ...]:
    name = Text(unit.name)
    if unit.step is None or unit.total is None:
        return name, Text("…")
    speed = f"{unit.speed:.3g}/s" if unit.speed else ""
    values = "  ".join(f"{name} {value:.4g}" for name, value in list(unit.values.items())[:2])
    bar = ProgressBar(total=unit.total, completed=unit.step, width=16)
    return name, bar, Text(f"{unit.step}/{unit.total}"), Text(speed), Text(values, style="dim")


def _format_times(view: ProgressView) -> str:
    left = view.seconds_left
    remaining = "time left not known yet" if left is None else f"about {format_duration(left)} left"
    return f"{format_duration(view.seconds)} so far, {remaining}"


def _print_lines(progress: HasView, console: Console, over: threading.Event) -> None:
    while not over.wait(PLAIN_SECONDS):
        console.print(Text(format_line(progress)), soft_wrap=True)
