"""Cohorts: which sets go together, that each is what it is alone, and what becomes of the others
when one fails.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from distill_core.settings import DatasetRef, DistillationSettings
from distill_core.synthetic_set import SyntheticSet
from orchestrator.execution.run_units import compute_unit, compute_units
from orchestrator.execution.trial import TrialSettings, UnitResult
from orchestrator.execution.unit_functions import SET_FILE
from orchestrator.launch.display import format_line
from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.launch.plan_searcher import PlanSearcher
from orchestrator.launch.progress import LaunchProgress
from orchestrator.launch.ray_tune import ProgressCallback
from orchestrator.planning import cohorts
from orchestrator.planning.plan import make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.store import leases, tables
from orchestrator.store.open import open_store
from orchestrator.units import Distill, from_json, to_json
from search_spaces.load import load_space

BASE = DistillationSettings(network="ConvNetW4D2", iterations=4, batch_real=4)
WEIGHTS = [0.0, 0.01, 0.1]
SPACE = {
    "name": "grid",
    "settings": {
        "datasets": "digits",
        "seeds": 2,
        "distillation": {"network": "ConvNetW4D2", "iterations": 4, "batch_real": 4},
        "extractors": {"count": 1, "network": "ConvNetW4D1", "epochs": 1, "batch_train": 128},
        "evaluation": {"num_eval": 1, "epoch_eval_train": 1},
    },
    "experiments": [
        {
            "name": "weights",
            "methods": ["DM+IID"],
            "ipc": [2],
            "architectures": ["ConvNetW4D2"],
            "sweep": {"lambda_cc": WEIGHTS, "lambda_cm": WEIGHTS},
        }
    ],
}
COSTS = {
    "run",
    "finished",
    "seconds",
    "seconds_per_iteration",
    "peak_memory",
    "cohort",
    "git_commit",
}


def distill(**changes):
    fields = {
        "dataset": DatasetRef(name="digits"),
        "protocol": "paper",
        "ipc": 2,
        "seed": 0,
        "settings": BASE,
    }
    return Distill(**{**fields, **changes})


def cells(count=3, **changes):
    return [distill(settings=replace(BASE, lambda_cm=0.01 * i), **changes) for i in range(count)]


@pytest.fixture(scope="module")
def space_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("space") / "grid.yaml"
    file.write_text(json.dumps(SPACE))
    return file


@pytest.fixture(scope="module")
def plan(space_file):
    return make_plan(load_space(str(space_file)))


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"ipc": 3}, {"protocol": "strict"}, {"dataset": DatasetRef(name="mnist")}],
)
def test_units_of_other_draws_are_not_alike(change):
    assert cohorts.cohort_key(distill(**change)) != cohorts.cohort_key(distill())
    assert all(cohorts.cohort_key(unit) == cohorts.cohort_key(distill()) for unit in cells())


def test_units_are_shared_out_over_slots_pools_and_memory():
    units = cells(25)
    assert [len(cohort) for cohort in cohorts.split_into_cohorts(units, 2)] == [13, 12]
    assert [len(cohort) for cohort in cohorts.split_into_cohorts(units, 30)] == [1] * 25
    pools = [distill(), *cells(2, parents=("a",)), *cells(2, parents=("b",))]
    assert cohorts.split_into_cohorts(pools, 1) == [tuple(pools[:3]), tuple(pools[3:])]
    large = [replace(unit, dataset=DatasetRef(name="tinyimagenet"), ipc=50) for unit in units]
    assert cohorts.count_cohort_capacity(large[0]) == 2
    assert {len(cohort) for cohort in cohorts.split_into_cohorts(large, 1)} == {2, 1}


def test_a_base_of_ones_own_stays_alone():
    unit = distill(settings=replace(BASE, base="my:Base"))
    assert cohorts.cohort_key(unit) is None and cohorts.cohort_candidates([unit, unit]) == {}


def test_a_grid_is_handed_out_as_cohorts_one_a_slot(plan):
    schedule = ReadyQueue(find_pending(plan), slots=2)
    ((extractor,), *without) = take(schedule)
    assert extractor.kind == "train_extractors"
    assert sorted(map(len, without)) == [
        1,
        1,
        2,
        2,
    ]  # those with λ_CC = 0, of two seeds, on two slots
    schedule.finish(extractor.key, ok=True)
    rest = take(schedule)
    assert sorted(map(len, rest)) == [3, 3, 3, 3]
    assert all(len({unit.seed for unit in units}) == 1 for units in without + rest)


def take(schedule):
    """Everything that is ready."""
    taken = []
    while units := schedule.next():
        taken.append(units)
    return taken


class Driver:
    """Tune's part, without Ray."""

    def __init__(self, store, plan, gpus=0.0):
        self.schedule = ReadyQueue(find_pending(plan), slots=1)
        self.progress = LaunchProgress(units=self.schedule.units)
        settings = TrialSettings(store=str(store.root), data_root="", run="run")
        self.searcher = PlanSearcher(
            self.schedule,
            store=store,
            settings=settings,
            gpus=gpus,
            progress=self.progress,
            stopping=lambda: False,
        )

    def units(self, trial):
        config = self.searcher.suggest(trial)
        return [from_json(text) for text in config["units"]] if isinstance(config, dict) else config

    def complete(self, trial, *statuses, **fields):
        results = [{"status": status, **fields} for status in statuses]
        self.searcher.on_trial_complete(trial, result={"results": results}, error=not results)


