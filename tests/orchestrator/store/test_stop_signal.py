import time

import pytest

from orchestrator.store.open import open_store
from orchestrator.store.storage.object_storage import ObjectStorage
from orchestrator.store.store import Store


@pytest.fixture(params=["folder", "s3"])
def signals(request, tmp_path, monkeypatch):
    """The signal of one launch, as two machines see it."""
    if request.param == "folder":
        stores = [open_store(tmp_path / "store")] * 2
    else:
        monkeypatch.setattr("orchestrator.store.stop_signal.POLL_SECONDS", 0.02)
        url = request.getfixturevalue("s3_url")
        stores = [Store(ObjectStorage.connect(url, tmp_path / name)) for name in "ab"]
    return [store.stop_signal("run") for store in stores]


def test_the_signal_is_seen_on_other_machines(signals):
    here, there = signals
    assert not there.is_set()
    with there.watched() as is_set:
        assert not is_set()
        here.set()
        deadline = time.monotonic() + 10
        while not is_set() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_set()
    here.clear()
    assert not there.is_set()
    here.clear()
