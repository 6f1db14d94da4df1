"""A real grid on digits whose driver and workers are killed has the results that it has without
harm, bit for bit.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harm import COSTS, MARKS_OF_AN_ATTEMPT, kill, replayable, results, wait_for

from orchestrator.planning.plan import make_plan
from orchestrator.store.open import open_store
from orchestrator.store.verification.verify import verify
from search_spaces.load import load_space

DRIVER = Path(__file__).parent / "harness" / "space_driver.py"
SPACE = {
    "name": "digits",
    "settings": {
        "datasets": "digits",
        "seeds": 4,
        "distillation": {"network": "ConvNetW16", "iterations": 120, "batch_real": 32},
        "extractors": {"count": 2, "network": "ConvNetW16", "epochs": 8, "batch_train": 64},
        "evaluation": {"num_eval": 2, "epoch_eval_train": 40},
    },
    "experiments": [
        {
            "name": "all",
            "methods": ["Random", "DM", "DM+IID"],
            "ipc": [2, 5],
            "architectures": ["ConvNetW16", "MLP"],
        }
    ],
}
ROUNDS = 8


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_real_grid_survives_kills(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(json.dumps(SPACE))
    plan = make_plan(load_space(str(space)))
    assert len(plan.units) >= 60
    harmed, whole = open_store(tmp_path / "harmed"), open_store(tmp_path / "whole")

    def drive(store):
        with (tmp_path / "output").open("a") as output:
            command = [sys.executable, str(DRIVER), str(space), str(store.root), str(tmp_path)]
            return subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    assert drive(whole).wait(1800) == 0, (tmp_path / "output").read_text()[-3000:]
    killed = {"drivers": 0, "workers": 0}
    done = set()
    with replayable("digits", ROUNDS) as draw:
        for number in range(ROUNDS):
            process = drive(harmed)
            wait_for(lambda: list(harmed.root.glob("leases/[!.]*.json")), "a unit starts", 300)
            for _ in range(2):
                time.sleep(draw.uniform(0.5, 4.0))
                leases = sorted(harmed.root.glob("leases/[!.]*.json"))
                if leases and process.poll() is None:
                    killed["workers"] += _kill_holder(draw.choice(leases))
            time.sleep(draw.uniform(0.0, 4.0))
            if process.poll() is None:
                killed["drivers"] += kill(process.pid, session=number % 2 == 0)
            process.wait()
            assert done <= harmed.find_done_keys(), "a done unit was lost"
            done = set(harmed.find_done_keys())
        assert drive(harmed).wait(1800) == 0, (tmp_path / "output").read_text()[-3000:]
        assert harmed.find_done_keys() == set(plan.units) and verify(harmed).findings == ()
        for unit in plan.units.values():
            ours, theirs = (
                results(store, unit, MARKS_OF_AN_ATTEMPT | COSTS) for store in (harmed, whole)
            )
            assert ours == theirs, f"{unit.kind} {unit.key} has another result"
        assert "Traceback (" not in (tmp_path / "output").read_text()
    print(f"{len(plan.units)} units on digits; killed {killed}; all results equal bit for bit")


def _kill_holder(lease):
    try:
        return kill(json.loads(lease.read_text())["pid"])
    except FileNotFoundError:  # given back just now
        return False
