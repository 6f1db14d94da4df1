import io
import json

import pytest
from rich.console import Console

from orchestrator.cli.commands.verify import show_verification
from orchestrator.errors import StoreError
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.store import leases
from orchestrator.store.open import open_store
from orchestrator.store.storage.names import DONE, ROWS, SPEC, dataset_name
from orchestrator.store.verification import verify as verify_module
from orchestrator.store.verification.verify import repair, verify

RUNNER = "fake_runner:run_unit"


@pytest.fixture(params=["harness", "s3_harness"])
def made(request, small_plan):
    """A store with a plan of four units that are done, and a way to compute what is missing."""
    harness, plan = request.getfixturevalue(request.param), small_plan(sets=1)
    settings = TrialSettings(
        store=harness.store.address,
        data_root=str(harness.data),
        run="r",
        runner=RUNNER,
        tensorboard=False,
    )

    def complete():
        return [compute_unit(unit, settings, device="cpu").status for unit in plan.units.values()]

    harness.store.write_run("r", {"space": "small", "started": "2025-01-01"}, plan.units)
    assert complete() == ["done"] * 4
    return harness.store, list(plan.units.values()), complete


def contents(store):
    return {name: store.storage.get(name) for name in store.storage.entries("")}


def file_of(store, unit, name):
    """The name of the entry with a file of a done unit."""
    folder = f"units/{unit.kind}/{unit.key}"
    if name == DONE:
        return f"{folder}/{DONE}"
    return f"{store.storage.locate_contents(folder, store.read_done_record(unit.key))}/{name}"


def edit(change):
    """Damage a file by a change of its content; to None, which removes it."""

    def damage(store, unit, name):
        place = file_of(store, unit, name)
        content = change(store.storage.get(place))
        if content is None:
            store.storage.remove(place)
        else:
            store.storage.put(place, content)

    return damage


def other_key(data):
    return json.dumps(json.loads(data) | {"key": "0" * 16}).encode()


DAMAGES = {
    "artifact changed": ("count.txt", edit(lambda data: b"9")),
    "artifact gone": ("chain.txt", edit(lambda data: None)),
    "rows truncated": (ROWS, edit(lambda data: data[:100])),
    "spec changed": (SPEC, edit(lambda data: data.replace(b'"seed": 0', b'"seed": 1'))),
    "DONE half written": (DONE, edit(lambda data: b"{")),
    "DONE not text": (DONE, edit(lambda data: b"\xff")),
    "DONE without fields": (DONE, edit(lambda data: b'{"sha256": {"x": "y"}}')),
    "DONE of another unit": (DONE, edit(other_key)),
    "DONE without sense": (DONE, edit(lambda data: b'{"sha256": 5}')),
}


def test_a_folder_that_is_no_store_is_not_called_whole(tmp_path):
    (tmp_path / "notes.txt").write_text("something else")
    with pytest.raises(StoreError, match="is something else, it has none of units"):
        verify(open_store(tmp_path))


def test_a_store_that_is_whole(made):
    store, *_ = made
    before = store.storage.entries("")
    seen = verify(store)
    assert (seen.units, seen.findings, seen.intact) == (4, (), True)
    files = store.storage.entries("units").values()
    assert (seen.files, seen.bytes) == (len(files), sum(entry.size for entry in files))
    assert show(store)[0] == 0
    assert store.storage.entries("") == before and not list(store.root.glob(".*"))


def show(store, **options):
    console = Console(file=io.StringIO(), width=300)
    return show_verification(store, console, **options), console.file.getvalue()


ON_S3 = ["artifact changed", "DONE half written", "DONE without fields"]
CASES = [("harness", name) for name in DAMAGES] + [("s3_harness", name) for name in ON_S3]


@pytest.mark.parametrize(("made", "name"), CASES, indirect=["made"])
def test_a_damaged_unit_is_named_and_computed_again_after_a_repair(made, name):
    store, units, complete = made
    unit = next(unit for unit in units if unit.kind == "distill")
    place, published = f"units/distill/{unit.key}", f"tables/distillations/{unit.key}.parquet"
    before = store.storage.get(file_of(store, unit, "chain.txt"))
    file, damage = DAMAGES[name]
    damage(store, unit, file)
    damaged = contents(store)
    seen = verify(store)
    assert seen.recompute == (("distill", unit.key),) and contents(store) == damaged
    assert f"{place}/{file}" in {finding.place for finding in seen.findings}
    code, text = show(store)
    assert code == 1 and unit.key in text and "--repair" in text and contents(store) == damaged

    code, text = show(store, mend=True)
    assert code == 0 and not store.is_done(unit)
    assert store.storage.entry(published) is None and store.storage.entries(place) == {}
    aside = store.storage.entries("damaged/1")
    assert published in aside and f"{place}/{DONE}" in aside
    assert set(damaged.values()) <= set(contents(store).values())  # nothing is lost
    assert complete().count("done") == 1
    assert store.storage.get(file_of(store, unit, "chain.txt")) == before
    assert verify(store).findings == ()


def test_a_unit_does_not_read_a_parent_that_is_damaged(made):
    store, units, complete = made
    distill = next(unit for unit in units if unit.kind == "distill")
    assert store.fetch_intact_folder(distill.key) == store.fetch_folder(distill.key)
    edit(lambda data: b"other")(store, distill, "chain.txt")
    message = r"chain\.txt is not what was written .*iid verify --repair --store"
    for path in (store.fetch_folder(distill.key) / "chain.txt",):
        path.write_text("other")  # the copy too, if it is one
    with pytest.raises(StoreError, match=message):
        store.fetch_intact_folder(distill.key)
    store.storage.remove_all(f"units/{units[-1].kind}/{units[-1].key}")
    assert complete()[-1] == "failed"
    assert "chain.txt" in store.read("failures")["reason"][0].as_py()


