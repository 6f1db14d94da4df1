"""The documentation is true: its code runs, its names exist, its sentences are short."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from distill_core.exporters import FORMATS, export
from distill_core.synthetic_set import SyntheticSet
from orchestrator.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
MAX_WORDS_PER_SENTENCE = 20
"""On average over a page."""


def find_blocks(file, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)


def test_the_library_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for text in find_blocks("docs/library.md", "python"):
        exec(text, names)
    printed = capsys.readouterr().out
    assert re.search(r"^20/20 \d+\.\d$", printed, re.MULTILINE)
    assert "IDM+IID (10, 1, 32, 32)" in printed and "(40, 1, 32, 32) (40,)" in printed
    assert "# IDM+IID on digits, 1 image per class" in printed
    assert all(network.accuracy > 0.5 for network in names["networks"])


def test_the_library_needs_neither_ray_nor_torch_before_it_is_used():
    code = (
        "import sys, distill_core; assert not {'ray', 'torch', 'orchestrator'} & sys.modules.keys()"
    )
    code += "; distill_core.distill_set; assert not {'ray', 'orchestrator'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_script_of_the_page_trains_on_an_export(tmp_path, monkeypatch, image):
    source = SyntheticSet(
        images=image(10, 1, 32, 32, 0),
        labels=torch.arange(10),
        dataset="digits",
        class_names=tuple("0123456789"),
        mean=(0.3,),
        std=(0.3,),
        ipc=1,
        method="DM",
    )
    export(source, FORMATS["dc"], tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    (script,) = [
        text for text in find_blocks("docs/exporting.md", "python") if "torch.load(" in text
    ]
    names = {}
    exec(script.replace("range(300)", "range(2)").replace("128", "8"), names)
    assert "distill_core" not in script and torch.isfinite(names["loss"])


def is_dotted_name(name):
    """Whether a dotted name is a module, or an attribute, field or method of what it names."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            fields = getattr(found, "__dataclass_fields__", {})
            if not hasattr(found, part) and part not in fields:
                return False
            found = getattr(found, part, None)
        return True
    return False


def test_a_wrong_name_is_noticed():
    assert is_dotted_name("distill_core.settings.DistillationSettings.iterations")
    assert not is_dotted_name("distill_core.settings.DistillationSettings.iteration")
    assert not is_dotted_name("orchestrator.no_such_module")


@pytest.mark.parametrize("page", [*PAGES, *REFERENCE], ids=lambda page: page.stem)
def test_every_name_of_the_code_exists(page):
    text = page.read_text()
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    names = [name for name in code if re.fullmatch(r"(orchestrator|distill_core)(\.\w+)+", name)]
    assert [name for name in names if not is_dotted_name(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_path_into_the_repository_exists(page):
    folders = "orchestrator|distill_core|search_spaces|tests|benchmarks|examples|docs"
    paths = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_exists(page):
    lines = re.findall(r"^(?:    )?iid (\w+)", page.read_text(), re.MULTILINE)
    inline = re.findall(r"`iid (\w+)", page.read_text())
    assert {*lines, *inline} <= COMMANDS.keys()


def test_the_architecture_page_names_every_package():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for package in ("orchestrator", "distill_core"):
        for module in (ROOT / package).glob("*/__init__.py"):
            assert f"`{package}/{module.parent.name}/`" in text


def iterate_sentences(text):
    """Yield the words of each sentence, without code, tables, headings and pictures."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^(    .*|\s*[#|].*)$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*([-*]|\d+\.) ", "\n\n", text, flags=re.MULTILINE)  # an item is a paragraph
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?])[\"*)]*\s+(?=[A-Z`*\"(λφψ\d])", paragraph):
            if words := [word for word in sentence.split() if re.search(r"\w", word)]:
                yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_sentences_are_short(page):
    lengths = [len(words) for words in iterate_sentences(page.read_text())]
    assert sum(lengths) / len(lengths) <= MAX_WORDS_PER_SENTENCE
