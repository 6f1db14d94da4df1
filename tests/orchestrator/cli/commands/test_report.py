"""`iid report`: where the report goes, and the command that it suggests."""

import io
import shlex

import pytest
from rich.console import Console

from orchestrator.cli.commands.report import show_report
from orchestrator.planning.request import Request
from orchestrator.store.open import open_store

SPACE = """
name: tiny
experiments:
  - {name: main, datasets: digits, methods: [Random, DM], ipc: 1, seeds: 1}
"""


@pytest.fixture
def show(tmp_path, monkeypatch):
    """Write a report of a store without results; return the folder and what was printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SPACE)

    def show(*overrides, store="store", out=None):
        (tmp_path / store / "tables").mkdir(parents=True, exist_ok=True)
        (tmp_path / store / "tables" / "any").touch()
        stream = io.StringIO()
        console = Console(file=stream, width=200)
        request = Request(space="tiny.yaml", overrides=overrides)
        show_report(request, open_store(store), out, console)
        (line,) = [line for line in stream.getvalue().splitlines() if line.startswith("Report:")]
        return line.split()[1].removesuffix("/report.md"), stream.getvalue()

    return show


def test_changed_settings_and_other_stores_leave_the_full_report_alone(show, tmp_path):
    place, _ = show()
    assert place == "reports/tiny"
    full = (tmp_path / place / "report.md").read_text()
    changed, _ = show("methods=Random")
    other, _ = show(store="other store")
    assert len({place, changed, other}) == 3
    assert (tmp_path / place / "report.md").read_text() == full
    assert show()[0] == place and show("methods=Random")[0] == changed


def test_the_command_of_a_report_updates_that_report(show, tmp_path):
    for overrides, store in (((), "store"), (("methods=Random",), "store"), ((), "other store")):
        place, _ = show(*overrides, store=store)
        text = (tmp_path / place / "report.md").read_text()
        (command,) = {line for line in text.split("`") if line.startswith("iid run")}
        words = shlex.split(command)
        assert words[words.index("--out") + 1] == place
        assert words[words.index("--store") + 1] == store
        assert [w for w in words if w in overrides] == list(overrides)


def test_a_named_folder_is_used_and_what_it_held_is_told(show, tmp_path):
    show(out=tmp_path / "mine")
    _, printed = show("methods=Random", out=tmp_path / "mine")
    assert "Replaced in this folder: the report of iid run" in printed
