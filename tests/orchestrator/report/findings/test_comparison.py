"""Two methods, spaces or stores next to each other, from rows written by hand."""

import pytest

from orchestrator.report.findings.comparison import Side, compare_sides
from orchestrator.report.results import read_results


def _side(grid, label, method=None, store="store"):
    results = read_results(grid.plan, grid.store)
    return Side(label=label, results=results, store=store, method=method)


@pytest.fixture
def filled(grid):
    for seed in range(3):
        for ipc, gain in ((1, -0.02), (10, 0.05)):
            grid.cell("DM", ipc, seed, [0.50, 0.52])
            grid.cell("DM+IID", ipc, seed, [0.50 + gain, 0.52 + gain + 0.001 * seed])
    return grid


def _texts(table):
    return [[entry.text for entry in row] for row in table.rows]


def test_methods_are_paired_and_the_worst_cell_stands_first(filled):
    comparison = compare_sides(_side(filled, "DM+IID", "DM+IID"), _side(filled, "DM", "DM"))
    assert comparison.table.header[3:] == ("DM+IID", "DM", "difference")
    worst, best = _texts(comparison.table)
    assert worst[:3] == ["digits", "1", "ConvNet"]
    # −2.00, −1.95 and −1.90: error 0.0289, t = 4.30.
    assert worst[5] == "−1.95 [−2.07, −1.83]"
    assert best[1] == "10" and best[5] == "+5.05 [+4.93, +5.17]"
    assert (comparison.better, comparison.worse) == (1, 1)
    assert comparison.settings == ("lr_img 6, not 2",)  # what the fixture gives each method


def test_one_side_with_itself_is_the_same_set(filled):
    comparison = compare_sides(_side(filled, "a.yaml"), _side(filled, "a.yaml"))
    assert {row[-1] for row in _texts(comparison.table)} == {"same set"}
    assert comparison.table.header[3] == "Method"
    assert (comparison.better, comparison.worse, comparison.settings) == (0, 0, ())


def test_two_stores_are_compared_by_their_numbers(filled, make_grid, tmp_path):
    other = make_grid(tmp_path / "other")
    for seed in range(3):
        other.cell("DM", 1, seed, [0.40, 0.42])
    comparison = compare_sides(
        _side(filled, "a rather long name", store="a"), _side(other, "b", store="b")
    )
    (row,) = _texts(comparison.table)
    assert row == ["digits", "1", "ConvNet", "DM", "51.0 ± 1.0", "41.0 ± 1.0", row[-1]]
    assert row[-1] == "+10.00 [+10.00, +10.00]"
    assert comparison.table.header[4:6] == ("first", "second")


def test_nothing_in_common_is_no_comparison(filled):
    assert compare_sides(_side(filled, "DM", "DM"), _side(filled, "IDM", "IDM")) is None
