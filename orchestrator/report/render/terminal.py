"""The main tables for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len
from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    JustifyMethod,
    RenderableType,
    RenderResult,
)
from rich.table import Table as RichTable
from rich.text import Text

from orchestrator.report.model import Report, Table, TableEntry

_STYLES = {"best": "bold green", "clear": "bold", "second": "underline", None: ""}
_CLAIM_COLUMNS = ("Claim", "Verdict", "Ours")
"""Where it was measured, and the source, are in the report's files."""
_SUPERSCRIPTS = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")

_GAP = 3
"""Space that a column takes besides its text."""
_LONGEST_WORD = 24


def render_terminal(report: Report) -> RenderableType:
    """Return each section's results, failures, and how much is missing.

    The result is for `rich.console.Console.print`. Tables across sections are wider than a
    terminal; they are in the report's files.
    """
    parts: list[RenderableType] = []
    parts += [Text(sentence) for sentence in report.summary]
    if report.claims:
        parts.append(render_terminal_table(_select_columns(report.claims, _CLAIM_COLUMNS)))
    for section in report.sections:
        parts.append(Text(section.title, style="bold"))
        if section.facts:
            parts.append(Text(section.facts, style="dim"))
        parts += [render_terminal_table(table) for table in section.tables]
    if report.failures:
        parts.append(render_terminal_table(report.failures))
    if report.missing_cells:
        line = f"{_describe_missing(report)}: {report.command}"
        if report.failures:
            line += (
                "\nIt tries the failed units again. Change what their reasons name first, or they"
                " fail again in the same way."
            )
        parts.append(Text(line, style="yellow"))
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class FittedTable:
    """A table that shows as many of its columns as a terminal has room for."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, and what was left out of it."""
        shown = _count_fitting(self.table, options.max_width)
        yield _build_view(self.table, shown)
        left_out = len(self.table.header) - shown
        if left_out:
            columns = "column" if left_out == 1 else "columns"
            yield Text(
                f"{left_out} more {columns} in tables/{self.table.slug}.csv of the report",
                style="dim",
            )


def render_terminal_table(table: Table) -> RenderableType:
    """Return one table with its footnotes; it shows the columns that fit, words unbroken."""
    return FittedTable(table)


def _count_fitting(table: Table, width: int) -> int:
    """Return how many columns fit without breaking a word or a number; at least two."""
    used = 1
    for column in range(len(table.header)):
        used += _GAP + _measure_column(table, column)
        if used > width:
            return max(column, min(2, len(table.header)))
    return len(table.header)


def _measure_column(table: Table, column: int) -> int:
    """Return the width of the longest part of a column that stays on one line."""
    is_text = column in table.text_columns
    widths = [cell_len(word) for word in table.header[column].split()]
    for row in table.rows:
        shown = _render_entry(row[column]).plain
        if is_text:
            # A long name may be broken: with it alone nothing else would fit.
            widths += [min(cell_len(word), _LONGEST_WORD) for word in shown.split()]
        else:
            widths.append(cell_len(shown))
    return max(widths, default=1)


def _build_view(table: Table, shown: int) -> RenderableType:
    """Return the first columns of a table with their footnotes."""
    view = RichTable(
        title=table.title, title_justify="left", title_style="italic", box=box.SIMPLE_HEAD
    )
    for i, name in enumerate(table.header[:shown]):
        justify: JustifyMethod = "left" if i in table.text_columns else "right"
        view.add_column(name, justify=justify, overflow="fold", min_width=_measure_column(table, i))
    # A terminal is short: published results of other methods are in the report's files.
    rows = table.rows[: len(table.rows) - table.quoted_rows]
    used: set[int] = set()
    for row in rows:
        view.add_row(*map(_render_entry, row[:shown]))
        for entry in row[:shown]:
            used.update(entry.notes)
    notes = []
    for i, note in enumerate(table.notes, 1):
        # A table of our own results shows all its footnotes, used or not.
        if i in used or not table.quoted_rows:
            notes.append(Text(f"{str(i).translate(_SUPERSCRIPTS)} {note}", style="dim"))
    return Group(view, *notes) if notes else view


def _select_columns(table: Table, names: Sequence[str]) -> Table:
    """Return a table with some of its columns."""
    kept = [table.header.index(name) for name in names]
    texts = [place for place, i in enumerate(kept) if i in table.text_columns]
    return replace(
        table,
        header=tuple(names),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
        text_columns=tuple(texts),
    )


def _describe_missing(report: Report) -> str:
    if report.has_no_results:
        return f"No cell has a result yet, {report.planned_cells} are planned"
    return f"{report.missing_cells} of {report.planned_cells} cells are still missing"


def _render_entry(entry: TableEntry) -> Text:
    marks = ",".join(map(str, entry.notes)).translate(_SUPERSCRIPTS)
    return Text.assemble((entry.text, _STYLES[entry.emphasis]), (marks, "dim"))
