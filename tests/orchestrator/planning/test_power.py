"""What planned seeds can see, from stated spreads and from those in a store."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.analysis.power import count_sets, find_detectable_difference
from orchestrator.planning.plan import make_plan
from orchestrator.planning.power import describe_power, estimate_power
from orchestrator.store import tables
from search_spaces.load import load_space

SPACE = """
name: small
settings: {seeds: SEEDS, datasets: digits, evaluation: {num_eval: 4}}
experiments:
  - name: main
    methods: [Random, DM, DM+IID]
    ipc: [1, 10]
"""


@pytest.fixture
def plan(tmp_path):
    def make(seeds=5):
        (tmp_path / "space.yaml").write_text(SPACE.replace("SEEDS", str(seeds)))
        return make_plan(load_space(tmp_path / "space.yaml"))

    return make


def _select(rows, ipc, first, second):
    return next(r for r in rows if (r.ipc, r.first, r.second) == (ipc, first, second))


def test_without_results_the_spread_is_stated(plan):
    rows = estimate_power(plan())
    row = _select(rows, 10, "DM+IID", "DM")
    # √(0.5² + 2 · 0.8² / 4) points.
    assert row.deviation == pytest.approx(0.00754983, rel=1e-4)
    assert (row.seeds, row.basis) == (5, "stated")
    assert row.detectable == find_detectable_difference(row.deviation, 5)
    assert row.wanted_seeds == count_sets(0.005, row.deviation)
    assert not [r for r in rows if (r.ipc, r.first, r.second) == (1, "DM+IID", "DM")], "same units"
    lines = describe_power(rows)
    assert lines[0].startswith("Differences that the planned seeds can see (80 % power")
    assert any(
        line.startswith("  DM+IID − DM, 5 seeds: 1.3 points; half a point") for line in lines
    )
    assert lines[-1].startswith("  Stated spread: 0.5 points")


def test_one_seed_sees_nothing(plan):
    rows = estimate_power(plan(1))
    assert {row.detectable for row in rows} == {None}
    assert "1 seed: none, which needs two" in describe_power(rows)[1]


def _write_rows(folder, key, accuracies):
    rows = [{"key": key, "network_index": i, "accuracy": a} for i, a in enumerate(accuracies)]
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=tables.SCHEMAS["evaluations"])
    pq.write_table(table, folder / f"{key}.parquet")


def test_spreads_in_the_store_replace_stated_ones(plan, tmp_path):
    made = plan()
    differences = {"DM": (0.10, 0.11, 0.12), "Random": (0, 0, 0)}
    for cell in made.cells:
        if cell.ipc == 10 and cell.seed < 3 and cell.method in differences:
            accuracies = [0.3 + differences[cell.method][cell.seed]] * 2
            _write_rows(tmp_path / "evaluations", cell.evaluation_key, accuracies)
    rows = estimate_power(made, tmp_path, set(made.units))
    own = _select(rows, 10, "DM", "Random")
    assert own.deviation == pytest.approx(0.01)  # 10, 11, 12 points
    assert own.basis == "its sets in the store"
    other = _select(rows, 10, "DM+IID", "Random")
    assert (other.deviation, other.basis) == (own.deviation, "other comparisons in the store")
    assert not any("Stated" in line for line in describe_power(rows))


def test_without_two_methods_there_is_nothing_to_compare(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE.replace("SEEDS", "3").replace("Random, DM, ", ""))
    rows = estimate_power(make_plan(load_space(tmp_path / "space.yaml")))
    assert rows == () and describe_power(rows) == []
