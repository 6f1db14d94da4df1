import pytest

from distill_core.settings import DatasetRef, ExtractorSettings
from orchestrator.cluster.resources import (
    MARGINS,
    GpuNeed,
    Node,
    allocate,
    choose_gpu_share,
    compute_gpu_need,
    should_use_gpus,
)
from orchestrator.errors import LaunchError
from orchestrator.planning.cost_model import PROCESS_BYTES, Estimate
from orchestrator.units import Select, TrainExtractor

GB = 2**30


def build_node(cpus=16.0, gpus=1.0, gpu_memory=40 * GB, name="10.0.0.1"):
    return Node(name=name, cpus=cpus, gpus=gpus, gpu_memory=gpu_memory)


@pytest.mark.parametrize(
    ("memory", "share"),
    [(1, 0.25), (9.1, 0.25), (9.6, 0.5), (19, 0.5), (19.1, 1), (39, 1), (41, 1)],
)
def test_a_unit_gets_the_part_of_a_gpu_that_its_memory_needs(memory, share):
    chosen, reason = choose_gpu_share(
        [build_node()], cpus=1, need=GpuNeed(units=100, memory=int(memory * GB))
    )
    assert chosen == share
    assert reason.startswith(
        f"{share:g} GPU per unit: the largest needs {memory:.1f} GiB of 40.0 GiB"
    )
    assert ("may not fit" in reason) == (memory > 40)


@pytest.mark.parametrize(
    ("nodes", "units", "share", "reason"),
    [
        ([build_node(gpus=0.0, gpu_memory=None)], 100, 0.0, ""),
        ([build_node(gpus=4.0)], 4, 1.0, "no more units than GPUs"),
        ([build_node(gpus=4.0)], 5, 0.25, "needs 1.0 GiB of 40.0 GiB"),
        ([build_node(gpu_memory=None)], 100, 1.0, "is not known"),
        ([build_node(), build_node(gpu_memory=None)], 100, 1.0, "is not known"),
        ([build_node(), build_node(gpu_memory=3 * GB)], 100, 0.5, "of 3.0 GiB"),
        ([build_node(), build_node(gpus=0.0, gpu_memory=None)], 100, 0.25, "of 40.0 GiB"),
        ([build_node(cpus=8.0, gpus=4.0)], 100, 0.5, "no more CPU cores"),
        ([build_node(cpus=1.0, gpus=4.0)], 100, 1.0, "no more CPU cores"),
    ],
)
def test_the_share_depends_on_the_cluster(nodes, units, share, reason):
    chosen, why = choose_gpu_share(nodes, cpus=1, need=GpuNeed(units=units, memory=GB))
    assert chosen == share and reason in why


def test_a_user_decides_and_the_slots_follow():
    need = GpuNeed(units=100, memory=GB)
    nodes = [
        build_node(cpus=8.0, gpus=2.0),
        build_node(cpus=3.0, gpus=1.0),
        build_node(gpus=0.0, gpu_memory=None),
    ]
    assert (
        allocate(nodes, cpus=None, gpus=None, need=need).slots == 2 * 2 + 2
    )  # half a GPU each, for the cores
    chosen = allocate(nodes, cpus=2.0, gpus=0.25, need=need)
    assert (chosen.cpus, chosen.gpus, chosen.slots, chosen.reason) == (2.0, 0.25, 4 + 1, "")
    assert allocate(nodes, cpus=None, gpus=0.0, need=need).slots == 8 + 3 + 16
    with pytest.raises(
        LaunchError,
        match="no node has 20 CPUs and 1 GPUs for a trial; the largest nodes have 16 CPUs",
    ):
        allocate(nodes, cpus=20.0, gpus=1.0, need=need)


def test_gpus_are_used_where_there_are_any_unless_the_user_says_otherwise():
    with_gpu, without = build_node(), build_node(gpus=0.0)
    assert [should_use_gpus(nodes, None) for nodes in ([without], [without, with_gpu])] == [
        False,
        True,
    ]
    assert [should_use_gpus([with_gpu], gpus) for gpus in (0.0, 0.5)] == [False, True]


def test_the_need_is_that_of_the_largest_unit_that_computes_on_a_gpu():
    dataset = DatasetRef(name="digits")
    pool = [
        TrainExtractor(dataset=dataset, protocol="paper", settings=ExtractorSettings(), index=i)
        for i in range(2)
    ]
    chosen = Select(dataset=dataset, protocol="paper", method="random", ipc=1, seed=0)
    costs = {
        pool[0].key: Estimate(seconds=1, memory=4 * GB, basis="measured"),
        pool[1].key: Estimate(seconds=1, memory=3 * GB, basis="model"),
        chosen.key: Estimate(seconds=1, memory=90 * GB, basis="model"),
    }
    need = compute_gpu_need([*pool, chosen], costs)
    assert need == GpuNeed(units=2, memory=int(4 * GB * MARGINS["measured"] + PROCESS_BYTES))
    assert compute_gpu_need(pool[1:], costs).memory == 3 * GB * MARGINS["model"]
    assert compute_gpu_need([chosen], costs) == GpuNeed(units=0, memory=0)


def test_a_node_is_named_with_what_it_has():
    assert str(build_node(cpus=8.0, gpus=2.0)) == "10.0.0.1 (8 CPU, 2 GPU of 40.0 GiB)"
    assert str(build_node(cpus=2.0, gpus=0.0, gpu_memory=None)) == "10.0.0.1 (2 CPU)"
