"""The report of a search."""

import csv
import dataclasses

import pytest

from orchestrator.errors import ReportError
from orchestrator.report.search_report import write_search_report
from search_spaces.load import load_space


def test_a_report_is_written_with_figures_tables_and_the_found_space(search_result, tmp_path):
    out = tmp_path / "report"
    report = write_search_report(
        [search_result], "lambda_search", out, command="iid search lambda_search"
    )
    text = report.markdown.read_text()
    assert (
        "8 trials (5 stopped early, 2 complete, 1 diverged), each with 2 seeds. The best is trial 1"
        in text
    )
    assert "`iid search lambda_search`" in text and report.found == out / "found.yaml"
    (experiment,) = load_space(report.found).experiments
    assert dict(experiment.rules[-1].set)["distillation.lambda_cm"] == 0.2
    names = [f"weights-digits-ipc10-dm-iid-{kind}" for kind in ("map", "slices", "rungs")]
    drawn = {path.name for path in (out / "figures").iterdir()}
    assert drawn == {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    assert all(f"figures/{name}.png" in text for name in names)
    with (out / "tables" / "trials-weights-digits-ipc10-dm-iid.csv").open() as stream:
        assert len(list(csv.reader(stream))) == 9
    page = report.html.read_text()
    assert page.count('src="data:image/webp') == 3 and "The best is trial 1" in page


def test_equal_rows_give_equal_files(search_result, tmp_path):
    for name in ("one", "two"):
        write_search_report(
            [search_result],
            "lambda_search",
            tmp_path / name,
            command="iid search",
            found=tmp_path / name / "f.yaml",
        )
    files = [
        path.relative_to(tmp_path / "one")
        for path in (tmp_path / "one").rglob("*")
        if path.is_file()
    ]
    assert len(files) > 8
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), (
            file
        )


def test_a_search_without_results_says_so(search_result, tmp_path):
    empty = dataclasses.replace(search_result, trials=(), finalists=(), importance={})
    report = write_search_report([empty], "lambda_search", tmp_path, command="iid search")
    assert report.found is None and not (tmp_path / "found.yaml").exists()
    assert "0 trials (none yet)" in report.markdown.read_text()


def test_a_folder_that_cannot_be_written_is_named(search_result, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ReportError, match=r"file.* cannot be written .*--out"):
        write_search_report(
            [search_result], "lambda_search", tmp_path / "file" / "out", command="iid search"
        )


def test_a_name_does_not_steer_a_terminal(tmp_path):
    report = write_search_report([], "sea\x1b[2Jrch", tmp_path / "report", command="iid search x")
    for path in (report.markdown, report.html):
        text = path.read_text(encoding="utf-8")
        assert "\x1b" not in text and "sea\\u001b" in text
