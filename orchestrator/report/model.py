"""What a report says, free of any format: tables of entries, sections of tables, and the files that
show them.

Markdown, the terminal and CSV render the same `Table`; a further format is one more renderer.
"""

import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

Emphasis = Literal["best", "second", "clear"]

PictureGroup = Literal[
    "compression",
    "architectures",
    "sensitivity",
    "continual",
    "features",
    "comparison",
    "sheet",
    "losses",
    "search",
]
"""What a picture shows: accuracy against size, bars an architecture, maps of two swept settings,
accuracy after each step of class-incremental learning, features in the plane; methods side by side,
one set, loss curves; a search."""

FIGURE_HEADINGS: dict[PictureGroup, str] = {
    "compression": "Accuracy against size",
    "architectures": "Architectures",
    "sensitivity": "Swept settings",
    "continual": "Class-incremental learning",
    "features": "Features in the plane",
    "losses": "Loss curves",
    "search": "Search",
}
"""Groups of figures, in the order of the report, with their headings; a figure is a PNG and an
SVG.
"""

MISSING = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableEntry:
    """One cell of a printed table."""

    text: str
    emphasis: Emphasis | None = None
    """Best or second of its column, or a difference that is clearly not zero."""
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
    rows: tuple[tuple[TableEntry, ...], ...]
    caption: str = ""
    text_columns: tuple[int, ...] = (0,)
    """Columns that hold words, set to the left; the others hold numbers, set to the right."""
    notes: tuple[str, ...] = ()
    """Footnotes, the first is number 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """The results of one experiment on one data set under one protocol and split: what a table
    never mixes.
    """

    title: str
    place: str
    """The data set, with protocol and split where they are unusual: what a table's caption has to
    say in a paper.
    """
    tables: tuple[Table, ...]
    """The tables a reader looks for."""
    details: tuple[Table, ...]
    """Their spread, intervals and differences."""

    @property
    def measured(self) -> bool:
        """Whether any number in it comes from a row."""
        tables = (*self.tables, *self.details)
        return any(entry.keys for table in tables for line in table.rows for entry in line)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All tables of a report."""

    space: str
    command: str
    """The command that computes what is missing."""
    planned_cells: int
    missing_cells: int
    overview: Table
    settings: Table | None
    """What the units of each method were computed with; None without any."""
    sections: tuple[Section, ...]
    """Those that have results."""
    across: tuple[Table, ...]
    """Over all sections: reproduction of published figures, scores, aggregates over cells."""
    costs: tuple[Table, ...]
    failures: Table | None
    missing: Table | None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table in the order of the report."""
        results = [
            table for section in self.sections for table in (*section.tables, *section.details)
        ]
        settings, *problems = (
            [table] if table else [] for table in (self.settings, self.failures, self.missing)
        )
        return (
            self.overview,
            *settings,
            *self.across,
            *results,
            *self.costs,
            *chain.from_iterable(problems),
        )

    @property
    def nothing_yet(self) -> bool:
        """Whether no cell at all has a result."""
        return self.missing_cells == self.planned_cells


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image file of the report, and what it shows."""

    title: str
    path: Path
    """The PNG, relative to the report's folder; a figure's SVG lies beside it under the same
    name.
    """
    group: PictureGroup
    caption: str = ""

    @property
    def svg(self) -> Path | None:
        """The SVG beside a figure, relative like `path`; None for pictures of images."""
        return self.path.with_suffix(".svg") if self.group in FIGURE_HEADINGS else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFiles:
    """What `write_report` wrote."""

    report: Report
    folder: Path
    markdown: Path
    html: Path
    tables: tuple[Path, ...]
    latex: tuple[Path, ...]
    pictures: tuple[Picture, ...]

    def of(self, *groups: PictureGroup) -> tuple[Picture, ...]:
        """Return the pictures of some groups, in the order of the groups."""
        return tuple(
            picture for group in groups for picture in self.pictures if picture.group == group
        )

    @property
    def figures(self) -> dict[str, tuple[Picture, ...]]:
        """The figures by heading; groups without any are left out."""
        return {
            heading: found
            for group, heading in FIGURE_HEADINGS.items()
            if (found := self.of(group))
        }


def build_row(*texts: object) -> tuple[TableEntry, ...]:
    """Return a row of plain entries."""
    return tuple(TableEntry(text=str(text)) for text in texts)


def make_slug(*parts: object) -> str:
    """Return a name for a file made of lower-case letters, digits, dots and hyphens: ("DM+IID", 10)
    → "dm-iid-10".
    """
    words = [re.sub(r"[^a-z0-9.]+", "-", str(part).lower()).strip("-.") for part in parts]
    return "-".join(word for word in words if word)
