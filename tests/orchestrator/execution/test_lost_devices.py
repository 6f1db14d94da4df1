"""GPUs that break processes: when they are used, kept out of use, and when a unit is to blame."""

import pytest

from orchestrator.execution import lost_devices
from orchestrator.execution.lost_devices import DeviceNotes, keep_until_over, release_name
from orchestrator.execution.run_units import compute_unit


@pytest.fixture
def notes(harness):
    return DeviceNotes(harness.store, "r")


def lose(notes, device, *units):
    for unit in units:
        notes.add(device, "", [unit], "illegal access")


def test_a_gpu_is_out_of_use_after_three_processes_in_a_row(notes):
    lose(notes, "a", "1", "2")
    assert notes.judge("a", ["3"], gpus=2) == "use"
    notes.forget("a")  # it computed a unit
    lose(notes, "a", "1", "2", "3")
    assert notes.judge("a", ["4"], gpus=2) == "keep" and notes.judge("b", ["4"], gpus=2) == "use"


def test_a_unit_that_breaks_several_gpus_is_to_blame_and_they_are_used_again(notes):
    lose(notes, "a", "1", "1", "1")
    assert notes.judge("a", ["1"], gpus=2) == "keep" and notes.judge("b", ["1"], gpus=2) == "use"
    lose(notes, "b", "1")
    assert notes.judge("b", ["1"], gpus=2) == "blame"
    notes.forget_unit(["1"])
    assert notes.judge("a", ["2"], gpus=2) == "use"


def test_with_a_single_gpu_a_unit_that_breaks_it_each_time_is_to_blame(notes):
    lose(notes, "a", "1", "1", "1")
    assert notes.judge("a", ["1"], gpus=1) == "blame"
    lose(notes, "a", "2")
    assert notes.judge("a", ["2"], gpus=1) == "keep"


def test_notes_of_other_launches_do_not_count_and_go_with_their_own(notes, harness):
    lose(DeviceNotes(harness.store, "other"), "a", "1", "2", "3")
    lose(notes, "a", "1")
    assert notes.judge("a", ["4"], gpus=2) == "use" and len(notes.read()) == 1
    notes.forget()
    assert notes.read() == {} and len(DeviceNotes(harness.store, "other").read()) == 3


@pytest.mark.parametrize("way", ["release", "stop", "over"])
def test_a_gpu_out_of_use_is_let_go_when_the_launch_is_over(harness, monkeypatch, way):
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if way == "release":
            harness.store.storage.put(release_name("r"), b"")
        elif way == "stop":
            harness.store.stop_signal("r").set()

    monkeypatch.setattr(lost_devices.time, "sleep", sleep)
    keep_until_over(harness.store, "r", lambda: way == "over" and len(waits) == 1)
    assert len(waits) == 1


def test_a_unit_on_a_lost_gpu_is_no_failure(harness, units, settings):
    harness.behave({"fail": "CUDA error: an illegal memory access was encountered"})
    result = compute_unit(units[0], settings, device="cuda")
    assert result.status == "lost" and "illegal memory access" in result.reason
    assert harness.store.read("failures").num_rows == 0
    assert compute_unit(units[0], settings, device="cpu").status == "failed"
