import os
import re
import stat

import pytest

from orchestrator.cluster.auth_token import keep_token_private

NAMES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    return tmp_path / ".ray" / "auth_token"


def read_mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_once_for_its_owner_alone(file):
    keep_token_private()
    token = file.read_text()
    assert re.fullmatch("[0-9a-f]{64}", token) and (read_mode(file), read_mode(file.parent)) == (
        0o600,
        0o700,
    )
    file.chmod(0o644)  # as Ray itself makes it
    keep_token_private()
    assert (file.read_text(), read_mode(file)) == (token, 0o600)
    assert not any(name in os.environ for name in NAMES)


@pytest.mark.parametrize(
    "setting",
    [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "t"), ("RAY_AUTH_TOKEN_PATH", "/t")],
)
def test_a_user_who_decided_is_left_alone(file, monkeypatch, setting):
    monkeypatch.setenv(*setting)
    keep_token_private()
    assert not file.exists()


def test_without_a_home_to_write_to_the_token_stays_in_memory(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    keep_token_private()
    assert re.fullmatch("[0-9a-f]{64}", os.environ["RAY_AUTH_TOKEN"])
