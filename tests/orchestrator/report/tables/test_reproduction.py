"""Our results next to published ones: plans from search spaces, accuracies written by hand."""

import dataclasses
import io
import re

import pytest
from rich.console import Console

from orchestrator.planning.plan import make_plan
from orchestrator.report.render.terminal import render_terminal_table
from orchestrator.report.results import read_results
from orchestrator.report.tables.accuracy import build_accuracy_sections
from orchestrator.report.tables.published import (
    describe_sources,
    find_all_published,
    find_published,
    read_published,
)
from orchestrator.report.tables.reproduction import build_reproduction_tables
from search_spaces.load import load_space
from search_spaces.method_names import METHODS

SPACE = """
name: small
settings: {seeds: 2, datasets: DATASET}
experiments:
  - name: main
    methods: [Random, Herding, DM, DM+IID, IDM+IID, Whole]
    ipc: 10
    architectures: [AlexNet, same]
"""


@pytest.fixture
def report(grid, tmp_path):
    """Makes the rows of the table by method, from a space with overrides and accuracies by
    method.
    """

    def make(accuracies, *overrides, dataset="cifar10", text=SPACE):
        (tmp_path / "small.yaml").write_text(text.replace("DATASET", dataset))
        plan = make_plan(load_space(tmp_path / "small.yaml", overrides))
        grid.units |= plan.units
        grid.cells += plan.cells
        for cell in plan.cells:
            if cell.method in accuracies and cell.network != "AlexNet":
                grid.evaluate(cell, accuracies[cell.method](cell.seed))
        tables = build_reproduction_tables(read_results(grid.plan, grid.store))
        if not tables:
            return None, {}
        (table,) = tables
        return table, {
            line[2].text: dict(zip(table.header, line, strict=True)) for line in table.rows
        }

    return make


def _texts(line):
    return [entry.text for entry in line.values()]


def test_a_measurement_under_the_published_settings_covers_or_misses_the_published_mean(
    report,
):
    accuracies = {
        "Random": lambda seed: [0.25 + 0.02 * seed, 0.25],  # 26.0 published
        "DM": lambda seed: [0.510 + 0.002 * seed, 0.51],  # 48.9
        "IDM+IID": lambda seed: [0.580 + 0.002 * seed, 0.588],  # 59.9
    }
    table, lines = report(accuracies)
    assert table.header[3:6] == ("Published", "Ours", "Difference")
    assert _texts(lines["Random"])[:6] == [
        "cifar10",
        "10",
        "Random",
        "26.0 ± 1.2",
        "25.5 ± 0.9",
        "−0.5",
    ]  # deviations 0.5, 0.5, 1.5, 0.5
    source = (
        "DANCE Table 1 and NCFM Table 1 (used; not used: 31.0 in PAD (arXiv 2408.03360) Table 1)"
    )
    assert _texts(lines["Random"])[7:] == ["covers", source]
    assert _texts(lines["DM"])[3:8:4] == ["48.9 ± 0.6", "above"]
    assert _texts(lines["DM"])[5] == "+2.1"  # 51.0, 51.0, 51.2, 51.0
    assert _texts(lines["IDM+IID"])[3:] == [
        "59.9 ± 0.1",
        "58.5 ± 0.4",  # means 58.4 and 58.5: error 0.05, t = 12.7
        "−1.4",
        "[57.8, 59.1]",
        "below",
        "NCFM Table 1 (row IID)",
    ]
    assert _texts(lines["Herding"])[3:] == [
        "31.6 ± 0.7",
        "–",
        "",
        "–",
        "",
        "DANCE Table 1 and NCFM Table 1",
    ]


def test_a_figure_nobody_published_stays_blank(report):
    _, lines = report({"DM+IID": lambda seed: [0.5, 0.6]})
    assert _texts(lines["DM+IID"])[3:] == ["", "55.0 ± 5.0", "", "[10.1, 99.9]", "", ""]


