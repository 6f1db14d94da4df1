import dataclasses
import json

import pytest

from distill_core.settings import DatasetRef, DistillationSettings, QueueSettings, SettingsError
from orchestrator.units import Distill, from_json, to_json

QUEUE = QueueSettings(interval=5)


def distill(**changes):
    fields = {
        "dataset": DatasetRef(name="digits"),
        "protocol": "paper",
        "ipc": 10,
        "settings": DistillationSettings(queue=QUEUE, partition=2),
        "seed": 0,
        "parents": ("0123456789abcdef",),
    }
    return Distill(**{**fields, **changes})


def test_units_survive_json_with_their_locations():
    unit = distill(dataset=DatasetRef(name="pets", format="parquet", path="here", image_size=32))
    assert from_json(to_json(unit)) == unit
    assert from_json(to_json(unit)).dataset.path == "here"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kind": "cook"}', '{"kind": "distill"}', '{"kind": "distill", "x": 1}'],
)
def test_other_texts_are_no_units(text):
    with pytest.raises(SettingsError, match="not a unit"):
        from_json(text)


def test_a_unit_of_nesting_without_end_is_none():
    with pytest.raises(SettingsError, match="not a unit"):
        from_json('{"kind": "distill", "seed": ' + "[" * 100_000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", {}),
        ("seed", "0"),
        ("seed", True),
        ("ipc", 1.5),
        ("ipc", None),
        ("protocol", "wishful"),
        ("parents", "0123"),
        ("parents", [1]),
        ("dataset", "digits"),
        ("dataset.version", 0),
        ("dataset.color", 1),
        ("settings.lr_img", "fast"),
        ("settings.queue", 5),
        ("settings.queue.interval", []),
    ],
)
def test_a_field_of_the_wrong_type_is_named(field, value):
    fields = json.loads(to_json(distill()))
    *path, name = field.split(".")
    place = fields
    for step in path:
        place = place[step]
    place[name] = value
    with pytest.raises(SettingsError, match=f"not a unit.*{name}"):
        from_json(json.dumps(fields))


def test_numbers_without_end_are_no_settings():
    text = (
        to_json(distill())
        .replace('"lr_img": 0.2', '"lr_img": 1e999')
        .replace('"lr_img": 1.0', '"lr_img": 1e999')
    )
    assert "1e999" in text
    with pytest.raises(SettingsError, match="not a unit"):
        from_json(text)


def test_fields_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        distill().seed = 3
