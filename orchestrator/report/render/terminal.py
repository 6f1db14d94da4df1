"""The main tables for a terminal."""

from collections.abc import Sequence
from dataclasses import replace

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from orchestrator.report.model import Report, Table, TableEntry

_STYLES = {"best": "bold green", "clear": "bold", "second": "underline", None: ""}
_CLAIM_COLUMNS = ("Claim", "Verdict", "Ours")
"""Where it was measured, and the source, are in the report's files."""
_SUPERSCRIPTS = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")


def render_terminal(report: Report) -> RenderableType:
    """Return each section's results, failures, and how much is missing.

    The result is for `rich.console.Console.print`. Tables across sections are wider than a
    terminal; they are in the report's files.
    """
    parts: list[RenderableType] = []
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


def render_terminal_table(table: Table) -> RenderableType:
    """Return one table with its footnotes."""
    view = RichTable(
        title=table.title, title_justify="left", title_style="italic", box=box.SIMPLE_HEAD
    )
    for i, name in enumerate(table.header):
        view.add_column(
            name, justify="left" if i in table.text_columns else "right", overflow="fold"
        )
    # A terminal is short: published results of other methods are in the report's files.
    rows = table.rows[: len(table.rows) - table.quoted_rows]
    used: set[int] = set()
    for row in rows:
        view.add_row(*map(_render_entry, row))
        for entry in row:
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