def test_other_settings_are_not_comparable_and_named(report):
    methods = dict.fromkeys(METHODS, lambda seed: [0.5, 0.6])
    overrides = (
        "iterations=80",
        "batch_real=64",
        "num_eval=2",
        "epoch_eval_train=90",
        "ce_weight=0.25",
    )
    _, lines = report(methods, *overrides, "extractors.epochs=1")
    shortened = "epoch_eval_train 90, not 1,000"
    assert lines["Random"]["Verdict"].text == f"not comparable: {shortened}"
    assert (
        lines["Herding"]["Verdict"].text
        == f"not comparable: extractor epochs 1, not 40, {shortened}"
    )
    distilled = "not comparable: iterations 80, not 20,000, batch_real 64, not 256"
    assert lines["DM"]["Verdict"].text == f"{distilled}, {shortened}"
    assert lines["IDM+IID"]["Verdict"].text == f"{distilled}, ce_weight 0.25, not 0.5, 1 more"
    assert lines["Whole"]["Verdict"].text == "not comparable: epoch_eval_train 90, not 200"


def test_another_matching_network_is_not_comparable(report):
    _, lines = report(
        {"Random": lambda seed: [0.5, 0.6]}, "distillation.network=ConvNetW32", "architectures=same"
    )
    assert lines["Random"]["Verdict"].text == "not comparable: network ConvNetW32, not ConvNet"


def test_footnotes_say_what_is_no_deviation(report):
    methods = dict.fromkeys(METHODS, lambda seed: [0.5, 0.6])
    table, lines = report(methods, "seeds=1", dataset="cifar10-jpeg")

    def notes(method):
        return [table.notes[number - 1] for number in lines[method]["Ours"].notes]

    jpeg = "JPEG images, compared with the published result of the original images"
    one_set = "one set: the interval says nothing about other sets"
    assert lines["DM"]["Published"].text == "48.9 ± 0.6"
    assert notes("DM") == [jpeg, one_set]
    assert notes("DM+IID") == [
        jpeg,
        one_set,
        "extractors: 20 × ResNet18, 40 epochs; the release has 1000 × ResNet18, 40 epochs",
    ]
    assert notes("Whole")[0] == jpeg
    assert re.match("epoch_eval_train: not published", notes("Whole")[1])


def test_weights_that_nobody_published_are_named(report):
    table, lines = report({"IDM+IID": lambda seed: [0.5, 0.6]}, "ipc=50", dataset="cifar100")
    notes = [table.notes[number - 1] for number in lines["IDM+IID"]["Ours"].notes]
    assert notes[-1] == "λ_CC and λ_CM: not published; the values of CIFAR-10 at IPC 10"


def test_footnotes_say_nothing_of_settings_that_the_run_does_not_have(report):
    methods = dict.fromkeys(METHODS, lambda seed: [0.5, 0.6])
    table, lines = report(methods, "ipc=1", "epoch_eval_train=5", dataset="cifar100")
    assert [table.notes[number - 1] for number in lines["Whole"]["Ours"].notes] == []
    (note,) = [table.notes[number - 1] for number in lines["DM+IID"]["Ours"].notes]
    assert (
        note
        == "one image per class and no partition: L_CC and L_CM have zero gradient, so this is DM"
    )


def test_one_network_has_no_verdict(report):
    _, lines = report({"Random": lambda seed: [0.5]}, "seeds=1")
    assert lines["Random"]["Verdict"].text == "one network: no interval"


def test_of_several_measurements_the_comparable_one_is_shown(report):
    second = (
        "  - {name: short, methods: [Random], ipc: 10, seeds: 5, evaluation: {epoch_eval_train:"
        " 2}}\n"
    )
    text = SPACE.replace("experiments:\n", f"experiments:\n{second}")
    table, lines = report({"Random": lambda seed: [0.25, 0.27]}, text=text)
    assert len([line for line in table.rows if line[2].text == "Random"]) == 1
    assert lines["Random"]["Verdict"].text == "covers"
    assert len(lines["Random"]["Ours"].keys) == 2


