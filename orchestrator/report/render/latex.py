r"""Result tables as LaTeX: one file each, to be `\input` into a paper that loads booktabs and
amsmath.

A table that is wider than the line is scaled to it where the paper loads graphicx, and has a
smaller font in any case. Long tables are cut into several floats under one number.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.report.model import Report, Table, TableEntry

FOLDER = "latex"
DOCUMENT = "all.tex"

_LONGEST = 40
"""Rows of one float; more do not fit on a page."""
_WORDS = 34
"""Characters from which a column of words is broken into lines."""
_WIDTHS = ((80, r"\small"), (110, r"\footnotesize"))
"""Characters of a row up to which a font size fits the line."""

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$",
    ">": "$>$", "|": "$|$", '"': "''", "±": r"$\pm$", "−": "$-$", "–": "--", "—": "---",
    "×": r"$\times$", "·": r"$\cdot$", "≥": r"$\geq$", "≤": r"$\leq$", "≈": r"$\approx$",
    "≠": r"$\neq$", "∞": r"$\infty$", "→": r"$\to$", "½": r"$\tfrac12$", "²": "$^2$", "³": "$^3$",
    "°": r"$^\circ$", "µ": r"$\mu$", "‖": r"$\|$", "…": r"\ldots{}", "“": "``", "”": "''", "‘": "`",
    "’": "'", "\N{NO-BREAK SPACE}": "~", "\N{NARROW NO-BREAK SPACE}": r"\,", "ß": r"\ss{}",
    "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "ł": r"\l{}",
    "Ł": r"\L{}", "ı": r"\i{}",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "η": "eta",
    "θ": "theta", "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "varphi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Σ": "Sigma", "Φ": "Phi",
    "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_ACCENTS = {
    "\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\=",
    "\u0306": r"\u", "\u0307": r"\.", "\u0308": r"\"", "\u030a": r"\r", "\u030b": r"\H",
    "\u030c": r"\v", "\u0327": r"\c", "\u0328": r"\k",
}  # fmt: skip
_SUBSCRIPT = re.compile(r"([λL])_([A-Z]{2})\b")
_EMPHASIS = {
    "best": r"\textbf{%s}",
    "clear": r"\textbf{%s}",
    "second": r"\underline{%s}",
    None: "%s",
}

_NEEDS = (
    "% Needs \\usepackage{booktabs,amsmath,graphicx}; without graphicx, what is too wide sticks"
    " out.\n"
)
_PREAMBLE = r"""\documentclass{article}
\usepackage[margin=2.5cm]{geometry}
\usepackage{booktabs,amsmath,graphicx}
\extrafloats{500}
\maxdeadcycles=1000
"""


def write_latex(report: Report, out: Path) -> tuple[Path, ...]:
    r"""Write every table that holds results to `latex/<slug>.tex`, and `latex/all.tex`, a document
    that inputs them.

    Args:
        report: its sections and the tables across them; what ran, costs and failures are left out.
        out: the report's folder.

    Returns:
        The written files, the document last.

    Raises:
        OSError: a file cannot be written.
    """
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    chapters = [("Across all experiments", report.aggregates, "")] + [
        (section.title, (*section.tables, *section.details), section.place)
        for section in report.sections
    ]
    written, lines = [], [_PREAMBLE, r"\begin{document}"]
    for title, tables, place in chapters:
        if tables:
            lines.append(rf"\section*{{{escape(title)}}}")
        for table in tables:
            written.append(
                _write(folder / f"{table.slug}.tex", _NEEDS + render_latex_table(table, place))
            )
            lines.append(rf"\input{{{table.slug}.tex}}")
        lines.append(r"\clearpage")
    lines.append(r"\end{document}")
    return (*written, _write(folder / DOCUMENT, "\n".join(lines) + "\n"))


def render_latex_table(table: Table, place: str = "") -> str:
    """Return a table as one float or several, with caption, label and footnotes.

    Args:
        table: what to print.
        place: said after its title in the caption, such as the data set.
    """
    parts = [table.rows[i : i + _LONGEST] for i in range(0, len(table.rows), _LONGEST)] or [()]
    return "".join(
        _render_float(table, rows, place, continued=i > 0) for i, rows in enumerate(parts)
    )


def escape(text: str) -> str:
    """Return text that LaTeX typesets as it is, on one line; what its fonts lack is named by its
    code point.
    """
    parts = _SUBSCRIPT.split(text)
    made = [_escape_plain(parts[0])]
    for letter, index, rest in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        symbol = r"\lambda" if letter == "λ" else letter
        made.append(rf"${symbol}_{{\mathrm{{{index}}}}}$" + _escape_plain(rest))
    return "".join(made).replace(r" $\pm$ ", r"\,$\pm$\,").replace(r" \%", r"\,\%")


def _escape_plain(text: str) -> str:
    # two hyphens would become one dash
    parts = unicodedata.normalize("NFC", text).split("--")
    return "-{}-".join("".join(map(_escape_character, part)) for part in parts)


def _escape_character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character in _GREEK:
        return rf"$\{_GREEK[character]}$"
    if " " <= character <= "~":
        return character
    if unicodedata.category(character).startswith("C"):  # line breaks and other control characters
        return " "
    decomposed = unicodedata.normalize("NFD", character)
    letter, accent = decomposed[0], _ACCENTS.get(decomposed[1:])
    if letter.isascii() and accent:
        return rf"{accent}{{{letter}}}"
    return f"[U+{ord(character):04X}]"


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _render_float(
    table: Table, rows: Sequence[tuple[TableEntry, ...]], place: str, *, continued: bool
) -> str:
    title = ", ".join(part for part in (table.title, place) if part)
    sentences = [title, "continued" if continued else table.caption]
    caption = " ".join(escape(text).rstrip(".") + "." for text in sentences if text)
    label = "" if continued else rf"\label{{tab:{table.slug}}}"
    wide = [
        i
        for i in table.text_columns
        if max((len(line[i].text) for line in rows), default=0) > _WORDS
    ]
    body = [
        rf"\begin{{tabular}}{{{_build_column_types(table, wide)}}}",
        r"\toprule",
        _render_line([_guard_line_start(escape(name)) for name in table.header]),
        r"\midrule",
        *(
            _render_line([_render_entry(entry, broken=i in wide) for i, entry in enumerate(line)])
            for line in rows
        ),
        r"\bottomrule",
        r"\end{tabular}%",
    ]
    lines = [
        r"\begin{table}[htbp]",
        *([r"\addtocounter{table}{-1}"] if continued else []),
        r"\centering\setlength{\abovecaptionskip}{0pt}\setlength{\belowcaptionskip}{6pt}",
        rf"\caption{{{caption}}}{label}",
        rf"{_choose_size(table, rows, wide)}\setlength{{\tabcolsep}}{{4pt}}",
        r"\sbox0{%",
        *body,
        "}%",
        r"\ifdim\wd0>\linewidth\ifdefined\resizebox\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi\else\usebox0\fi",
        *_render_notes(table, rows),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _build_column_types(table: Table, wide: Sequence[int]) -> str:
    kinds = (
        "p{38mm}" if i in wide else "l" if i in table.text_columns else "r"
        for i in range(len(table.header))
    )
    return "".join(kinds)


def _choose_size(table: Table, rows: Sequence[tuple[TableEntry, ...]], wide: Sequence[int]) -> str:
    def width(i: int) -> int:
        longest = max(len(table.header[i]), *(len(line[i].text) for line in rows), 0)
        return min(longest, _WORDS) if i in wide else longest

    characters = sum(width(i) + 2 for i in range(len(table.header)))
    return next((size for limit, size in _WIDTHS if characters <= limit), r"\scriptsize")


def _render_line(cells: Sequence[str]) -> str:
    # \tabularnewline, because \\ means another thing in a ragged paragraph
    return " & ".join(cells) + r" \tabularnewline"


def _render_entry(entry: TableEntry, *, broken: bool) -> str:
    escaped = (
        escape(entry.text).replace(r"\_", r"\_\allowbreak{}") if broken else escape(entry.text)
    )
    text = _EMPHASIS[entry.emphasis] % escaped if entry.text else ""
    marks = rf"$^{{{','.join(map(str, entry.notes))}}}$" if entry.notes else ""
    return _guard_line_start((r"\raggedright " if broken and text else "") + text + marks)


def _guard_line_start(text: str) -> str:
    """Keep a bracket or star at the start of a line from being read as the option of the line
    before.
    """
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _render_notes(table: Table, rows: Sequence[tuple[TableEntry, ...]]) -> Iterator[str]:
    used = {number for line in rows for entry in line for number in entry.notes}
    notes = [rf"$^{{{i}}}$\,{escape(note)}" for i, note in enumerate(table.notes, 1) if i in used]
    if notes:
        lines = r"\par ".join(notes)
        yield rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize\raggedright {lines}}}"
