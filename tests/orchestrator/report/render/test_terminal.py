"""The main tables in a terminal."""

import io

import pytest
from rich.console import Console

from orchestrator.report import render_terminal
from orchestrator.report.model import Table, build_row
from orchestrator.report.render.terminal import render_terminal_table


def test_terminal_shows_the_result_tables(small, tmp_path, write, note):
    small.failure(small.cell("IDM", 10, 0).set_key)
    files, _ = write(small, tmp_path / "report")
    console = Console(width=100, record=True, file=(tmp_path / "terminal").open("w"))
    console.print(render_terminal(files.report))
    text = console.export_text()
    assert "57.0 ± 5.4" in text
    assert f"¹ {note}" in text
    assert "boom" in text
    assert "2 of 13 cells are still missing: iid run space" in text
    assert "Change what their reasons name first" in text


HEADER = ("Method", "trials", "covariance", "published difference", "95 % interval")


@pytest.mark.parametrize("width", [200, 80, 60, 45, 30])
def test_a_narrow_terminal_breaks_no_word_of_a_heading_and_no_number(width):
    rows = (build_row("IDM+IID, IPC 10", "12", "45.0 ± 1.0", "−10.25", "[+1.0, +2.0]"),)
    table = Table(slug="found", title="Found", header=HEADER, rows=rows)
    stream = io.StringIO()
    Console(width=width, file=stream).print(render_terminal_table(table))
    printed = stream.getvalue()
    shown = [i for i, heading in enumerate(HEADER) if heading.split()[-1] in printed]
    assert shown == list(range(len(shown))) and len(shown) >= 2
    for i in shown:
        assert all(word in printed for word in HEADER[i].split())
        assert i == 0 or rows[0][i].text in printed
    hidden = len(HEADER) - len(shown)
    assert ("tables/found.csv" in printed) == bool(hidden)
    assert bool(hidden) == (width < 80)
