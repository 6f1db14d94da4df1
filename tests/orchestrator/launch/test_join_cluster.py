"""A launch on a Ray cluster that is already up: two nodes on this machine, each with a data folder
of its own.
"""

import dataclasses
import json
import os
import re
import shutil
import socket
import threading

import pytest
import ray
from ray.cluster_utils import Cluster

from distill_core.datasets.info import DatasetError
from orchestrator.cluster import dataset_transfer, head_node, preflight
from orchestrator.errors import LaunchError
from orchestrator.store import tables
from orchestrator.units import ImportExtractor

pytestmark = pytest.mark.usefixtures("no_ray")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What the second node has: a data folder, and a place for what is sent to it."""
    return {
        dataset_transfer.NODE_DATA: tmp_path_factory.mktemp("node-data"),
        dataset_transfer.NODE_CACHE: tmp_path_factory.mktemp("node-cache"),
    }


@pytest.fixture(scope="module")
def cluster(harness_modules, folders):
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(
        num_cpus=1, env_vars=os.environ | {name: str(path) for name, path in folders.items()}
    )
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def runner(harness_modules):
    import data_runner

    return data_runner


@pytest.fixture
def pets(harness):
    """A data set in the data folder of this machine."""
    folder = harness.data / "pets" / "train"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.png").write_bytes(name.encode() * 1000)
    return folder.parent


def test_a_launch_joins_a_cluster_and_leaves_it_up(harness, small_plan, cluster, folders):
    plan = small_plan(sets=1, extractors=2)
    harness.behave(
        **{key: {"meet": 2} for key, unit in plan.units.items() if unit.kind == "train_extractors"}
    )
    for name in (
        "behavior.json",
        "log",
    ):  # the harness's runner talks to the test through the data folder
        (harness.data / name).touch()
        (folders[dataset_transfer.NODE_DATA] / name).symlink_to(harness.data / name)
    summary = harness.launch(plan, address=cluster.address)
    assert (summary.exit_code, sum(summary.computed.values())) == (0, len(plan.units))
    assert not ray.is_initialized()
    assert len({line[2] for line in harness.log()}) == 2  # one worker on each node
    (record,) = harness.store.read_runs()
    assert record["address"] == cluster.address and not list(harness.store.root.glob(".marker*"))


def test_a_data_set_goes_to_the_nodes_that_lack_it_once(harness, cluster, folders, pets, runner):
    kept = folders[dataset_transfer.NODE_CACHE]
    (pets / "meet").write_text(json.dumps({"workers": 2, "folder": str(harness.data)}))
    plan = runner.make_plan(units=4)
    summary = harness.launch(plan, address=cluster.address, runner="data_runner:run_unit")
    assert summary.exit_code == 0, summary.failures
    rows = tables.read(harness.store.tables, "distillations")
    roots = {
        harness.store.fetch_folder(key).joinpath("root.txt").read_text()
        for key in rows["key"].to_pylist()
    }
    (place,) = kept.iterdir()
    assert roots == {str(harness.data), str(place)} and place.name.startswith("pets@1-")
    assert (place / "pets/train/cat/1.png").read_bytes() == b"cat" * 1000
    shown = place.stat().st_ino

    assert (
        harness.launch(
            runner.make_plan(units=6), address=cluster.address, runner="data_runner:run_unit"
        ).exit_code
        == 0
    )
    assert [path.stat().st_ino for path in kept.iterdir()] == [
        shown
    ]  # it is still there, nothing was put beside it


@pytest.mark.slow
def test_what_a_node_cannot_get_is_said_before_anything_starts(
    harness, cluster, folders, pets, runner
):
    launch = {"address": cluster.address, "runner": "data_runner:run_unit"}
    absolute = dataclasses.replace(runner.DATASET, name="elsewhere", path=str(pets))
    harness.launch(
        runner.make_plan(units=1, dataset=absolute), **launch
    )  # the two nodes share this machine's folders
    above = dataclasses.replace(runner.DATASET, name="above", path="../data/pets")
    with pytest.raises(
        LaunchError, match=r"does not have data set above@1, and \.\./data/pets is outside"
    ):
        harness.launch(runner.make_plan(units=1, dataset=above), **launch)
    shutil.rmtree(pets)
    with pytest.raises(DatasetError, match="pets: no train"):
        harness.launch(runner.make_plan(units=7), **launch)
    there = folders[dataset_transfer.NODE_DATA] / "pets" / "train"
    there.mkdir(parents=True)
    with pytest.raises(LaunchError, match=r"does not have data set pets@1, nor does this machine"):
        harness.launch(runner.make_plan(units=7), **launch)
    shutil.rmtree(there.parent)
    assert len(harness.store.read_runs()) == 1


@pytest.mark.slow
def test_a_node_that_joins_later_gets_a_data_set_when_it_asks(
    harness, cluster, folders, pets, runner
):
    ray.init(cluster.address, logging_level="error", log_to_driver=False)
    try:
        _, archives = preflight.check_nodes(harness.store, harness.data, [])
        assert archives.sent == {}
        places = [
            ray.get(
                preflight._pin_to_node(node, dataset_transfer.find_data_root).remote(
                    dataset, harness.data, archives
                )
            )
            for node in ray.nodes()
            for dataset in (runner.DATASET, dataclasses.replace(runner.DATASET, path=str(pets)))
        ]
    finally:
        ray.shutdown()
    kept = folders[dataset_transfer.NODE_CACHE]
    assert (
        sum(place == harness.data for place in places) == 2
    )  # here, and what is no part of the data folder
    (sent,) = (place for place in places if place.parent == kept)
    assert (sent / "pets/train/cat/1.png").read_bytes() == b"cat" * 1000


def test_nodes_are_asked_for_store_software_and_folders(harness, cluster, runner, monkeypatch):
    ray.init(cluster.address, logging_level="error", log_to_driver=False)
    try:
        nodes, archives = preflight.check_nodes(harness.store, harness.data, [])
        assert [(node.cpus, node.gpus) for node in nodes] == [
            (1, 0),
            (1, 0),
        ] and archives.sent == {}
        pool = ImportExtractor(
            dataset=runner.DATASET, network="ConvNet", pool="mine", index=0, folder="/nowhere/pool"
        )
        pool = dataclasses.replace(
            pool, dataset=dataclasses.replace(runner.DATASET, name="digits", format=None, path=None)
        )
        with pytest.raises(LaunchError, match="does not see /nowhere/pool"):
            preflight.check_nodes(harness.store, harness.data, [pool])
        ours = preflight.read_software()
        monkeypatch.setattr(preflight, "read_software", lambda: ours | {"torch": "1.0"})
        there = r"node [\d.]+/[0-9a-f]{6}"  # two nodes of one machine are told apart
        with pytest.raises(
            LaunchError, match=rf"{there} has torch .*, the machine that launches has 1\.0; install"
        ):
            preflight.check_nodes(harness.store, harness.data, [])
        monkeypatch.setattr(preflight, "read_software", lambda: ours | {"code": "12345678"})
        with pytest.raises(LaunchError, match="has other code of this package"):
            preflight.check_nodes(harness.store, harness.data, [])
        monkeypatch.undo()
        monkeypatch.setattr("orchestrator.store.atomic_files.write", lambda *written: None)
        with pytest.raises(LaunchError, match="does not see the store"):
            preflight.check_nodes(harness.store, harness.data, [])
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_node_that_joins_later_with_other_software_ends_the_launch(
    harness, cluster, pets, runner, monkeypatch
):
    check = preflight.check_nodes

    def asked_too_early(*asked):
        nodes, archives = check(*asked)
        return nodes, dataclasses.replace(
            archives, software=archives.software | {"code": "12345678"}
        )

    monkeypatch.setattr(preflight, "check_nodes", asked_too_early)
    summary = harness.launch(
        runner.make_plan(units=7), address=cluster.address, runner="data_runner:run_unit"
    )
    assert summary.exit_code == 1 and not summary.computed
    assert re.match(
        r"node [\d.]+ has other code of this package than the machine that launches", summary.halted
    )
    assert (
        not harness.store.find_done_keys()
        and tables.read(harness.store.tables, "failures").num_rows == 0
    )


def test_the_last_cluster_s_address_is_tried_before_ray_waits_for_it(
    harness, small_plan, monkeypatch
):
    monkeypatch.setenv(
        "RAY_ADDRESS", "127.0.0.1:1"
    )  # as its file says after a cluster that ended without cleaning up
    asked = []
    monkeypatch.setattr("orchestrator.launch.join_cluster.ray.init", asked.append)
    with pytest.raises(LaunchError, match=r"no Ray cluster can be reached at 127\.0\.0\.1:1"):
        harness.launch(small_plan(), address="auto")
    assert asked == []


def test_a_cluster_that_is_not_there_is_named(harness, small_plan):
    with pytest.raises(LaunchError, match=r"127\.0\.0\.1:1"):
        harness.launch(small_plan(), address="127.0.0.1:1")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n", None], ids=["hangs up", "HTTP", "silent"]
)
def test_somebody_else_at_the_address_is_told_at_once(harness, small_plan, monkeypatch, answer):
    monkeypatch.setattr(head_node, "CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()
        threading.Thread(target=_answer, args=(server, answer, done), daemon=True).start()
        address = "{}:{}".format(*server.getsockname())
        with pytest.raises(LaunchError, match=f"no Ray cluster can be reached at {address}"):
            harness.launch(small_plan(), address=address)
        done.set()


def _answer(server, answer, done):
    connection, _ = server.accept()
    with connection:
        if answer is None:
            done.wait(30)
        else:
            connection.recv(100)
            connection.sendall(answer)


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:", "127.0.0.1:ray", ":6379"])
def test_an_address_is_host_and_port(harness, small_plan, address):
    with pytest.raises(LaunchError, match="is not HOST:PORT"):
        harness.launch(small_plan(), address=address)


@pytest.mark.parametrize("named", [False, True])
def test_auto_uses_a_token_that_is_there_unless_the_cluster_is_named(
    harness, small_plan, monkeypatch, named
):
    """As Ray does: `ray start --head` found the token on this machine, and others have not asked
    for it.
    """
    asked = []
    if named:
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    else:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def init(address, **options):
        asked.append(address)
        raise ConnectionError("not now")

    def use_token():
        asked.append("token")

    monkeypatch.setattr("orchestrator.launch.join_cluster.enable_token_auth", use_token)
    monkeypatch.setattr(
        "orchestrator.launch.join_cluster.find_running_cluster", lambda: "10.0.0.1:6379"
    )
    monkeypatch.setattr("orchestrator.launch.join_cluster.check_reachable", asked.append)
    monkeypatch.setattr("orchestrator.launch.join_cluster.ray.init", init)
    with pytest.raises(LaunchError, match=r"at 10\.0\.0\.1:6379: not now"):
        harness.launch(small_plan(), address="auto")
    assert asked == ["10.0.0.1:6379", *([] if named else ["token"]), "10.0.0.1:6379"]


def test_auto_is_a_cluster_that_was_started_to_be_joined(harness, small_plan, cluster, monkeypatch):
    """Not the private one of another launch, which Ray would take."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda folder: None)
    with pytest.raises(LaunchError, match="at auto: ray start has started none on this machine"):
        harness.launch(small_plan(), address="auto")
