import json
import subprocess
import sys

import pytest

from orchestrator.errors import StoreError
from orchestrator.store.storage.object_storage import ObjectStorage


@pytest.fixture(params=["s3", "memory"])
def remote(request, tmp_path):
    if request.param == "s3":
        return ObjectStorage.connect(request.getfixturevalue("s3_url"))
    return ObjectStorage.connect(f"memory://{tmp_path.name}/store")


def test_many_small_objects_are_read_at_once(remote):
    remote.put("a/b", b"one")
    remote.put("a/c/d", b"three")
    assert dict(remote.get_many(["a/b", "a/none", "a/c/d"])) == {"a/b": b"one", "a/c/d": b"three"}


def test_files_travel(remote, tmp_path):
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    remote.upload_file("x/large", tmp_path / "large")
    remote.download_file("x/large", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").stat().st_size == 3_000_000
    with pytest.raises(StoreError, match="none: it is not there"):
        remote.download_file("x/none", tmp_path / "none")


def test_an_object_is_created_once(remote):
    assert remote.create("one", b"mine")
    assert not remote.create("one", b"theirs") and remote.get("one") == b"mine"
    assert remote.create("one", b"mine")  # as after an answer that was lost on the way


def test_a_conflict_is_tried_again(s3_url, monkeypatch):
    remote = ObjectStorage.connect(s3_url)
    answers = [_refusal("ConditionalRequestConflict"), _refusal("ConditionalRequestConflict"), None]

    def pipe_file(path, data, mode):
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(remote.fs, "pipe_file", pipe_file)
    assert remote.create("name", b"data") and not answers


def test_a_precondition_reported_in_other_words_is_understood(s3_url, monkeypatch):
    remote = ObjectStorage.connect(s3_url)
    remote.put("name", b"theirs")

    def pipe_file(path, data, mode):
        raise _refusal("PreconditionFailed")

    monkeypatch.setattr(remote.fs, "pipe_file", pipe_file)
    assert not remote.create("name", b"data")


def _refusal(code):
    error = OSError(22, "no")
    error.__cause__ = Exception(code)
    error.__cause__.response = {"Error": {"Code": code}}
    return error


def test_what_cannot_be_a_store_is_refused():
    with pytest.raises(
        StoreError, match=r"ftp:// is not known to let the first .*; use a folder, or s3://"
    ):
        ObjectStorage.connect("ftp://host/store")
    with pytest.raises(StoreError, match="names no bucket; give s3://BUCKET/FOLDER"):
        ObjectStorage.connect("s3://")


def test_a_missing_bucket_is_named(s3_server):
    remote = ObjectStorage.connect("s3://there-is-none/store")
    for use in (
        remote.list_top_level,
        lambda: remote.entries(""),
        lambda: remote.put("a", b""),
        lambda: remote.create("a", b""),
    ):
        with pytest.raises(
            StoreError, match=r"s3://there-is-none/store.*there is no such bucket; make it, or"
        ):
            use()


def in_a_process(url, first="", **environment):
    """Try to write a store with other variables in the environment; return how that failed."""
    code = f"""
{first}
from orchestrator.errors import StoreError
from orchestrator.store.storage.object_storage import ObjectStorage
try:
    ObjectStorage.connect({url!r}).put("a", b"")
except StoreError as error:
    print(error)
"""
    ended = subprocess.run(
        [
            "env",
            *[f"{name}={value}" for name, value in environment.items()],
            sys.executable,
            "-c",
            code,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_a_server_that_is_not_there_is_named(s3_url):
    said = in_a_process(s3_url, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    assert "does not answer" in said and "http://127.0.0.1:9" in said and "AWS_ENDPOINT_URL" in said
    assert "\n" not in said


def test_a_missing_package_is_named():
    said = in_a_process("s3://bucket/store", "import sys; sys.modules['s3fs'] = None")
    assert "pip install 'iid-orchestrator[s3]'" in said and "\n" not in said


def test_missing_credentials_are_named(s3_url, tmp_path):
    nowhere = str(tmp_path / "none")
    said = in_a_process(
        s3_url,
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        HOME=nowhere,
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=nowhere,
        AWS_SHARED_CREDENTIALS_FILE=nowhere,
    )
    assert "access is refused" in said and "check the credentials" in said and "\n" not in said


def test_fsspec_is_imported_for_a_url_only():
    code = """
import sys, json
from pathlib import Path
from orchestrator.store.open import open_store
import orchestrator.launch.launch, orchestrator.cli.commands.status
open_store("store").exists(), open_store(Path("store")).find_done_keys()
open_store("file:///tmp/store").read_runs()
print(json.dumps(sorted({"fsspec", "s3fs", "ray", "torch"} & set(sys.modules))))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == []
