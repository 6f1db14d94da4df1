r"""Result tables as LaTeX: one file each, to `\input` into a paper that loads booktabs and amsmath.

A table that is wider than the line has a smaller font. It is scaled down as well where the paper
loads graphicx. Long tables are cut into several floats under one number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.report.model import Report, Table, TableEntry
from orchestrator.report.render.latex_escape import escape

FOLDER = "latex"
DOCUMENT = "all.tex"

_MAX_ROWS = 40
"""Rows of one float; more do not fit on a page."""
_MAX_WORDS = 34
"""A text column with longer texts (in characters) is broken into lines."""
_WIDTHS = ((80, r"\small"), (110, r"\footnotesize"))
"""Characters of a row up to which a font size fits the line."""

_EMPHASIS = {
    "best": r"\textbf{%s}",
    "clear": r"\textbf{%s}",
    "second": r"\underline{%s}",
    None: "%s",
}

_NEEDS = (
    "% Needs \\usepackage{booktabs,amsmath,graphicx}; without graphicx, wide tables exceed the"
    " line.\n"
)
_PREAMBLE = r"""\documentclass{article}
\usepackage[margin=2.5cm]{geometry}
\usepackage{booktabs,amsmath,graphicx}
\extrafloats{500}
\maxdeadcycles=1000
"""
_SCALE_DOWN = (
    r"\ifdim\wd0>\linewidth"
    r"\ifdefined\resizebox\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"
    r"\else\usebox0\fi"
)
"""Prints box 0, scaled to the line if it is wider and graphicx is loaded."""

Rows = Sequence[tuple[TableEntry, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chapter:
    """Tables under one heading of the document."""

    title: str
    tables: tuple[Table, ...]
    place: str
    """Follows the title in each caption."""


def write_latex(report: Report, out: Path) -> tuple[Path, ...]:
    r"""Write every result table to `latex/<slug>.tex`, and the document `latex/all.tex`.

    The document inputs all tables.

    Args:
        report: its sections and aggregates are written; overview, costs and failures are not.
        out: the report's folder.

    Returns:
        The written files, the document last.

    Raises:
        OSError: a file cannot be written.
    """
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    written, lines = [], [_PREAMBLE, r"\begin{document}"]
    for chapter in _list_chapters(report):
        if chapter.tables:
            lines.append(rf"\section*{{{escape(chapter.title)}}}")
        for table in chapter.tables:
            text = _NEEDS + render_latex_table(table, chapter.place)
            written.append(_write(folder / f"{table.slug}.tex", text))
            lines.append(rf"\input{{{table.slug}.tex}}")
        lines.append(r"\clearpage")
    lines.append(r"\end{document}")
    return (*written, _write(folder / DOCUMENT, "\n".join(lines) + "\n"))


def render_latex_table(table: Table, place: str = "") -> str:
    """Return a table as one float or several, with caption, label and footnotes.

    Args:
        table: the table to print.
        place: follows the title in the caption, such as the data set.
    """
    # A table without rows still has its header.
    starts = range(0, max(len(table.rows), 1), _MAX_ROWS)
    floats = []
    for start in starts:
        rows = table.rows[start : start + _MAX_ROWS]
        floats.append(_render_float(table, rows, place, continued=start > 0))
    return "".join(floats)


def _list_chapters(report: Report) -> Iterator[_Chapter]:
    if report.claims:
        yield _Chapter(title="Claims", tables=(report.claims,), place="")
    for section in report.sections:
        tables = (*section.tables, *section.details)
        yield _Chapter(title=section.title, tables=tables, place=section.place)
    yield _Chapter(title="Across all experiments", tables=report.aggregates, place="")


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _render_float(table: Table, rows: Rows, place: str, *, continued: bool) -> str:
    broken = _list_broken_columns(table, rows)
    lines = [
        r"\begin{table}[htbp]",
        # LaTeX counts every float; the parts of a long table share one number.
        *([r"\addtocounter{table}{-1}"] if continued else []),
        r"\centering\setlength{\abovecaptionskip}{0pt}\setlength{\belowcaptionskip}{6pt}",
        _render_caption(table, place, continued=continued),
        rf"{_choose_size(table, rows, broken)}\setlength{{\tabcolsep}}{{4pt}}",
        r"\sbox0{%",
        *_render_tabular(table, rows, broken),
        "}%",
        _SCALE_DOWN,
        *_render_notes(table, rows),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _render_caption(table: Table, place: str, *, continued: bool) -> str:
    title = ", ".join(part for part in (table.title, place) if part)
    sentences = [title, "continued" if continued else table.caption]
    caption = " ".join(escape(text).rstrip(".") + "." for text in sentences if text)
    label = "" if continued else rf"\label{{tab:{table.slug}}}"
    return rf"\caption{{{caption}}}{label}"


def _render_tabular(table: Table, rows: Rows, broken: Sequence[int]) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{{_build_column_types(table, broken)}}}"
    yield r"\toprule"
    yield _render_line([_guard_line_start(escape(name)) for name in table.header])
    yield r"\midrule"
    for row in rows:
        yield _render_line([_render_entry(entry, i in broken) for i, entry in enumerate(row)])
    yield r"\bottomrule"
    yield r"\end{tabular}%"


def _list_broken_columns(table: Table, rows: Rows) -> list[int]:
    """Return the text columns that are broken into lines."""
    broken = []
    for i in table.text_columns:
        if max((len(row[i].text) for row in rows), default=0) > _MAX_WORDS:
            broken.append(i)
    return broken


def _build_column_types(table: Table, broken: Sequence[int]) -> str:
    types = []
    for i in range(len(table.header)):
        if i in broken:
            types.append("p{38mm}")
        else:
            types.append("l" if i in table.text_columns else "r")
    return "".join(types)


def _choose_size(table: Table, rows: Rows, broken: Sequence[int]) -> str:
    """Return the largest font that fits the characters of a row into the line."""
    characters = 0
    for i, name in enumerate(table.header):
        longest = max(len(name), *(len(row[i].text) for row in rows), 0)
        characters += 2 + (min(longest, _MAX_WORDS) if i in broken else longest)
    return next((size for limit, size in _WIDTHS if characters <= limit), r"\scriptsize")


def _render_line(texts: Sequence[str]) -> str:
    # \tabularnewline, because \\ means something else in a ragged paragraph.
    return " & ".join(texts) + r" \tabularnewline"


def _render_entry(entry: TableEntry, is_broken: bool) -> str:
    text = escape(entry.text)
    if is_broken:
        text = text.replace(r"\_", r"\_\allowbreak{}")
    if entry.text:
        text = _EMPHASIS[entry.emphasis] % text
        text = r"\raggedright " + text if is_broken else text
    marks = rf"$^{{{','.join(map(str, entry.notes))}}}$" if entry.notes else ""
    return _guard_line_start(text + marks)


def _guard_line_start(text: str) -> str:
    """Keep LaTeX from reading a bracket or star at a line's start as an option of the last line."""
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _render_notes(table: Table, rows: Rows) -> Iterator[str]:
    """Yield the footnotes that the rows use, if any."""
    used: set[int] = set()
    for row in rows:
        for entry in row:
            used.update(entry.notes)
    notes = []
    for i, note in enumerate(table.notes, 1):
        if i in used:
            notes.append(rf"$^{{{i}}}$\,{escape(note)}")
    if notes:
        lines = r"\par ".join(notes)
        yield rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize\raggedright {lines}}}"
