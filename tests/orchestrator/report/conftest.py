"""Plans and stores made by hand: rows through the project's writer, synthetic sets as safetensors
files.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    FeatureSettings,
)
from orchestrator.analysis.statistics import summarize
from orchestrator.planning.plan import Cell, Plan
from orchestrator.report import write_report
from orchestrator.search.build_studies import build_studies
from orchestrator.search.journal import RungResult, Trial
from orchestrator.search.results import Finalist, StudyResult
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.store.storage.names import DONE
from orchestrator.units import Continual, Distill, Embed, Evaluate, Select, to_json
from search_spaces.load import load_space

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


@dataclass
class Grid:
    """A plan that grows cell by cell, and a store that has what a test puts there."""

    store: Path
    cells: list = field(default_factory=list)
    units: dict = field(default_factory=dict)

    @property
    def plan(self):
        return Plan(cells=tuple(self.cells), units=self.units)

    def cell(self, method, ipc, seed, accuracies=None, **options):
        """Plan a cell; with accuracies, its set and evaluation are done. Returns the cell."""
        point = {
            "experiment": "main",
            "dataset": "digits",
            "protocol": "paper",
            "network": "ConvNet",
            **options,
        }
        dataset = DatasetRef(name=point["dataset"])
        split = point.get("split", "test")
        sweep = point.get("sweep", ())
        made = self._set_unit(
            method, ipc, seed, dataset, point["protocol"], dict(sweep), point.get("same_as")
        )
        evaluation = Evaluate(
            dataset=dataset,
            protocol=point["protocol"],
            split=split,
            network=point["network"],
            settings=EvaluationSettings(num_eval=2),
            seed=seed,
            parents=(made.key,) if made else (),
        )
        for unit in (made, evaluation):
            if unit is not None:
                self.units[unit.key] = unit
        self.cells.append(
            Cell(
                experiment=point["experiment"],
                dataset=dataset.name,
                protocol=point["protocol"],
                method=method,
                ipc=ipc,
                seed=seed,
                network=point["network"],
                sweep=sweep,
                set_key=made.key if made else None,
                evaluation_key=evaluation.key,
                note=point.get("note", ""),
            )
        )
        if accuracies is not None:
            self.evaluate(self.cells[-1], accuracies)
        return self.cells[-1]

    def _set_unit(self, method, ipc, seed, dataset, protocol, sweep, same_as):
        if ipc is None:
            return None
        common = {"dataset": dataset, "protocol": protocol, "ipc": ipc, "seed": seed}
        if method in ("Random", "Herding", "K-Center"):
            return Select(method=method.lower(), **common)
        method = same_as or method
        # Any settings will do: the lr_img tells the methods' keys apart.
        settings = {"lr_img": float(len(method) + 10 * method.startswith("I"))}
        settings |= {path.removeprefix("distillation."): value for path, value in sweep.items()}
        return Distill(settings=DistillationSettings(**settings), **common)

    def learn(self, method, order, accuracies=None, *, steps=2):
        """Plan one class order of class-incremental learning; with accuracies (steps, networks), it
        is done.
        """
        sets = [
            Select(
                dataset=DatasetRef(name="digits", classes=(2 * i, 2 * i + 1)),
                protocol="paper",
                method=method.lower(),
                ipc=2,
                seed=order,
            )
            for i in range(steps)
        ]
        unit = Continual(
            dataset=DatasetRef(name="digits"),
            protocol="paper",
            split="test",
            network="ConvNet",
            settings=EvaluationSettings(num_eval=2),
            seed=order,
            parents=tuple(each.key for each in sets),
        )
        cell = self._answer(
            unit, sets, measure="continual", method=method, ipc=2, seed=order, steps=steps
        )
        rows = [
            self._provenance(unit.key, seconds=1.0, peak_memory=2**28)
            | {
                "method": method,
                "ipc": 2,
                "split": "test",
                "network": "ConvNet",
                "network_index": i,
                "steps": steps,
            }
            | {"step": step, "classes": list(range(2 * step)), "accuracy": accuracy}
            for step, networks in enumerate(() if accuracies is None else accuracies, 1)
            for i, accuracy in enumerate(networks)
        ]
        if rows:
            self.write("continual", unit.key, rows)
        return cell

    def view(self, method, seed, spreads=None):
        """Plan the features of a set; with spreads by origin of one class, they are done."""
        made = Select(
            dataset=DatasetRef(name="digits"),
            protocol="paper",
            method=method.lower(),
            ipc=2,
            seed=seed,
        )
        unit = Embed(
            dataset=DatasetRef(name="digits"),
            protocol="paper",
            settings=FeatureSettings(),
            seed=seed,
            parents=(made.key,),
        )
        cell = self._answer(
            unit, [made], measure="features", method=method, ipc=2, seed=seed, set_key=made.key
        )
        rows = [
            self._provenance(unit.key, seconds=1.0, peak_memory=2**28)
            | {
                "set_key": made.key,
                "method": method,
                "ipc": 2,
                "network": "ConvNet",
                "label": 0,
                "class_name": "zero",
            }
            | {"origin": origin, "images": 5, "spread": spread}
            for origin, spread in (spreads or {}).items()
        ]
        if rows:
            self.write("features", unit.key, rows)
        return cell

    def _answer(self, unit, sets, **fields):
        self.units |= {each.key: each for each in (*sets, unit)}
        common = {
            "experiment": "main",
            "dataset": "digits",
            "protocol": "paper",
            "network": "ConvNet",
        }
        self.cells.append(Cell(**common, **({"set_key": None} | fields), evaluation_key=unit.key))
        return self.cells[-1]

    def evaluate(self, cell, accuracies, **columns):
        rows = [
            self._provenance(cell.evaluation_key, seconds=2.0, peak_memory=2**28)
            | {
                "set_key": cell.set_key,
                "method": cell.method,
                "ipc": cell.ipc,
                "split": "test",
                "network": cell.network,
            }
            | {"network_index": i, "network_seed": 2**62 + i, "accuracy": accuracy}
            | columns
            for i, accuracy in reversed(list(enumerate(accuracies)))
        ]
        self.write("evaluations", cell.evaluation_key, rows)

    def distillation(self, cell, **columns):
        unit = self.units[cell.set_key]
        row = self._provenance(unit.key, seconds=30.0, peak_memory=3 * 2**29) | {
            "method": cell.method,
            "ipc": cell.ipc,
        }
        self.write("distillations", unit.key, [row | columns])

    def failure(self, key, **columns):
        unit = self.units[key]
        row = {
            "key": key,
            "kind": unit.kind,
            "error": "ValueError",
            "reason": "boom",
            "finished": START,
        }
        self.write("failures", key, [row | columns])

    def write(self, table, key, rows):
        tables.write(self.store / "tables" / table / f"{key}.parquet", table, rows)

    def synthetic_set(self, cell, images, labels, class_names, **header):
        unit = self.units[cell.set_key]
        path = self.store / "units" / unit.kind / unit.key / "synthetic_set.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {
            "class_names": list(class_names),
            "dataset": unit.dataset.name,
            "ipc": cell.ipc,
            **header,
        }
        tensors = {
            "images": np.ascontiguousarray(images, np.float32),
            "labels": np.ascontiguousarray(labels, np.int64),
        }
        save_file(tensors, path, metadata={"iid": json.dumps(metadata)})
        # A store shows the files of a unit only once it is done.
        (path.parent / DONE).write_text("{}")
        return path

    def _provenance(self, key, **columns):
        unit = self.units[key]
        return {
            "key": key,
            "kind": unit.kind,
            "run": "r1",
            "spec": to_json(unit),
            "dataset": unit.dataset.name,
            "dataset_version": unit.dataset.version,
            "fingerprint": f"fingerprint-of-{unit.dataset.name}",
            "protocol": unit.protocol,
            "seed": unit.seed,
            "dtype": "float32",
            "device": "A Processor",
            "versions": json.dumps({"torch": "2.11.0"}),
            "git_commit": "0123456789abcdef",
            "finished": START + timedelta(minutes=len(self.units)),
            **columns,
        }


@pytest.fixture(scope="session")
def make_grid():
    return Grid


@pytest.fixture
def grid(tmp_path):
    return Grid(tmp_path / "store")


NOTE = "one image per class: this is DM"


@pytest.fixture
def note():
    return NOTE


@pytest.fixture
def small(grid):
    """Random, DM and DM+IID at IPC 1 and 10, two sets × two networks.

    DM+IID at IPC 10 has one of its two sets.
    """
    for seed in (0, 1):
        grid.cell("Random", 1, seed, [0.20, 0.22])
        grid.cell("Random", 10, seed, [0.30 + 0.1 * seed, 0.32 + 0.1 * seed])
        grid.cell("DM", 1, seed, [0.30, 0.32])
        grid.cell("DM", 10, seed, [0.50 + 0.1 * seed, 0.54 + 0.1 * seed])
        grid.cell("DM+IID", 1, seed, [0.30, 0.32], same_as="DM", note=NOTE)
    grid.cell("DM+IID", 10, 0, [0.60, 0.62])
    grid.cell("DM+IID", 10, 1)
    return grid


@pytest.fixture
def write():
    """Write the report of a grid, and return its files and its Markdown."""

    def write_text(grid, out, name="space", **options):
        files = write_report(grid.plan, name, open_store(grid.store), out, **options)
        return files, files.markdown.read_text(encoding="utf-8")

    return write_text


@pytest.fixture(scope="session")
def read_table():
    """Return the rows of a Markdown table below a heading, as lists of texts."""
    return _read_table


def _read_table(markdown, title):
    lines = markdown.split(f"# {title}\n", 1)[1].split("\n")
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif rows:
            break
    return rows[:1] + rows[2:]


CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"


def trial(number, cc, cm, *values, state="complete"):
    states = [*["passed"] * (len(values) - 1), state]
    rungs = zip(values, states, (2, 6, 20), strict=False)
    return Trial(
        number=number,
        origin="tpe" if number else "published",
        parameters={CC: cc, CM: cm},
        rungs=tuple(
            RungResult(rung=i, iterations=n, state=s, value=v, order=10 * number + i)
            for i, (v, s, n) in enumerate(rungs)
        ),
    )


@pytest.fixture
def search_result():
    """Eight trials of the shipped search in its small version, two of them evaluated in full."""
    (study,) = build_studies(
        load_space("lambda_search", smoke=True), sampler="tpe", scheduler="asha"
    )
    stopped = [trial(n, 10.0 ** (n - 6), 0.1, 0.4 + 0.01 * n, state="stopped") for n in range(2, 7)]
    diverged = Trial(
        number=7,
        origin="tpe",
        parameters={CC: 1.0, CM: 1.0},
        rungs=(RungResult(rung=0, iterations=2, state="diverged"),),
    )
    first, best = trial(0, 0.05, 0.01, 0.5, 0.6, 0.7), trial(1, 0.0, 0.2, 0.55, 0.65, 0.75)
    known = {0: np.array([0.70, 0.72]), 1: np.array([0.71, 0.73])}
    better = {seed: values + 0.05 for seed, values in known.items()}
    return StudyResult(
        study=study,
        trials=(first, best, *stopped, diverged),
        finalists=(
            Finalist(
                trial=best,
                accuracies=better,
                summary=summarize(list(better.values())),
                difference=0.05,
                interval=(0.04, 0.06),
                is_clear=True,
            ),
            Finalist(
                trial=first,
                accuracies=known,
                summary=summarize(list(known.values())),
                difference=None,
                interval=None,
            ),
        ),
        importance={CC: 0.75, CM: 0.25},
    )
