"""Edited custom code is told, wherever results of the old code are shown."""

import json

import pytest
from rich.console import Console

from distill_core.settings import DatasetRef, DistillationSettings, EvaluationSettings
from orchestrator.cli.commands.verify import show_verification
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.store.provenance import Provenance
from orchestrator.store.verification.changed_sources import (
    find_all_changed_sources,
    find_changed_sources,
)
from orchestrator.units import Distill, Evaluate, list_custom_names

DIGITS = DatasetRef(name="digits")


def distill(**changes):
    settings = DistillationSettings(network="ConvNetW4D1", iterations=1, **changes)
    return Distill(dataset=DIGITS, protocol="paper", ipc=1, settings=settings, seed=0)


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


def record(store, unit, table="distillations"):
    provenance = Provenance(run="r", device="cpu", fingerprint=None, git_commit=None)
    tables.write(
        store.tables / table / f"{unit.key}.parquet", table, [provenance.build_columns(unit)]
    )


def test_the_names_of_a_unit_are_found():
    reader = DatasetRef(name="d", format="a_reader:read", path="C:/data")
    unit = Evaluate(
        dataset=reader,
        protocol="paper",
        network="a_net:Net",
        settings=EvaluationSettings(),
        seed=0,
        split="test",
        parents=("0" * 16,),
    )
    assert list_custom_names(unit) == ("a_net:Net", "a_reader:read")
    assert list_custom_names(distill(loss="m:b@2", base="m:a")) == ("m:a", "m:b@2")
    assert list_custom_names(distill()) == ()


def test_edited_code_is_told_and_the_key_stays(store, plug_in, capsys):
    plug_in("hash_loss", "def f(a, b): return b.sum()\n")
    custom, plain = distill(loss="hash_loss:f"), distill()
    key = custom.key
    for unit in (custom, plain):
        record(store, unit)
    rows = tables.read(store.tables, "distillations").to_pylist()
    assert sorted(bool(row["sources"]) for row in rows) == [False, True]
    assert not find_changed_sources(store.tables, [custom, plain])
    plug_in("hash_loss", "def f(a, b): return 2 * b.sum()\n")
    assert distill(loss="hash_loss:f").key == key
    (changed,) = find_changed_sources(store.tables, [custom, plain])
    assert changed.keys == (key,) and "hash_loss:f@2 to compute them again" in changed.describe()
    assert find_all_changed_sources(store.tables) == [changed]
    assert not find_changed_sources(store.tables, [plain])
    show_verification(store, Console(width=200))
    assert "The code of hash_loss:f has changed since 1 unit used it" in capsys.readouterr().out


def test_code_that_is_gone_is_told(store, plug_in):
    file = plug_in("hash_gone", "f = 1\n")
    record(store, distill(loss="hash_gone:f@4"))
    file.unlink()
    (changed,) = find_all_changed_sources(store.tables)
    assert "hash_gone:f@4 is not found here" in changed.describe()


def test_rows_of_old_versions_are_passed_over(store, plug_in):
    plug_in("hash_old", "f = 1\n")
    unit = distill(loss="hash_old:f")
    record(store, unit)
    file = store.tables / "distillations" / f"{unit.key}.parquet"
    rows = [
        {**row, "sources": None} for row in tables.read(store.tables, "distillations").to_pylist()
    ]
    tables.write(file, "distillations", rows)
    assert not find_changed_sources(store.tables, [unit])
    tables.write(file, "distillations", [{**rows[0], "sources": json.dumps({"hash_old:f": None})}])
    assert not find_changed_sources(store.tables, [unit])
