"""Reading: the rows that the store has for a plan, grouped into the measurements that tables and
figures show.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.analysis.statistics import Summary, summarize
from orchestrator.planning.plan import Cell, Plan, Sweep
from orchestrator.store import tables
from orchestrator.units import Continual, Evaluate, Unit
from search_spaces.schema import Measure


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What one table holds fixed."""

    experiment: str
    dataset: str
    protocol: str
    split: str

    @property
    def title(self) -> str:
        """One line for people."""
        return (
            f"{self.experiment}: {self.dataset} ({self.split} accuracy, protocol {self.protocol})"
        )

    @property
    def features_title(self) -> str:
        """The same where features are shown and no accuracy."""
        return f"{self.experiment}: {self.dataset} (features, protocol {self.protocol})"

    @property
    def place(self) -> str:
        """The data set, with protocol and split where they are unusual."""
        unusual = {
            f"protocol {self.protocol}": self.protocol != "paper",
            f"{self.split} images": self.split != "test",
        }
        return ", ".join([self.dataset, *(text for text, told in unusual.items() if told)])

    @property
    def name(self) -> tuple[str, ...]:
        """Parts of a file's name; what is usual is left out."""
        unusual = [part for part in (self.protocol, self.split) if part not in ("paper", "test")]
        return (self.experiment, self.dataset, *unusual)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One method at one point of an experiment: its sets, one a seed, and the networks trained on
    each.
    """

    scope: Scope
    network: str
    ipc: int | None
    """None for the whole training set."""
    method: str
    sweep: Sweep
    """Names and values of swept settings, empty without a sweep."""
    cells: tuple[Cell, ...]
    """One a seed, in the order of the plan."""
    accuracies: dict[int, NDArray[np.float64]]
    """By seed, the accuracies (networks,) as fractions, in the order of the networks' index;
    planned seeds may lack.
    """
    summary: Summary | None
    """Statistics of the accuracies; None without any."""

    @property
    def missing(self) -> int:
        """Number of planned cells without a result."""
        return len(self.cells) - len(self.accuracies)

    @property
    def keys(self) -> tuple[str, ...]:
        """Evaluation units that the numbers come from."""
        return tuple(cell.evaluation_key for cell in self.cells if cell.seed in self.accuracies)

    @property
    def set_keys(self) -> tuple[str | None, ...]:
        """The synthetic sets, None for the whole training set."""
        return tuple(cell.set_key for cell in self.cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectory:
    """One method of class-incremental learning: accuracy over the classes seen so far, after each
    step.
    """

    scope: Scope
    network: str
    ipc: int | None
    method: str
    steps: int
    sweep: Sweep
    cells: tuple[Cell, ...]
    """One a seed (a class order)."""
    accuracies: dict[int, NDArray[np.float64]]
    """By seed, (steps, networks) as fractions; planned seeds may lack."""
    summaries: tuple[Summary | None, ...]
    """One a step, over class orders and networks."""

    @property
    def missing(self) -> int:
        """Number of planned cells without a result."""
        return len(self.cells) - len(self.accuracies)

    @property
    def keys(self) -> tuple[str, ...]:
        """Units that the numbers come from."""
        return tuple(cell.evaluation_key for cell in self.cells if cell.seed in self.accuracies)


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureView:
    """The features of one set beside those of real images."""

    scope: Scope
    cell: Cell
    rows: pd.DataFrame
    """Rows of `features`, by label and origin; empty where the unit is not done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """A plan and what the store has of it."""

    plan: Plan
    measurements: tuple[Measurement, ...]
    trajectories: tuple[Trajectory, ...]
    views: tuple[FeatureView, ...]
    rows: dict[str, pd.DataFrame]
    """By table, the rows of the plan's units, sorted by key."""

    @property
    def done(self) -> frozenset[str]:
        """Keys of the plan's units that have rows."""
        return frozenset(
            key for name in set(tables.TABLE_OF_KIND.values()) for key in self.rows[name]["key"]
        )


