"""A harness that runs plans with a unit function that needs no torch, and can be told to
misbehave.
"""

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cluster.resources import ResourceRequest
from orchestrator.execution.trial import TrialSettings
from orchestrator.launch.options import RunOptions
from orchestrator.planning.planned_work import find_pending
from orchestrator.store.open import open_store
from orchestrator.store.store import Store

HARNESS = Path(__file__).parent / "harness"
RUNNER = "fake_runner:run_unit"


@dataclass
class Harness:
    """A store, a data folder with the runner's behavior and log, and ways to launch."""

    store: Store
    data: Path

    def behave(self, default=None, **by_key):
        """Tell the runner how all units behave, and single ones by key."""
        self.data.mkdir(exist_ok=True)
        told = {"default": default or {}, **by_key}
        (self.data / "behavior.json").write_text(json.dumps(told))

    def log(self):
        """What the runner wrote: [event, key, pid, value] each."""
        path = self.data / "log"
        return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []

    def events(self, event):
        """The keys to which something happened, in order."""
        return [line[1] for line in self.log() if line[0] == event]

    def launch(self, plan, **options):
        from orchestrator.launch.launch import launch

        how = {"checkpoint_seconds": 0.0, "tensorboard": False, "runner": RUNNER}
        names = {"cpus_per_trial": "cpus", "gpus_per_trial": "gpus", "address": "address"}
        asked = {names[name]: options.pop(name) for name in names.keys() & options.keys()}
        how |= {name: options.pop(name) for name in how.keys() & options.keys()}
        run_options = RunOptions(data_root=self.data, resources=ResourceRequest(**asked), **how)
        work = find_pending(plan, self.store.find_done_keys())
        return launch(work, self.store, run_options, **{"space": "small"} | options)

    def drive(self, sets):
        """Launch the small plan in a process group of its own."""
        command = [
            sys.executable,
            str(HARNESS / "driver.py"),
            self.store.address,
            str(self.data),
            str(sets),
        ]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def harness(tmp_path, harness_modules):
    made = Harness(open_store(tmp_path / "store"), tmp_path / "data")
    made.behave()
    return made


@pytest.fixture(scope="session")
def s3_server():
    """A local server of S3; its address and credentials are in the environment, where users have
    theirs.
    """
    import logging

    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "user",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield server
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def s3_url(s3_server, tmp_path, monkeypatch):
    """URL of a folder in a new bucket; this machine's local copy is below `tmp_path`."""
    import fsspec

    bucket = f"bucket-{uuid.uuid4().hex}"
    fsspec.filesystem("s3").mkdir(bucket)
    monkeypatch.setenv("IID_STORE_CACHE", str(tmp_path / "copies"))
    return f"s3://{bucket}/some/store"


@pytest.fixture
def s3_harness(tmp_path, s3_url, harness_modules):
    """The harness with its store on S3."""
    made = Harness(open_store(s3_url), tmp_path / "data")
    made.behave()
    return made


@pytest.fixture(scope="session")
def small_plan(harness_modules):
    """Makes plans of a few units on three levels."""
    from plans import make_small_plan

    return make_small_plan


@pytest.fixture
def units(harness, small_plan):
    """A unit on each level: extractors, a set, an evaluation."""
    return list(small_plan(sets=1, evaluations=1).units.values())


@pytest.fixture
def settings(harness):
    """Of trials with the harness's unit function, which reports and saves every step."""
    return TrialSettings(
        store=str(harness.store.root),
        data_root=str(harness.data),
        run="run",
        runner=RUNNER,
        tensorboard=False,
        report_seconds=0.0,
        checkpoint_seconds=0.0,
    )


@pytest.fixture(scope="session")
def harness_modules():
    """Put the harness on the path of this process, and of those it starts."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HARNESS), *([before] if before else [])])
    sys.path.insert(0, str(HARNESS))
    yield
    sys.path.remove(str(HARNESS))
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def ray_on_two_cores(harness_modules, s3_server):
    """Ray with two CPUs, whose workers know where the server of S3 is.

    Starting it takes seconds, so it stays up for the modules that follow, until `no_ray`.
    """
    import ray

    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    if not ray.is_initialized():
        ray.init(
            "local", num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False
        )
