"""Which GPUs units see: Ray takes our word for it that there are two."""

import io
import json

import pytest
import ray
from rich.console import Console

from orchestrator.cluster import preflight
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
