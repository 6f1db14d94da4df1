"""What `docs/store.md` says of merging, cleaning and moving a store works."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.execution.run_units import compute_units
from orchestrator.execution.trial import TrialSettings
from orchestrator.store.open import open_store
from orchestrator.store.verification.verify import verify

PAGE = (Path(__file__).parents[3] / "docs" / "store.md").read_text()


@pytest.fixture
def fill(tmp_path, harness_modules):
    """Fills a store with the units of a small plan; gives it and its units."""
    from plans import make_small_plan

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "behavior.json").write_text("{}")

    def fill_store(name, sets):
        settings = TrialSettings(
            store=str(tmp_path / name),
            data_root=str(tmp_path / "data"),
            run=name,
            runner="fake_runner:run_unit",
            tensorboard=False,
        )
        units = list(make_small_plan(sets=sets, evaluations=1).units.values())
        for unit in units:
            compute_units([unit], settings, device="cpu")
        return open_store(settings.store), units

    return fill_store


def run_rsync(words, folder):
    """Run rsync, or do the same where it is not installed."""
    if shutil.which("rsync") is not None:
        subprocess.run(words, cwd=folder, check=True)
        return
    assert words[:5] == ["rsync", "-a", "--ignore-existing", "--exclude", "leases"]
    source, target = (folder / name for name in words[5:])
    for path in source.rglob("*"):
        place = target / path.relative_to(source)
        if path.is_file() and "leases" not in place.parts and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def test_two_stores_are_merged_as_the_page_says(fill, tmp_path):
    (first, _), (other, units) = fill("store", 1), fill("other-store", 3)
    commands = re.search(r"Merge two stores.*?\n((?:    [^\n]*\n)+)", PAGE, re.DOTALL)[1]
    rsync, check = commands.strip().splitlines()
    run_rsync(rsync.split(), tmp_path)
    assert check.split()[:2] == ["iid", "verify"] and verify(first).findings == ()
    assert first.find_done_keys() == {unit.key for unit in units} == other.find_done_keys()


def test_a_moved_and_cleaned_store_is_whole(fill, tmp_path):
    store, units = fill("store", 1)
    for folder in re.findall(r"^\| `store/(\w+)` \|", PAGE, re.MULTILINE):
        shutil.rmtree(store.root / folder, ignore_errors=True)
    moved = open_store(store.root.rename(tmp_path / "moved"))
    assert verify(moved).findings == () and moved.find_done_keys() == {u.key for u in units}


def test_a_unit_that_is_deleted_as_the_page_says_leaves_nothing_to_repair(fill):
    store, units = fill("store", 1)
    last = units[-1]
    shutil.rmtree(store.locate_unit(last.kind, last.key))
    assert not verify(store).intact
    (store.tables / "evaluations" / f"{last.key}.parquet").unlink()
    assert verify(store).intact and last.key not in store.find_done_keys()
