"""Tables of class-incremental learning, recomputed from the raw rows."""

import dataclasses

import duckdb
import numpy as np
import pytest

from distill_core.settings import DatasetRef, EvaluationSettings
from orchestrator.planning.plan import Cell
from orchestrator.report.results import read_results
from orchestrator.report.tables.continual import build_continual_sections
from orchestrator.units import Continual, Select

CLASSES = 10


def _learn(grid, method, order, accuracies=None, *, steps=2, **cell):
    """Plan one class order of a method; accuracies (steps, networks) are its rows."""
    dataset = DatasetRef(name="digits")
    each = CLASSES // steps
    arrived = np.random.RandomState(order).permutation(CLASSES).tolist()
    sets = [
        Select(
            dataset=DatasetRef(name="digits", classes=tuple(arrived[i * each : (i + 1) * each])),
            protocol="paper",
            method={"Random": "random", "Herding": "herding"}.get(method, "k-center"),
            ipc=2,
            seed=order,
        )
        for i in range(steps)
    ]
    unit = Continual(
        dataset=dataset,
        protocol="paper",
        split="test",
        network="ConvNet",
        settings=EvaluationSettings(num_eval=3),
        seed=order,
        parents=tuple(part.key for part in sets),
    )
    grid.units |= {each.key: each for each in (*sets, unit)}
    grid.cells.append(
        Cell(
            experiment="continual",
            measure="continual",
            dataset="digits",
            protocol="paper",
            method=method,
            ipc=2,
            seed=order,
            network="ConvNet",
            steps=steps,
            set_key=None,
            evaluation_key=unit.key,
            **cell,
        )
    )
    if accuracies is not None:
        rows = [
            {
                "key": unit.key,
                "kind": "continual",
                "seed": order,
                "method": method,
                "ipc": 2,
                "split": "test",
                "steps": steps,
                "step": step,
                "classes": arrived[: step * each],
                "network": "ConvNet",
                "network_index": index,
                "accuracy": accuracy,
            }
            for step, networks in enumerate(accuracies, 1)
            for index, accuracy in enumerate(networks)
        ]
        grid.write("continual", unit.key, rows[::-1])


def _tables(grid):
    (section,) = build_continual_sections(read_results(grid.plan, grid.store))
    return {
        table.title.rpartition("ConvNet")[2]: table for table in (*section.tables, *section.details)
    }


def _texts(table):
    return [[entry.text for entry in line] for line in table.rows]


def test_accuracies_spread_and_differences_by_hand(grid):
    _learn(grid, "Random", 0, [[0.80, 0.90], [0.50, 0.60]])
    _learn(grid, "Random", 1, [[0.60, 0.70], [0.30, 0.40]])
    _learn(grid, "Herding", 0, [[0.90, 1.00], [0.60, 0.70]])
    tables = _tables(grid)
    assert tables[""].header == ("Method", "5 classes", "10 classes", "average")
    assert _texts(tables[""]) == [
        ["Random", "75.0 ± 11.2", "45.0 ± 11.2", "60.0 ± 11.2"],  # deviations 5, 15, 15, 5: √125
        ["Herding", "95.0 ± 5.0", "65.0 ± 5.0", "80.0 ± 5.0"],
    ]
    # Herding has one order, which says nothing about others.
    assert [entry.emphasis for entry in tables[""].rows[1]] == [None, None, None, None]
    assert _texts(tables[": differences"]) == [
        ["Herding − Random", *["+10.00 [+10.00, +10.00]"] * 3]
    ]  # order 0 alone
    spread = {(line[0], line[1]): line[2:] for line in _texts(tables[": spread"])}
    assert spread["Random", "average"][0] == "60.0 ± 11.2"
    assert spread["Random", "average"][2:] == ["14.1", "7.1", "2 × 2"]  # 20/√2; √(4·5²/2)


