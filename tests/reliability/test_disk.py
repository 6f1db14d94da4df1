"""A disk that fills up, and one that may not be written: a clear error, then the next launch makes
everything good.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from full_disk import FullDisk
from harm import DRIVER, Grid, compute_here, results

from orchestrator.errors import StoreError
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.store import leases
from orchestrator.store.cleanup import clean_up
from orchestrator.store.open import open_store
from orchestrator.store.verification.verify import verify

QUICK = {"steps": 2}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A grid of three units, computed without harm."""
    grid = Grid(tmp_path_factory.mktemp("whole"), sets=1, evaluations=1)
    grid.behave(QUICK)
    for unit in grid.plan.units.values():
        compute_here(grid, unit)
    return grid


@pytest.mark.parametrize("stays", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize(
    "step", [4, pytest.param(1, marks=pytest.mark.nightly)], ids=["some", "all"]
)
def test_whichever_write_meets_a_full_disk(whole, tmp_path, monkeypatch, step, stays):
    number, met = 1 - step, True
    while met:  # until there are fewer writes than that
        number += step
        grid = Grid(tmp_path / str(number), sets=1, evaluations=1)
        grid.behave(QUICK)
        settings = TrialSettings(
            store=str(grid.store.root),
            data_root=str(grid.data),
            run="r",
            runner="fake_runner:run_unit",
            tensorboard=False,
            checkpoint_seconds=0.0,
        )
        with FullDisk(grid.store.root, number, stays=stays).inserted(monkeypatch) as disk:
            ended = [
                compute_unit(unit, settings, device="cpu") for unit in grid.plan.units.values()
            ]
        met = disk.count >= number
        failed = [result for result in ended if result.status == "failed"]
        if failed:
            assert (
                failed[0].fatal
                and "free some space and run the same command again" in failed[0].reason
            )
        assert all(result.status in ("done", "present", "failed") for result in ended)
        for unit in grid.plan.units.values():  # what counts as done is right, whatever was refused
            if grid.store.is_done(unit):
                assert (grid.store.fetch_folder(unit.key) / "chain.txt").read_bytes() == chain(
                    whole, unit
                )
        for unit in grid.plan.units.values():
            compute_here(grid, unit)
            assert results(grid.store, unit) == results(whole.store, unit)
        assert verify(grid.store).intact
        clean_up(grid.store, grid.store.find_done_keys())
        assert verify(grid.store).findings == ()
    assert number > 60


def chain(grid, unit):
    return (grid.store.fetch_folder(unit.key) / "chain.txt").read_bytes()


def test_a_lease_survives_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch):
    lease = leases.acquire(open_store(tmp_path).storage, "0" * 16, "r")
    path = tmp_path / lease.name
    path.unlink()
    with FullDisk(tmp_path, 1, stays=True).inserted(monkeypatch):
        lease.touch()
    assert not lease.lost.is_set()
    lease.touch()
    assert path.exists() and not lease.lost.is_set()


# Real disks: a small file system in a mount namespace of its own


def in_namespace(script, *arguments):
    """Run a shell script where it may mount file systems; skip the test where that is forbidden."""
    probe = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]
    try:
        subprocess.run(probe, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine does not allow mount namespaces")
    shell = ["unshare", "-rm", "bash", "-c", script, "bash", sys.executable, *map(str, arguments)]
    return subprocess.run(shell, capture_output=True, text=True, timeout=300)


FULL = """
python=$1 driver=$2 store=$3 data=$4 copy=$5
mkdir -p "$store"; mount -t tmpfs -o size=200k none "$store"
"$python" "$driver" "$store" "$data" 12 4; echo "first $?"
mount -o remount,size=50m "$store"
"$python" "$driver" "$store" "$data" 12 4; echo "second $?"
cp -a "$store/." "$copy"
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_a_launch_on_a_disk_that_fills_up_says_so_and_the_next_one_continues(tmp_path):
    grid = Grid(tmp_path / "grid")
    grid.store.root.mkdir()
    ended = in_namespace(FULL, DRIVER, tmp_path / "mounted", grid.data, grid.store.root)
    said = ended.stdout + ended.stderr
    first, _, second = ended.stdout.partition("first 1")
    assert (
        "disk is full; free some space" in first
        and "Run the same command again to continue" in first
    ), said
    assert second.strip().endswith("second 0"), said
    assert "Traceback (" not in said
    grid.check()


READ_ONLY = """
python=$1 store=$2; shift 2
mount --bind "$store" "$store"; mount -o remount,ro,bind "$store"
for command in "$@"; do "$python" -m orchestrator $command --store "$store"; echo "exit $?"; done
"""
SPACE = """
name: tiny
settings: {datasets: digits, evaluation: {num_eval: 1, epoch_eval_train: 1, batch_train: 64}}
experiments: [{name: all, methods: Random, ipc: 1, seeds: 1, architectures: ConvNetW8D1}]
"""


def test_a_read_only_store_can_be_read_and_a_run_says_that_it_cannot_be_written(whole, tmp_path):
    space = tmp_path / "tiny.yaml"
    space.write_text(SPACE)
    options = f"{space} --data {tmp_path}"
    key = next(iter(whole.plan.units))
    commands = [
        "status",
        "verify",
        f"report {space} --out {tmp_path}/report",
        f"run {options}",
        f"unit {key}",
    ]
    whole.store.write_run("r", {"space": "small", "started": "2025-01-01"}, whole.plan.units)
    ended = in_namespace(READ_ONLY, whole.store.root, *commands)
    assert ended.stdout.count("exit 0") == 3 and "exit 2" in ended.stdout, (
        ended.stdout + ended.stderr
    )
    assert (
        f"error: store: {whole.store.root}" in ended.stderr
        and "choose another folder with --store" in ended.stderr
    )
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_to_write_is_refused(tmp_path):
    grid = Grid(tmp_path / "grid", sets=1, evaluations=1)
    grid.store.root.mkdir()
    Path(grid.store.root).chmod(0o500)
    with pytest.raises(StoreError, match="permissions"):
        grid.store.check_writable()
