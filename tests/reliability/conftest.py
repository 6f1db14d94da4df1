"""The harness of `tests/orchestrator` and the one that does harm, on the path of this process and
of its children.
"""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOLDERS = [str(HERE / "harness"), str(HERE.parent / "orchestrator" / "harness")]
sys.path[:0] = FOLDERS  # before the tests of this folder are imported


@pytest.fixture(scope="session", autouse=True)
def harness_modules():
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*FOLDERS, *([before] if before else [])])
    yield
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def make_grid(tmp_path):
    """Makes grids of units, in folders of their own."""
    from harm import Grid

    return lambda name="grid", **sizes: Grid(tmp_path / name, **sizes)
