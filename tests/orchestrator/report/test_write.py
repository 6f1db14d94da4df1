"""The report of a plan: what is written, what is left out, and what others can read."""

import json
import re
import subprocess
import sys

import duckdb
import pandas as pd
import pytest
from rich.console import Console

from orchestrator.errors import ReportError
from orchestrator.report import render_terminal, write_report
from orchestrator.store.open import open_store


def test_nothing_done_yet_is_one_sentence(grid, tmp_path, write):
    grid.cell("DM", 1, 0)
    files, text = write(grid, tmp_path / "report", command="iid run it")
    assert "**No cell has a result yet: 1 are planned.** To compute them: `iid run it`" in text
    assert "0 of 1 sets distilled, 0 of 1 sets evaluated" in text
    assert not [
        words for words in ("Methods × IPC", "Loss curves", "Synthetic images") if words in text
    ]
    console = Console(width=100, record=True, file=(tmp_path / "terminal").open("w"))
    console.print(render_terminal(files.report))
    assert console.export_text().strip() == "No cell has a result yet, 1 are planned: iid run it"


def test_an_experiment_without_results_is_left_out(small, tmp_path, write):
    small.cell("DM", 1, 0, experiment="other", network="AlexNet")
    files, _ = write(small, tmp_path / "report")
    assert [section.title for section in files.report.sections] == ["digits: accuracy"]


def test_equal_rows_give_equal_reports(small, tmp_path, write):
    first, second = (write(small, tmp_path / name)[0] for name in ("a", "b"))
    files = sorted(
        path.relative_to(first.folder) for path in first.folder.rglob("*") if path.is_file()
    )
    assert files
    assert files == sorted(
        path.relative_to(second.folder) for path in second.folder.rglob("*") if path.is_file()
    )
    assert all(
        (first.folder / path).read_bytes() == (second.folder / path).read_bytes() for path in files
    )


def test_a_folder_that_cannot_be_written_is_named(small, tmp_path, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"file.*cannot be written.*--out"):
        write_report(small.plan, "space", open_store(small.store), tmp_path / "file" / "report")


def test_other_tools_read_the_rows(small):
    files = str(small.store / "tables/evaluations/*.parquet")
    query = f"select avg(accuracy) from read_parquet('{files}') where method = 'DM' and ipc = 10"
    assert duckdb.sql(query).fetchall()[0][0] == pytest.approx(0.57)
    frame = pd.read_parquet(small.store / "tables/evaluations")
    assert frame[(frame["method"] == "DM") & (frame["ipc"] == 10)][
        "accuracy"
    ].mean() == pytest.approx(0.57)


def test_polars_reads_the_rows(small):
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(str(small.store / "tables/evaluations/*.parquet"))
    chosen = frame.filter((polars.col("method") == "DM") & (polars.col("ipc") == 10))
    assert chosen["accuracy"].mean() == pytest.approx(0.57)


def test_reporting_imports_neither_torch_nor_ray():
    code = (
        "import json, sys, orchestrator.report, orchestrator.cli.commands.report; "
        "print(json.dumps([m for m in ('torch', 'ray', 'matplotlib.pyplot') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_findings_come_first_and_versions_last(small, tmp_path, write):
    files, text = write(small, tmp_path / "report", name="some/where/mine.yaml")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    order = ["mine", "digits: accuracy", "Settings", "Cost", "What ran"]
    assert [title for title in headings if title in order] == order
    assert "DM+IID against DM, " in text.split("## ")[0]
    page = files.html.read_text(encoding="utf-8")
    assert page.index("DM+IID against DM, ") < page.index("<h2>digits: accuracy</h2>")
    assert page.index("<h2>Cost</h2>") < page.index("<h2>What ran</h2>")


def test_sections_of_equal_titles_name_their_experiment(grid, tmp_path, write):
    for experiment in ("first", "second"):
        grid.cell("DM", 1, 0, [0.3], experiment=experiment)
    files, _ = write(grid, tmp_path / "report")
    assert [section.title for section in files.report.sections] == [
        "digits: accuracy (first)",
        "digits: accuracy (second)",
    ]
