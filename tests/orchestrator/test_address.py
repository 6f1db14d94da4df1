"""A launch on a Ray cluster that is already up, of two nodes on this machine."""

import pytest
import ray
from ray.cluster_utils import Cluster

from orchestrator import tuning
from orchestrator.launch import LaunchError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(harness_modules):
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def test_a_launch_joins_a_cluster_and_leaves_it_up(harness, small_plan, cluster, monkeypatch):
    plan, shared = small_plan(sets=1, extractors=2), []
    check, sees = tuning.check_store_is_shared, tuning._sees
    monkeypatch.setattr(tuning, "check_store_is_shared", lambda store: (check(store), shared.append(tuning._nodes())))
    harness.behave(**{key: {"meet": 2} for key, unit in plan.units.items() if unit.kind == "train_extractors"})
    summary = harness.launch(plan, address=cluster.address)
    assert (summary.exit_code, sum(summary.computed.values())) == (0, len(plan.units))
    assert len(shared[0]) == 2 and not ray.is_initialized()
    assert len({line[2] for line in harness.log()}) == 2  # one worker on each node
    (record,) = harness.store.runs()
    assert record["address"] == cluster.address

    monkeypatch.setattr(tuning, "check_store_is_shared", check)
    monkeypatch.setattr(tuning, "_sees", lambda marker: sees(marker + ".elsewhere"))
    with pytest.raises(LaunchError, match="does not see the store"):
        harness.launch(small_plan(sets=2), address=cluster.address)
    assert len(harness.store.runs()) == 1 and not list(harness.store.root.glob(".marker*"))


def test_a_cluster_that_is_not_there_is_named(harness, small_plan):
    with pytest.raises(LaunchError, match=r"127\.0\.0\.1:1"):
        harness.launch(small_plan(), address="127.0.0.1:1")