def without_hashes(data):
    record = json.loads(data)
    del record["sha256"]
    return json.dumps(record).encode()


def test_units_of_earlier_versions_without_hashes_are_not_checked(made):
    store, units, _ = made
    edit(without_hashes)(store, units[0], DONE)
    (finding,) = verify(store).findings
    assert finding.action == "none" and "not checked" in finding.problem


def test_a_unit_of_a_folder_without_hashes_is_read(harness, units):
    with harness.store.scratch(units[0]) as workdir:
        harness.store.commit(units[0], workdir, [], run="r", finished="2025")
    edit(without_hashes)(harness.store, units[0], DONE)
    assert harness.store.fetch_intact_folder(units[0].key) == harness.store.fetch_folder(
        units[0].key
    )
    assert harness.store.read_unit(units[0].key) == units[0]


@pytest.mark.parametrize("damage", ["delete", "change"])
def test_rows_that_are_not_in_the_tables_are_published_again(made, damage):
    store, units, _ = made
    name = f"tables/evaluations/{units[-1].key}.parquet"
    good = store.storage.get(name)
    if damage == "delete":
        store.storage.remove(name)
    else:
        store.storage.put(name, good[:-100] + bytes(100))
    (finding,) = verify(store).findings
    assert (finding.action, finding.place) == ("publish", name)
    assert show(store, mend=True)[0] == 0
    assert store.storage.get(name) == good and verify(store).findings == ()


def test_rows_of_no_unit_and_damaged_records_are_set_aside(made):
    store, units, _ = made
    damaged = {
        "tables/extractors/0123456789abcdef.parquet": store.storage.get(
            f"tables/extractors/{units[0].key}.parquet"
        ),
        "tables/failures/0123456789abcdef.parquet": b"PAR1",
        "runs/half.json": b"{",
        "plans/half.json": b"[]",
        "datasets/half@1.json": b"{}",
        "pools/0123456789abcdef/0.json": b"",
        "checkpoints/distill/0123456789abcdef/" + "0" * 64 + ".checkpoint": b"x",
    }
    for place, content in damaged.items():
        store.storage.put(place, content)
    found = {finding.place: finding.action for finding in verify(store).findings}
    assert found == dict.fromkeys(damaged, "set aside")
    folder, left = repair(store, verify(store).findings)
    assert folder == f"{store.address}/damaged/1"
    assert left == [] and verify(store).findings == ()
    assert {place: store.storage.get(f"damaged/1/{place}") for place in damaged} == damaged


def test_a_second_repair_leaves_what_the_first_set_aside(made):
    store, units, complete = made
    for number in (b"1", b"2"):
        edit(lambda data, number=number: number)(store, units[0], "count.txt")
        assert show(store, mend=True)[0] == 0
        assert complete().count("done") == 1
    aside = sorted(name for name in store.storage.entries("damaged") if name.endswith("count.txt"))
    assert [store.storage.get(f"damaged/{name}") for name in aside] == [b"1", b"2"]


def test_a_unit_that_somebody_works_on_is_left_alone(made):
    store, units, _ = made
    edit(lambda data: b"9")(store, units[0], "count.txt")
    with leases.hold(store.storage, units[0].key, "other"):
        code, text = show(store, mend=True)
        assert code == 1 and "left alone" in text
    assert store.is_done(units[0])


def test_results_on_other_images_are_found(made):
    store, units, _ = made
    name = dataset_name(units[0].dataset)
    record = json.loads(store.storage.get(name))
    store.storage.put(name, json.dumps(record | {"fingerprint": "others"}).encode())
    (finding,) = verify(store).findings
    assert (finding.place, finding.action) == (name, "set aside")


def test_leftovers_need_no_repair(made):
    store, units, _ = made
    distill = f"units/distill/{units[1].key}"
    if not store.storage.is_local:
        store.storage.put(f"{distill}/abc/chain.txt", b"")
    else:
        (store.root / "units" / "distill" / f".{units[1].key}.abc").mkdir()
    dead = {"host": leases.identify_host(), "pid": 1, "started": "never", "run": "x"}
    store.storage.put(f"leases/{units[0].key}.json", json.dumps(dead).encode())
    store.save_checkpoint(units[1], lambda path: path.write_text("fine"))
    seen = verify(store)
    assert len(seen.findings) == 2 and seen.intact and show(store)[0] == 0


def test_there_is_nothing_to_verify_without_a_store(tmp_path):
    with pytest.raises(StoreError, match="--store"):
        verify(open_store(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    assert verify(open_store(tmp_path / "empty")).intact


def test_a_unit_that_finishes_meanwhile_keeps_its_rows(made, monkeypatch):
    store, units, _ = made
    late = f"tables/evaluations/{'f' * 16}.parquet"
    (rows,) = [store.storage.get(f"tables/evaluations/{units[-1].key}.parquet")]
    check = verify_module.check_unit

    def finish_meanwhile(*arguments):
        store.storage.put(late, rows)
        return check(*arguments)

    monkeypatch.setattr(verify_module, "check_unit", finish_meanwhile)
    assert verify(store).intact and store.storage.entry(late) is not None
