"""The paper's grids in their small version: what the report prints is recomputed from the raw
rows.
"""

import csv
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from orchestrator.planning.plan import make_plan
from search_spaces.load import load_space

PIECE = """\
name: piece
include: [paper/continual, paper/cross_architecture, paper/visualisation]
"""
BUDGET = [
    "methods=[Random,DM]",
    "iterations=2",
    "epoch_eval_train=2",
    "extractors.epochs=1",
    "batch_real=8",
]


def iid(folder, *words):
    command = [sys.executable, "-m", "orchestrator", *words, "--store", "store"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module")
def piece(tmp_path_factory):
    """Folder with the store and the report of some of the paper's grids, run by the command that
    users type.
    """
    folder = tmp_path_factory.mktemp("piece")
    (folder / "piece.yaml").write_text(PIECE)
    sets = [word for setting in BUDGET for word in ("--set", setting)]
    ended = iid(folder, "run", "piece.yaml", "--smoke", "--out", "report", *sets)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


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


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, 5])
def test_class_incremental_results_follow_from_the_raw_rows(piece, steps):
    rows = raw(piece, "continual")
    (slug,) = slugs(piece, f"continual.*{steps}-steps")
    shown = table(piece, slug)
    assert set(shown) == {"Random", "DM"}
    for method, entries in shown.items():
        ours = rows[(rows["steps"] == steps) & (rows["method"] == method)]
        assert len(ours) == steps * 2 * 2, "steps × class orders × networks"
        for step in range(1, steps + 1):
            after = ours[ours["step"] == step]
            assert {len(classes) for classes in after["classes"]} == {10 * step // steps}
            assert entries[f"{10 * step // steps} classes"] == printed(
                [after["accuracy"].to_numpy()]
            )
        networks = ours.groupby(["seed", "network_index"])["accuracy"].mean().to_numpy()
        assert entries["average"] == printed([networks])
    for _, row in rows.iterrows():
        order = np.random.RandomState(row["seed"]).permutation(10)
        assert list(row["classes"]) == order[: len(row["classes"])].tolist()


@pytest.mark.slow
def test_cross_architecture_results_follow_from_the_raw_rows(piece):
    rows = raw(piece, "evaluations")
    sets = raw(piece, "distillations").set_index("key")
    made_by_convnet = sets.index[sets["network"].isna() | (sets["network"] == "ConvNetW16")]
    (slug,) = slugs(piece, "evaluation-digits-architectures")
    shown = table(piece, slug)
    networks = ["ConvNetW16", "AlexNet", "VGG11", "ResNet18W8", "MLP", "LeNet", "ViT"]
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


@pytest.mark.slow
def test_its_report_is_complete(piece):
    assert_complete(
        piece / "report", make_plan(load_space(piece / "piece.yaml", BUDGET, smoke=True))
    )


FIGURES = {
    "main/main": ["losses", "size"],
    "main/augmentation": ["dsa-strategy"],
    "cross-architecture/evaluation": ["evaluation-network"],
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
