"""Which GPUs units see: Ray takes our word for it that there are two."""

import io
import json
from collections import Counter

import pytest
import ray
from rich.console import Console

from orchestrator.cluster import preflight
from orchestrator.launch.summary import print_summary
from orchestrator.planning.plan import Plan
from orchestrator.units import Select


@pytest.fixture
def two_gpus(no_ray, harness_modules, monkeypatch):
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    ray.init(
        "local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        logging_level="error",
        log_to_driver=False,
    )
    yield
    ray.shutdown()


def test_two_units_share_a_gpu_and_those_without_see_none(harness, two_gpus, monkeypatch):
    import data_runner

    (harness.data / "pets" / "train").mkdir(parents=True)
    meet = {"workers": 4, "folder": str(harness.data)}
    (harness.data / "pets" / "meet").write_text(json.dumps(meet))
    plan = data_runner.make_plan(units=6)
    chosen = [
        Select(dataset=data_runner.DATASET, protocol="paper", method="random", ipc=1, seed=seed)
        for seed in range(2)
    ]
    cells = [data_runner.build_cell(unit) for unit in chosen]
    plan = Plan(
        units={**{unit.key: unit for unit in chosen}, **plan.units}, cells=(*cells, *plan.cells)
    )
    monkeypatch.setattr(preflight, "read_gpu_memory", lambda: 40 * 2**30)
    console = Console(file=io.StringIO(), width=200)
    assert harness.launch(plan, runner="data_runner:run_unit", console=console).exit_code == 0
    shown = console.file.getvalue()
    assert "4 at a time with 1 CPU and 0.5 GPU each" in shown and "GiB of 40.0 GiB" in shown

    def seen(kind):
        units = (unit for unit in plan.units.values() if unit.kind == kind)
        return {(harness.store.fetch_folder(unit.key) / "device.txt").read_text() for unit in units}

    assert seen("distill") == {"cuda 0", "cuda 1"}
    assert seen("select") == {"cpu "}


def launch_fragile(harness, monkeypatch, behavior, **options):
    import data_runner

    harness.data.mkdir(exist_ok=True)
    (harness.data / "behavior.json").write_text(json.dumps(behavior))
    plan = data_runner.make_plan(units=options.pop("units", 12))
    monkeypatch.setattr(preflight, "read_gpu_memory", lambda: 40 * 10**9)
    console = Console(file=io.StringIO(), width=200)
    summary = harness.launch(
        plan, runner="fragile_runner:run_unit", console=console, gpus_per_trial=1.0
    )
    print_summary(summary, console)
    return summary, console.file.getvalue()


@pytest.mark.slow  # siblings: test_lost_devices, test_device_errors, test_plan_searcher
def test_an_error_that_stays_costs_its_worker_and_no_unit(harness, two_gpus, monkeypatch):
    summary, _ = launch_fragile(harness, monkeypatch, {"at": 3}, units=24)
    assert summary.exit_code == 0 and len(harness.store.find_done_keys()) == 24
    tries = Counter(harness.events("start"))
    assert sorted(tries.values()) == [1] * 23 + [2] and summary.deaths == 1


@pytest.mark.slow
def test_a_gpu_that_breaks_one_process_after_the_other_costs_no_unit(
    harness, two_gpus, monkeypatch
):
    summary, _ = launch_fragile(harness, monkeypatch, {"bad": "0", "pause": 2.0})
    assert summary.exit_code == 0 and len(harness.store.find_done_keys()) == 12
    on_bad = [line for line in harness.log() if line[3] == "0"]
    assert 1 <= len(on_bad) <= 3  # Tune may not ask for it again
    assert summary.deaths == len(on_bad)
    left = [name for name in harness.store.storage.entries("runs") if name.endswith(".device")]
    assert left == []
