import csv
import dataclasses
import math

import numpy as np
import pytest

from orchestrator.errors import ReportError
from orchestrator.report.figures.search import draw_figures, fit_surface
from orchestrator.report.figures.style import use_style
from orchestrator.report.search_report import write_search_report
from orchestrator.report.search_tables import (
    build_finalists_table,
    build_summary_table,
    build_trials_table,
)
from search_spaces.load import load_space


def texts(table):
    return [[entry.text for entry in line] for line in table.rows]


def test_the_summary_says_what_was_found_and_what_it_is_worth(search_result):
    assert texts(build_summary_table([search_result])) == [
        [
            "digits, IPC 10, DM+IID",
            "8",
            "5",
            "lambda_cc 0, lambda_cm 0.2",
            "71.5 ± 1.1",
            "76.5 ± 1.1",
            "+5.0",
            "+4.0 to +6.0",
        ]
    ]
    (line,) = build_summary_table([search_result]).rows
    assert line[6].emphasis == "clear"


def test_trials_show_the_rungs_that_they_reached(search_result):
    lines = texts(build_trials_table(search_result))
    assert lines[1] == ["1", "tpe", "0", "0.2", "55.0", "65.0", "75.0", "complete"]
    assert lines[2][4:] == ["42.0", "–", "–", "stopped"] and lines[7][4:] == [
        "–",
        "–",
        "–",
        "diverged",
    ]
    assert [line[0] for line in texts(build_finalists_table(search_result))] == ["1", "0"]


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


def test_the_map_marks_the_published_and_the_best_settings(search_result):
    with use_style():
        by_kind = {drawn.name: drawn.figure for drawn in draw_figures(search_result)}
    ax = by_kind["map"].axes[0]
    up, across = search_result.study.dimensions
    marks = {line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines}
    assert marks["s"] == (across.position(0.01), up.position(0.05))
    assert marks["*"] == (across.position(0.2), up.position(0.0))
    assert len(ax.collections[0].get_offsets()) == 7  # the trial that diverged has no value
    assert ax.get_xticklabels()[0].get_text() == "0"


def test_a_surface_follows_its_points():
    random = np.random.default_rng(0)
    points = random.random((40, 2))
    found = fit_surface(points, np.array([math.sin(3 * x) + y for x, y in points]))
    assert found.shape == (80, 80)
    middle = (np.arange(80) + 0.5) / 80
    expected = np.sin(3 * middle)[None, :] + middle[:, None]
    assert np.abs(found - expected)[8:-8, 8:-8].max() < 0.25
