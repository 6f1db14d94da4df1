"""Results made by hand, without a store."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from distill_core.settings import DatasetRef, EvaluationSettings
from orchestrator.analysis.statistics import summarize_accuracies as summarize
from orchestrator.planning.plan import Cell, Plan
from orchestrator.report.figures.style import use_style
from orchestrator.report.results import FeatureView, Measurement, Results, Scope, Trajectory
from orchestrator.store import tables
from orchestrator.units import Evaluate


@dataclass
class Maker:
    """Results that grow piece by piece; `results` returns them."""

    units: dict = field(default_factory=dict)
    measurements: list = field(default_factory=list)
    trajectories: list = field(default_factory=list)
    views: list = field(default_factory=list)
    continual: list = field(default_factory=list)

    @property
    def results(self):
        rows = {name: schema.empty_table().to_pandas() for name, schema in tables.SCHEMAS.items()}
        if self.continual:
            rows["continual"] = pd.DataFrame(self.continual)
        return Results(
            plan=Plan(units=self.units, cells=()),
            measurements=tuple(self.measurements),
            trajectories=tuple(self.trajectories),
            views=tuple(self.views),
            rows=rows,
        )

    def measure(self, method, ipc, *sets, network="ConvNet", sweep=(), **options):
        """Add a measurement: `sets` holds the accuracies of one set each, None for a set that is
        missing.
        """
        scope, cells = self._cells(sets, method, ipc, network, options, sweep=sweep)
        found = {
            seed: np.array(numbers, float)
            for seed, numbers in enumerate(sets)
            if numbers is not None
        }
        made = Measurement(
            scope=scope,
            network=network,
            ipc=ipc,
            method=method,
            sweep=sweep,
            cells=cells,
            accuracies=found,
            summary=summarize(list(found.values())) if found else None,
        )
        self.measurements.append(made)
        return made

    def follow(self, method, *sets, classes=10, network="ConvNet", ipc=10, **options):
        """Add a trajectory: each set has (steps, networks) accuracies."""
        found = {seed: np.array(numbers, float) for seed, numbers in enumerate(sets)}
        steps = len(sets[0])
        scope, cells = self._cells(sets, method, ipc, network, options, steps=steps)
        summaries = tuple(summarize([found[seed][i] for seed in found]) for i in range(steps))
        self.trajectories.append(
            Trajectory(
                scope=scope,
                network=network,
                ipc=ipc,
                method=method,
                steps=steps,
                sweep=(),
                cells=cells,
                accuracies=found,
                summaries=summaries,
            ),
        )
        for cell in cells:
            for i in range(steps):
                seen = list(range((i + 1) * classes // steps))
                self.continual.append({"key": cell.evaluation_key, "step": i + 1, "classes": seen})

    def view(self, method, rows, seed=0, ipc=2, network="ConvNet", **options):
        """Add a view with rows of (label, origin, spread, covariance_distance, points in the
        plane).
        """
        scope, cells = self._cells([None] * (seed + 1), method, ipc, network, options)
        frame = pd.DataFrame(
            [
                {
                    "label": label,
                    "class_name": f"class {label}",
                    "origin": origin,
                    "images": len(points),
                    "spread": spread,
                    "covariance_distance": distance,
                    **{
                        f"{plane}_{axis}": [p[i] for p in points]
                        for plane in ("pca", "tsne")
                        for i, axis in enumerate("xy")
                    },
                }
                for label, origin, spread, distance, points in rows
            ]
        )
        self.views.append(FeatureView(scope=scope, cell=cells[seed], rows=frame))

    def _cells(self, sets, method, ipc, network, options, **fields):
        scope = Scope(
            **{
                "experiment": "main",
                "dataset": "cifar10",
                "protocol": "paper",
                "split": "test",
                **options,
            }
        )
        cells = []
        for seed in range(len(sets)):
            unit = Evaluate(
                dataset=DatasetRef(name=scope.dataset),
                protocol=scope.protocol,
                split=scope.split,
                network=network,
                settings=EvaluationSettings(),
                seed=len(self.units),
            )
            self.units[unit.key] = unit
            cells.append(
                Cell(
                    experiment=scope.experiment,
                    dataset=scope.dataset,
                    protocol=scope.protocol,
                    method=method,
                    ipc=ipc,
                    seed=seed,
                    network=network,
                    set_key=unit.key,
                    evaluation_key=unit.key,
                    **fields,
                ),
            )
        return scope, tuple(cells)


@pytest.fixture(scope="session")
def new_maker():
    return Maker


@pytest.fixture
def maker():
    with use_style():
        yield Maker()
