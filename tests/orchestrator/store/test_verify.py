import io
import json

import pytest
from rich.console import Console

from orchestrator.cli.verify import show_verification
from orchestrator.errors import StoreError
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.store import checkpoints, leases, tables
from orchestrator.store.integrity import intact_folder
from orchestrator.store.store import (
    DONE,
    ROWS,
    SPEC,
    Store,
)
from orchestrator.store.verify import repair, verify

RUNNER = "fake_runner:run_unit"


@pytest.fixture
def made(harness, small_plan):
    """A store with a plan of four units that are done, and a way to compute what is missing."""
    plan = small_plan(sets=1)
    settings = TrialSettings(
        store=str(harness.store.root),
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
    return {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


def damages(folder, published):
    """Ways to damage a unit, by name: what they do."""
    return {
        "artefact changed": lambda: (folder / "count.txt").write_text("9"),
        "artefact gone": lambda: (folder / "chain.txt").unlink(),
        "rows truncated": lambda: (folder / ROWS).write_bytes((folder / ROWS).read_bytes()[:100]),
        "spec changed": lambda: (folder / SPEC).write_text(
            (folder / SPEC).read_text().replace('"seed": 0', '"seed": 1')
        ),
        "DONE half written": lambda: (folder / DONE).write_text("{"),
        "DONE of another unit": lambda: (folder / DONE).write_text(
            json.dumps(json.loads((folder / DONE).read_text()) | {"key": "0" * 16})
        ),
        "DONE without sense": lambda: (folder / DONE).write_text('{"sha256": 5}'),
    }


NAMES = list(damages(None, None))


def test_a_folder_that_is_no_store_is_not_called_whole(tmp_path):
    (tmp_path / "notes.txt").write_text("something else")
    with pytest.raises(StoreError, match="is something else, it has none of units"):
        verify(Store(tmp_path))


def test_a_store_that_is_whole(made):
    store, *_ = made
    seen = verify(store)
    assert (seen.units, seen.findings, seen.intact) == (4, (), True)
    files = [path for path in (store.root / "units").rglob("*") if path.is_file()]
    assert (seen.files, seen.bytes) == (len(files), sum(path.stat().st_size for path in files))
    assert show(store)[0] == 0


def show(store, **options):
    console = Console(file=io.StringIO(), width=300)
    return show_verification(store, console, **options), console.file.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_unit_is_named_and_computed_again_after_a_repair(made, name):
    store, units, complete = made
    unit = next(unit for unit in units if unit.kind == "distill")
    folder, published = (
        store.folder_of(unit.key),
        store.tables / "distillations" / f"{unit.key}.parquet",
    )
    before = (folder / "chain.txt").read_text()
    damages(folder, published)[name]()
    damaged = contents(store)
    seen = verify(store)
    assert seen.recompute == (("distill", unit.key),) and contents(store) == damaged
    code, text = show(store)
    assert code == 1 and unit.key in text and "--repair" in text and contents(store) == damaged

    code, text = show(store, mend=True)
    assert code == 0 and not published.exists() and not folder.exists()
    aside = {
        path.relative_to(store.root / "damaged" / "1")
        for path in (store.root / "damaged" / "1").rglob("*")
    }
    assert published.relative_to(store.root) in aside and folder.relative_to(store.root) in aside
    assert set(damaged.values()) <= set(contents(store).values())  # nothing is lost
    assert complete().count("done") == 1 and (folder / "chain.txt").read_text() == before
    assert verify(store).findings == ()


def test_a_unit_does_not_read_a_parent_that_is_damaged(made):
    store, units, complete = made
    distill = next(unit for unit in units if unit.kind == "distill")
    assert intact_folder(store, distill.key) == store.folder_of(distill.key)
    (store.folder_of(distill.key) / "chain.txt").write_text("other")
    with pytest.raises(
        StoreError, match=r"chain\.txt is not what was written .*iid verify --repair --store"
    ):
        intact_folder(store, distill.key)
    evaluation = store.unit_folder(units[-1].kind, units[-1].key)
    evaluation.rename(evaluation.with_name("elsewhere"))
    assert complete()[-1] == "failed"
    assert "chain.txt" in tables.read(store.tables, "failures")["reason"][0].as_py()


def test_units_of_earlier_versions_without_hashes_are_not_checked(made):
    store, units, _ = made
    path = store.folder_of(units[0].key) / DONE
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_text(json.dumps(record))
    (finding,) = verify(store).findings
    assert finding.action == "none" and "not checked" in finding.problem
    assert intact_folder(store, units[0].key) == path.parent


@pytest.mark.parametrize("damage", ["delete", "change"])
def test_rows_that_are_not_in_the_tables_are_published_again(made, damage):
    store, units, _ = made
    path = store.tables / "evaluations" / f"{units[-1].key}.parquet"
    good = path.read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(good[:-100] + bytes(100))
    (finding,) = verify(store).findings
    assert (finding.action, finding.place) == ("publish", f"tables/evaluations/{path.name}")
    assert show(store, mend=True)[0] == 0
    assert path.read_bytes() == good and verify(store).findings == ()


def test_rows_of_no_unit_and_damaged_records_are_set_aside(made):
    store, units, _ = made
    known = store.tables / "extractors" / f"{units[0].key}.parquet"
    damaged = {
        "tables/extractors/0123456789abcdef.parquet": known.read_bytes(),
        "tables/failures/0123456789abcdef.parquet": b"PAR1",
        "runs/half.json": b"{",
        "plans/half.json": b"[]",
        "datasets/half@1.json": b"{}",
        "checkpoints/distill/0123456789abcdef/" + "0" * 64 + ".checkpoint": b"x",
    }
    for place, content in damaged.items():
        (store.root / place).parent.mkdir(parents=True, exist_ok=True)
        (store.root / place).write_bytes(content)
    found = {finding.place: finding.action for finding in verify(store).findings}
    assert found == dict.fromkeys(damaged, "set aside")
    folder, left = repair(store, verify(store).findings)
    assert left == [] and verify(store).findings == ()
    assert {place: (folder / place).read_bytes() for place in damaged} == damaged


def test_a_second_repair_leaves_what_the_first_set_aside(made):
    store, units, complete = made
    for number in ("1", "2"):
        (store.folder_of(units[0].key) / "count.txt").write_text(number)
        assert show(store, mend=True)[0] == 0
        assert complete().count("done") == 1
    kept = sorted((store.root / "damaged").glob("*/units/*/*/count.txt"))
    assert [path.read_text() for path in kept] == ["1", "2"]


def test_a_unit_that_somebody_works_on_is_left_alone(made):
    store, units, _ = made
    (store.folder_of(units[0].key) / "count.txt").write_text("9")
    with leases.hold(store.leases, units[0].key, "other"):
        code, text = show(store, mend=True)
        assert code == 1 and "left alone" in text
    assert store.folder_of(units[0].key).exists()


def test_results_on_other_images_are_found(made):
    store, units, _ = made
    path = store.dataset_record(units[0].dataset)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"fingerprint": "others"}))
    (finding,) = verify(store).findings
    assert (finding.place, finding.action) == (f"datasets/{path.name}", "set aside")


def test_leftovers_need_no_repair(made):
    store, units, _ = made
    (store.root / "units" / "distill" / f".{units[1].key}.abc").mkdir()
    lease = store.leases / f"{units[0].key}.json"
    lease.write_text(
        json.dumps({"host": leases.host_identity(), "pid": 1, "started": "never", "run": "x"})
    )
    checkpoints.save(store.checkpoint_folder(units[1]), lambda path: path.write_text("fine"))
    seen = verify(store)
    assert len(seen.findings) == 2 and seen.intact and show(store)[0] == 0


def test_there_is_nothing_to_verify_without_a_store(tmp_path):
    with pytest.raises(StoreError, match="--store"):
        verify(Store(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    assert verify(Store(tmp_path / "empty")).intact
