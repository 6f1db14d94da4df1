"""The content of a report without any format: entries, tables, sections, and the files written.

Markdown, HTML, LaTeX, CSV and the terminal render the same `Table`. A new format is one more
renderer.
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Emphasis = Literal["best", "second", "clear"]

PictureGroup = Literal[
    "compression",
    "architectures",
    "generalization",
    "sensitivity",
    "continual",
    "features",
    "comparison",
    "sheet",
    "losses",
    "search",
]
"""What a picture shows.

- compression: accuracy against the size of the set
- architectures: accuracy of evaluation networks
- generalization: slopes from the matching network to others
- sensitivity: accuracy against swept settings
- continual: accuracy after each step of class-incremental learning
- features: features in the plane
- comparison: images of several methods side by side
- sheet: images of one set
- losses: loss curves
- search: a search over settings
"""

FIGURE_HEADINGS: dict[PictureGroup, str] = {
    "compression": "Accuracy against size",
    "architectures": "Architectures",
    "generalization": "Generalization to other architectures",
    "sensitivity": "Swept settings",
    "continual": "Class-incremental learning",
    "features": "Features in the plane",
    "losses": "Loss curves",
    "search": "Search",
}
"""Headings of the groups that are figures (a PNG and an SVG each), in the order of the report."""

MISSING = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableEntry:
    """One entry of a printed table."""

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
    """Columns of words, aligned left; the others hold numbers, aligned right."""
    notes: tuple[str, ...] = ()
    """Footnotes; the first is number 1."""
    quoted_rows: int = 0
    """How many of the last rows are published results of methods that were not run here."""

    @property
    def has_results(self) -> bool:
        """Whether any number in it comes from a row."""
        entries = itertools.chain.from_iterable(self.rows)
        return any(entry.keys for entry in entries)


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """The results of one experiment on one data set under one protocol and split.

    A table never mixes several of these.
    """

    experiment: str
    title: str
    place: str
    """The data set, with protocol and split where they are unusual. A paper's caption needs it."""
    tables: tuple[Table, ...]
    """The main tables."""
    details: tuple[Table, ...]
    """Their spread, intervals and differences."""
    facts: str = ""
    """What the accuracies are over, such as "360 test images of 10 classes; chance is 10.3 %"."""

    @property
    def has_results(self) -> bool:
        """Whether any number in it comes from a row."""
        return any(table.has_results for table in (*self.tables, *self.details))


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All tables of a report."""

    space: str
    command: str
    """The command that computes the missing results."""
    planned_cells: int
    missing_cells: int
    summary: tuple[str, ...]
    """Sentences on what was found; empty without results."""
    claims: Table | None
    """What was claimed, and what the results say of it; None where no claim applies."""
    overview: Table
    settings: Table | None
    """The settings that each method was computed with; None without units."""
    sections: tuple[Section, ...]
    """Those that have results."""
    aggregates: tuple[Table, ...]
    """Tables over all sections: reproduction of published results, scores, aggregates."""
    costs: tuple[Table, ...]
    failures: Table | None
    missing: Table | None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table in the order of the report."""
        ordered: list[Table | None] = [self.claims]
        for section in self.sections:
            ordered += [*section.tables, *section.details]
        ordered += [*self.aggregates, self.settings, *self.costs, self.overview]
        ordered += [self.failures, self.missing]
        return tuple(table for table in ordered if table is not None)

    @property
    def title(self) -> str:
        """The name of the space; of a file's path its name alone."""
        path = Path(self.space)
        return path.stem if path.suffix in (".yaml", ".yml") else self.space

    @property
    def has_no_results(self) -> bool:
        """Whether not a single cell has a result."""
        return self.missing_cells == self.planned_cells


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image file of the report, and what it shows."""

    title: str
    path: Path
    """The PNG, relative to the report's folder."""
    group: PictureGroup
    caption: str = ""

    @property
    def svg(self) -> Path | None:
        """The SVG next to a figure's PNG, relative like `path`; None for pictures of images."""
        return self.path.with_suffix(".svg") if self.group in FIGURE_HEADINGS else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All its files, relative to the report's folder."""
        return (self.path,) if self.svg is None else (self.path, self.svg)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFiles:
    """The files that `write_report` wrote."""

    report: Report
    folder: Path
    markdown: Path
    html: Path
    tables: tuple[Path, ...]
    latex: tuple[Path, ...]
    pictures: tuple[Picture, ...]

    def select_pictures(self, *groups: PictureGroup) -> tuple[Picture, ...]:
        """Return the pictures of some groups, in the order of the groups."""
        found: list[Picture] = []
        for group in groups:
            found += [picture for picture in self.pictures if picture.group == group]
        return tuple(found)

    @property
    def figures(self) -> dict[str, tuple[Picture, ...]]:
        """The figures by heading; groups without figures are left out."""
        found = {heading: self.select_pictures(group) for group, heading in FIGURE_HEADINGS.items()}
        return {heading: pictures for heading, pictures in found.items() if pictures}


def build_row(*texts: object) -> tuple[TableEntry, ...]:
    """Return a row of plain entries."""
    return tuple(TableEntry(text=str(text)) for text in texts)


def make_slug(*parts: object) -> str:
    """Return a file name of lower-case letters, digits, dots and hyphens.

    ("DM+IID", 10) becomes "dm-iid-10".
    """
    words = [re.sub(r"[^a-z0-9.]+", "-", str(part).lower()).strip("-.") for part in parts]
    return "-".join(word for word in words if word)
