"""A report from hand-written rows: every number in it is worked by hand here."""

import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from orchestrator.errors import ReportError
from orchestrator.report import render_terminal, write_report
from orchestrator.report.tables.settings import build_settings_table, format_distinct
from orchestrator.store.open import open_store

NOTE = "one image a class: this is DM"


def _table(markdown, title):
    """The rows of a Markdown table below a heading, as lists of texts."""
    lines = markdown.split(f"# {title}\n", 1)[1].split("\n")
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif rows:
            break
    return rows[:1] + rows[2:]


def _text(grid, out, name="space", **options):
    files = write_report(grid.plan, name, open_store(grid.store), out, **options)
    return files, files.markdown.read_text(encoding="utf-8")


@pytest.fixture
def small(grid):
    """Random, DM and DM+IID at IPC 1 and 10, two sets × two networks; DM+IID at IPC 10 has one of
    its two sets.
    """
    for seed in (0, 1):
        grid.cell("Random", 1, seed, [0.20, 0.22])
        grid.cell("Random", 10, seed, [0.30 + 0.1 * seed, 0.32 + 0.1 * seed])
        grid.cell("DM", 1, seed, [0.30, 0.32])
        grid.cell("DM", 10, seed, [0.50 + 0.1 * seed, 0.54 + 0.1 * seed])
        grid.cell("DM+IID", 1, seed, [0.30, 0.32], same_as="DM", note=NOTE)
    grid.cell("DM+IID", 10, 0, [0.60, 0.62])
    grid.cell("DM+IID", 10, 1)
    return grid


def test_methods_by_ipc(small, tmp_path):
    _, text = _text(small, tmp_path / "report")
    assert _table(text, "Methods × IPC on ConvNet") == [
        ["Method", "IPC 1", "IPC 10"],
        ["Random", "<u>21.0 ± 1.0</u>", "36.0 ± 5.1"],  # 30, 32, 40, 42: deviations 6, 4, 4, 6, √26
        ["DM", "**31.0 ± 1.0**", "<u>57.0 ± 5.4</u>"],  # 50, 54, 60, 64: deviations 7, 3, 3, 7, √29
        ["DM+IID", "**31.0 ± 1.0**<sup>1</sup>", "**61.0 ± 1.0**<sup>2</sup>"],
    ]
    assert f"<sup>1</sup> {NOTE}<br>" in text
    assert "<sup>2</sup> 1 of 2 sets so far" in text


def test_spread(small, tmp_path):
    _, text = _text(small, tmp_path / "report")
    rows = {(row[0], row[1]): row[2:] for row in _table(text, "Methods × IPC on ConvNet: spread")}
    # Means of the sets 52 and 62: 10/√2. Within: four deviations of 2, two degrees of freedom: √8.
    # A mean cannot leave 50 … 64; which quantiles the bootstrap takes is checked in
    # test_statistics.
    mean, interval, between, within, counts = rows["DM", "10"]
    assert (mean, between, within, counts) == ("57.0 ± 5.4", "7.1", "2.8", "2 × 2")
    low, high = (float(part) for part in interval.strip("[]").split(", "))
    assert 50 <= low < 54
    assert 60 < high <= 64
    assert rows["DM+IID", "10"] == ["61.0 ± 1.0", "[60.0, 62.0]", "–", "1.4", "1 × 2"]


def test_differences_are_paired_by_seed(small, tmp_path):
    _, text = _text(small, tmp_path / "report")
    rows = {row[0]: row[1:] for row in _table(text, "Methods × IPC on ConvNet: differences")}
    assert rows["DM − Random"] == ["**+10.00 [+10.00, +10.00]**", "**+21.00 [+20.00, +22.00]**"]
    assert rows["DM+IID − Random"] == ["**+10.00 [+10.00, +10.00]**", "+30.00 [+30.00, +30.00]"]
    assert rows["DM+IID − DM"] == [
        "same set",
        "+9.00 [+8.00, +10.00]",
    ]  # seed 0 alone, so unmarked: 60−50 and 62−54


