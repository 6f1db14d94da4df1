"""docs/search-spaces.md names every key and every setting with its default, and what it shows can
be planned.
"""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.planning.plan import make_plan
from search_spaces.load import load_space
from search_spaces.schema import (
    ClaimEntry,
    DatasetEntry,
    ExperimentEntry,
    Range,
    RuleEntry,
    Rungs,
    SpaceEntry,
    When,
)
from search_spaces.setting_paths import SETTINGS
from search_spaces.setting_sources import load_published_rules

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "search-spaces.md").read_text()
SPACES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^iid plan .*$", PAGE, re.MULTILINE)
PUBLISHED = {path for rule in load_published_rules() for path in rule.set}


def section(title):
    """The text below a heading, up to the next one."""
    (found,) = re.findall(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE
    )
    return found


def settings():
    """Path, default and mark of every row of the tables of settings."""
    for name in dict.fromkeys(path.rpartition(".")[0] for path in SETTINGS):
        for field, default, mark in re.findall(
            r"^\| `(\w+)` \| `([^`]*)`( ¹)? \| \S", section(f"`{name}`"), re.MULTILINE
        ):
            yield f"{name}.{field}", default, bool(mark)


def test_every_setting_stands_there_with_its_default():
    shown = {path: yaml.safe_load(default) for path, default, _ in settings()}
    assert shown == {
        path: getattr(setting.owner(), setting.field) for path, setting in SETTINGS.items()
    }


def test_settings_that_published_settings_change_are_marked():
    assert {path for path, _, marked in settings() if marked} == PUBLISHED


@pytest.mark.parametrize(
    ("title", "models"),
    [
        ("The file", [SpaceEntry]),
        ("An experiment", [ExperimentEntry]),
        ("Your own data set", [DatasetEntry]),
        ("Rules", [RuleEntry, When]),
        ("Search", [Range, Rungs]),
        ("Claims", [ClaimEntry]),
    ],
)
def test_every_key_stands_there(title, models):
    keys = {key for model in models for key in model.model_fields}
    assert keys <= set(re.findall(r"`(\w+)`", section(title)))


def test_the_defaults_of_searches_are_those_of_the_schema():
    for model in (Range, Rungs):
        for name, field in model.model_fields.items():
            if not field.is_required():
                default = str(field.default).lower()
                assert re.search(
                    rf"^\| `{name}` \| `{default}` \|", section("Search"), re.MULTILINE
                ), name


@pytest.mark.parametrize("smoke", [False, True], ids=["full", "smoke"])
@pytest.mark.parametrize("text", SPACES, ids=[yaml.safe_load(text)["name"] for text in SPACES])
def test_every_space_it_shows_is_planned(text, smoke, tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    plan = make_plan(load_space(path, smoke=smoke))
    assert {cell.experiment for cell in plan.cells} == {
        item["name"] for item in yaml.safe_load(text)["experiments"]
    }


@pytest.mark.parametrize("line", COMMANDS)
def test_every_override_it_shows_is_understood(line, tmp_path):
    result = CliRunner().invoke(app, [*shlex.split(line)[1:], "--store", str(tmp_path)])
    assert result.exit_code == 0, result.output


def test_links_lead_somewhere():
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (
            target[1:] in headings if target.startswith("#") else (ROOT / "docs" / target).is_file()
        ), target