@pytest.fixture
def driver(tmp_path, plan):
    made = Driver(open_store(tmp_path / "store"), plan)
    made.units("extractor")
    made.complete("extractor", "done")
    return made


def test_each_unit_of_a_cohort_is_settled_by_itself(driver):
    first, second, third = driver.units("cohort")[:3]
    assert len(driver.searcher._running["cohort"].units) == 9
    driver.complete("cohort", "done", "failed", "split", *["busy"] * 6)
    assert driver.schedule.succeeded >= {first.key} and driver.schedule.failed == {second.key}
    assert driver.units("alone") == [third]


def test_a_cohort_whose_workers_died_is_tried_one_by_one(driver):
    units = driver.units("cohort")
    driver.complete("cohort")
    assert [driver.units(f"alone {i}") for i in range(9)] == [[unit] for unit in units]
    driver.complete("alone 0")
    assert driver.schedule.failed == {units[0].key}


def test_a_unit_that_another_launch_has_is_left_out_of_its_cohort(driver, tmp_path):
    store = open_store(tmp_path / "store")
    waiting = [
        key
        for key, unit in driver.schedule.units.items()
        if unit.kind == "distill" and unit.seed == 0
    ]
    with leases.hold(store.storage, waiting[3], "other"):
        assert {unit.key for unit in driver.units("cohort")} == {*waiting} - {waiting[3]}
    assert set(driver.progress.held_elsewhere) == {waiting[3]}


@pytest.fixture
def settings(tmp_path):
    return TrialSettings(
        store=str(tmp_path / "store"), data_root=str(tmp_path), run="run", tensorboard=False
    )


def test_a_cohort_commits_what_each_unit_comes_to_alone(settings, tmp_path):
    units, store = cells(), open_store(tmp_path / "store")
    reports = []
    fast = replace(settings, report_seconds=0.0)
    ended = compute_units(
        units, fast, device="cpu", report=lambda place, report: reports.append((place, report.step))
    )
    assert [result.status for result in ended] == ["done"] * 3
    assert sorted(set(reports)) == [(place, step) for place in range(3) for step in range(1, 5)]
    alone = open_store(tmp_path / "alone")
    for unit in units:
        assert (
            compute_unit(unit, replace(settings, store=str(alone.root)), device="cpu").status
            == "done"
        )
    compare(store, alone, units)
    rows = tables.read(store.tables, "distillations").to_pylist()
    assert [row["cohort"] for row in rows] == [3] * 3
    assert [result.status for result in compute_units(units, settings, device="cpu")] == [
        "present"
    ] * 3


def test_who_diverges_or_is_held_elsewhere_leaves_the_others_alone(settings, tmp_path):
    wild, held, good = distill(settings=replace(BASE, lr_img=1e30)), *cells()[1:]
    store = open_store(tmp_path / "store")
    with leases.hold(store.storage, held.key, "other"):
        ended = compute_units([wild, held, good], settings, device="cpu")
    assert [result.status for result in ended] == ["failed", "busy", "done"]
    assert ended[0].error == "DistillationError" and "at iteration" in ended[0].reason
    assert tables.read(store.tables, "failures")["key"].to_pylist() == [wild.key]


@pytest.mark.parametrize(
    "error", ["torch.OutOfMemoryError('no memory left')", "RuntimeError('something else')"]
)
def test_what_ends_the_whole_cohort_has_its_units_tried_alone(
    settings, monkeypatch, tmp_path, error
):
    import torch

    def fail(*arguments, **options):
        raise eval(error, {"torch": torch})

    monkeypatch.setattr("distill_core.distillation.gradients.compute_gradients", fail)
    assert [result.status for result in compute_units(cells(), settings, device="cpu")] == [
        "split"
    ] * 3
    result = compute_unit(cells()[0], settings, device="cpu")
    assert result.status == "failed" and result.out_of_memory == error.startswith("torch.Out")
    assert not list((tmp_path / "store" / "leases").iterdir())


