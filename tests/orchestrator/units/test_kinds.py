import copy
import dataclasses
import importlib
import inspect
import pickle

import pytest

from distill_core.settings import DatasetRef, DistillationSettings, QueueSettings
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.planning.cost_estimates import estimate_costs
from orchestrator.planning.cost_model import UNIT_SECONDS
from orchestrator.planning.plan import Cell, Plan, make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.store.verification.verify import verify
from orchestrator.units import (
    KINDS,
    Distill,
    ImportExtractor,
    Select,
    describe_unit,
    from_json,
    import_function,
    kinds,
    needs_gpu,
    register,
    to_json,
    unregister,
)
from search_spaces.load import load_space

QUEUE = QueueSettings(interval=5)
DIGITS = DatasetRef(name="digits")


def distill(**changes):
    fields = {
        "dataset": DIGITS,
        "protocol": "paper",
        "ipc": 10,
        "settings": DistillationSettings(queue=QUEUE, partition=2),
        "seed": 0,
        "parents": ("0123456789abcdef",),
    }
    return Distill(**{**fields, **changes})


def test_keys_are_sixteen_hex_digits_of_what_the_unit_is():
    assert len(distill().key) == 16 and int(distill().key, 16) >= 0
    assert distill().key == distill().key


@pytest.mark.parametrize(
    "changes",
    [
        {"ipc": 1},
        {"seed": 1},
        {"protocol": "strict"},
        {"parents": ()},
        {"dataset": DatasetRef(name="digits", version=2)},
        {"settings": DistillationSettings(queue=QUEUE)},
        {"settings": DistillationSettings(queue=QueueSettings(interval=6), partition=2)},
        {"settings": DistillationSettings(queue=QUEUE, partition=2, precision="bf16")},
    ],
)
def test_everything_that_can_change_a_result_changes_the_key(changes):
    assert distill(**changes).key != distill().key


def test_an_algorithms_version_changes_the_key(monkeypatch):
    before = distill().key
    monkeypatch.setitem(KINDS, "distill", dataclasses.replace(KINDS["distill"], version=99))
    assert distill().key != before


def test_places_do_not_change_the_key():
    here, there = (
        DatasetRef(name="pets", format="imagefolder", path=path) for path in ("/a", "/b")
    )
    assert distill(dataset=here).key == distill(dataset=there).key
    pools = (
        ImportExtractor(dataset=here, network="ResNet18", pool="mine", index=0, folder=f)
        for f in ("/a", "/b")
    )
    assert len({unit.key for unit in pools}) == 1


def test_the_notation_of_a_number_does_not_change_the_key():
    one, other = (distill(settings=DistillationSettings(lr_img=lr, queue=QUEUE)) for lr in (1, 1.0))
    assert one.key == other.key


PINNED = {
    "quickstart": {
        "select": "c0d452a15173b817",
        "evaluate": "e67c69de973e77ad",
        "distill": "045bb4470a854bc4",
        "train_extractors": "8cfd5365f2aedd37",
    },
    "paper --smoke": {
        "select": "c0d452a15173b817",
        "evaluate": "5270fcbcd02ef82b",
        "train_extractors": "f67ba599a2b48ef8",
        "distill": "d8a13745a9dc922a",
        "continual": "dc9b26bca18dd191",
        "embed": "967e01b62761e049",
    },
    "paper": {
        "select": "94d0f1f14090d0e6",
        "evaluate": "8f8a7705de3879e8",
        "train_extractors": "b2e57301d6e20cb4",
        "distill": "c3f58c0c0eb7c2ba",
        "continual": "fbccc027732ec48b",
        "embed": "42c7ddea7d5b8d4d",
    },
}
"""Keys that version 0.1.0 gave to the first unit of each kind. An edit that changes them would make
existing stores useless: raise the version of a kind only when its results change.
"""


@pytest.mark.parametrize(("name", "pinned"), PINNED.items())
def test_keys_of_the_shipped_spaces_are_those_of_earlier_versions(name, pinned):
    space, _, smoke = name.partition(" ")
    plan = make_plan(load_space(space, smoke=bool(smoke)))
    first = {}
    for key, unit in plan.units.items():
        first.setdefault(unit.kind, key)
    assert first == pinned


@pytest.fixture
def hashes(monkeypatch):
    """How often the key of a unit was hashed."""
    counted = []
    original = kinds.hash_identity
    monkeypatch.setattr(
        kinds, "hash_identity", lambda identity: counted.append(identity) or original(identity)
    )
    return counted


