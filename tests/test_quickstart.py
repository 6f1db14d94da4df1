"""The command that users start with, on a smaller budget: killed, restarted, finished, reported,
and not done twice.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from orchestrator.planning.plan import make_plan
from orchestrator.store import tables
from orchestrator.store.open import open_store
from search_spaces.load import load_space

BUDGET = [
    "iterations=2",
    "epoch_eval_train=1",
    "extractors.epochs=1",
    "batch_real=4",
    "train_steps=1",
]
SMALL = [
    "methods=[Random, DM+IID]",
    "ipc=10",
    "seeds=1",
    "num_eval=1",
    "architectures=ConvNetW32",
    "extractors.network=ConvNetW8",
]
TIME_LIMIT = 600


def start(tmp_path, settings):
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "run",
        "quickstart",
        "--store",
        str(tmp_path / "store"),
    ]
    sets = [argument for setting in settings for argument in ("--set", setting)]
    return subprocess.Popen(
        [*command, *sets],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"COLUMNS": "120"},
    )


def done(store):
    """What every finished unit's DONE says: it names the launch that computed it, and when."""
    records = {}
    for path in store.root.glob("units/*/*/DONE"):
        if not path.parent.name.startswith("."):
            records[path.parent.name] = path.read_text()
    return records


def kill_at(process, store, count):
    """SIGKILL the driver once that many units are done."""
    deadline = time.monotonic() + TIME_LIMIT
    while len(done(store)) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    ("kills", "settings"),
    [
        pytest.param(1, [*BUDGET, *SMALL], id="once, small"),
        pytest.param(3, BUDGET, id="three times", marks=pytest.mark.slow),
    ],
)
def test_killed_the_quickstart_still_ends_and_no_unit_runs_twice(tmp_path, kills, settings):
    store = open_store(tmp_path / "store")
    units = make_plan(load_space("quickstart", settings)).units
    moments = sorted(random.Random(2024).sample(range(1, len(units) - 5), kills))
    seen = {}
    for moment in moments:
        kill_at(start(tmp_path, settings), store, moment)
        now = done(store)
        assert seen.items() <= now.items()
        seen = now
    last = start(tmp_path, settings)
    output, _ = last.communicate(timeout=TIME_LIMIT)
    assert last.returncode == 0, output
    finished = done(store)
    assert finished.keys() == units.keys()
    assert seen.items() <= finished.items(), "a unit that was done has been computed again"
    rows = tables.read(store.tables, "evaluations").to_pylist()
    assert len({(row["key"], row["network_index"]) for row in rows}) == len(rows)
    # A report of changed settings has a folder of its own, always the same one.
    assert len(list((tmp_path / "reports").glob("quickstart*/report.md"))) == 1
    assert "Methods × IPC" in output and "report.md" in output

    again = start(tmp_path, settings)
    output, _ = again.communicate(timeout=TIME_LIMIT)
    assert again.returncode == 0 and "Everything is already done" in output
    assert done(store) == finished
    assert len(list((tmp_path / "reports").glob("quickstart*/report.md"))) == 1
