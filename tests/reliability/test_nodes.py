"""Nodes that are killed and nodes that join while a grid is computed on three of them."""

import threading
import time
from contextlib import suppress

import pytest
import ray
from harm import replayable, wait_for
from ray.cluster_utils import Cluster

from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.planning.planned_work import find_pending

HEALTH = {"initial_delay_ms": 0, "period_ms": 500, "timeout_ms": 500, "failure_threshold": 2}


@pytest.fixture
def cluster(monkeypatch, harness_modules):
    """Three nodes of one CPU each beside a head without any."""
    for name, value in HEALTH.items():
        monkeypatch.setenv(f"RAY_health_check_{name}", str(value))
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(3):
        made.add_node(num_cpus=1)
    ray.init(address=made.address, logging_level="error", log_to_driver=False)
    yield made
    ray.shutdown()
    with suppress(ValueError):  # a launch that a failed test left running has just connected again
        made.shutdown()


@pytest.mark.slow
@pytest.mark.nightly
def test_a_node_dies_and_another_joins(make_grid, cluster):
    grid = make_grid()
    grid.behave({"steps": 20, "pause": 0.1})
    options = RunOptions(
        data_root=grid.data,
        runner="fake_runner:run_unit",
        checkpoint_seconds=0.05,
        tensorboard=False,
    )
    ended = []

    def run():
        ended.append(launch(find_pending(grid.plan), grid.store, options, space="small"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with replayable("node") as draw:
        wait_for(
            lambda: "distill" in {grid.plan.units[key].kind for key in grid.running()},
            "a set is distilled",
            300,
        )
        time.sleep(draw.uniform(0.5, 4.0))
        node = draw.choice(sorted(cluster.worker_nodes, key=lambda node: node.unique_id))
        cluster.worker_nodes.discard(node)
        node.kill_raylet()
        time.sleep(draw.uniform(1.0, 3.0))
        before = {line[2] for line in grid.log()}
        cluster.add_node(num_cpus=1)
        thread.join(600)
        assert ended and ended[0].exit_code == 0, ended
        grid.check()
        new = {line[2] for line in grid.log()} - before
        assert new, "the new node got no work"
        resumed = [line for line in grid.log() if line[0] == "resume"]
    repeats = len(grid.events("start")) - len(grid.plan.units)
    print(f"nodes killed: 1; joined: 1; second starts: {repeats}; resumed: {len(resumed)}")