def test_a_difference_whose_interval_covers_zero_is_not_marked(grid, tmp_path):
    for seed, change in ((0, -0.02), (1, 0.01)):
        grid.cell("Random", 1, seed, [0.50])
        grid.cell("DM", 1, seed, [0.50 + change])
    _, text = _text(grid, tmp_path / "report")
    assert _table(text, "Methods × IPC on ConvNet: differences")[1] == [
        "DM − Random",
        "−0.50 [−2.00, +1.00]",
    ]


def test_sets_that_agree_by_chance_do_not_mark_a_difference_whose_interval_covers_zero(
    grid, tmp_path
):
    for seed in (0, 1):
        grid.cell("Random", 1, seed, [0.50, 0.50])
        grid.cell("DM", 1, seed, [0.44, 0.58])  # the mean difference is 1 point on both
    _, text = _text(grid, tmp_path / "report")
    assert _table(text, "Methods × IPC on ConvNet: differences")[1] == [
        "DM − Random",
        "+1.00 [−6.00, +8.00]",
    ]


def test_missing_cells(small, tmp_path):
    small.cell("IDM", 10, 0)
    files, text = _text(small, tmp_path / "report", "my space", overrides=["seeds=2"])
    assert _table(text, "Methods × IPC on ConvNet")[-1] == ["IDM", "", "–"]
    title = "main: digits (test accuracy, protocol paper)"
    assert _table(text, "Still missing")[1:] == [
        [title, "accuracy", "DM+IID", "10", "ConvNet", "1"],
        [title, "accuracy", "IDM", "10", "ConvNet", "1"],
    ]
    assert "**Still missing: 2 of 13 cells**" in text
    assert f"`iid run 'my space' --set seeds=2 --store {small.store}`" in text
    assert (files.report.planned_cells, files.report.missing_cells) == (13, 2)


def test_missing_class_orders_and_features_count_too(grid, tmp_path):
    grid.learn("Random", 0, [[0.9, 0.8], [0.5, 0.4]])
    grid.learn("Random", 1)
    grid.view("Random", 0)
    files, text = _text(grid, tmp_path / "report")
    assert [row[1:] for row in _table(text, "Still missing")[1:]] == [
        ["accuracy over 2 steps", "Random", "2", "ConvNet", "1"],
        ["features", "Random", "2", "ConvNet", "1"],
    ]
    assert (files.report.planned_cells, files.report.missing_cells) == (3, 2)
    assert "1 of 2 class-incremental runs, 0 of 1 sets embedded" in text


def test_nothing_done_yet_is_one_sentence(grid, tmp_path):
    grid.cell("DM", 1, 0)
    files, text = _text(grid, tmp_path / "report", command="iid run it")
    assert "**No cell has a result yet: 1 are planned.** To compute them: `iid run it`" in text
    assert "0 of 1 sets distilled, 0 of 1 sets evaluated" in text
    assert not [
        words for words in ("Methods × IPC", "Loss curves", "Synthetic images") if words in text
    ]
    console = Console(width=100, record=True, file=(tmp_path / "terminal").open("w"))
    console.print(render_terminal(files.report))
    assert console.export_text().strip() == "No cell has a result yet, 1 are planned: iid run it"


def test_an_experiment_without_results_is_left_out(small, tmp_path):
    small.cell("DM", 1, 0, experiment="other", network="AlexNet")
    files, _ = _text(small, tmp_path / "report")
    assert [section.title for section in files.report.sections] == [
        "main: digits (test accuracy, protocol paper)"
    ]


