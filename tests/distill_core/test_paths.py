"""Paths that users give: whatever the system says of them is one clear line."""

import errno
import os
import socket

import pytest

from distill_core.paths import PathError, check_path, format_os_error, show_path
from distill_core.settings import SettingsError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to-pipe").symlink_to("pipe")
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        yield tmp_path


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ("", "any", "the path is empty"),
        ("x" * 300, "any", "the name is too long"),
        ("x/" * 3000, "any", "the name is too long"),
        ("a\0b", "any", "NUL"),
        ("caf\udce9", "any", r"caf\\xe9 has bytes that are no UTF-8"),
        ("~nosuchuser/x", "any", "no user nosuchuser is known here"),
        ("loop", "any", "leads back to itself"),
        ("loop/x", "any", "leads back to itself"),
        ("file/x", "any", "part of the path is a file"),
        ("pipe", "any", "is a pipe"),
        ("to-pipe", "file", "is a pipe"),
        ("socket", "folder", "is a socket"),
        ("/dev/zero", "file", "is a device, not a regular file"),
        ("file", "folder", "is a file, not a folder"),
        ("folder", "file", "is a folder, not a file"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_source_and_the_reason(place, given, kind, told):
    with pytest.raises(PathError, match=told) as caught:
        check_path(given, "--out", kind=kind)
    text = str(caught.value)
    assert text.startswith("--out: ") and "\n" not in text and len(text) < 400
    assert isinstance(caught.value, SettingsError)  # every command ends with its message


def test_without_a_home_the_remedy_is_the_whole_path(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(PathError, match="HOME is not set; write the whole path"):
        check_path("~/x")


@pytest.mark.parametrize("given", ["new", "new/below", "folder", "my folder/é/数据", "-x"])
def test_other_paths_are_returned_whether_they_exist_or_not(place, given):
    assert check_path(given, kind="folder").as_posix() == given


def test_home_folders_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_path("~/x") == tmp_path / "x"


def test_a_folder_that_may_not_be_entered_is_named(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may enter every folder")
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(PathError, match="permission denied"):
        check_path(tmp_path / "closed" / "x")


def test_a_path_is_shown_without_control_characters_and_not_too_long():
    assert show_path("a\x1b[31m\n\u202eb") == r"a\x1b[31m\n\u202eb"
    assert show_path("x" * 5000) == "x" * 80 + "…" + "x" * 80


def test_an_error_of_the_system_says_what_to_do():
    error = OSError(errno.ENOSPC, "No space left on device", "/full/disk")
    assert format_os_error(error) == (
        "/full/disk: the disk is full; free some space, or name another place"
    )
    assert format_os_error(OSError(errno.EIO, "Input/output error")) == "input/output error"
