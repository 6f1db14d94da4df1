"""All data sets of an experiment in one table."""

import itertools

from orchestrator.report.results import read_results
from orchestrator.report.tables.aggregates import build_aggregate_tables


def _tables(grid):
    return {
        table.slug: table for table in build_aggregate_tables(read_results(grid.plan, grid.store))
    }


def _texts(table):
    return [[entry.text for entry in line] for line in table.rows]


def test_all_data_sets_in_one_table_as_papers_print_it(grid):
    for dataset, shift in (("svhn", 0.0), ("cifar10", 0.1)):
        for ipc, seed in itertools.product((1, 10), (0, 1)):
            grid.cell("Random", ipc, seed, [0.30 + shift, 0.32 + shift], dataset=dataset)
            grid.cell("DM", ipc, seed, [0.40 + shift, 0.42 + shift], dataset=dataset)
        grid.cell("Whole", None, 0, [0.9], dataset=dataset)
    grid.cell("DM", 10, 0, [0.99], dataset="mnist", protocol="strict")
    grid.cell("DM", 10, 0, [0.99], dataset="mnist", sweep=(("lr_img", 1.0),))
    grid.cell("DM+IID", 1, 0, dataset="cifar10")
    table = _tables(grid)["across-main-data-sets"]
    assert table.title == "Methods on all data sets: main (test accuracy, protocol paper)"
    assert table.header == ("Data set", "IPC", "Random", "DM", "Whole", "DM+IID")
    assert _texts(table) == [
        ["svhn", "1", "31.0 ± 1.0", "41.0 ± 1.0", "90.0", ""],
        ["svhn", "10", "31.0 ± 1.0", "41.0 ± 1.0", "90.0", ""],
        ["cifar10", "1", "41.0 ± 1.0", "51.0 ± 1.0", "90.0", "–"],
        ["cifar10", "10", "41.0 ± 1.0", "51.0 ± 1.0", "90.0", ""],
    ]
    assert [entry.emphasis for entry in table.rows[0]] == [None, None, "second", "best", None, None]
    assert "The best of each row is bold" in table.caption


def test_several_networks_on_a_data_set_are_no_table_of_data_sets(grid):
    for dataset in ("svhn", "cifar10"):
        grid.cell("DM", 1, 0, [0.5], dataset=dataset)
    grid.cell("DM", 1, 0, [0.5], dataset="svhn", network="AlexNet")
    assert "across-main-data-sets" not in _tables(grid)
