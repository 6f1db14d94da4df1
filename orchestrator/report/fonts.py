"""Fonts for names in any script; what no font has is written as \u6570, not as an empty box."""

import functools
import re

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FuncFormatter

_FAMILY = "DejaVu Sans"
_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
    "Unifont",
)
"""Families with further scripts, where a machine has them."""
_OWN_MATH = re.compile(r"\$(\\lambda_\\mathrm\{C[CM]\}|10\^\{-?\d+\})\$")
"""Formulas of this package; any other dollar sign belongs to a name."""


@functools.cache
def find_families() -> tuple[str, ...]:
    """Return the families that text is drawn with: the usual one, and those for other scripts."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    return (_FAMILY, *(name for name in _FALLBACKS if name in known))


def make_drawable(figure: Figure) -> None:
    """Rewrite the texts of a figure that cannot be drawn as they are."""
    texts = list(figure.texts)  # its title is one of them
    legends = list(figure.legends)
    for ax in figure.axes:
        texts += ax.texts
        legends += [legend] if (legend := ax.get_legend()) else []
        for place in ("left", "center", "right"):
            title = ax.get_title(loc=place)
            # Setting a title takes its style back, so only where its text changes.
            if write_drawable(title) != title:
                ax.set_title(write_drawable(title), loc=place)
        # Not `findobj`: it makes every tick of every axis, which takes longer than the rest.
        for axis in (ax.xaxis, ax.yaxis):
            texts.append(axis.label)
            formatter = axis.get_major_formatter()
            # Named ticks get their labels from a function, anew whenever a figure is drawn.
            if isinstance(formatter, FuncFormatter):
                axis.set_major_formatter(_wrap(formatter))
    for legend in legends:
        texts += legend.get_texts()
    for text in texts:
        text.set_text(write_drawable(text.get_text()))


def _wrap(formatter: FuncFormatter) -> FuncFormatter:
    def write_label(value: float, position: int | None = None) -> str:
        return write_drawable(formatter(value, position))

    return FuncFormatter(write_label)


def write_drawable(text: str) -> str:
    """Return a text whose letters some font has, and whose dollar signs begin no formula."""
    if "$" in text and not _OWN_MATH.search(text):
        text = re.sub(r"(?<!\\)\$", r"\\$", text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if _has_glyph(letter) else _spell(letter) for letter in text)


def _spell(letter: str) -> str:
    return f"\\u{ord(letter):04x}"


@functools.cache
def _has_glyph(letter: str) -> bool:
    return letter == "\n" or any(ord(letter) in found for found in _read_charmaps())


@functools.cache
def _read_charmaps() -> tuple[frozenset[int], ...]:
    """Return the characters of each family."""
    paths = (font_manager.findfont(family) for family in find_families())
    return tuple(frozenset(FT2Font(path).get_charmap()) for path in paths)
