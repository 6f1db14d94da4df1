"""Units and cells of a plan, what is stable about their keys, and the schedule as a property of any
plan.
"""

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill_core.settings import DatasetRef, DistillationSettings
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.planning.ready_queue import ReadyQueue
from orchestrator.units import (
    Continual,
    Distill,
    Embed,
    Evaluate,
    ImportExtractor,
    Select,
    TrainExtractor,
    from_json,
    to_json,
)
from search_spaces.errors import SpaceError
from search_spaces.load import list_spaces, load_space

SPACE = """\
name: tiny
settings:
  seeds: 2
  extractors: {count: 3, epochs: 1}
  distillation: {iterations: 10}
  evaluation: {num_eval: 2}
experiments:
  - name: first
    datasets: digits
    methods: [Random, Herding, K-Center, Whole, DM, DM+IID, DM+CM, IDM, IDM+CC]
    ipc: [1, 10]
    architectures: [ConvNet, MLP]
  - name: second
    datasets: digits
    methods: [DM+IID]
    ipc: 10
    architectures: LeNet
"""


@pytest.fixture
def plan_of(tmp_path):
    def plan_of(text=SPACE, *overrides):
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return make_plan(load_space(path, overrides))

    return plan_of


def kinds(plan, cls):
    return [unit for unit in plan.units.values() if isinstance(unit, cls)]


def test_parents_come_first_and_keys_name_their_units(plan_of):
    plan = plan_of()
    seen = set()
    for key, unit in plan.units.items():
        assert unit.key == key
        assert from_json(to_json(unit)) == unit
        assert set(unit.parents) <= seen
        seen.add(key)


