"""What a report says, free of any format: tables of entries, sections of tables, and the files that show them.

Markdown, the terminal and CSV render the same `Table`; a further format is one more renderer.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.files import StoreError

Emphasis = Literal["best", "second", "clear"]

MISSING = "–"


class ReportError(StoreError):
    """A report cannot be written, or what it shows cannot be read; the message names the file and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One cell of a printed table."""

    text: str
    emphasis: Emphasis | None = None
    """Best or second of its column, or a difference whose interval excludes zero."""
    notes: tuple[int, ...] = ()
    """Footnotes of the table, counted from 1."""
    keys: tuple[str, ...] = ()
    """Units whose rows the number comes from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A printed table."""

    slug: str
    """Name of its file, unique in a report."""
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    caption: str = ""
    text_columns: tuple[int, ...] = (0,)
    """Columns that hold words, set to the left; the others hold numbers, set to the right."""
    notes: tuple[str, ...] = ()
    """Footnotes, the first is number 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """The results of one experiment on one data set under one protocol and split: what a table never mixes."""

    title: str
    tables: tuple[Table, ...]
    """The tables a reader looks for."""
    details: tuple[Table, ...]
    """Their spread, intervals and differences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All tables of a report."""

    space: str
    command: str
    """The command that computes what is missing."""
    planned_cells: int
    missing_cells: int
    overview: Table
    sections: tuple[Section, ...]
    costs: tuple[Table, ...]
    failures: Table | None
    missing: Table | None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table in the order of the report."""
        results = [table for section in self.sections for table in (*section.tables, *section.details)]
        problems = [table for table in (self.failures, self.missing) if table is not None]
        return (self.overview, *results, *self.costs, *problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image file of the report, and what it shows."""

    title: str
    path: Path
    """Relative to the report's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFiles:
    """What `write_report` wrote."""

    report: Report
    folder: Path
    markdown: Path
    tables: tuple[Path, ...]
    comparisons: tuple[Picture, ...]
    sheets: tuple[Picture, ...]
    curves: tuple[Picture, ...]


def row(*texts: object) -> tuple[Entry, ...]:
    """Return a row of plain entries."""
    return tuple(Entry(text=str(text)) for text in texts)


def slug(*parts: object) -> str:
    """Return a name for a file made of lower-case letters, digits, dots and hyphens: ("DM+IID", 10) → "dm-iid-10"."""
    words = [re.sub(r"[^a-z0-9.]+", "-", str(part).lower()).strip("-.") for part in parts]
    return "-".join(word for word in words if word)
