"""The command line as a whole: its help, its version, what it imports to show them."""

import inspect
import json
import os
import subprocess
import sys
from importlib import import_module, metadata

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import COMMANDS, app, load_command

HEAVY = ("numpy", "pandas", "pyarrow", "pydantic", "ray", "torch", "yaml", "matplotlib", "fsspec")


def loaded_by(*arguments):
    """The heavy modules that a command line imports."""
    code = (
        "import sys\nfrom orchestrator.cli.app import app\n"
        f"try:\n    app({list(arguments)})\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *sorted(set({HEAVY}) & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ended.stdout.rsplit("LOADED", 1)[1].split()


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], []])
def test_help_and_version_import_nothing_heavy(arguments):
    assert loaded_by(*arguments) == []


def test_planning_imports_neither_ray_nor_torch(tmp_path):
    loaded = loaded_by("plan", "quickstart", "--store", str(tmp_path / "store"))
    assert not {"ray", "torch", "matplotlib"} & set(loaded)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_imports_ray_or_torch_for_its_help(name):
    assert not {"ray", "torch"} & set(loaded_by(name, "--help"))


def test_version_prints_name_and_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"iid-orchestrator {metadata.version('iid-orchestrator')}\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_fits_in_80_columns_with_a_line_per_command(option):
    result = CliRunner().invoke(app, [option], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    for name, entry in COMMANDS.items():
        assert any(name in line and entry.help in line for line in lines), name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name):
    found = getattr(import_module(f"orchestrator.cli.commands.{COMMANDS[name].module}"), name)
    text = inspect.getdoc(found) if inspect.isfunction(found) else found.info.help
    assert text.splitlines()[0] == COMMANDS[name].help
    result = CliRunner().invoke(app, [name, "-h"])
    assert result.exit_code == 0 and (name == "cluster" or "--verbose" in result.output)


def test_every_command_takes_verbose_and_quiet():
    for name in COMMANDS:
        command = load_command(name)
        for each in getattr(command, "commands", {"": command}).values():
            spellings = {spelling for param in each.params for spelling in param.opts}
            assert {"-v", "--verbose", "-q", "--quiet"} <= spellings, (name, each.name)


def test_a_misspelled_command_gets_a_suggestion():
    result = CliRunner().invoke(app, ["verfy"])
    assert result.exit_code == 2 and "verify" in result.output


def test_wrong_input_ends_with_a_message_and_code_2(tmp_path):
    result = CliRunner().invoke(app, ["status", "--store", str(tmp_path / "none")])
    assert result.exit_code == 2 and result.output.startswith("error: ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_no_type_for_what_is_on_or_off(name):
    assert "<bool>" not in CliRunner().invoke(app, [name, "-h"], env={"COLUMNS": "200"}).output


def test_completion_knows_commands_options_and_spaces():
    def complete(line):
        asked = {"_IID_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "99"}
        asked["COMP_CWORD"] = str(len(line.split()) - (not line.endswith(" ")))
        ended = subprocess.run(
            [sys.executable, "-m", "orchestrator"],
            env={**os.environ, **asked},
            capture_output=True,
            text=True,
            check=True,
        )
        return ended.stdout.split()

    assert complete("iid ver") == ["verify"]
    assert complete("iid run quick") == ["quickstart"]
    assert {"--store", "--json"} <= set(complete("iid plan --"))


def test_lists_and_states_are_also_json(tmp_path):
    def read(*words):
        ended = CliRunner().invoke(app, [*words, "--json"])
        assert ended.exit_code == 0, ended.output
        return json.loads(ended.output)

    (tmp_path / "store").mkdir()
    store = ("--store", str(tmp_path / "store"))
    assert read("spaces")[0]["name"] == "quickstart"  # what a new user looks for
    digits = {row["name"]: row for row in read("datasets")}["digits"]
    assert digits["train_images"] == 1438 and len(digits["classes"]) == 10 and digits["folder"]
    plan = read("plan", "quickstart", *store)
    assert plan["to_run"] == plan["units"] == sum(row["units"] for row in plan["kinds"])
    assert plan["seconds"] > 0 and plan["store"] == store[1]
    assert read("status", *store)["counts"]["done"] == {}


def test_what_goes_into_a_pipe_is_not_wrapped(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "datasets", "--data", "a long name " * 15],
        env={key: value for key, value in os.environ.items() if key != "COLUMNS"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = ended.stdout.splitlines()
    assert any(line.startswith("svhn: ") and line.endswith("data folder") for line in lines)
    assert max(map(len, lines)) > 120
