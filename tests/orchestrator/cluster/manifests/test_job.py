import pytest

from distill_core.settings import SettingsError
from orchestrator.errors import StoreError


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ("paper/main", "iid-paper-main"),
        ("runs/My Found.yaml", "iid-my-found"),
        ("---.yml", "iid-run"),
        ("x" * 80, f"iid-{'x' * 40}"),
    ],
)
def test_jobs_are_named_after_their_space(space, name, make_job):
    assert make_job(space=space).name == name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"nodes": 0}, "--nodes is 0"),
        ({"gpus": -1}, "--gpus is -1"),
        ({"time": "24"}, "--time is '24'"),
        ({"time": "00:00:00"}, "--time"),
        ({"time": "1:60:00"}, "--time"),
        ({"store": "a\nb"}, "store is 'a\\\\nb'"),
        ({"space": " "}, "SPACE is ' '"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changed, message, make_job):
    with pytest.raises(SettingsError, match=message):
        make_job(**changed)


def test_a_store_that_cannot_be_is_refused(make_job):
    with pytest.raises(StoreError, match="gs://"):
        make_job(store="gs://bucket/folder")
