"""The scripts and the notebook in examples/ run as they stand there, on small budgets."""

import json
import os
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path

import matplotlib
import pyarrow.parquet as pq
import pytest

from distill_core.synthetic_set import SyntheticSet
from orchestrator.store import tables

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
KEPT_STORE = ROOT / "tests" / "data" / "kept-store" / "store-0.1.0.tar.gz"


def run_script(name, *arguments, folder):
    """Run one script in a folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested():
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert names == {"distill_digits.py", "read_results.py", "quickstart.ipynb"}


def test_distill_digits(tmp_path):
    printed = run_script("distill_digits.py", "--iterations", "5", "--epochs", "5", folder=tmp_path)
    assert "DM+CM: 20 images of shape (1, 32, 32) in digits.safetensors" in printed
    assert "test accuracy:" in printed
    assert len(SyntheticSet.load(tmp_path / "digits.safetensors").images) == 20


def test_read_results(tmp_path):
    with tarfile.open(KEPT_STORE) as archive:
        archive.extractall(tmp_path, filter="data")
    (tables,) = tmp_path.glob("**/tables/evaluations")
    printed = run_script("read_results.py", str(tables.parents[1]), folder=tmp_path)
    accuracies, costs = printed.split("\n\n")
    for method in ("DM+IID", "IDM+IID", "Herding", "Random"):
        assert method in accuracies
    assert "peak_memory" in costs and "IDM+IID" in costs


def test_only_repetitions_of_the_same_settings_are_averaged(tmp_path):
    with tarfile.open(KEPT_STORE) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.glob("**/tables/evaluations")
    (spec,) = [s for s in read_specs(folder) if s["method"] == "DM+IID" and s["seed"] == 0]
    rows = pq.read_table(spec["file"]).to_pylist()
    # Two rows as this version writes them: another λ_CM, and another budget.
    for key, change in (("0" * 16, {"lambda_cm": 0.5}), ("1" * 16, {"epoch_eval_train": 7})):
        columns = {"lambda_cm": 0.01, "epoch_eval_train": 3, "settings_hash": key, **change}
        changed = [row | {"key": key, "accuracy": 0.9} | columns for row in rows]
        tables.write(folder / f"{key}.parquet", "evaluations", changed)
    summary = runpy.run_path(str(EXAMPLES / "read_results.py"))["summarize_accuracies"](
        folder.parents[1]
    ).reset_index()
    shown = summary[summary["method"] == "DM+IID"]
    assert len(shown) == 3 and sorted(shown["mean"])[1:] == pytest.approx([0.9, 0.9])
    assert 0.5 in set(shown["lambda_cm"]) and 7 in set(shown["epoch_eval_train"])


def read_specs(folder):
    for file in folder.glob("*.parquet"):
        row = pq.read_table(file).to_pylist()[0]
        yield {"file": file, "method": row["method"], "seed": row["seed"]}


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    cells = json.loads((EXAMPLES / "quickstart.ipynb").read_text())["cells"]
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")  # nobody closes a window in a test
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert all(network.accuracy > 0.3 for network in names["networks"])
    assert len(names["images"]) == 10


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads((EXAMPLES / "quickstart.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("name", ["distill_digits.py", "read_results.py"])
def test_a_script_explains_itself(name, tmp_path):
    assert "usage:" in run_script(name, "--help", folder=tmp_path)