def test_how_many_units_and_cells(plan_of):
    plan = plan_of()
    # first: 8 methods × 2 IPC × 2 seeds × 2 networks, Whole has no IPC: 2 × 2; second: 2 seeds
    assert len(plan.cells) == 8 * 2 * 2 * 2 + 4 + 2
    # the pool of 3, and for each seed the network whose features Herding and K-Center read
    assert len(kinds(plan, TrainExtractor)) == 3 + 2
    assert len(kinds(plan, Select)) == 3 * 2 * 2
    # DM, DM+IID, DM+CM, IDM, IDM+CC at two IPC and two seeds; at IPC 1, DM+IID and DM+CM are DM
    assert len(kinds(plan, Distill)) == 2 * (3 + 5)
    assert len(kinds(plan, Evaluate)) == 2 * (2 * (12 // 2 + 3 + 5) + 2) + 2


def test_cells_point_at_the_units_that_answer_them(plan_of):
    plan = plan_of()
    for cell in plan.cells:
        evaluation = plan.units[cell.evaluation_key]
        assert (evaluation.network, evaluation.seed, evaluation.split) == (
            cell.network,
            cell.seed,
            "test",
        )
        if cell.method == "Whole":
            assert (cell.set_key, cell.ipc, evaluation.parents) == (None, None, ())
        else:
            made = plan.units[cell.set_key]
            assert evaluation.parents == (cell.set_key,)
            assert (made.ipc, made.seed, made.dataset.name) == (cell.ipc, cell.seed, cell.dataset)


def test_only_class_centralization_waits_for_the_pool(plan_of):
    plan = plan_of()
    for unit in kinds(plan, Distill):
        assert len(unit.parents) == (3 if unit.settings.lambda_cc > 0 else 0)
    pool = {unit.parents for unit in kinds(plan, Distill) if unit.parents}
    assert len(pool) == 1
    assert [plan.units[key].index for key in pool.pop()] == [0, 1, 2]


def test_coresets_read_one_network_of_the_matching_architecture(plan_of):
    for unit in kinds(plan := plan_of(SPACE, "distillation.network=ConvNetW32"), Select):
        if unit.method == "random":
            assert unit.parents == ()
        else:
            (key,) = unit.parents
            assert (plan.units[key].settings.network, plan.units[key].index) == (
                "ConvNetW32",
                unit.seed,
            )
            assert plan.units[key].settings.epochs == 1


def test_dm_iid_with_one_image_a_class_is_dm_and_says_so(plan_of):
    plan = plan_of()
    at_one = [
        cell for cell in plan.cells if cell.ipc == 1 and cell.seed == 0 and cell.network == "MLP"
    ]
    keys = {cell.method: (cell.set_key, cell.evaluation_key) for cell in at_one}
    assert keys["DM"] == keys["DM+IID"] == keys["DM+CM"] != keys["IDM"]
    assert {cell.method for cell in plan.cells if cell.note} == {"DM+IID", "DM+CM"}
    assert all(cell.ipc == 1 for cell in plan.cells if cell.note)


def test_shared_units_are_planned_once(plan_of):
    plan = plan_of()
    shared = {key for key, users in plan.experiments_of().items() if users == {"first", "second"}}
    assert {type(plan.units[key]) for key in shared} == {TrainExtractor, Distill}
    assert len(shared) == 3 + 2


def test_own_pool_is_imported(plan_of):
    plan = plan_of(
        SPACE, "extractors.folder=nets", "extractors.pool=ours", "extractors.network=VGG11"
    )
    imported = kinds(plan, ImportExtractor)
    assert [(u.index, u.network, u.pool, u.folder) for u in imported] == [
        (i, "VGG11", "ours", "nets") for i in range(3)
    ]
    elsewhere = plan_of(
        SPACE, "extractors.folder=other", "extractors.pool=ours", "extractors.network=VGG11"
    )
    assert list(plan.units) == list(elsewhere.units)


def test_a_pool_trained_elsewhere_cannot_be_strict(plan_of):
    with pytest.raises(SpaceError, match="held out"):
        plan_of(SPACE, "protocol=strict", "extractors.folder=nets", "extractors.pool=ours")


def test_notation_and_order_do_not_change_keys(plan_of):
    keys = list(plan_of().units)
    assert keys == list(plan_of(SPACE.replace("iterations: 10", "iterations: 1_0")).units)
    assert keys == list(plan_of(SPACE, "momentum_img=5e-1", "evaluation.weight_decay=0.0005").units)
    assert set(plan_of(SPACE, "lr_img=1").units) == set(plan_of(SPACE, "lr_img=1.0").units)
    swapped = SPACE.replace("[1, 10]", "[10, 1]").replace(
        "[Random, Herding, ", "[Herding, random, "
    )
    assert set(plan_of(swapped).units) == set(keys)


def test_another_seed_adds_its_own_units_only(plan_of):
    before, after = plan_of(), plan_of(SPACE, "seeds=3")
    added = set(after.units) - set(before.units)
    assert set(before.units) < set(after.units)
    new = [after.units[key] for key in added]
    assert {unit.index if isinstance(unit, TrainExtractor) else unit.seed for unit in new} == {2}


def test_where_a_data_set_lies_is_not_in_a_key(plan_of):
    text = SPACE.replace("datasets: digits", "datasets: {name: own, format: imagefolder, path: %s}")
    assert list(plan_of(text % ("here", "here")).units) == list(
        plan_of(text % ("there", "there")).units
    )
    version = text.replace("path:", "version: 2, path:") % ("here", "here")
    assert not set(plan_of(version).units) & set(plan_of(text % ("here", "here")).units)


def test_same_is_the_matching_network_and_counted_once(plan_of):
    plan = plan_of(
        SPACE, "architectures=[same, ConvNetW32]", "distillation.network=ConvNetW32", "seeds=1"
    )
    assert {cell.network for cell in plan.cells} == {"ConvNetW32"}
    assert len(plan.cells) == 8 * 2 + 1 + 1


def test_sweeps_are_axes_of_the_grid(plan_of):
    sweep = "    sweep: {lambda_cc: [0, 0.1], evaluation.epoch_eval_train: [5, 6]}\n"
    plan = plan_of(SPACE + sweep, "seeds=1")
    cells = [cell for cell in plan.cells if cell.experiment == "second"]
    assert [dict(cell.sweep) for cell in cells] == [
        {"distillation.lambda_cc": cc, "evaluation.epoch_eval_train": epochs}
        for cc in (0, 0.1)
        for epochs in (5, 6)
    ]
    assert [plan.units[cell.set_key].settings.lambda_cc for cell in cells] == [0, 0, 0.1, 0.1]
    assert [plan.units[cell.evaluation_key].settings.epoch_eval_train for cell in cells] == [
        5,
        6,
        5,
        6,
    ]
    assert len({cell.set_key for cell in cells}) == 2


def test_a_grid_beyond_all_measure_is_refused(plan_of):
    with pytest.raises(SpaceError, match="cells; more than"):
        plan_of(SPACE, "seeds=10000", "ipc=[1,2,3,4]")


def test_extractors_whose_sets_are_done_need_not_run(plan_of):
    plan = plan_of()
    sets = {key for key, unit in plan.units.items() if isinstance(unit, Distill | Select)}
    assert find_pending(plan).pending == tuple(plan.units)
    assert list(find_pending(plan, sets).pending) == [
        key for key, unit in plan.units.items() if isinstance(unit, Evaluate)
    ]
    assert find_pending(plan, plan.units).pending == ()
    one = next(
        key for key, unit in plan.units.items() if isinstance(unit, Distill) and unit.parents
    )
    lost = {one, *plan.units[one].parents}
    assert set(find_pending(plan, plan.units.keys() - lost).pending) == lost


def test_distillation_goes_before_evaluation(plan_of):
    schedule = ReadyQueue(find_pending(plan_of()))
    order = []
    while units := schedule.next():
        (unit,) = units
        order.append(unit.kind)
        schedule.finish(unit.key, ok=True)
    first_evaluation = order.index("evaluate", 2)
    assert order[:4] == ["train_extractors"] * 4
    assert set(order[first_evaluation:]) == {"evaluate"}


def descendants(plan, keys):
    found = set()
    for key, unit in plan.units.items():
        if found.intersection(unit.parents) or set(keys).intersection(unit.parents):
            found.add(key)
    return found


@pytest.fixture(scope="module")
def quickstart():
    return make_plan(load_space("quickstart", ["methods=[Herding,DM,DM+IID,IDM+IID]"]))


@given(
    seed=st.integers(0, 10**6),
    workers=st.integers(1, 9),
    failures=st.integers(0, 6),
    done=st.floats(0, 1),
    slots=st.integers(0, 3),
)
def test_whatever_happens_every_unit_is_handed_out_once_after_its_parents(
    quickstart, seed, workers, failures, done, slots
):
    plan: Plan = quickstart
    draw = random.Random(seed)
    there = {key for key in plan.units if draw.random() < done}
    work = find_pending(plan, there)
    todo = set(work.pending)
    failing = set(draw.sample(sorted(plan.units), failures)) & todo
    schedule = ReadyQueue(work, slots=slots)
    running, handed_out, good = [], [], set(there)
    while not schedule.is_exhausted():
        while len(running) < workers and (units := schedule.next()):
            assert all(parent in good for unit in units for parent in unit.parents)
            running += [unit.key for unit in units]
            handed_out += [unit.key for unit in units]
        key = running.pop(draw.randrange(len(running)))
        schedule.finish(key, ok=key not in failing)
        good |= {key} - failing
    assert not running and schedule.next() == ()
    assert len(handed_out) == len(set(handed_out))
    failed = failing & set(handed_out)
    blocked = descendants(
        Plan({key: plan.units[key] for key in plan.units if key in todo}, ()), failed
    )
    assert schedule.failed == failed
    assert schedule.blocked == blocked & todo
    assert set(handed_out) | schedule.blocked == todo
    assert schedule.succeeded == set(handed_out) - failed


CONTINUAL = """\
name: tiny
settings: {datasets: digits, seeds: 2, extractors: {count: 2, epochs: 1}, ipc: 3}
experiments:
  - name: steps
    measure: continual
    steps: [2, 5]
    methods: [Random, Herding, DM+IID]
    architectures: [ConvNet, MLP]
"""


def test_class_incremental_learning_has_a_set_for_each_step_of_each_order(plan_of):
    plan = plan_of(CONTINUAL)
    assert len(plan.cells) == len(kinds(plan, Continual)) == 3 * 2 * 2 * 2
    for cell in plan.cells:
        unit = plan.units[cell.evaluation_key]
        assert (cell.measure, cell.set_key, unit.network) == ("continual", None, cell.network)
        assert len(unit.parents) == cell.steps and unit.dataset.classes == ()
        order = np.random.RandomState(cell.seed).permutation(10).tolist()
        arrived = [plan.units[key].dataset.classes for key in unit.parents]
        assert [label for classes in arrived for label in classes] == order
        assert {len(classes) for classes in arrived} == {10 // cell.steps}
    for unit in kinds(plan, Distill):
        pool = [plan.units[key] for key in unit.parents]
        assert [extractor.dataset.classes for extractor in pool] == [unit.dataset.classes] * 2, (
            "old classes are gone"
        )


def test_a_number_of_steps_that_does_not_divide_the_classes(plan_of):
    with pytest.raises(SpaceError, match=r"experiment steps: digits: .*3"):
        plan_of(CONTINUAL, "steps=3")


OWN = CONTINUAL.replace("datasets: digits", "datasets: {name: own, format: imagefolder, path: p%s}")


def test_class_incremental_learning_on_a_data_set_of_ones_own(plan_of):
    plan = plan_of(OWN % ", num_classes: 10")
    digits = plan_of(CONTINUAL)
    assert [cell.steps for cell in plan.cells] == [cell.steps for cell in digits.cells]
    assert [unit.dataset.classes for unit in plan.units.values()] == [
        unit.dataset.classes for unit in digits.units.values()
    ]
    assert all(from_json(to_json(unit)) == unit for unit in plan.units.values())
    with pytest.raises(SpaceError, match="own: steps is 5, which does not divide 8 classes"):
        plan_of(OWN % ", num_classes: 8")


def test_without_its_number_of_classes_the_plan_says_what_to_add(plan_of):
    entry = r"\{name: own, format: imagefolder, path: 'p', num_classes: …\}"
    with pytest.raises(SpaceError, match=f"experiment steps: .*add num_classes to it: {entry}"):
        plan_of(OWN % "")


def test_the_number_of_classes_is_not_in_a_key(plan_of):
    text = SPACE.replace("datasets: digits", "datasets: {name: own, format: imagefolder, path: p}")
    assert list(plan_of(text).units) == list(
        plan_of(text.replace("path: p", "path: p, num_classes: 7")).units
    )


def test_features_are_shown_of_each_set_by_a_trained_network(plan_of):
    plan = plan_of(
        "name: a\nexperiments: [{name: b, measure: features, datasets: digits, methods: [Random,"
        " DM], ipc: 2}]"
    )
    assert len(plan.cells) == len(kinds(plan, Embed)) == 2
    for cell in plan.cells:
        set_key, extractor = plan.units[cell.evaluation_key].parents
        assert (
            set_key == cell.set_key
            and plan.units[extractor].settings.network == cell.network == "ConvNet"
        )
        assert plan.units[extractor].index == 20, (
            "not one of the pool that class centralization draws from"
        )


def test_settings_that_came_later_leave_old_keys_alone():
    old = Distill(
        dataset=DatasetRef(name="digits"),
        protocol="paper",
        ipc=1,
        settings=DistillationSettings(),
        seed=0,
    )
    assert old.key == "327d8ff006f25c48"
    assert (
        dataclasses.replace(old, settings=DistillationSettings(covariance="global")).key != old.key
    )
    assert (
        dataclasses.replace(old, dataset=DatasetRef(name="digits", classes=(1, 0))).key != old.key
    )


def test_the_whole_paper_is_planned_and_its_tables_share_units():
    plan = make_plan(load_space("paper"))
    shared = [key for key, users in plan.experiments_of().items() if len(users) > 1]
    alone = sum(
        len(make_plan(load_space(name)).units)
        for name, _ in list_spaces()
        if name.startswith("paper/")
    )
    assert {cell.measure for cell in plan.cells} == {"accuracy", "continual", "features"}
    assert {cell.experiment.split("/")[1] for cell in plan.cells} == {
        name.split("/")[1] for name, _ in list_spaces() if name.startswith("paper/")
    }
    assert len(plan.units) < alone and len(shared) > 200


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "methods: [IDM], ipc: 50",
            "IDM at IPC 50 starts from 200 images of each class, and digits has about 143",
        ),
        ("methods: [Random], ipc: 135, protocol: strict", "Random at IPC 135 .* has about 129"),
    ],
)
def test_sets_larger_than_their_classes_are_refused_before_anything_runs(plan_of, text, part):
    with pytest.raises(SpaceError, match=part):
        plan_of(f"name: a\nexperiments: [{{name: b, datasets: digits, {text}}}]")


def test_a_ratio_is_kept_with_the_size_that_it_asks_for(plan_of):
    plan = plan_of(
        "name: a\nexperiments: [{name: b, datasets: digits, methods: Random, ratio: [0.001, 0.02]}]"
    )
    assert [(cell.ipc, cell.ratio) for cell in plan.cells] == [(1, 0.001), (3, 0.02)]
