"""The main tables in a terminal."""

from rich.console import Console

from orchestrator.report import render_terminal


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
