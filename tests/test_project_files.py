"""Files at the top of the repository agree with each other."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read_constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert PROJECT["version"] == citation["version"] == changelog[0]


def test_constraints_have_names_and_versions_alone():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.!+]+", line), line


@pytest.mark.parametrize("extra", ["core", *PROJECT["optional-dependencies"]])
def test_constraints_pin_what_the_project_needs(extra):
    extras = PROJECT["optional-dependencies"]
    needed = PROJECT["dependencies"] if extra == "core" else extras[extra]
    pinned = read_constraints()
    for requirement in map(Requirement, needed):
        if requirement.name != PROJECT["name"]:
            assert requirement.specifier.contains(pinned[requirement.name.lower()]), requirement


@pytest.mark.parametrize("name", ["torch", "torchvision", "ray"])
def test_minor_versions_that_were_not_tested_are_not_installed(name):
    (requirement,) = [r for r in map(Requirement, PROJECT["dependencies"]) if r.name == name]
    major, minor, *_ = map(int, read_constraints()[name].split("."))
    assert requirement.specifier.contains(f"{major}.{minor}.99")
    assert not requirement.specifier.contains(f"{major}.{minor + 1}.0")


def run_make(*arguments):
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    listed = re.findall(r"^make (\S+) +\S", run_make("help"), re.MULTILINE)
    assert set(listed) == set(phony.split())


def test_make_clean_keeps_stores_and_data():
    removed = run_make("--dry-run", "clean")
    assert "reports" in removed
    assert not re.search(r"\b(store|data)\b", removed)


def test_continuous_integration_runs_the_same_targets():
    (check,) = re.findall(r"^check: ([a-z ]+?) *##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step.get("run", "") for step in workflow["jobs"]["check"]["steps"]]
    assert [c.removeprefix("make ") for c in commands if c.startswith("make ")] == check.split()
    assert "make check" in (ROOT / ".ci" / "run").read_text()


def test_messages_name_no_pages_that_a_wheel_lacks():
    for package in ("distill_core", "orchestrator", "search_spaces"):
        for path in (ROOT / package).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            for node in nodes:
                if isinstance(node, ast.Constant) and id(node) not in prose:
                    named = re.search(r"docs/[\w-]+\.md", str(node.value))
                    assert named is None, f"{path}: {node.value}"
