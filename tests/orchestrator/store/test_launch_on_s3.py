"""Launches on a store behind s3://, with local copies thrown away in between, as on other
machines.
"""

import dataclasses
import os
import shutil
import signal
import time
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from orchestrator.launch.status import read_status
from orchestrator.store.open import open_store
from orchestrator.store.verification.verify import repair, verify

SPACE = """
name: tiny
settings:
  datasets: digits
  seeds: 1
  distillation: {network: ConvNetW16D2, iterations: 4, batch_real: 8}
  extractors: {count: 1, network: ConvNetW16D2, epochs: 1, batch_train: 64}
  evaluation: {num_eval: 2, epoch_eval_train: 2, batch_train: 64}
experiments:
  - name: methods
    methods: [Random, DM+CC]
    ipc: 1
    architectures: ConvNetW16D2
"""


def forget_copies():
    """Be another machine: one with the same credentials and nothing else."""
    shutil.rmtree(os.environ["IID_STORE_CACHE"], ignore_errors=True)


def chains(store, plan):
    return {key: (store.fetch_intact_folder(key) / "chain.txt").read_text() for key in plan.units}


def test_a_launch_computes_everything_once_and_nothing_again(
    s3_harness, small_plan, ray_on_two_cores, harness
):
    plan = small_plan(sets=2)
    assert s3_harness.launch(plan).exit_code == 0
    assert sorted(s3_harness.events("end")) == sorted(plan.units)
    forget_copies()
    store = open_store(s3_harness.store.address)
    assert s3_harness.launch(plan).run is None and store.find_done_keys() == set(plan.units)
    harness.launch(plan)
    assert chains(store, plan) == chains(harness.store, plan)
    keys = [row["key"] for row in store.read("evaluations").to_pylist()]
    assert sorted(keys) == sorted(
        key for key, unit in plan.units.items() if unit.kind == "evaluate"
    )
    assert set(read_status(store).counts["done"]) == {"train_extractors", "distill", "evaluate"}
    left = {name.split("/")[0] for name in store.storage.entries("")}
    assert left == {"units", "tables", "datasets", "runs", "plans"}
    assert verify(store).findings == () and verify(store).units == len(plan.units)


@pytest.mark.slow
def test_a_failure_blocks_and_is_done_later_elsewhere(s3_harness, small_plan, ray_on_two_cores):
    plan = small_plan(sets=2)
    bad = next(key for key, unit in plan.units.items() if unit.kind == "distill")
    s3_harness.behave(**{bad: {"fail": "no good"}})
    ended = s3_harness.launch(plan)
    assert ended.exit_code == 1 and [failure.reason for failure in ended.failures] == ["no good"]
    assert [note.reason for note in read_status(s3_harness.store).failures] == ["no good"]
    s3_harness.behave()
    forget_copies()
    assert s3_harness.launch(plan).exit_code == 0 and read_status(s3_harness.store).failures == ()


@pytest.mark.slow
def test_two_launches_at_once_compute_no_unit_twice(s3_harness, small_plan):
    plan = small_plan(sets=3)
    s3_harness.behave({"steps": 6, "pause": 0.1})
    drivers = []
    for name in "ab":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IID_STORE_CACHE", str(s3_harness.data.parent / name))
            drivers.append(s3_harness.drive(3))
    for driver in drivers:
        output, _ = driver.communicate(timeout=300)
        assert driver.returncode == 0, output
    assert sorted(s3_harness.events("start")) == sorted(plan.units)
    assert verify(s3_harness.store).findings == ()