def test_a_key_is_hashed_once_and_is_no_part_of_the_unit(hashes):
    unit, other = distill(), distill()
    before, representation, text = hash(unit), repr(unit), to_json(unit)
    assert unit.key == unit.key and len(hashes) == 1
    assert unit == other and hash(unit) == before and repr(unit) == representation
    assert to_json(unit) == text and "key" not in dataclasses.asdict(unit)
    assert "key" not in {field.name for field in dataclasses.fields(unit)}


def test_a_changed_or_copied_unit_hashes_its_own_key(hashes):
    unit = distill()
    key = unit.key
    assert dataclasses.replace(unit, seed=1).key != key
    copies = [copy.copy(unit), copy.deepcopy(unit), pickle.loads(pickle.dumps(unit))]
    assert copies == [unit] * 3 and len(hashes) == 2
    assert [each.key for each in copies] == [key] * 3 and len(hashes) == 5


def test_planning_hashes_each_unit_it_makes_once(hashes):
    plan = make_plan(load_space("quickstart"))
    made = len(hashes)
    find_pending(plan)
    assert all(unit.key == key for key, unit in plan.units.items()) and len(hashes) == made


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_a_kind_names_is_there_and_takes_what_it_is_given(kind):
    assert kind.table in tables.SCHEMAS
    assert list(inspect.signature(import_function(kind.compute)).parameters) == [
        "unit",
        "dataset",
        "context",
    ]
    if kind.load is not None:
        parameters = inspect.signature(import_function(kind.load)).parameters
        assert list(parameters) == ["unit", "parent", "shape", "device"]


def test_what_needs_no_gpu_leaves_it_to_the_rest():
    images = {"dataset": DIGITS, "protocol": "paper", "ipc": 1, "seed": 0}
    assert [needs_gpu(Select(**images, method=m)) for m in ("random", "herding")] == [False, True]
    assert needs_gpu(distill())


def test_units_are_named_for_people():
    some = dataclasses.replace(DIGITS, classes=(3, 1))
    unit = distill(dataset=some)
    assert describe_unit(unit) == (
        f"distill digits (2 classes), IDM, IPC 10, seed 0 [{unit.key[:6]}]"
    )


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'distill'"):
        register(KINDS["distill"])


@pytest.fixture
def brightness(harness_modules):
    """A kind from outside: one module, registered once."""
    module = importlib.import_module("brightness_kind")
    register(module.KIND)
    yield module
    unregister("brightness")


def test_a_kind_from_outside_is_one_module_and_one_registration(brightness, tmp_path):
    unit = brightness.MeasureBrightness(dataset=DIGITS, protocol="paper")
    assert from_json(to_json(unit)) == unit and len(unit.key) == 16
    assert describe_unit(unit).startswith("measure brightness digits, seed 0 [")
    assert not needs_gpu(unit)

    cell = Cell(
        experiment="main",
        dataset="digits",
        protocol="paper",
        method="Whole",
        ipc=None,
        seed=0,
        network="",
        set_key=None,
        evaluation_key=unit.key,
    )
    plan = Plan({unit.key: unit}, (cell,))
    (modeled,) = estimate_costs(plan, gpu=False).values()
    assert modeled.seconds > UNIT_SECONDS

    store = open_store(str(tmp_path / "store"))
    settings = TrialSettings(
        store=store.address, data_root=str(tmp_path), run="run", tensorboard=False
    )
    assert compute_unit(unit, settings, device="cpu").status == "done"
    assert (store.fetch_folder(unit.key) / "test_images.txt").read_text() == "0"

    rows = tables.read(store.tables, "features", [unit.key]).to_pylist()
    assert len(rows) == 10 and {row["kind"] for row in rows} == {"brightness"}
    assert all(row["seconds"] > 0 and 0 < row["spread"] < 255 for row in rows)

    assert store.find_done_keys() == {unit.key} and store.read_unit(unit.key) == unit
    assert find_pending(plan, store.find_done_keys()).pending == ()
    assert verify(store).intact
    (measured,) = estimate_costs(
        plan, gpu=False, store_tables=store.tables, done=store.find_done_keys()
    ).values()
    assert measured.basis == "measured"


def test_a_kind_that_is_not_registered_is_unknown(brightness):
    unit = brightness.MeasureBrightness(dataset=DIGITS, protocol="paper")
    text = to_json(unit)
    assert from_json(text) == unit
    unregister("brightness")
    try:
        with pytest.raises(ValueError, match=r"not a unit of work.*brightness"):
            from_json(text)
    finally:
        register(brightness.KIND)
