"""Claims against rows written by hand; verdicts change as seeds are added."""

import dataclasses
import re

import pandas as pd
import pytest
from scipy import stats

from orchestrator.planning.plan import make_plan
from orchestrator.report.findings.claims import build_claims_table
from orchestrator.report.results import read_results
from search_spaces.claims import Claim, Pair
from search_spaces.load import load_space

GAIN = Claim(
    text="DM+IID − DM ≥ 1 on ConvNet",
    pairs=(Pair("DM+IID", "DM"),),
    networks=("ConvNet",),
    at_least=1.0,
)
DIFFERENCES = (0.031, 0.009, 0.022, 0.012, 0.028, 0.017, 0.013, 0.025, 0.019, 0.021)


def _rows(grid, *claims):
    plan = dataclasses.replace(grid.plan, claims=claims)
    table = build_claims_table(read_results(plan, grid.store))
    return {} if table is None else {row[0].text: row for row in table.rows}


def _add(grid, seed, difference, ipc=10):
    grid.cell("DM", ipc, seed, [0.50, 0.52])
    grid.cell("DM+IID", ipc, seed, [0.50 + difference, 0.52 + difference])


def _verdict(grid, claim=GAIN):
    return _rows(grid, claim)[claim.text][1].text


def test_an_undecided_claim_becomes_decided_when_seeds_are_added(grid):
    _add(grid, 0, DIFFERENCES[0])
    assert _verdict(grid) == "undecided: one seed says nothing about others"
    for seed in (1, 2):
        _add(grid, seed, DIFFERENCES[seed])
    undecided = _verdict(grid)
    more = int(re.fullmatch(r"undecided: (\d+) more seeds would decide", undecided)[1])
    assert 2 <= more <= 7
    for seed in range(3, 3 + more):
        _add(grid, seed, DIFFERENCES[seed])
    assert _verdict(grid) == "supported"


def test_seeds_that_agree_exactly_decide_nothing(grid):
    for seed in range(2):
        grid.cell("DM", 10, seed, [0.50])
        grid.cell("DM+IID", 10, seed, [0.53125])
    assert _verdict(grid) == "undecided: the seeds agree exactly, so their spread is not known"


def test_numbers_are_those_of_the_raw_rows(grid):
    for seed in range(5):
        _add(grid, seed, DIFFERENCES[seed])
    row = _rows(grid, GAIN)[GAIN.text]
    files = (grid.store / "tables" / "evaluations").glob("*.parquet")
    means = pd.concat(map(pd.read_parquet, files)).groupby("key").accuracy.mean()
    by_method = {"DM": [], "DM+IID": []}
    for cell in grid.cells:
        by_method[cell.method].append(100 * means[cell.evaluation_key])
    drops = pd.Series(by_method["DM+IID"]) - pd.Series(by_method["DM"])
    low, high = stats.t.interval(0.95, 4, drops.mean(), stats.sem(drops))
    assert row[2].text == f"{drops.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
    assert set(row[2].keys) == {cell.evaluation_key for cell in grid.cells}
    assert row[4].text == "DM+IID − DM, digits, IPC 10, ConvNet"
    assert row[5].text == "this search space"


def test_a_claim_without_a_size_has_to_hold_at_every_size(grid):
    for seed in range(4):
        _add(grid, seed, 0.05 + 0.001 * seed, ipc=10)
        _add(grid, seed, 0.001 * seed, ipc=50)
    row = _rows(grid, GAIN)[GAIN.text]
    assert row[2].text.startswith("smallest of 2: +0.15 [")
    assert "IPC 50" in row[4].text
    assert row[1].text == "contradicted"
    only = dataclasses.replace(GAIN, ipc=(10,))
    assert _verdict(grid, only) == "supported"