def test_settings_of_each_method(small, tmp_path):
    small.cell("DM", 10, 5, sweep=(("iterations", 7),))
    _, text = _text(small, tmp_path / "report", overrides=["seeds=2", "iterations=7"])
    rows = {tuple(row[:4]): row[4:] for row in _table(text, "Settings")[1:]}
    assert rows["main", "digits", "Random", "10"] == ["", "", "", "", "", "", "", "2", "1,000"]
    assert rows["main", "digits", "DM", "10"] == [
        "ConvNet",
        "7, 20,000",
        "256",
        "2",
        "0",
        "0",
        "",
        "2",
        "1,000",
    ]
    assert dict(_table(text, "space"))["Changed on the command line"] == "seeds=2, iterations=7"


def test_settings_that_are_seldom_changed_have_a_column_where_they_are(small):
    usual = build_settings_table(small.plan).header
    evaluation = small.units[small.cells[0].evaluation_key]
    changed = replace(evaluation.settings, lr_net=0.0025, precision="bf16")
    small.units[evaluation.key] = replace(evaluation, settings=changed)
    table = build_settings_table(small.plan)
    assert table.header == (*usual, "lr_net", "networks trained in")
    values = {tuple(entry.text for entry in line[len(usual) :]) for line in table.rows}
    assert values == {("0.01", "tf32"), ("0.0025, 0.01", "bf16, tf32")}


def test_many_values_of_a_setting_are_a_range():
    assert format_distinct([0.5, 0.1, 0.5]) == "0.1, 0.5"
    assert format_distinct([1000, 5, 20, 3, 4]) == "3 … 1,000 (5 values)"
    assert format_distinct([]) == ""


def test_failures_of_this_plan_that_are_not_done(small, tmp_path):
    failed = small.cell("IDM", 10, 0)
    small.failure(failed.set_key, reason="out of memory | tried\n3 GiB")
    small.failure(small.cells[0].evaluation_key, reason="failed once, done since")
    outside = type(small)(small.store)
    outside.failure(outside.cell("IDM", 50, 7).set_key, reason="another plan")
    _, text = _text(small, tmp_path / "report")
    assert _table(text, "Failures")[1:] == [
        [
            failed.set_key,
            "distill digits, IDM, IPC 10, seed 0".replace("IDM", "DM"),
            "ValueError",
            "out of memory \\| tried 3 GiB",
        ]  # the hand-made unit has no queue, so it is DM's
    ]
    assert "done since" not in text
    assert "another plan" not in text


def test_whole_training_set_stands_in_every_column_without_a_rank(small, tmp_path):
    small.cell("Whole", None, 0, [0.90, 0.92])
    _, text = _text(small, tmp_path / "report")
    assert _table(text, "Methods × IPC on ConvNet")[-1] == ["Whole", "91.0 ± 1.0", "91.0 ± 1.0"]
    spread = _table(text, "Methods × IPC on ConvNet: spread")
    assert [row[:3] for row in spread if row[0] == "Whole"] == [["Whole", "all", "91.0 ± 1.0"]]
    assert "Whole −" not in text


def test_architectures(grid, tmp_path):
    for network, accuracy in (("ConvNet", 0.5), ("ResNet18", 0.4)):
        grid.cell("Random", 10, 0, [accuracy - 0.1], network=network)
        grid.cell("DM", 10, 0, [accuracy], network=network)
    _, text = _text(grid, tmp_path / "report")
    assert _table(text, "Methods × architectures at IPC 10") == [
        ["Method", "ConvNet", "ResNet18"],
        ["Random", "<u>40.0</u>", "<u>30.0</u>"],
        ["DM", "**50.0**", "**40.0**"],
    ]
    assert "Methods × IPC" not in text  # one column each, which this table has already


