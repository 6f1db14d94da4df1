"""Tables of feature distributions, from hand-written rows."""

from distill_core.settings import FeatureSettings
from orchestrator.planning.plan import Cell
from orchestrator.report.results import read_results
from orchestrator.report.tables.features import build_feature_sections
from orchestrator.units import Embed


def _view(grid, method, seed, rows=None):
    """Plan the features of a set; rows are (label, class name, origin, spread, covariance
    distance).
    """
    made = grid.cell(method, 10, seed, [0.5])
    grid.cells.pop()
    unit = Embed(
        dataset=grid.units[made.evaluation_key].dataset,
        protocol="paper",
        settings=FeatureSettings(),
        seed=seed,
        parents=(made.set_key,),
    )
    grid.units[unit.key] = unit
    grid.cells.append(
        Cell(
            experiment="visualisation",
            measure="features",
            dataset="digits",
            protocol="paper",
            method=method,
            ipc=10,
            seed=seed,
            network="ResNet18",
            set_key=made.set_key,
            evaluation_key=unit.key,
        )
    )
    if rows is not None:
        names = ("label", "class_name", "origin", "spread", "covariance_distance")
        grid.write(
            "features",
            unit.key,
            [{"key": unit.key} | dict(zip(names, row, strict=True)) for row in rows],
        )


def _texts(table):
    return [[entry.text for entry in line] for line in table.rows]


def _rows(shift):
    return [
        (1, "one", "synthetic", 3.0 + shift, 1.0),
        (0, "zero", "real", 4.0, None),
        (0, "zero", "initial", 3.0, 2.0),
        (0, "zero", "synthetic", 1.0 + shift, 0.5),
        (1, "one", "real", 6.0, None),
        (1, "one", "initial", 5.0, 4.0),
    ]


def test_means_over_classes_and_sets(grid):
    _view(grid, "DM", 0, _rows(0.0))
    _view(grid, "DM", 1, _rows(1.0))
    (section,) = build_feature_sections(read_results(grid.plan, grid.store))
    assert section.title == "digits: features"
    (table,) = section.tables
    # After: means over classes 2 and 3 of the two sets.
    assert _texts(table) == [
        [
            "DM",
            "10",
            "ResNet18",
            "2",
            "5.00 ± 0.00",
            "4.00 ± 0.00",
            "2.50 ± 0.50",
            "3.00 ± 0.00",
            "0.750 ± 0.000",
        ],
    ]
    (classes,) = section.details
    assert _texts(classes) == [
        ["zero", "4.00", "3.00", "1.50", "2.00", "0.500"],
        ["one", "6.00", "5.00", "3.50", "4.00", "1.00"],
    ]


def test_what_a_set_does_not_have_stays_empty(grid):
    _view(
        grid, "DM", 0, [(0, None, "real", 12345.6, None), (0, None, "synthetic", 0.00123456, 2.0)]
    )
    _view(grid, "DM+IID", 0)
    (section,) = build_feature_sections(read_results(grid.plan, grid.store))
    assert _texts(section.tables[0]) == [
        ["DM", "10", "ResNet18", "1", "12346", "", "0.00123", "", "2.00"],
        ["DM+IID", "10", "ResNet18", "0", "–", "–", "–", "–", "–"],
    ]
    assert _texts(section.details[0])[0][0] == "0"


def test_sets_that_are_missing_are_named(grid):
    for seed in range(3):
        _view(grid, "DM", seed, _rows(0.0) if seed < 2 else None)
    (table,) = build_feature_sections(read_results(grid.plan, grid.store))[0].tables
    assert table.notes == ("2 of 3 sets so far",)
    assert {entry.notes for entry in table.rows[0][4:]} == {(1,)}


def test_nothing_done_yet_is_no_section(grid):
    _view(grid, "DM", 0)
    assert build_feature_sections(read_results(grid.plan, grid.store)) == ()
