"""Aggregates over the cells that methods share."""

import pytest

from orchestrator.report.results import read_results
from orchestrator.report.tables.aggregates import build_aggregate_tables


def _tables(grid):
    return {
        table.slug: table for table in build_aggregate_tables(read_results(grid.plan, grid.store))
    }


def _texts(table):
    return [[entry.text for entry in line] for line in table.rows]


def test_interquartile_mean_over_the_cells_that_all_methods_share(grid):
    # Digits has ten classes: chance is 0.1, so 0.28 → 20, 0.37 → 30, 0.46 → 40, 0.55 → 50, 0.82 →
    # 80, 0.91 → 90.
    for ipc, random, dm in ((1, [0.28, 0.37], [0.46, 0.55]), (10, [0.46, 0.91], [0.82, 0.91])):
        grid.cell("Random", ipc, 0, random)
        grid.cell("DM", ipc, 0, dm)
    grid.cell("DM", 50, 0, [0.1, 0.1])  # Random lacks this cell
    grid.cell("Whole", None, 0, [0.95])
    grid.cell("DM", 1, 0, [0.99], sweep=(("lr_img", 1.0),))
    grid.cell("DM", 1, 0, [0.99], protocol="strict")
    tables = _tables(grid)
    table = tables["across-main-iqm"]
    assert (
        table.title
        == "Interquartile mean across cells: main (test accuracy, protocol paper, 2 cells)"
    )
    assert [line[:2] for line in _texts(table)] == [
        ["Random", "35.0"],
        ["DM", "65.0"],
    ]  # (30 + 40)/2, (50 + 80)/2
    assert [line[1].emphasis for line in table.rows] == [None, None], "one set each"
    assert len(table.rows[0][1].keys) == 2
    # IPC 1: always; IPC 10: of 82, 91 over 46, 91 the pairs 1, 0, 1, ½.
    (line,) = _texts(tables["across-main-improvement"])
    assert line[:2] == ["DM over Random", f"{100 * (1 + 2.5 / 4) / 2:.1f}"]
    assert (
        tables["across-main-improvement"].rows[0][1].emphasis is None
    )  # one set says nothing about others


def test_a_clear_improvement_is_marked(grid):
    for ipc in (1, 10):
        for seed in range(3):
            grid.cell("DM", ipc, seed, [0.3, 0.31])
            grid.cell("DM+IID", ipc, seed, [0.4, 0.41])
    (line,) = _tables(grid)["across-main-improvement"].rows
    assert [entry.text for entry in line] == [
        "DM+IID over DM",
        "100.0",
        "[62.5, 100.0]",
    ]
    assert line[1].emphasis == "clear"


@pytest.mark.parametrize(
    "other", [{"protocol": "strict"}, {"split": "validation"}, {"experiment": "b"}]
)
def test_cells_of_different_kinds_are_never_aggregated(grid, other):
    for method in ("Random", "DM"):
        grid.cell(method, 1, 0, [0.5, 0.6])
        grid.cell(method, **({"ipc": 10, "seed": 0, "accuracies": [0.5, 0.6]} | other))
    assert not [slug for slug in _tables(grid) if slug.startswith("across")]


def test_cells_over_data_sets_and_networks(grid):
    for dataset in ("digits", "mnist"):
        for network in ("ConvNet", "AlexNet"):
            for method in ("Random", "DM"):
                grid.cell(method, 1, 0, [0.5, 0.6], dataset=dataset, network=network)
    assert "4 cells" in _tables(grid)["across-main-iqm"].title


def test_a_data_set_of_the_users_own_counts_its_classes_in_the_rows(grid):
    for ipc in (1, 10):
        for method in ("Random", "DM"):
            grid.cell(method, ipc, 0, [0.5, 0.5], dataset="mine")
    assert "across-main-iqm" not in _tables(grid)
    for cell in grid.cells:
        row = {
            "key": cell.evaluation_key,
            "network_index": 0,
            "accuracy": 0.5,
            "class_accuracies": [0.5] * 5,
        }
        grid.write("evaluations", cell.evaluation_key, [row])
    assert _texts(_tables(grid)["across-main-iqm"])[0][1] == "37.5"  # (0.5 − 0.2) / 0.8


def test_nothing_measured_is_no_table(grid):
    grid.cell("DM", 1, 0)
    assert _tables(grid) == {}