def test_drops_are_claimed_too(grid):
    for seed in range(3):
        means = {"ConvNet": 0.5, "VGG11": 0.49 - 0.002 * seed, "AlexNet": 0.47 - 0.0001 * seed}
        for network, mean in means.items():
            grid.cell("DM", 10, seed, [mean + 0.007 * seed], network=network)
    claim = Claim(text="small drop", drops=("DM",), at_most=2.0)
    row = _rows(grid, claim)["small drop"]
    assert row[2].text.startswith("largest of 2: +3.0")
    assert "AlexNet" in row[4].text
    lenient = dataclasses.replace(claim, at_most=2.5, tolerance=1.0)
    assert _rows(grid, lenient)["small drop"][1].text == "supported"
    assert _rows(grid, lenient)["small drop"][3].text == "(tolerance 1)"
    named = dataclasses.replace(claim, at_most=9.0, networks=("AlexNet", "ResNet18"))
    text = _rows(grid, named)["small drop"][1].text
    assert text == "undecided: 1 of 2 cells measured"


def test_claims_of_the_paper_on_other_images_are_not_comparable(grid):
    for seed in range(3):
        grid.cell("DM", 10, seed, [0.50])
        grid.cell("DM+CC", 10, seed, [0.52 + 0.001 * seed])
    row = _rows(grid)["class centralization alone helps"]
    assert row[2].text.startswith("+2.10 [")
    assert row[1].text == "not comparable: measured on digits"
    assert row[5].text.startswith("ablation of arXiv 2404.00563")


def test_without_its_methods_a_claim_has_no_row(grid):
    grid.cell("Random", 10, 0, [0.5])
    assert _rows(grid, GAIN) == {}


SPACE = """
name: small
settings: {seeds: 3, datasets: cifar10, extractors: {count: 1000}}
claims: ["DM+IID − DM ≥ 1 at IPC 10"]
experiments:
  - name: main
    methods: [DM, DM+IID, IDM, IDM+IID]
    ipc: [1, 10, 50]
"""
GAINS = "gains up to 6.6 points over the base on CIFAR-10"


@pytest.fixture
def judged(grid, tmp_path):
    """Makes the verdicts of a space with the published settings, from gains by method and IPC."""

    def make(gains, *overrides, more=""):
        (tmp_path / "space.yaml").write_text(SPACE + more)
        plan = make_plan(load_space(tmp_path / "space.yaml", overrides))
        for cell in plan.cells:
            gain = gains.get((cell.method, cell.ipc))
            if gain is not None:
                grid.units[cell.evaluation_key] = plan.units[cell.evaluation_key]
                grid.evaluate(cell, [0.4 + gain + 0.001 * cell.seed * ("IID" in cell.method)])
        table = build_claims_table(read_results(plan, grid.store))
        return {row[0].text: row for row in table.rows}

    return make


def test_an_up_to_claim_takes_the_largest_of_its_comparable_cells(judged):
    base = {(method, ipc): 0.0 for method in ("DM", "IDM") for ipc in (1, 10, 50)}
    gains = {("DM+IID", 10): 0.09, ("DM+IID", 50): 0.01, ("IDM+IID", 10): 0.02}
    rows = judged(base | gains)
    row = rows[GAINS]
    assert row[3].text == "up to 6.6 (tolerance 0.5)"
    assert row[2].text.startswith("largest of 4: +9.10 [")  # at IPC 1, DM+IID is DM
    assert row[4].text == "DM+IID − DM, cifar10, IPC 10, ConvNet"
    assert row[1].text == "supported"
    assert rows["DM+IID − DM ≥ 1 at IPC 10"][1].text == "supported"


def test_a_missing_cell_keeps_an_up_to_claim_from_being_contradicted(judged):
    base = {(method, ipc): 0.0 for method in ("DM", "IDM") for ipc in (1, 10, 50)}
    row = judged(base | {("DM+IID", 10): 0.01})[GAINS]
    assert row[1].text == "undecided: 2 of 6 cells measured"


def test_a_comparable_cell_is_taken_before_one_of_more_seeds(judged):
    head = "  - {name: short, methods: [DM, DM+IID], ipc: 10, seeds: 5,"
    other = f"{head} distillation: {{iterations: 5}}}}\n"
    rows = judged({("DM", 10): 0.0, ("DM+IID", 10): 0.09}, more=other)
    assert not rows[GAINS][1].text.startswith("not comparable")


def test_other_settings_are_named(judged):
    gains = {("DM", 10): 0.0, ("DM+IID", 10): 0.09}
    row = judged(gains, "iterations=5")[GAINS]
    assert row[1].text.startswith("not comparable: iterations 5, not 20,000")
    assert row[2].text.startswith("+9.10 [")
