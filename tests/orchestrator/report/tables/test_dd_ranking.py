"""Tables of DD-Ranking's scores."""

import math
from dataclasses import replace

from orchestrator.report.results import read_results
from orchestrator.report.tables.aggregates import build_aggregate_tables


def _tables(grid):
    return {
        table.slug: table for table in build_aggregate_tables(read_results(grid.plan, grid.store))
    }


def _texts(table):
    return [[entry.text for entry in line] for line in table.rows]


def _percent(margin):
    return f"{100 * (math.exp(margin) - math.exp(-1)) / (math.e - math.exp(-1)):.1f}"


def test_label_robust_score_with_the_whole_training_set_of_another_experiment(grid):
    for seed in (0, 1):
        grid.cell("Random", 10, seed, [0.3])
        grid.cell("DM", 10, seed, [0.5])
        grid.cell("DM", 1, seed, [0.4])  # no random set of this size
    grid.cell("Whole", None, 0, [0.8], experiment="whole")
    table = _tables(grid)["scores-lrs"]
    score = _percent(0.5 * 0.2 - 0.5 * 0.3)
    assert _texts(table) == [
        ["digits", "ConvNet", "10", "DM", "+20.0", "+30.0", score, f"[{score}, {score}]"]
    ]
    assert len(table.rows[0][6].keys) == 5


def test_of_two_experiments_with_one_cell_the_larger_is_scored(grid):
    for seed in range(3):
        grid.cell("Random", 10, seed, [0.3])
        grid.cell("DM", 10, seed, [0.5])
    for method, accuracy in (("Random", 0.2), ("DM", 0.6)):
        grid.cell(method, 10, 7, [accuracy], experiment="other")
    grid.cell("Whole", None, 0, [0.8])
    assert [line[4] for line in _texts(_tables(grid)["scores-lrs"])] == ["+20.0"]


def test_no_label_robust_score_without_the_whole_training_set_of_the_same_network_and_protocol(
    grid,
):
    for method in ("Random", "DM"):
        grid.cell(method, 10, 0, [0.3])
    grid.cell("Whole", None, 0, [0.8], network="AlexNet")
    grid.cell("Whole", None, 0, [0.8], protocol="strict")
    assert "scores-lrs" not in _tables(grid)


def test_augmentation_robust_score_where_augmentation_is_swept(grid):
    accuracies = {
        ("Random", "none"): 0.3,
        ("Random", "flip"): 0.35,
        ("DM", "none"): 0.4,
        ("DM", "flip"): 0.65,
    }
    for (method, strategy), accuracy in accuracies.items():
        cell = grid.cell(method, 10, 0)
        grid.cells[-1] = _swept(grid, cell, strategy)
        grid.evaluate(grid.cells[-1], [accuracy, accuracy])
    table = _tables(grid)["scores-ars"]
    score = _percent((0.3 + 0.1) / 2)
    assert _texts(table) == [
        ["digits", "ConvNet", "10", "DM", "flip", "+30.0", "+10.0", score, f"[{score}, {score}]"]
    ]


def _swept(grid, cell, strategy):
    """The cell under another augmentation in its evaluation."""
    unit = grid.units[cell.evaluation_key]
    unit = replace(unit, settings=replace(unit.settings, dsa_strategy=strategy))
    grid.units[unit.key] = unit
    return replace(cell, sweep=(("evaluation.dsa_strategy", strategy),), evaluation_key=unit.key)
