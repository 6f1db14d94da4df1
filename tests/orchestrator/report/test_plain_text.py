"""Names in files."""

import csv
import re

import pandas as pd
import pytest

from orchestrator.report.model import Table, TableEntry
from orchestrator.report.plain_text import protect_cell, shorten_name, show_invisible
from orchestrator.report.render.csv_file import write_csv, write_frame

HOSTILE = "DM\x1b[31m\x00\x07\x9b\u202e!\ud800"
FORMULAS = ("=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "＝1+1", "'=1", "''=1")


def test_nothing_invisible_stays():
    shown = show_invisible(HOSTILE)
    assert shown == r"DM\u001b[31m\u0000\u0007\u009b\u202e!\ud800"
    assert show_invisible("λ_CC 数据 é\n\t") == "λ_CC 数据 é\n\t"


def test_long_names_are_cut_and_stay_different():
    first, second = (shorten_name("x" * 5000 + end) for end in "ab")
    assert first != second and len(first) <= 80
    assert shorten_name("DM\nIDM") == "DM IDM" and shorten_name("DM+IID") == "DM+IID"


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_quoted_and_read_back(name, tmp_path):
    table = Table(slug="t", title="t", header=(name, "n"), rows=((TableEntry(text=name),) * 2,))
    path = write_csv(table, tmp_path)
    frame = write_frame(pd.DataFrame({"method": [name], "mean": [-0.5]}), tmp_path / "f.csv")
    cells = [*next(csv.reader(path.open(newline="")))[:1], pd.read_csv(path).iloc[0, 0]]
    cells.append(pd.read_csv(frame)["method"][0])
    assert pd.read_csv(frame)["mean"][0] == -0.5
    for cell in cells:
        assert cell.startswith("'")
        assert re.sub(r"^'(?='*[=+\-@\t\r＝＋－＠])", "", cell) == name


@pytest.mark.parametrize("text", ["+5.0", "-3.1", "+10.00 [+1.00, +2.00]", "DM+IID", "–", ""])
def test_numbers_and_usual_names_stay_as_they_are(text):
    assert protect_cell(text) == text


def test_no_file_of_a_report_has_control_characters(grid, tmp_path, write):
    for method in (HOSTILE, "y" * 5000, "=HYPERLINK(1)"):
        cell = grid.cell(method, 10, 0)
        columns = {"method": "DM\x1b[31m\x9b\u202e", "class_accuracies": [0.5] * 10}
        grid.evaluate(cell, [0.5], **columns)
    files, _ = write(grid, tmp_path / "report")
    for path in (files.markdown, files.html, *files.tables, *files.latex):
        text = path.read_text(encoding="utf-8")
        assert show_invisible(text) == text, path.name
        assert "y" * 100 not in text or path == files.html, path.name
    assert "'=HYPERLINK" in (tmp_path / "report/tables/results.csv").read_text()
