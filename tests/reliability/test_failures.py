"""Units that raise, diverge or run out of memory, in one launch: told, and nothing else is
touched.
"""

import io
import os

import pytest
import ray
from harm import MARKS_OF_AN_ATTEMPT, compute_here, results
from rich.console import Console

from orchestrator.cluster.resources import ResourceRequest
from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.launch.status import read_status
from orchestrator.launch.summary import print_summary
from orchestrator.planning.planned_work import find_pending
from orchestrator.store import tables
from orchestrator.store.verification.verify import verify


@pytest.fixture(scope="module")
def ray_with_a_gpu(no_ray, harness_modules):
    """Ray with two CPUs and, by its word, a GPU."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    ray.init(
        "local",
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        logging_level="error",
        log_to_driver=False,
    )
    yield
    ray.shutdown()


def launched(grid, **resources):
    console = Console(file=io.StringIO(), width=300)
    how = RunOptions(
        data_root=grid.data,
        resources=ResourceRequest(**resources),
        runner="fake_runner:run_unit",
        checkpoint_seconds=0.0,
        tensorboard=False,
    )
    work = find_pending(grid.plan, grid.store.find_done_keys())
    summary = launch(work, grid.store, how, space="small", console=console)
    print_summary(summary, console)
    return summary, console.file.getvalue()


@pytest.mark.slow
def test_failures_are_told_and_the_rest_is_done(make_grid, ray_with_a_gpu):
    grid = make_grid(sets=5, evaluations=2)
    raises, diverges, starved, short, fine = [
        u for u in grid.plan.units.values() if u.kind == "distill"
    ]
    grid.behave(
        **{
            raises.key: {"fail": "no such thing"},
            diverges.key: {"fail": "mean is nan at iteration 7; lower lr_img"},
            starved.key: {"out_of_memory": 9},
            short.key: {"out_of_memory": 1},
        }
    )
    summary, text = launched(grid, gpus=0.5)
    assert summary.exit_code == 1 and "Traceback (" not in text
    assert {failure.unit.key: failure.error for failure in summary.failures} == {
        raises.key: "ValueError",
        diverges.key: "ValueError",
        starved.key: "OutOfMemoryError",
    }
    assert "mean is nan at iteration 7" in text
    bad = {unit.key for unit in (raises, diverges, starved)}
    assert {unit.parents[0] for unit in summary.blocked} == bad and len(summary.blocked) == 6
    assert grid.events("start").count(starved.key) == grid.events("start").count(short.key) == 2

    notes = {row["key"]: row for row in tables.read(grid.store.tables, "failures").to_pylist()}
    assert set(notes) == bad and all(
        "Traceback" in notes[unit.key]["traceback"] for unit in (raises, starved)
    )
    counts = read_status(grid.store).counts
    assert (counts["failed"].total(), counts["blocked"].total(), counts["done"].total()) == (
        3,
        6,
        7,
    )
    for unit in (short, fine):
        assert grid.store.is_done(unit)

    grid.behave()
    summary, _ = launched(grid)
    assert summary.exit_code == 0 and sum(summary.computed.values()) == 9
    assert (
        tables.read(grid.store.tables, "failures").num_rows == 0
        and verify(grid.store).findings == ()
    )
    unharmed = make_grid("unharmed")
    for unit in grid.plan.units.values():
        compute_here(unharmed, unit)
        elsewhere = MARKS_OF_AN_ATTEMPT | {"dtype"}  # which a row says after the device
        assert results(grid.store, unit, elsewhere) == results(unharmed.store, unit, elsewhere)