def test_sweep_over_two_settings_is_a_grid(grid, tmp_path):
    for cc in (0.0, 0.05):
        for cm in (0.0, 0.01):
            sweep = (("lambda_cc", cc), ("lambda_cm", cm))
            grid.cell("DM+IID", 10, 0, [0.5 + cc + cm, 0.5 + cc + cm], sweep=sweep)
    _, text = _text(grid, tmp_path / "report")
    assert _table(text, r"DM+IID, IPC 10, ConvNet: λ\_CC × λ\_CM") == [
        [r"λ\_CC", r"λ\_CM 0", r"λ\_CM 0.01"],
        ["0", "50.0 ± 0.0", "51.0 ± 0.0"],
        ["0.05", "<u>55.0 ± 0.0</u>", "**56.0 ± 0.0**"],
    ]


def test_sweep_over_one_setting_is_a_column(grid, tmp_path):
    for value in (0.1, 1.0):
        grid.cell("DM", 10, 0, [value / 2], sweep=(("lr_img", value),))
    _, text = _text(grid, tmp_path / "report")
    assert _table(text, r"DM, IPC 10, ConvNet: lr\_img") == [
        [r"lr\_img", "accuracy"],
        ["0.1", "<u>5.0</u>"],
        ["1", "**50.0**"],
    ]


def test_protocols_splits_and_data_sets_never_share_a_table(grid, tmp_path):
    for i, options in enumerate(
        ({}, {"protocol": "strict"}, {"split": "validation"}, {"dataset": "svhn"})
    ):
        grid.cell("DM", 1, 0, [0.1 * (i + 1)], **options)
    files, _ = _text(grid, tmp_path / "report")
    assert [
        (section.title, section.tables[0].rows[0][1].text) for section in files.report.sections
    ] == [
        ("main: digits (test accuracy, protocol paper)", "10.0"),
        ("main: digits (test accuracy, protocol strict)", "20.0"),
        ("main: digits (validation accuracy, protocol paper)", "30.0"),
        ("main: svhn (test accuracy, protocol paper)", "40.0"),
    ]
    assert len({table.slug for table in files.report.tables}) == len(files.report.tables)


def test_overview_and_costs(small, tmp_path):
    cells = {(c.method, c.ipc, c.seed): c for c in small.cells}
    for seed, seconds in ((0, 0.2), (1, 0.3)):
        small.distillation(cells["DM", 10, seed], iterations=100, seconds_per_iteration=seconds)
    _, text = _text(small, tmp_path / "report")
    facts = dict(_table(text, "space"))
    assert (
        facts["Finished"] == "0 of 4 sets selected, 2 of 6 sets distilled, 9 of 10 sets evaluated"
    )
    assert facts["Data"] == "digits version 1 (fingerprint fingerprint-of-d)"
    assert facts["Versions"] == "torch 2.11.0"
    assert facts["Device"] == "A Processor"
    assert facts["Compute time of all units"] == "1 min 36 s"  # 2 sets × 30 s, 9 × 2 networks × 2 s
    assert _table(text, "Hours")[1:] == [
        ["Sets distilled", "A Processor", "2", "0.017"],  # 2 × 30 s
        ["Sets evaluated", "A Processor", "9", "0.010"],  # 18 × 2 s
        ["All", "A Processor", "11", "0.027"],
    ]
    assert _table(text, "Synthetic sets")[1] == [
        "digits",
        "DM",
        "10",
        "ConvNet",
        "",
        "20000",
        "0.25",
        "30",
        "1.50 GiB",
        "2",
    ]
    assert _table(text, "Evaluated networks")[1] == [
        "digits",
        "ConvNet",
        "1",
        "1001",
        "2",
        "0.25 GiB",
        "8",
    ]


def test_costs_of_unequal_work_are_not_averaged(grid, tmp_path):
    for network, seconds in (("ConvNet", 0.1), ("VGG11", 0.9)):
        cell = grid.cell("DM", 10, 0, [0.5], sweep=(("network", network),))
        grid.distillation(cell, iterations=100, seconds_per_iteration=seconds)
    _, text = _text(grid, tmp_path / "report")
    assert [line[3:7] for line in _table(text, "Synthetic sets")[1:]] == [
        ["ConvNet", "", "20000", "0.1"],
        ["VGG11", "", "20000", "0.9"],
    ]


