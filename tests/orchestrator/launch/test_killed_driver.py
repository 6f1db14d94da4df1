"""SIGKILL for the driver, at moments drawn from a seed: nothing that was done is done again."""

import os
import random
import signal
import time

import pytest

from orchestrator.store import tables

ROUNDS = 3
SETS = 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20250131])
def test_the_driver_is_killed_and_started_again(harness, small_plan, seed):
    plan = small_plan(sets=SETS)
    harness.behave({"steps": 12, "pause": 0.1})
    moments = random.Random(seed)
    done_at_kill = []
    for _ in range(ROUNDS):
        before = len(harness.log())
        process = harness.drive(SETS)
        wait_for(lambda before=before: len(harness.log()) > before)
        time.sleep(moments.uniform(0.2, 2.0))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        time.sleep(moments.choice([0.0, 0.5]))
        done_at_kill.append((harness.store.find_done_keys(), len(harness.log())))
    output, _ = (last := harness.drive(SETS)).communicate(timeout=120)
    assert last.returncode == 0, output

    assert harness.store.find_done_keys() == set(plan.units)
    for done, lines in done_at_kill:
        started_later = {line[1] for line in harness.log()[lines:] if line[0] == "start"}
        assert not done & started_later
    assert harness.events("resume"), "no unit was caught in the middle: choose another seed"
    assert all(line[3] != "0" for line in harness.log() if line[0] == "resume")
    evaluations = tables.read(harness.store.tables, "evaluations")["key"].to_pylist()
    assert sorted(evaluations) == sorted(
        key for key, unit in plan.units.items() if unit.kind == "evaluate"
    )
    scratch = [
        path for path in (harness.store.root / "units").glob("*/*") if path.name.startswith(".")
    ]
    assert scratch == [] and not list((harness.store.root / "checkpoints").glob("*/*"))


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
