import dataclasses
import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from distill_core.settings import DatasetRef, ExtractorSettings
from orchestrator.store import provenance, tables
from orchestrator.units import TrainExtractor, from_json


def test_columns_fill_the_shared_part_of_every_table():
    unit = TrainExtractor(
        dataset=DatasetRef(name="digits", version=3),
        protocol="strict",
        settings=ExtractorSettings(),
        index=1,
    )
    source = provenance.Provenance(run="r", device="cpu model", fingerprint="f", git_commit="c")
    columns = source.build_columns(unit)
    shared = set.intersection(
        *(set(tables.SCHEMAS[t].names) for t in ("evaluations", "distillations", "extractors"))
    )
    assert set(columns) == shared - {"seconds", "peak_memory", "network", "passes"}
    (row,) = tables.build("extractors", [columns]).to_pylist()
    assert from_json(row["spec"]) == unit and row["key"] == unit.key
    assert (row["dataset"], row["dataset_version"], row["protocol"]) == ("digits", 3, "strict")
    assert (row["dtype"], row["seed"]) == ("float32", None), "a processor has no TF32"
    on_gpu = dataclasses.replace(source, device="NVIDIA H200")
    assert on_gpu.build_columns(unit)["dtype"] == "tf32"
    assert {"python", "torch", "ray"} <= set(json.loads(row["versions"]))
    assert datetime.now(UTC) - row["finished"] < timedelta(minutes=1)


def test_run_ids_sort_by_time_and_differ():
    assert provenance.make_run_id() != provenance.make_run_id()
    assert provenance.make_run_id()[:8] == f"{datetime.now(UTC):%Y%m%d}"


def test_the_commit_of_a_checkout(tmp_path):
    provenance.read_git_commit.cache_clear()
    assert provenance.read_git_commit(tmp_path) is None

    def git(*arguments):
        names = [
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.org",
            "-c",
            "commit.gpgsign=false",
        ]
        command = ["git", "-C", str(tmp_path), *names, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD")
    provenance.read_git_commit.cache_clear()
    assert provenance.read_git_commit(tmp_path) == commit
    (tmp_path / "file").write_text("2")
    provenance.read_git_commit.cache_clear()
    assert provenance.read_git_commit(tmp_path) == f"{commit}-dirty"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_device_has_a_name_without_importing_torch(device):
    assert provenance.name_device(device)