def read_results(plan: Plan, store: Path) -> Results:
    """Read the rows of a plan's units.

    Raises:
        TableError: a table file is damaged.
    """
    rows = {
        name: tables.read(store / "tables", name, plan.units).to_pandas()
        for name in (*dict.fromkeys(tables.TABLE_OF_KIND.values()), "failures")
    }
    return Results(
        plan=plan,
        measurements=tuple(_group_measurements(plan, rows["evaluations"])),
        trajectories=tuple(_group_trajectories(plan, rows["continual"])),
        views=tuple(_build_views(plan, rows["features"])),
        rows=rows,
    )


def list_scopes(measurements: Iterable[Measurement | Trajectory | FeatureView]) -> list[Scope]:
    """Return the distinct scopes in the order of the plan."""
    return list(dict.fromkeys(measurement.scope for measurement in measurements))


def format_ipc(ipc: int | None) -> str:
    """Return an IPC for a title."""
    return "all images" if ipc is None else f"IPC {ipc}"


def label_dataset(unit: Unit) -> str:
    """Return a data set's name, with its version unless that is the first."""
    version = unit.dataset.version
    return unit.dataset.name if version == 1 else f"{unit.dataset.name} v{version}"


def _group_measurements(plan: Plan, evaluations: pd.DataFrame) -> Iterable[Measurement]:
    ordered = evaluations.sort_values("network_index")
    accuracies = {
        str(key): group["accuracy"].to_numpy(dtype=np.float64)
        for key, group in ordered.groupby("key")
    }
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in _select_cells(plan, "accuracy"):
        point = (_build_scope(plan, cell), cell.network, cell.ipc, cell.method, cell.sweep)
        groups.setdefault(point, []).append(cell)
    for (scope, network, ipc, method, sweep), cells in groups.items():
        found = {
            c.seed: accuracies[c.evaluation_key] for c in cells if c.evaluation_key in accuracies
        }
        yield Measurement(
            scope=scope,
            network=network,
            ipc=ipc,
            method=method,
            sweep=sweep,
            cells=tuple(cells),
            accuracies=found,
            summary=summarize([found[seed] for seed in sorted(found)]) if found else None,
        )


def _group_trajectories(plan: Plan, continual: pd.DataFrame) -> Iterable[Trajectory]:
    accuracies = {
        str(key): group.pivot(index="step", columns="network_index", values="accuracy").to_numpy(
            dtype=np.float64
        )
        for key, group in continual.groupby("key")
    }
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in _select_cells(plan, "continual"):
        point = (
            _build_scope(plan, cell),
            cell.network,
            cell.ipc,
            cell.method,
            cell.steps,
            cell.sweep,
        )
        groups.setdefault(point, []).append(cell)
    for (scope, network, ipc, method, steps, sweep), cells in groups.items():
        found = {
            c.seed: accuracies[c.evaluation_key] for c in cells if c.evaluation_key in accuracies
        }
        yield Trajectory(
            scope=scope,
            network=network,
            ipc=ipc,
            method=method,
            steps=steps,
            sweep=sweep,
            cells=tuple(cells),
            accuracies=found,
            summaries=tuple(
                summarize([found[seed][step] for seed in sorted(found)]) if found else None
                for step in range(steps)
            ),
        )


def _build_views(plan: Plan, features: pd.DataFrame) -> Iterable[FeatureView]:
    by_key = {str(key): group for key, group in features.groupby("key")}
    for cell in _select_cells(plan, "features"):
        rows = by_key.get(cell.evaluation_key, features.iloc[:0])
        yield FeatureView(
            scope=_build_scope(plan, cell), cell=cell, rows=rows.sort_values(["label", "origin"])
        )


def _select_cells(plan: Plan, measure: Measure) -> Iterable[Cell]:
    return (cell for cell in plan.cells if cell.measure == measure)


def _build_scope(plan: Plan, cell: Cell) -> Scope:
    unit = plan.units[cell.evaluation_key]
    split = unit.split if isinstance(unit, Evaluate | Continual) else "test"
    return Scope(
        experiment=cell.experiment, dataset=label_dataset(unit), protocol=cell.protocol, split=split
    )
