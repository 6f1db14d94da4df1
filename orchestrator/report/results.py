"""The results of a plan: rows from the store, grouped into what tables and figures show.

Measurements come from `evaluations`, trajectories from `continual`, feature views from `features`.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.analysis.statistics import GroupSummary, summarize_accuracies
from orchestrator.planning.plan import Cell, Plan, Sweep
from orchestrator.report.measured_images import MeasuredImages, read_measured_images
from orchestrator.report.plain_text import shorten_name, show_invisible
from orchestrator.store import tables
from orchestrator.units import Continual, Evaluate, Unit, list_tables
from search_spaces.schema import Measure

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What one table holds fixed."""

    experiment: str
    dataset: str
    protocol: str
    split: str

    @property
    def title(self) -> str:
        """The title of a section of accuracies."""
        return self._name_content("accuracy")

    @property
    def features_title(self) -> str:
        """The title of a section of features."""
        return self._name_content("features")

    @property
    def generalization_title(self) -> str:
        """The title of a section on other architectures."""
        return self._name_content("generalization to other architectures")

    def _name_content(self, content: str) -> str:
        dataset, *unusual = self.place.split(", ")
        return ", ".join([f"{dataset}: {content}", *unusual])

    @property
    def place(self) -> str:
        """The data set, with protocol and split where they are unusual."""
        parts = [self.dataset]
        if self.protocol != "paper":
            parts.append(f"protocol {self.protocol}")
        if self.split != "test":
            parts.append(f"{self.split} images")
        return ", ".join(parts)

    @property
    def unusual_parts(self) -> tuple[str, ...]:
        """Protocol and split, each only where it is unusual."""
        return list_unusual_parts(self.protocol, self.split)

    @property
    def name(self) -> tuple[str, ...]:
        """Parts of a file name; the usual protocol and split are left out."""
        return (self.experiment, self.dataset, *self.unusual_parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class _CellGroup:
    """The cells of one method at one point of an experiment, one per seed."""

    scope: Scope
    network: str
    ipc: int | None
    """None for the whole training set."""
    method: str
    sweep: Sweep
    """Names and values of swept settings, empty without a sweep."""
    cells: tuple[Cell, ...]
    """One per seed, in the order of the plan."""
    accuracies: dict[int, Array]
    """Accuracies as fractions, by seed; planned seeds may be missing."""

    @property
    def missing(self) -> int:
        """Number of planned cells without a result."""
        return len(self.cells) - len(self.accuracies)

    @property
    def keys(self) -> tuple[str, ...]:
        """Units that the accuracies come from."""
        return tuple(cell.evaluation_key for cell in self.cells if cell.seed in self.accuracies)

    @property
    def planned_keys(self) -> tuple[str, ...]:
        """Units that answer the cells, done or not."""
        return tuple(cell.evaluation_key for cell in self.cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement(_CellGroup):
    """The accuracies of one method: sets by seed, and the networks trained on each.

    The accuracies of a set have the shape (networks,), in the order of the networks' index.
    """

    summary: GroupSummary | None
    """Statistics of the accuracies; None without any."""
    tested: MeasuredImages | None = None
    """None where no rows are."""

    @property
    def is_chance(self) -> bool:
        """Whether guessing explains the mean accuracy."""
        if self.summary is None or self.tested is None:
            return False
        return self.tested.is_chance(self.summary.mean)

    @property
    def set_keys(self) -> tuple[str | None, ...]:
        """The synthetic sets, None for the whole training set."""
        return tuple(cell.set_key for cell in self.cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectory(_CellGroup):
    """The accuracies of one method of class-incremental learning, after each step.

    A seed is a class order. Its accuracies have the shape (steps, networks); each is over the
    classes seen so far.
    """

    steps: int
    summaries: tuple[GroupSummary | None, ...]
    """One per step, over class orders and networks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureView:
    """The features of one set next to those of real images."""

    scope: Scope
    cell: Cell
    rows: pd.DataFrame
    """Rows of `features`, by label and origin; empty where the unit is not done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """A plan, and what the store has of it."""

    plan: Plan
    measurements: tuple[Measurement, ...]
    trajectories: tuple[Trajectory, ...]
    views: tuple[FeatureView, ...]
    rows: dict[str, pd.DataFrame]
    """Rows of the plan's units by table, sorted by key."""

    @property
    def done(self) -> frozenset[str]:
        """Keys of the plan's units that have rows."""
        keys: set[str] = set()
        for name in list_tables():
            keys.update(self.rows[name]["key"])
        return frozenset(keys)


def read_results(plan: Plan, store: Path) -> Results:
    """Read the rows of a plan's units.

    Raises:
        TableError: a table file is damaged.
    """
    plan = dataclasses.replace(plan, cells=tuple(map(_name_cell, plan.cells)))
    rows = {
        name: tables.read(store / "tables", name, plan.units).to_pandas()
        for name in (*list_tables(), "failures")
    }
    return Results(
        plan=plan,
        measurements=tuple(_group_measurements(plan, rows["evaluations"])),
        trajectories=tuple(_group_trajectories(plan, rows["continual"])),
        views=tuple(_build_views(plan, rows["features"])),
        rows=rows,
    )


def _name_cell(cell: Cell) -> Cell:
    """Return a cell whose names can be shown; those of imported sets may be anything."""
    return dataclasses.replace(
        cell, method=shorten_name(cell.method), note=show_invisible(cell.note)
    )


def list_scopes(measurements: Iterable[Measurement | Trajectory | FeatureView]) -> list[Scope]:
    """Return the distinct scopes in the order of the plan."""
    return list(dict.fromkeys(measurement.scope for measurement in measurements))


def list_unusual_parts(protocol: str, split: str) -> tuple[str, ...]:
    """Return protocol and split, each only where it is unusual, for file names and titles."""
    return tuple(part for part in (protocol, split) if part not in ("paper", "test"))


def format_ipc(ipc: int | None) -> str:
    """Return an IPC for a title."""
    return "all images" if ipc is None else f"IPC {ipc}"


def label_dataset(unit: Unit) -> str:
    """Return the name of a data set, with its version unless that is the first."""
    version = unit.dataset.version
    return unit.dataset.name if version == 1 else f"{unit.dataset.name} v{version}"


def _group_measurements(plan: Plan, evaluations: pd.DataFrame) -> Iterator[Measurement]:
    accuracies: dict[str, Array] = {}
    tested: dict[str, MeasuredImages] = {}
    # Rows may come in any order, but networks are paired by their index.
    for key, rows in evaluations.sort_values("network_index").groupby("key"):
        accuracies[str(key)] = rows["accuracy"].to_numpy(dtype=np.float64)
        measured = read_measured_images(plan.units[str(key)], rows.iloc[0])
        if measured is not None:
            tested[str(key)] = measured
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in _select_cells(plan, "accuracy"):
        point = (_build_scope(plan, cell), cell.network, cell.ipc, cell.method, cell.sweep)
        groups.setdefault(point, []).append(cell)
    for (scope, network, ipc, method, sweep), cells in groups.items():
        found = _select_accuracies(cells, accuracies)
        yield Measurement(
            scope=scope,
            network=network,
            ipc=ipc,
            method=method,
            sweep=sweep,
            cells=tuple(cells),
            accuracies=found,
            summary=_summarize(found),
            tested=next(filter(None, (tested.get(cell.evaluation_key) for cell in cells)), None),
        )


def _group_trajectories(plan: Plan, continual: pd.DataFrame) -> Iterator[Trajectory]:
    accuracies: dict[str, Array] = {}
    for key, rows in continual.groupby("key"):
        table = rows.pivot(index="step", columns="network_index", values="accuracy")
        accuracies[str(key)] = table.to_numpy(dtype=np.float64)
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in _select_cells(plan, "continual"):
        scope = _build_scope(plan, cell)
        point = (scope, cell.network, cell.ipc, cell.method, cell.steps, cell.sweep)
        groups.setdefault(point, []).append(cell)
    for (scope, network, ipc, method, steps, sweep), cells in groups.items():
        found = _select_accuracies(cells, accuracies)
        yield Trajectory(
            scope=scope,
            network=network,
            ipc=ipc,
            method=method,
            steps=steps,
            sweep=sweep,
            cells=tuple(cells),
            accuracies=found,
            summaries=tuple(_summarize_step(found, step) for step in range(steps)),
        )


def _select_accuracies(cells: Iterable[Cell], accuracies: dict[str, Array]) -> dict[int, Array]:
    """Return the accuracies of some cells by seed, for the cells that have any."""
    done = [cell for cell in cells if cell.evaluation_key in accuracies]
    return {cell.seed: accuracies[cell.evaluation_key] for cell in done}


def _summarize(accuracies: dict[int, Array]) -> GroupSummary | None:
    if not accuracies:
        return None
    return summarize_accuracies([accuracies[seed] for seed in sorted(accuracies)])


def _summarize_step(accuracies: dict[int, Array], step: int) -> GroupSummary | None:
    if not accuracies:
        return None
    return summarize_accuracies([accuracies[seed][step] for seed in sorted(accuracies)])


def _build_views(plan: Plan, features: pd.DataFrame) -> Iterator[FeatureView]:
    by_key = {str(key): rows for key, rows in features.groupby("key")}
    for cell in _select_cells(plan, "features"):
        rows = by_key.get(cell.evaluation_key, features.iloc[:0])
        yield FeatureView(
            scope=_build_scope(plan, cell), cell=cell, rows=rows.sort_values(["label", "origin"])
        )


def _select_cells(plan: Plan, measure: Measure) -> Iterator[Cell]:
    return (cell for cell in plan.cells if cell.measure == measure)


def _build_scope(plan: Plan, cell: Cell) -> Scope:
    unit = plan.units[cell.evaluation_key]
    # Features are not of a split; "test" keeps their names free of an unusual part.
    split = unit.split if isinstance(unit, Evaluate | Continual) else "test"
    return Scope(
        experiment=cell.experiment, dataset=label_dataset(unit), protocol=cell.protocol, split=split
    )