def test_numbers_are_recomputed_from_the_raw_rows(grid):
    rows = np.random.default_rng(0)
    for order in range(3):
        _learn(grid, "Random", order, rows.uniform(0.2, 0.6, (5, 3)), steps=5)
        _learn(grid, "Herding", order, rows.uniform(0.3, 0.9, (5, 3)), steps=5)
    tables = _tables(grid)
    raw = f"read_parquet('{grid.store}/tables/continual/*.parquet')"
    steps = duckdb.sql(
        f"select method, step, 100 * avg(accuracy), 100 * stddev_pop(accuracy) from {raw} group"
        " by all"
    ).fetchall()
    averages = duckdb.sql(
        "select method, 6, 100 * avg(a), 100 * stddev_pop(a) from (select method, seed,"
        f" network_index, avg(accuracy) as a from {raw} group by all) group by method"
    ).fetchall()
    assert len(steps) + len(averages) == 12
    printed = {line[0]: line[1:] for line in _texts(tables[""])}
    for method, column, mean, std in [*steps, *averages]:
        assert printed[method][column - 1] == f"{mean:.1f} ± {std:.1f}"
    paired = duckdb.sql(
        f"select a.step, 100 * avg(a.accuracy - b.accuracy) from {raw} a join {raw} b "
        "using (seed, step, network_index) where a.method = 'Herding' and b.method = 'Random' "
        "group by a.step order by a.step"
    ).fetchall()
    (line,) = _texts(tables[": differences"])
    assert [text.split(" ")[0] for text in line[1:6]] == [
        f"{d:+.2f}".replace("-", "−") for _, d in paired
    ]


def test_orders_that_are_missing_are_named(grid):
    _learn(grid, "Random", 0, [[0.8], [0.5]])
    _learn(grid, "Random", 1)
    _learn(grid, "Herding", 0)
    tables = _tables(grid)
    assert _texts(tables[""]) == [["Random", "80.0", "50.0", "65.0"], ["Herding", "–", "–", "–"]]
    assert tables[""].notes == ("1 of 2 class orders so far",)
    assert ": differences" not in tables


def test_nothing_done_yet_names_the_steps(grid):
    _learn(grid, "Random", 0)
    assert _tables(grid)[""].header == ("Method", "step 1", "step 2", "average")


def test_sequences_of_other_lengths_have_tables_of_their_own(grid):
    for steps in (2, 5):
        _learn(grid, "Random", 0, np.full((steps, 1), 0.5), steps=steps)
    (section,) = build_continual_sections(read_results(grid.plan, grid.store))
    assert [len(table.header) for table in section.tables] == [4, 7]
    assert len({table.slug for table in (*section.tables, *section.details)}) == 4


def test_a_space_without_class_incremental_learning_has_no_section(grid):
    grid.cell("DM", 1, 0, [0.5])
    assert build_continual_sections(read_results(grid.plan, grid.store)) == ()


@pytest.mark.parametrize("swept", [(("evaluation.lr_net", 0.1),), (("evaluation.lr_net", 0.2),)])
def test_a_swept_setting_is_part_of_the_name(grid, swept):
    _learn(grid, "Random", 0, [[0.8], [0.5]], sweep=swept)
    assert _texts(_tables(grid)[""])[0][0] == f"Random (lr_net {swept[0][1]})"


def test_methods_that_are_answered_by_the_same_units_do_not_differ(grid):
    _learn(grid, "Random", 0, [[0.8], [0.5]])
    grid.cells.append(dataclasses.replace(grid.cells[0], method="Herding"))
    assert _texts(_tables(grid)[": differences"]) == [["Herding − Random", *["same set"] * 3]]


def test_one_step_is_not_called_steps(grid):
    _learn(grid, "Random", 0, [[0.8]], steps=1)
    (section,) = build_continual_sections(read_results(grid.plan, grid.store))
    assert section.tables[0].title == "Class-incremental learning in 1 step, IPC 2, ConvNet"


def test_numbers_of_the_spread_name_their_units(grid):
    _learn(grid, "Random", 0, [[0.8], [0.5]])
    for line in _tables(grid)[": spread"].rows:
        assert all(entry.keys == (grid.cells[0].evaluation_key,) for entry in line[2:])
