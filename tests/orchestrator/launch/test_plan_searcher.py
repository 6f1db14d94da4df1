import dataclasses
import pickle

import pytest

from orchestrator.execution.lost_devices import release_name
from orchestrator.execution.trial import TrialSettings, UnitResult
from orchestrator.launch import plan_searcher as module
from orchestrator.launch.plan_searcher import Attempt, PlanSearcher
from orchestrator.launch.progress import LaunchProgress
from orchestrator.planning.planned_work import find_pending
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.store import leases, tables
from orchestrator.units import from_json


class Driver:
    """Tune's part: asks for trials and tells how they ended."""

    def __init__(self, store, plan, gpus=0.0, slots=0):
        self.schedule = ReadyQueue(find_pending(plan))
        self.progress = LaunchProgress(units=self.schedule.units)
        self.stop = False
        settings = TrialSettings(store=str(store.root), data_root="", run="run")
        self.searcher = PlanSearcher(
            self.schedule,
            store=store,
            settings=settings,
            gpus=gpus,
            progress=self.progress,
            stopping=lambda: self.stop,
            slots=slots,
        )
        self.trials = 0

    def suggest(self):
        self.trials += 1
        return self.searcher.suggest(str(self.trials))

    def unit(self):
        (unit,) = self.units()
        return unit

    def units(self):
        return [from_json(text) for text in self.suggest()["units"]]

    def complete(self, *statuses, **fields):
        """All units of the last trial ended so, or the trial itself with an error."""
        results = [
            dataclasses.asdict(UnitResult(status=status, **fields))
            for status in statuses
            if status is not None
        ]
        self.searcher.on_trial_complete(
            str(self.trials), result={"results": results}, error=not results
        )


@pytest.fixture
def driver(harness, small_plan):
    return Driver(harness.store, small_plan(sets=1, evaluations=1))


def test_units_come_when_their_parents_are_done_and_then_the_end(driver):
    kinds = []
    while (config := driver.suggest()) != PlanSearcher.FINISHED:
        kinds += [from_json(text).kind for text in config["units"]]
        assert driver.searcher.suggest("another") is None
        driver.complete("done")
    assert kinds == ["train_extractors", "distill", "evaluate"]


@pytest.mark.parametrize("status", ["failed", None])
def test_a_failure_blocks_what_depends_on_it(driver, status):
    driver.unit()
    driver.complete(status)
    assert driver.suggest() == PlanSearcher.FINISHED
    assert len(driver.schedule.blocked) == 2


