"""The paper's grids in their small version: what the report prints is recomputed from the raw
rows.
"""

import csv
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pytest

from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.report import write_report
from orchestrator.store.open import open_store
from search_spaces.load import load_space

PIECE = """\
name: piece
include: [paper/continual, paper/cross_architecture, paper/visualisation]
"""


BUDGET = [
    "methods=[Random,DM]",
    "iterations=2",
    "extractors.epochs=1",
    "batch_real=8",
]


SMALL = ["steps=2", "seeds=1", "epoch_eval_train=1"]
WHOLE = ["epoch_eval_train=2"]
SLOW_NETWORKS = {"AlexNet", "VGG11", "ViT"}


@dataclass(frozen=True)
class Piece:
    """Some of the paper's grids, run: a folder with their store and their report."""

    folder: Path
    plan: Plan

    def values(self, attribute, experiment):
        """The distinct values that the cells of an experiment have, in order."""
        cells = [cell for cell in self.plan.cells if cell.experiment == f"paper/{experiment}"]
        return list(dict.fromkeys(getattr(cell, attribute) for cell in cells))


def iid(folder, *words):
    command = [sys.executable, "-m", "orchestrator", *words, "--store", "store"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module", params=["small", pytest.param("whole", marks=pytest.mark.slow)])
def piece(request, tmp_path_factory):
    """Run the grids: all of them by the command that users type, or a part in this process."""
    folder = tmp_path_factory.mktemp("piece")
    (folder / "piece.yaml").write_text(PIECE)
    run = run_whole if request.param == "whole" else run_small
    return Piece(folder, run(folder))


def run_whole(folder):
    settings = [*BUDGET, *WHOLE]
    sets = [word for setting in settings for word in ("--set", setting)]
    ended = iid(folder, "run", "piece.yaml", "--smoke", "--out", "report", *sets)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return make_plan(load_space(folder / "piece.yaml", settings, smoke=True))


def run_small(folder):
    plan = make_plan(load_space(folder / "piece.yaml", [*BUDGET, *SMALL], smoke=True))
    plan = without_slow_networks(plan)
    store = open_store(folder / "store")
    settings = TrialSettings(
        store=str(store.root), data_root=str(folder), run="run", tensorboard=False
    )
    for unit in plan.units.values():
        assert compute_unit(unit, settings, device="cpu").status == "done"
    write_report(plan, "piece", store, folder / "report")
    return plan


def without_slow_networks(plan):
    """A plan without the networks that take seconds for each evaluation."""
    cells = tuple(cell for cell in plan.cells if cell.network not in SLOW_NETWORKS)
    needed = {cell.evaluation_key for cell in cells}
    for key, unit in reversed(plan.units.items()):
        needed |= set(unit.parents) if key in needed else set()
    units = {key: unit for key, unit in plan.units.items() if key in needed}
    return Plan(units=units, cells=cells)


def raw(folder, table):
    """The rows of a table as they lie on disk, read by something that is not ours."""
    return duckdb.sql(f"SELECT * FROM read_parquet('{folder}/store/tables/{table}/*.parquet')").df()


def printed(accuracies):
    """A group of accuracies as published tables print it."""
    values = 100 * np.concatenate(accuracies)
    return (
        f"{values.mean():.1f} ± {values.std():.1f}" if len(values) > 1 else f"{values.mean():.1f}"
    )


def table(folder, slug):
    """A table of the report as {row: {column: text}}."""
    with (folder / "report" / "tables" / f"{slug}.csv").open(encoding="utf-8") as stream:
        header, *lines = csv.reader(stream)
    return {line[0]: dict(zip(header[1:], line[1:], strict=True)) for line in lines}


def slugs(folder, pattern):
    """Names of the report's tables that match, without those of spread and differences."""
    names = [
        path.stem
        for path in (folder / "report" / "tables").glob("*.csv")
        if re.search(pattern, path.stem)
    ]
    return sorted(
        name for name in names if not name.endswith(("-spread", "-differences", "-changes"))
    )


def test_class_incremental_results_follow_from_the_raw_rows(piece):
    rows = raw(piece.folder, "continual")
    numbers_of_steps = sorted(set(rows["steps"]))
    assert numbers_of_steps in ([2], [2, 5])
    orders = piece.values("seed", "continual/continual")
    for steps in numbers_of_steps:
        (slug,) = slugs(piece.folder, f"continual.*{steps}-steps")
        shown = table(piece.folder, slug)
        assert set(shown) == {"Random", "DM"}
        for method, entries in shown.items():
            ours = rows[(rows["steps"] == steps) & (rows["method"] == method)]
            assert len(ours) == steps * len(orders) * 2, "steps × class orders × networks"
            assert_continual(ours, entries, steps)
    for _, row in rows.iterrows():
        order = np.random.RandomState(row["seed"]).permutation(10)
        assert list(row["classes"]) == order[: len(row["classes"])].tolist()


def assert_continual(rows, entries, steps):
    """The printed accuracies after each step, and their average, are those of a method's rows."""
    for step in range(1, steps + 1):
        after, seen = rows[rows["step"] == step], 10 * step // steps
        assert {len(classes) for classes in after["classes"]} == {seen}
        assert entries[f"{seen} classes"] == printed([after["accuracy"].to_numpy()])
    networks = rows.groupby(["seed", "network_index"])["accuracy"].mean().to_numpy()
    assert entries["average"] == printed([networks])


def test_cross_architecture_results_follow_from_the_raw_rows(piece):
    rows = raw(piece.folder, "evaluations")
    sets = raw(piece.folder, "distillations").set_index("key")
    made_by_convnet = sets.index[sets["network"].isna() | (sets["network"] == "ConvNetW16")]
    (slug,) = slugs(piece.folder, "evaluation-digits-architectures")
    shown = table(piece.folder, slug)
    networks = piece.values("network", "cross_architecture/evaluation")
    assert {"ConvNetW16", "ResNet18W8", "MLP", "LeNet"} <= set(networks)
    assert set(shown) == {"Random", "DM"} and all(
        list(entries) == networks for entries in shown.values()
    )
    for method, entries in shown.items():
        for network in networks:
            ours = rows[
                (rows["method"] == method)
                & (rows["network"] == network)
                & rows["set_key"].isin(made_by_convnet)
            ]
            ours = ours[ours["ipc"] == 10].drop_duplicates(["set_key", "network_index"])
            assert len(ours) == 2 and entries[network] == printed([ours["accuracy"].to_numpy()])


def test_its_report_is_complete(piece):
    assert_complete(piece.folder / "report", piece.plan)


FIGURES = {
    "main/main": ["losses", "size"],
    "main/augmentation": ["dsa-strategy"],
    "cross-architecture/evaluation": ["evaluation-network", "generalization"],
    "cross-architecture/matching": ["matching"],
    "ablation/ablation": ["losses"],
    "lambda-sensitivity/dm": ["lambda-cc-lambda-cm"],
    "lambda-sensitivity/idm": ["lambda-cc-lambda-cm"],
    "compression/images-per-class": ["size"],
    "compression/ratio": ["size"],
    "covariance/local-or-global": ["covariance"],
    "covariance/plain-or-exponential": ["cc-alpha"],
    "covariance/threshold-of-the-exponential": ["cc-beta"],
    "covariance/extractor-pool-size": ["count"],
    "covariance/extractor-architecture": ["network"],
    "continual/continual": ["steps"],
    "visualisation/features": ["features", "spread"],
}
"""What each experiment of the paper has to show, as parts of its figures' names."""


def assert_complete(report: Path, plan) -> None:
    """No placeholder, every linked file there, and of each experiment its tables and its kinds of
    figures.
    """
    text = (report / "report.md").read_text()
    assert "Still missing" not in text and "Failures" not in text
    for link in re.findall(r"\]\((?!http|#)([^)]+)\)", text):
        assert (report / link).exists(), link
    figures = {path.stem for path in (report / "figures").glob("*.svg")}
    assert figures == {path.stem for path in (report / "figures").glob("*.png")}
    tables = {path.stem for path in (report / "tables").glob("*.csv")}
    for name in {cell.experiment.removeprefix("paper/") for cell in plan.cells}:
        slug = name.lower().replace("_", "-").replace(" ", "-")
        prefix = f"paper-{slug.replace('/', '-')}-"
        assert any(table.startswith(prefix) for table in tables), name
        for kind in FIGURES[slug]:
            assert any(
                figure.startswith(prefix) and kind in figure.removeprefix(prefix)
                for figure in figures
            ), kind
    page = (report / "index.html").read_text()
    assert "http-equiv" in page and page.count("data:image/") >= len(figures)
    assert {path.stem for path in (report / "latex").glob("*.tex")} > {"all"}


@pytest.mark.nightly
def test_the_whole_paper_runs_small_and_its_report_is_complete(tmp_path):
    ended = iid(tmp_path, "run", "paper", "--smoke", "--out", "report")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    plan = make_plan(load_space("paper", smoke=True))
    assert_complete(tmp_path / "report", plan)
    assert {
        cell.experiment.removeprefix("paper/").lower().replace("_", "-").replace(" ", "-")
        for cell in plan.cells
    } == (FIGURES.keys())
    again = iid(tmp_path, "run", "paper", "--smoke", "--out", "report")
    assert again.returncode == 0 and "Everything is already done" in again.stdout
