"""The folder of a report."""

import dataclasses

import pytest

from orchestrator.report.place import Origin, choose_folder, describe_replaced, record_origin

FULL = Origin(name="tiny", command="run", source="tiny.yaml", store="/shared/store")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The full report of a space is in its usual folder."""
    monkeypatch.chdir(tmp_path)
    place = choose_folder(FULL)
    assert place.as_posix() == "reports/tiny"
    place.mkdir(parents=True)
    record_origin(place, FULL)
    return place


@pytest.mark.parametrize(
    "other",
    [
        {"changes": ("methods=Random",)},
        {"store": "/shared/other"},
        {"source": "other/tiny.yaml"},
        {"command": "search"},
    ],
)
def test_a_report_of_something_else_has_a_folder_of_its_own(written, other):
    origin = dataclasses.replace(FULL, **other)
    place = choose_folder(origin)
    assert place != written and place.parent == written.parent
    place.mkdir()
    record_origin(place, origin)
    assert choose_folder(origin) == place, "the next one updates it"
    assert choose_folder(FULL) == written


def test_changes_that_read_alike_have_different_folders(written):
    places = set()
    for change in ("ipc=1,0", "ipc=1-0", "ipc=[1,0]", "ipc=" + "1" * 200, "ipc=" + "1" * 201):
        places.add(choose_folder(dataclasses.replace(FULL, changes=(change,))))
    assert len(places) == 5 and all(len(place.name) < 80 for place in places)
    assert any(place.name.startswith("tiny-ipc-1-0-") for place in places)


def test_what_is_replaced_in_a_named_folder_is_told(written):
    changed = dataclasses.replace(FULL, changes=("methods=Random",))
    assert describe_replaced(written, changed) == "iid run tiny.yaml, store /shared/store"
    assert describe_replaced(written, FULL) == ""
    record_origin(written, changed)
    assert "with methods=Random" in describe_replaced(written, FULL)


@pytest.mark.parametrize("content", ["", "[]", "null", "{", '{"changes": null}', "\udcff"])
def test_a_damaged_record_is_no_error(written, content):
    (written / ".origin.json").write_text(content, errors="surrogateescape")
    assert choose_folder(FULL).parent == written.parent
    describe_replaced(written, FULL)