def test_many_units_of_another_launch_are_each_looked_at_once(harness, small_plan, monkeypatch):
    """However long the looks take: what the first was put off to must not come before the last is
    looked at.
    """
    driver = Driver(harness.store, small_plan(sets=6, evaluations=1))
    driver.unit()
    driver.complete("done")
    clock, looked = [0.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def slow(storage, key, **options):
        clock[0] += module.BUSY_SECONDS / 2
        looked.append(key)
        return True

    monkeypatch.setattr(module.leases, "is_held", slow)
    assert driver.suggest() is None and len(looked) == len(set(looked)) == 6
    driver.stop = True
    assert driver.suggest() == PlanSearcher.FINISHED


def test_a_busy_unit_is_asked_for_again_after_a_while(driver, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    first = driver.unit()
    driver.complete("busy")
    assert driver.suggest() is None
    clock[0] += module.BUSY_SECONDS
    assert driver.unit() == first


def test_a_unit_that_another_launch_is_at_makes_no_trial(driver, harness, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    looked = []
    is_held = module.leases.is_held
    monkeypatch.setattr(
        module.leases, "is_held", lambda *a, **o: looked.append(a[1]) or is_held(*a, **o)
    )
    unit = next(iter(driver.schedule.units.values()))
    with leases.hold(harness.store.storage, unit.key, "other"):
        for _ in range(5):
            assert driver.suggest() is None
        assert driver.progress.held_elsewhere == {unit.key: unit} and looked == [unit.key]
        clock[0] += module.BUSY_SECONDS
        assert driver.suggest() is None and len(looked) == 2
    clock[0] += module.BUSY_SECONDS
    assert driver.unit() == unit


def test_a_lease_of_this_launch_is_no_reason_to_wait(driver, harness):
    unit = next(iter(driver.schedule.units.values()))
    with leases.hold(harness.store.storage, unit.key, "run"):
        assert driver.unit() == unit


def test_a_unit_whose_workers_died_too_often_fails_even_if_another_launch_had_it_in_between(
    driver, harness
):
    unit = driver.unit()
    for _ in range(module.MAX_DEATHS + 1):
        driver.progress.record_death(unit)
    driver.complete("busy")
    assert driver.suggest() == PlanSearcher.FINISHED
    assert driver.progress.failures[unit.key].reason == "its worker died 4 times"
    assert tables.read(harness.store.tables, "failures")["key"].to_pylist() == [unit.key]


@pytest.mark.parametrize("result", [None, {}, {"step": 1}, {"results": [{"status": "stopped"}]}])
def test_a_trial_that_ends_without_a_result_fails_its_unit_unless_the_launch_stops(
    driver, harness, result
):
    unit = driver.unit()
    driver.searcher.on_trial_complete("1", result=result)
    assert driver.suggest() == PlanSearcher.FINISHED
    assert (
        driver.progress.failures[unit.key].error == "NoResult" and len(driver.progress.blocked) == 2
    )


@pytest.mark.parametrize("result", [None, {"step": 1}, {"results": [{"status": "stopped"}]}])
def test_a_stopped_trial_is_no_failure(driver, result):
    driver.unit()
    driver.stop = True
    driver.searcher.on_trial_complete("1", result=result)
    assert driver.suggest() == PlanSearcher.FINISHED
    assert not driver.progress.failures and not driver.schedule.failed


def test_nothing_is_suggested_after_a_full_disk(harness, small_plan):
    driver = Driver(harness.store, small_plan(sets=2, extractors=2))
    driver.unit()
    driver.complete("failed", fatal=True, reason="the disk is full")
    assert driver.suggest() == PlanSearcher.FINISHED
    assert driver.progress.halted == "the disk is full"


def test_a_unit_that_another_launch_finished_needs_no_trial(driver, harness):
    unit = driver.unit()
    driver.complete("busy")
    with harness.store.scratch(unit) as workdir:
        harness.store.commit(unit, workdir, [{"key": unit.key}], run="other", finished="")
    driver.searcher._again = [(0.0, Attempt((unit,), 0.0))]
    assert driver.unit().kind == "distill"
    assert driver.progress.present == {"train_extractors": 1}


def test_out_of_memory_is_tried_on_a_whole_gpu_and_then_with_half_the_chunk(harness, small_plan):
    driver = Driver(harness.store, small_plan(sets=1, evaluations=1), gpus=0.25)
    assert driver.suggest()["gpus"] == 0.25
    driver.complete("failed", out_of_memory=True)
    config = driver.suggest()
    assert config["gpus"] == 1.0 and config["chunk_share"] == 1.0
    driver.complete("failed", out_of_memory=True)
    config = driver.suggest()
    assert config["gpus"] == 1.0 and config["chunk_share"] == 0.5
    driver.complete("failed", out_of_memory=True)
    assert driver.suggest() == PlanSearcher.FINISHED


def test_units_on_a_gpu_that_is_out_of_use_are_tried_elsewhere(harness, small_plan):
    driver = Driver(harness.store, small_plan(sets=1, evaluations=1), gpus=1.0, slots=2)
    unit, keeper = driver.unit(), str(driver.trials)
    for _ in range(2):  # Tune may tell it again
        driver.searcher.on_trial_result(keeper, {"kept": "node GPU 1", "reason": "illegal access"})
    assert driver.progress.lost_devices == {"node GPU 1": "illegal access"}
    assert driver.unit() == unit and not harness.store.storage.entry(release_name("run"))
    driver.complete("done")
    driver.unit(), driver.complete("done")
    driver.unit(), driver.complete("done")
    assert driver.suggest() == PlanSearcher.FINISHED
    assert harness.store.storage.entry(release_name("run"))  # its keeper may end now
    driver.searcher.on_trial_complete(keeper, result={"results": []})


def test_a_launch_without_a_gpu_that_works_ends_and_names_them(harness, small_plan):
    driver = Driver(harness.store, small_plan(sets=1, evaluations=1), gpus=1.0, slots=1)
    driver.suggest()
    driver.searcher.on_trial_result(str(driver.trials), {"kept": "node GPU 0", "reason": "ECC"})
    assert driver.suggest() == PlanSearcher.FINISHED
    assert driver.progress.halted == "no GPU is left: node GPU 0 broke one process after the other"


def test_nothing_is_suggested_once_the_launch_is_to_stop(driver):
    driver.stop = True
    assert driver.suggest() == PlanSearcher.FINISHED


def test_tune_may_pickle_it(driver):
    pickle.dumps(driver.searcher)
