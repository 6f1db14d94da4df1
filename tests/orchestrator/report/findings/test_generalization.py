"""Drops from rows written by hand, recomputed here from the raw Parquet rows."""

import math

import pandas as pd
import pytest
from scipy import stats

from orchestrator.report.findings.architectures import MATCHING
from orchestrator.report.findings.generalization import build_generalization_sections
from orchestrator.report.results import read_results

ACCURACIES = {
    "Random": {"ConvNet": (0.30, 0.33, 0.31), "VGG11": (0.28, 0.29, 0.29)},
    "DM": {"ConvNet": (0.50, 0.52, 0.51), "VGG11": (0.45, 0.46, 0.47)},
    "DM+IID": {"ConvNet": (0.55, 0.56, 0.54), "VGG11": (0.43, 0.41, 0.42)},
}


@pytest.fixture
def filled(grid):
    for method, by_network in ACCURACIES.items():
        for network, means in by_network.items():
            for seed, mean in enumerate(means):
                grid.cell(method, 10, seed, [mean - 0.01, mean + 0.01], network=network)
    return grid


def _tables(grid):
    results = read_results(grid.plan, grid.store)
    found = {}
    for section in build_generalization_sections(results):
        for table in (*section.tables, *section.details):
            found[table.slug] = [[entry.text for entry in row] for row in table.rows]
    return found


def _recompute(grid):
    """Drops per method, from the files of the store alone."""
    files = sorted((grid.store / "tables" / "evaluations").glob("*.parquet"))
    rows = pd.concat([pd.read_parquet(file) for file in files])
    by_key = rows.groupby("key").accuracy.mean()
    drops = {}
    for cell in grid.cells:
        sign = 1 if cell.network == "ConvNet" else -1
        by_seed = drops.setdefault(cell.method, {})
        by_seed[cell.seed] = by_seed.get(cell.seed, 0) + sign * by_key[cell.evaluation_key]
    return {method: pd.Series(by_seed) for method, by_seed in drops.items()}


def test_drops_are_those_of_the_raw_rows(filled):
    rows = {row[0]: row for row in _tables(filled)["main-digits-drops-ipc10"]}
    for method, drops in _recompute(filled).items():
        half = stats.t.ppf(0.975, 2) * drops.std() / math.sqrt(3)
        numbers = [100 * (drops.mean() + sign * half) for sign in (0, -1, 1)]
        mean, low, high = (f"{number:+.1f}".replace("-", "−") for number in numbers)
        assert rows[method][2] == f"{mean} [{low}, {high}]"
        assert rows[method][3] == rows[method][4] == rows[method][2], "one other network"
    assert rows["DM"][1] == "51.0"


def test_drops_beyond_those_of_random_images_are_paired(filled):
    rows = {row[0]: row for row in _tables(filled)["main-digits-relative-drops-ipc10"]}
    drops = _recompute(filled)
    beyond = 100 * (drops["DM"] - drops["Random"])
    half = stats.t.ppf(0.975, 2) * beyond.std() / math.sqrt(3)
    expected = f"{beyond.mean():+.1f} [{beyond.mean() - half:+.1f}, {beyond.mean() + half:+.1f}]"
    assert rows["DM"][1:] == ["beyond Random", expected.replace("-", "−")]
    assert "Random" not in rows


def test_the_whole_training_set_is_a_reference_too(filled):
    for network, mean in (("ConvNet", 0.9), ("VGG11", 0.88)):
        filled.cell("Whole", None, 0, [mean - 0.01, mean + 0.01], network=network)
    tables = _tables(filled)
    whole = tables["main-digits-drops-ipc10"][-1]
    # Its networks share no set: two differences of 0.02 give an error of √2 points, two degrees.
    half = 100 * stats.t.ppf(0.975, 2) * 0.01 * math.sqrt(2)
    assert whole[0] == "Whole"
    assert whole[2] == f"+2.0 [−{half - 2:.1f}, +{half + 2:.1f}]"
    rows = [row for row in tables["main-digits-relative-drops-ipc10"] if row[0] == "DM"]
    assert [row[1] for row in rows] == ["beyond Whole", "beyond Random"]
    assert rows[0][2].startswith("+3.0 [")  # 5 points, and 2 with all images


def test_ranks_and_their_agreement(filled):
    assert _tables(filled)["main-digits-ranks-ipc10"] == [
        ["Random", "3", "3"],
        ["DM", "2", "1"],
        ["DM+IID", "1", "2"],
        ["τ with ConvNet", "", "0.33"],  # two of three pairs agree
    ]


def test_one_network_or_no_matching_network_has_no_drops(grid):
    grid.cell("DM", 10, 0, [0.5], network="ConvNet")
    assert _tables(grid) == {}
    grid.cell("DM", 1, 0, [0.5], network="VGG11")
    grid.cell("DM", 1, 0, [0.5], network="AlexNet")
    assert _tables(grid) == {}


def test_a_sweep_over_matching_networks_is_a_matrix_of_drops(grid):
    accuracies = {
        ("ConvNet", "ConvNet"): (0.50, 0.52),
        ("ConvNet", "VGG11"): (0.40, 0.44),
        ("VGG11", "VGG11"): (0.60, 0.62),
        ("VGG11", "ConvNet"): (0.57, 0.61),
    }
    for (matching, network), means in accuracies.items():
        for seed, mean in enumerate(means):
            sweep = ((MATCHING, matching),)
            grid.cell("DM", 10, seed, [mean, mean], network=network, sweep=sweep)
    (rows,) = _tables(grid).values()
    assert [row[0] for row in rows] == ["ConvNet", "VGG11"]
    assert rows[0][1] == rows[1][2] == "matching"
    # Drops of 10 and 8 points: error 1, t = 12.7. Drops of 3 and 1: the same.
    assert rows[0][2] == "+9.0 [−3.7, +21.7]"
    assert rows[1][1] == "+2.0 [−10.7, +14.7]"
