"""Where the modules of custom names are found."""

import os
import subprocess
import sys

import pytest

from distill_core.extensions import require_importable
from distill_core.settings import SettingsError

PLAN = ["plan", "quickstart", "--smoke", "--store", "store"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_plugin_here.py").write_text("raise RuntimeError('planning imports nothing')\n")
    (tmp_path / "only_a_folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", ".")])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    return tmp_path


def test_a_module_in_the_working_folder_is_found_last_and_told(folder, caplog):
    assert require_importable("my_plugin_here:spread") == "my_plugin_here:spread"
    assert caplog.messages == [f"module my_plugin_here is taken from the working folder, {folder}"]
    assert sys.path[-1] == str(folder)  # so that it hides nothing that is installed
    assert os.environ["PYTHONPATH"].split(os.pathsep)[-1] == str(folder)  # for workers
    require_importable("my_plugin_here:other")
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("name", ["no_such_module_at_all:x", "only_a_folder:x"])
def test_a_module_that_is_nowhere_changes_no_path(folder, name):
    before = list(sys.path)
    with pytest.raises(SettingsError, match="run from its folder"):
        require_importable(name)
    assert sys.path == before


def test_the_command_finds_it_without_pythonpath(folder):
    words = [*PLAN, "--set", "methods=[DM+my_plugin_here:spread]"]
    start = "import sys; sys.path.pop(0); from orchestrator.__main__ import main"
    code = f"{start}; sys.argv[1:] = {words}; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith(
        "warning: module my_plugin_here is taken from the working folder"
    )