def test_a_stopped_cohort_goes_on_at_its_checkpoints_whoever_is_in_it(
    settings, monkeypatch, tmp_path
):
    monkeypatch.setattr("orchestrator.execution.context.STOP_CHECK_SECONDS", 0.0)
    units, store = cells(), open_store(tmp_path / "store")
    stop = store.stop_signal("run")

    def report(place, progress):
        if progress.step == 2:
            stop.set()

    fast = replace(settings, report_seconds=0.0)
    ended = compute_units(units, fast, device="cpu", report=report)
    assert [result.status for result in ended] == ["stopped"] * 3
    assert all(list(store.locate_checkpoints(unit).iterdir()) for unit in units)
    stop.clear()
    assert compute_unit(units[0], settings, device="cpu").status == "done"
    assert [result.status for result in compute_units(units[1:], settings, device="cpu")] == [
        "done"
    ] * 2
    alone = open_store(tmp_path / "alone")
    for unit in units:
        compute_unit(unit, replace(settings, store=str(alone.root)), device="cpu")
    compare(store, alone, units)


def test_time_left_counts_a_cohort_as_one_worker(plan):
    units = [unit for unit in plan.units.values() if unit.kind == "distill"]
    progress = LaunchProgress(
        units={unit.key: unit for unit in units}, expected={unit.key: 10.0 for unit in units}
    )
    for unit in units[:9]:
        progress.record_start(unit, together=9)
    assert progress.estimate_seconds_left() == pytest.approx(180, abs=1)
    progress.record_result(units[0], UnitResult(status="split"))
    assert units[0].key not in progress.running and not progress.failures


def test_a_worker_that_dies_of_a_cohort_is_held_against_none_of_its_units(tmp_path):
    units, store = cells(), open_store(tmp_path / "store")
    progress = LaunchProgress(units={unit.key: unit for unit in units})
    callback = ProgressCallback(progress, store, "run")
    trial = SimpleNamespace(config={"units": [to_json(unit) for unit in units]})
    for event in (callback.on_trial_recover, callback.on_trial_error):
        callback.on_trial_start(0, [], trial)
        assert {running.together for running in progress.running.values()} == {3}
        event(0, [], trial)
        assert not progress.running and not progress.deaths and not progress.failures
    assert tables.read(store.tables, "failures").num_rows == 0
    assert progress.workers_died == 2 and "2 workers died" in format_line(progress)


def compare(store, other, units):
    """The same sets and rows, but for what tells attempts apart."""
    for unit in units:
        ours, theirs = (
            SyntheticSet.load(place.fetch_folder(unit.key) / SET_FILE) for place in (store, other)
        )
        assert ours.images.equal(theirs.images) and ours.spec == theirs.spec
    for table in ("distillations", "evaluations"):
        ours, theirs = (
            {
                row["key"]: {name: value for name, value in row.items() if name not in COSTS}
                for row in rows
            }
            for rows in (tables.read(place.tables, table).to_pylist() for place in (store, other))
        )
        assert ours == theirs


@pytest.mark.usefixtures("ray_on_two_cores")
@pytest.mark.parametrize(
    ("overrides", "sets"),
    [(["seeds=1"], 9), pytest.param([], 18, marks=pytest.mark.slow)],
    ids=["small", "whole"],
)
def test_a_grid_on_ray_has_the_same_results_with_and_without_cohorts(
    space_file, overrides, sets, tmp_path
):
    plan = make_plan(load_space(str(space_file), overrides))
    together, alone = open_store(tmp_path / "together"), open_store(tmp_path / "alone")
    for store, cohorts_ in ((together, True), (alone, False)):
        options = RunOptions(data_root=tmp_path, tensorboard=False)
        summary = launch(find_pending(plan), store, options, space="grid", cohorts=cohorts_)
        assert summary.exit_code == 0 and summary.computed["distill"] == sets
    units = [unit for unit in plan.units.values() if unit.kind == "distill"]
    compare(together, alone, units)
    sizes = [row["cohort"] for row in tables.read(together.tables, "distillations").to_pylist()]
    assert max(sizes) >= 3 and {
        row["cohort"] for row in tables.read(alone.tables, "distillations").to_pylist()
    } == {1}
    assert tables.read(together.tables, "evaluations").num_rows == sets