@pytest.mark.parametrize("overrides", [("protocol=strict",), ("architectures=same",)])
def test_no_results_and_no_published_protocol_are_no_table(report, overrides):
    accuracies = {"Random": lambda seed: [0.5, 0.6]} if "protocol=strict" in overrides else {}
    assert report(accuracies, *overrides)[0] is None


def test_swept_measurements_are_left_out(report):
    text = SPACE.replace("    ipc: 10\n", "    ipc: 10\n    sweep: {lr_img: [0.1]}\n")
    assert report({"DM": lambda seed: [0.5, 0.6]}, text=text)[0] is None


def test_sizes_and_data_sets_that_nobody_published_are_left_out(report):
    accuracies = {"Random": lambda seed: [0.5, 0.6]}
    table, _ = report(accuracies, "ipc=[10,20]", dataset="[digits, cifar10]")
    assert {(line[0].text, line[1].text) for line in table.rows} == {
        ("cifar10", "10"),
        ("cifar10", "all"),
    }


def test_a_report_without_any_published_data_set_has_no_such_table(report):
    assert (
        report({"Random": lambda seed: [0.5, 0.6], "Whole": lambda seed: [0.9]}, dataset="digits")[
            0
        ]
        is None
    )


def test_published_figures_are_fractions_of_known_cells():
    figures = [each for found in read_published().values() for each in found]
    assert len(figures) == 458
    dm = find_published("cifar10", 10, "DM")
    assert (dm.accuracy, dm.std) == (pytest.approx(0.489), pytest.approx(0.006))
    assert find_published("cifar10-jpeg", 10, "DM") == dm
    assert find_published("cifar10", None, "Whole").accuracy == pytest.approx(0.848)
    assert find_published("svhn", 1, "DC").std is None
    assert find_published("cifar10", 10, "DM+IID") is None
    assert find_published("cifar10", 50, "DM", "VGG11").accuracy == pytest.approx(0.599)
    assert all(0 < f.accuracy < 1 and f.source and f.architecture for f in figures)
    assert not any("SECOND HAND" in f.source for f in figures)
    for key, found in read_published().items():
        assert all(key == dataclasses.astuple(each)[:4] for each in found)


def test_sources_that_disagree_both_stand_and_the_used_one_is_named():
    used, other = find_all_published("cifar10", 50, "DM")
    assert (used.accuracy, other.accuracy) == (pytest.approx(0.63), pytest.approx(0.652))
    assert find_published("cifar10", 50, "DM") == used
    text = describe_sources((used, other))
    assert text.startswith("DANCE Table 1 and NCFM Table 1 (used; not used: 65.2 in NCFM Table 4")
    assert "used" not in describe_sources(find_all_published("cifar10", 10, "DM"))
    assert describe_sources(()) == ""


def test_methods_that_were_not_run_are_quoted_in_the_main_table(grid):
    for network in ("ConvNet", "VGG11"):
        grid.cell("DM", 50, 0, [0.5, 0.6], dataset="cifar10", network=network)
    (section,) = build_accuracy_sections(read_results(grid.plan, grid.store))
    (table,) = section.tables
    rows = {row[0].text: row for row in table.rows}
    assert [entry.text for entry in rows["NCFM (quoted)"]][1:] == ["77.4 ± 0.3", "75.5 ± 0.3"]
    source = table.notes[rows["NCFM (quoted)"][2].notes[0] - 1]
    assert source.startswith("NCFM Table 4")
    assert "DM (quoted)" not in rows
    assert all(entry.emphasis is None for entry in rows["NCFM (quoted)"])
    assert table.quoted_rows == len(table.rows) - 1
    shown = io.StringIO()
    Console(file=shown, width=100).print(render_terminal_table(table))
    assert "quoted" not in shown.getvalue() and "DM" in shown.getvalue()


def test_nothing_is_quoted_on_held_out_images_or_without_published_results(grid):
    grid.cell("DM", 10, 0, [0.5], dataset="cifar10", protocol="strict", split="validation")
    grid.cell("DM", 10, 0, [0.5], dataset="digits")
    for section in build_accuracy_sections(read_results(grid.plan, grid.store)):
        assert not any(table.quoted_rows for table in section.tables)
