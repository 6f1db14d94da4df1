"""Names in any script, in figures."""

import warnings

import pytest

from orchestrator.report.figures.style import create_figure, save_figure, use_style
from orchestrator.report.fonts import find_families, write_drawable

NAMES = ("数据", "한국어", "مرحبا", "😀", "a$b$_{", "$\\frac{", "\x1b[31m", "100 $ and 2 $")


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_drawn_without_a_warning(name, tmp_path):
    with use_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = create_figure(3, 2)
        ax = figure.subplots()
        ax.plot([0, 1], label=name)
        ax.set_xticks([0, 1], [name, "b"])
        ax.set_title(name)
        ax.legend()
        save_figure(figure, tmp_path / "figure.png")
        save_figure(figure, tmp_path / "figure.svg")
        assert ax.get_title(loc="left") == write_drawable(name)


def test_letters_without_a_font_are_spelled_out():
    assert write_drawable("a\U0001f9ffb") in ("a\U0001f9ffb", r"a\u1f9ffb")
    assert write_drawable("\x07") == r"\u0007"
    assert write_drawable("λ ± é\nZ") == "λ ± é\nZ"


def test_own_formulas_stay_and_dollars_of_names_begin_none():
    assert write_drawable(r"$\lambda_\mathrm{CC}$  (importance 5 %)").startswith(r"$\lambda")
    assert write_drawable("$10^{-3}$") == "$10^{-3}$"
    assert write_drawable("a$b$") == r"a\$b\$"


def test_only_families_that_are_there_are_asked_for():
    assert find_families()[0] == "DejaVu Sans"


def test_a_title_keeps_its_place_and_weight(tmp_path):
    with use_style():
        figure = create_figure(3, 2)
        figure.suptitle("数 title", x=0.012, ha="left", fontweight="bold")
        save_figure(figure, tmp_path / "figure.png")
    (title,) = figure.texts
    assert title.get_text() == write_drawable("数 title")
    assert (title.get_ha(), title.get_weight(), title.get_position()[0]) == ("left", "bold", 0.012)