@pytest.mark.slow
def test_the_driver_is_killed_and_another_machine_goes_on(s3_harness, small_plan):
    plan = small_plan(sets=3)
    s3_harness.behave({"steps": 20, "pause": 0.1})
    process = s3_harness.drive(3)
    deadline = time.monotonic() + 120
    while not (
        s3_harness.events("end") and s3_harness.store.storage.entries("checkpoints/distill")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    for worker in {int(line[2]) for line in s3_harness.log()}:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done, lines = s3_harness.store.find_done_keys(), len(s3_harness.log())
    forget_copies()
    output, _ = (last := s3_harness.drive(3)).communicate(timeout=300)
    assert last.returncode == 0, output
    assert not done & {line[1] for line in s3_harness.log()[lines:] if line[0] == "start"}
    resumed = [line for line in s3_harness.log()[lines:] if line[0] == "resume"]
    assert resumed and all(line[3] != "0" for line in resumed)
    assert s3_harness.store.find_done_keys() == set(plan.units)
    assert verify(s3_harness.store).intact
    assert "checkpoints" not in {
        name.split("/")[0] for name in s3_harness.store.storage.entries("")
    }


@pytest.fixture
def iid(tmp_path, monkeypatch):
    """Run the command line in a folder of its own; return the exit code and what it printed."""
    from orchestrator.cli.app import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def invoke(*arguments):
        ended = CliRunner().invoke(app, arguments)
        return ended.exit_code, ended.output

    return invoke


def test_the_command_line_works_on_a_url(tmp_path, s3_url, iid, ray_on_two_cores):
    (tmp_path / "tiny.yaml").write_text(SPACE)
    store = ("--store", s3_url)
    code, said = iid("run", "tiny.yaml", *store)
    assert code == 0 and f"Tables: {s3_url}/tables/*/*.parquet" in said, said
    assert not (tmp_path / "store").exists()

    forget_copies()
    code, said = iid("run", "tiny.yaml", *store, "--out", "again")
    assert code == 0 and "Everything is already done: 4 units" in said
    assert list((tmp_path / "again" / "pictures").glob("*.png"))
    assert _tables(tmp_path / "again") == _tables(tmp_path / "reports" / "tiny")
    assert "Nothing to run: " + s3_url in iid("plan", "tiny.yaml", *store)[1]
    code, said = iid("status", *store)
    assert code == 0 and "tiny.yaml" in said
    code, said = iid("verify", *store)
    assert code == 0 and "4 units" in said and "everything is as it was computed" in said

    opened = open_store(s3_url)
    key = next(key for key in opened.find_done_keys() if opened.read_unit(key).kind == "distill")
    assert (
        iid("export", key, "--format", "dc", "--out", "set", *store)[0] == 0
        and (tmp_path / "set").is_dir()
    )
    assert (
        f"already done: {s3_url}/units/distill/{key}/DONE; delete that"
        in iid("unit", key, *store)[1]
    )
    sets = ("--architectures", "MLP", "--num-eval", "1", "--set", "epoch_eval_train=1")
    code, said = iid("evaluate", key, "--dataset", "digits", *sets, *store, "--out", "measured")
    assert code == 0, said


def _tables(folder):
    return {path.name: path.read_bytes() for path in (folder / "tables").glob("*.csv")}


def test_a_missing_store_and_a_missing_bucket_are_told_in_one_line(s3_url, iid):
    for url, reason in (
        (s3_url, "there is none in s3://"),
        ("s3://there-is-none/store", "there is no such bucket"),
    ):
        for command in ("status", "verify"):
            code, said = iid(command, "--store", url)
            assert code == 2 and reason in said and said.count("\n") == 1


def test_a_node_says_whether_it_sees_the_store(s3_harness, ray_on_two_cores):
    from orchestrator.cluster import preflight

    nodes, _ = preflight.check_nodes(s3_harness.store, s3_harness.data, [])
    assert len(nodes) == 1 and s3_harness.store.storage.entries("") == {}
    question = preflight.NodeProbe(
        store="", marker=".marker.a", data_root="", datasets=(), folders=()
    )
    elsewhere = preflight.probe_node(
        dataclasses.replace(question, store="s3://there-is-none/store")
    )
    assert not elsewhere.sees_store and elsewhere.store_error is None
    assert (
        "use a folder, or s3://"
        in preflight.probe_node(dataclasses.replace(question, store="ftp://a/b")).store_error
    )


# Verifying


@pytest.fixture
def made(s3_harness, small_plan, ray_on_two_cores):
    plan = small_plan(sets=1, evaluations=1)
    s3_harness.launch(plan)
    return s3_harness, plan


def of_kind(plan, kind):
    return next(unit for unit in plan.units.values() if unit.kind == kind)


def test_what_is_damaged_is_set_aside_and_computed_again(made):
    from rich.console import Console

    from orchestrator.cli.commands.verify import show_verification

    harness, plan = made
    store, unit = harness.store, of_kind(plan, "distill")
    evaluation = of_kind(plan, "evaluate")
    before = chains(store, plan)
    attempt = store.read_done_record(unit.key)["attempt"]
    store.storage.put(f"{attempt}/chain.txt", b"other")
    store.storage.put(f"tables/evaluations/{evaluation.key}.parquet", b"half")
    store.storage.put("runs/broken.json", b"{half")
    store.storage.put("tables/evaluations/00.parquet", b"strange")
    found = {(finding.place, finding.action) for finding in verify(store).findings}
    assert found == {
        (f"units/distill/{unit.key}/chain.txt", "recompute"),
        (f"tables/evaluations/{evaluation.key}.parquet", "publish"),
        ("runs/broken.json", "set aside"),
        ("tables/evaluations/00.parquet", "set aside"),
    }
    console = Console(file=open(os.devnull, "w"), width=200)  # noqa: SIM115, PTH123
    assert show_verification(store, console) == 1
    assert show_verification(store, console, mend=True) == 0
    assert not store.is_done(unit) and f"{attempt[:6]}" == "units/"
    aside = store.storage.entries("damaged/1")
    assert {
        f"units/{unit.kind}/{unit.key}/DONE",
        f"{attempt}/chain.txt",
        "runs/broken.json",
    } <= set(aside)
    assert harness.launch(plan).exit_code == 0 and harness.events("end").count(unit.key) == 2
    assert chains(open_store(store.address), plan) == before and verify(store).findings == ()


@pytest.mark.parametrize(
    "damage",
    [
        b"{half",
        pytest.param(b"{}", marks=pytest.mark.slow),
        pytest.param(b"\xff", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_mark_is_set_aside(made, damage):

    harness, plan = made
    store, unit = harness.store, of_kind(plan, "evaluate")
    store.storage.put(f"units/{unit.kind}/{unit.key}/DONE", damage)
    findings = verify(store).findings
    assert [(f.place, f.action, f.key) for f in findings if f.action == "recompute"] == [
        (f"units/{unit.kind}/{unit.key}/DONE", "recompute", unit.key)
    ]
    repair(store, findings)
    assert harness.launch(plan).exit_code == 0
    repair(store, verify(store).findings)
    assert verify(store).intact and store.is_done(unit)


def test_a_verified_store_is_left_as_it_was(made):
    store = made[0].store
    before = store.storage.entries("")
    verify(store)
    assert store.storage.entries("") == before and not list(store.root.glob(".*"))
