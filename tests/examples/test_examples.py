"""The scripts and the notebook in examples/ run as they stand there, on small budgets."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import matplotlib
import pytest

from distill_core.synthetic_set import SyntheticSet

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