def test_csv_files_hold_the_tables_and_the_unrounded_statistics(small, tmp_path):
    files, _ = _text(small, tmp_path / "report")
    with (tmp_path / "report/tables/main-digits-convnet.csv").open(encoding="utf-8") as stream:
        assert list(csv.reader(stream))[2] == ["DM", "31.0 ± 1.0", "57.0 ± 5.4"]
    everything = pd.read_csv(tmp_path / "report/tables/results.csv").set_index(["method", "ipc"])
    dm = everything.loc[("DM", 10)]
    assert dm["mean"] == pytest.approx(0.57)
    assert dm["std"] == pytest.approx(np.sqrt(29) / 100)
    assert (dm["sets"], dm["sets_planned"], dm["networks"]) == (2, 2, 4)
    assert set(dm["keys"].split()) == {
        c.evaluation_key for c in small.cells if (c.method, c.ipc) == ("DM", 10)
    }
    assert all(path.exists() for path in files.tables)


def test_what_is_no_longer_part_of_the_report_is_removed_and_nothing_else(small, tmp_path):
    out = tmp_path / "report"
    _text(small, out)
    stale, mine, changed = (
        out / "tables" / name for name in ("main-digits-convnet-spread.csv", "mine.csv", "x.csv")
    )
    outside = tmp_path / "outside.csv"
    for path in (mine, changed, outside, out / "notes.txt"):
        path.write_text("kept")
    noted = json.loads((out / ".files.json").read_text())
    noted |= {"tables/x.csv": "another content", "notes.txt": noted["tables/results.csv"]}
    noted |= {f"tables/../../{outside.name}": hashlib.sha256(b"kept").hexdigest()}
    (out / ".files.json").write_text(json.dumps(noted))
    assert stale.exists()

    other = type(small)(tmp_path / "other")
    other.cell("DM", 1, 0, [0.5], dataset="svhn")
    _text(other, out)
    assert not stale.exists()
    assert all(path.read_text() == "kept" for path in (mine, changed, outside, out / "notes.txt"))


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_damaged_note_of_files_removes_nothing(small, tmp_path, text):
    files, _ = _text(small, tmp_path / "report")
    (tmp_path / "report/.files.json").write_text(text)
    files, _ = _text(small, tmp_path / "report")
    assert all(path.exists() for path in files.tables)
    assert "tables/results.csv" in json.loads((tmp_path / "report/.files.json").read_text())


def test_equal_rows_give_equal_reports(small, tmp_path):
    first, second = (_text(small, tmp_path / name)[0] for name in ("a", "b"))
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


def test_text_that_markdown_would_interpret_is_shown_as_it_is(grid, tmp_path):
    grid.cell("DM", 1, 0, [0.5], note="a|b *c* <d>")
    cell = grid.cell("DM", 1, 1)
    grid.failure(cell.set_key, reason="<script>alert(1)</script> **x**")
    _, text = _text(grid, tmp_path / "report")
    assert r"a\|b \*c\* &lt;d>" in text
    assert r"&lt;script>alert(1)&lt;/script> \*\*x\*\*" in text


def test_terminal_shows_the_result_tables(small, tmp_path):
    small.failure(small.cell("IDM", 10, 0).set_key)
    files, _ = _text(small, tmp_path / "report")
    console = Console(width=100, record=True, file=(tmp_path / "terminal").open("w"))
    console.print(render_terminal(files.report))
    text = console.export_text()
    assert "57.0 ± 5.4" in text
    assert f"¹ {NOTE}" in text
    assert "boom" in text
    assert "2 of 13 cells are still missing: iid run space" in text


def test_a_folder_that_cannot_be_written_is_named(small, tmp_path):
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
        "import json, sys, orchestrator.report, orchestrator.cli.report; "
        "print(json.dumps([m for m in ('torch', 'ray', 'matplotlib.pyplot') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
