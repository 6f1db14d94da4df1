"""A store that version 0.1.0 wrote is read by this version: same keys, same tables, same means."""

import tarfile
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.planning.plan import make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.store.open import open_store
from orchestrator.store.verification.verify import verify
from search_spaces.load import load_space

KEPT = Path(__file__).parents[2] / "data" / "kept-store"
SPACE = KEPT / "kept.yaml"
IDENTITY = ["experiment", "dataset", "protocol", "split", "method", "ipc", "network"]
COUNTS = ["sets_planned", "sets", "networks"]
STATISTICS = ["mean", "std", "std_sets", "std_networks"]
"""Of the columns of `results.csv`, those that later versions must compute the same; intervals may
change with the method that computes them."""


@pytest.fixture
def kept(tmp_path):
    """The unpacked store, and a function that lists its files with their content."""
    with tarfile.open(KEPT / "store-0.1.0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")

    def contents():
        files = (path for path in (tmp_path / "store").rglob("*") if path.is_file())
        return {path.relative_to(tmp_path / "store"): path.read_bytes() for path in files}

    return open_store(tmp_path / "store"), contents


def test_verify_finds_nothing_to_do(kept):
    store, contents = kept
    before = contents()
    seen = verify(store)
    assert seen.findings == () and seen.units > 0
    assert contents() == before


def test_every_planned_unit_has_the_key_under_which_it_is_kept(kept):
    store, _ = kept
    plan = make_plan(load_space(str(SPACE)))
    done = store.find_done_keys()
    assert find_pending(plan, done).pending == () and done == plan.units.keys()
    assert {key: store.read_unit(key) for key in done} == dict(plan.units)


def test_a_run_computes_nothing_and_reports_the_same_results(kept, tmp_path, monkeypatch):
    store, contents = kept
    before = contents()
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["run", str(SPACE), "--store", "store", "--out", "report"])
    assert ended.exit_code == 0, ended.output
    assert f"Everything is already done: {len(store.find_done_keys())} units" in ended.output
    assert contents() == before

    order = ["experiment", "method", "keys"]
    old, new = (
        pd.read_csv(path).sort_values(order, ignore_index=True)
        for path in (KEPT / "results.csv", tmp_path / "report" / "tables" / "results.csv")
    )
    exact = [*IDENTITY, *COUNTS, "keys"]
    pd.testing.assert_frame_equal(new[exact], old[exact])
    pd.testing.assert_frame_equal(new[STATISTICS], old[STATISTICS], rtol=1e-12)
