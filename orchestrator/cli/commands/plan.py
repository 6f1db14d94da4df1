"""`iid plan`: what would run, what the store already has, and how long the rest would take."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from distill_core.paths import check_path
from distill_core.settings import DatasetRef
from orchestrator.cli.options import (
    MANY,
    JsonOption,
    SetOption,
    SmokeOption,
    SpaceArgument,
    StoreOption,
    build_console,
    build_request,
    print_json,
)
from orchestrator.planning.cost_estimates import estimate_costs, estimate_wall_seconds
from orchestrator.planning.cost_model import CPU_FLOPS, GPU_FLOPS, Estimate
from orchestrator.planning.dataset_shape import ASSUMED_SHAPE, DatasetShape
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.planning.power import describe_power, estimate_power
from orchestrator.planning.request import Request
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.text import format_bytes, format_count, format_duration, format_hours
from orchestrator.units import KINDS
from search_spaces.errors import SpaceError
from search_spaces.experiments import Space

if TYPE_CHECKING:
    from orchestrator.search.price import SearchPrice

_log = logging.getLogger(__name__)


def plan(
    space: SpaceArgument,
    store: StoreOption = "store",
    overrides: SetOption = None,
    smoke: SmokeOption = False,
    gpus: Annotated[
        int | None, typer.Option(min=0, max=MANY, help="GPUs to assume (default: this machine's).")
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(min=1, max=MANY, help="CPU cores to assume (default: this machine's)."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Read your own data sets here, for their true size."),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, max=MANY, help="Trials per study, for the price of a search.")
    ] = 24,
    as_json: JsonOption = False,
) -> None:
    """Show what would run and how long it would take.

    Units that the store already has are not counted. Of a space with a block search, the price of
    iid search is told too. Nothing is run and nothing is written.
    """
    show_plan(
        build_request(space, overrides, smoke),
        open_store(store),
        describe_machine(cpus, gpus),
        build_console(asked=True),
        as_json,
        data=data,
        trials=trials,
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan would run on."""

    cpus: int
    gpus: int

    @property
    def workers(self) -> int:
        """Units at the same time: one per GPU, or one per core if there is no GPU."""
        return self.gpus or self.cpus

    def __str__(self) -> str:
        return format_count(self.gpus, "GPU") if self.gpus else format_count(self.cpus, "CPU core")


def describe_machine(cpus: int | None = None, gpus: int | None = None) -> Machine:
    """Return the given cores and GPUs, or count those of this machine."""
    if cpus is None:
        cpus = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    if gpus is None:
        gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return Machine(cpus=cpus, gpus=gpus)


def show_plan(
    request: Request,
    store: Store,
    machine: Machine,
    console: Console,
    as_json: bool = False,
    *,
    data: Path | None = None,
    trials: int = 24,
) -> None:
    """Print the plan of a search space; nothing is run and nothing is written.

    Args:
        request: the search space.
        store: what is there already.
        machine: what to assume for the time.
        console: where to print.
        as_json: print plain values instead, for other programs.
        data: data folder in which the user's data sets are read for their size; None assumes one.
        trials: trials per study, for the price of a search.

    Raises:
        SpaceError: the search space cannot be used.
        DatasetError: a data set is not in the data folder, or is damaged.
        TableError: the store holds a damaged table.
    """
    space = request.load()
    plan = make_plan(space)
    done = store.find_done_keys() & plan.units.keys()
    shapes = {} if data is None else measure_datasets(space, check_path(data, "--data"))
    how: dict[str, Any] = {
        "gpu": machine.gpus > 0,
        "store_tables": store.refresh_tables(),
        "done": done,
        "shapes": shapes,
    }
    estimates = estimate_costs(plan, **how)
    price = _estimate_search(space, trials, how)
    power = estimate_power(plan, how["store_tables"], done)
    todo = find_pending(plan, done).pending
    rows = _count_kinds(plan, done, todo, estimates)
    if as_json:
        print_json(
            {
                "space": request.name,
                "store": store.address,
                "experiments": len(space.experiments),
                "cells": len(plan.cells),
                "units": len(plan.units),
                "to_run": len(todo),
                "seconds": sum(estimates[key].seconds for key in todo),
                "wall_seconds": estimate_wall_seconds(plan, todo, estimates, machine.workers),
                "machine": asdict(machine),
                "datasets": {name: asdict(shape) for name, shape in shapes.items()},
                "search": price and {**asdict(price), "seconds": price.seconds},
                "power": [asdict(row) for row in power],
                "kinds": [asdict(row) for row in rows],
            }
        )
        return
    counts = (
        format_count(len(space.experiments), "experiment"),
        format_count(len(plan.cells), "cell"),
        format_count(len(plan.units), "unit"),
    )
    console.print(f"{request.name}: {', '.join(counts)}", highlight=False, markup=False)
    console.print(_build_table(rows))
    lines = _write_conclusion(plan, store, todo, estimates, machine)
    lines += _describe_sizes(space, shapes)
    lines += describe_power(power)
    if price is not None:
        lines.append(_describe_price(price, request, machine))
    for line in lines:
        console.print(line, highlight=False, markup=False)


def measure_datasets(space: Space, data: Path) -> dict[str, DatasetShape]:
    """Return the sizes of the user's own data sets of a search space, by name.

    They are read, unless they are remembered from an earlier command.

    Raises:
        DatasetError: one is not there, or is damaged.
    """
    # Imported only here: a plan without --data looks at no files of data.
    from orchestrator.launch.inputs.data_summaries import summarize_dataset

    shapes = {}
    for ref in _find_custom_datasets(space):
        found = summarize_dataset(ref, data)
        shapes[ref.name] = DatasetShape(
            channels=found.channels,
            image_size=found.image_size,
            classes=len(found.classes),
            train_images=sum(found.train),
            test_images=sum(found.test),
        )
    return shapes


def _estimate_search(space: Space, trials: int, how: Mapping[str, Any]) -> "SearchPrice | None":
    """Estimate what `iid search` would cost; None if the space has nothing to search."""
    if not any(experiment.search for experiment in space.experiments):
        return None
    from orchestrator.search.build_studies import build_studies
    from orchestrator.search.price import estimate_search

    try:
        studies = build_studies(space, sampler="tpe", scheduler="asha")
    except SpaceError as error:
        _log.info("there is no price of a search: %s", error)
        return None
    return estimate_search(studies, trials=trials, **how)


def _describe_price(price: "SearchPrice", request: Request, machine: Machine) -> str:
    command = request.command("search", "--trials", str(price.trials))
    studies = "1 study" if price.studies == 1 else f"{price.studies} studies"
    return (
        f"{command}: {studies} of {format_count(price.trials, 'trial')}, about"
        f" {_format_work(price.seconds, machine)}, at best"
        f" {format_duration(price.seconds / machine.workers)} on {machine}."
    )


def _format_work(seconds: float, machine: Machine) -> str:
    if machine.gpus:
        return f"{format_hours(seconds)} GPU-hours"
    return f"{format_duration(seconds)} of one core"


def _describe_sizes(space: Space, shapes: Mapping[str, DatasetShape]) -> list[str]:
    """Say how large the user's data sets are, or what is assumed of them."""
    lines = []
    for name, shape in shapes.items():
        lines.append(
            f"{name}: {shape.train_images:,} training and {shape.test_images:,} test images of"
            f" {shape.classes} classes, {shape.image_size}×{shape.image_size}×{shape.channels}."
        )
    assumed = sorted({ref.name for ref in _find_custom_datasets(space)} - shapes.keys())
    if assumed:
        lines.append(
            f"The size of {', '.join(assumed)} is not known before it is read (--data FOLDER reads"
            f" it); {ASSUMED_SHAPE.train_images:,} images of {ASSUMED_SHAPE.classes} classes are"
            " assumed."
        )
    return lines


@dataclass(frozen=True, kw_only=True, slots=True)
class KindRow:
    """What a plan has of one kind of unit."""

    kind: str
    units: int
    shared: int
    """Units that several experiments use."""
    done: int
    to_run: int
    seconds: float
    """Estimated time of those to run, on one core or GPU."""
    memory: float
    """Estimated peak of one unit, in bytes."""


def _count_kinds(
    plan: Plan, done: frozenset[str], todo: Sequence[str], estimates: Mapping[str, Estimate]
) -> list[KindRow]:
    shared = {key for key, users in plan.experiments_of().items() if len(users) > 1}
    rows = []
    for kind in KINDS:
        planned = [key for key, unit in plan.units.items() if unit.kind == kind]
        if not planned:
            continue
        running = [key for key in todo if plan.units[key].kind == kind]
        rows.append(
            KindRow(
                kind=kind,
                units=len(planned),
                shared=len(shared.intersection(planned)),
                done=len(done.intersection(planned)),
                to_run=len(running),
                seconds=sum(estimates[key].seconds for key in running),
                memory=max(estimates[key].memory for key in planned),
            )
        )
    return rows


def _build_table(rows: Sequence[KindRow]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("kind", no_wrap=True, min_width=max(map(len, KINDS)))
    for column in ("units", "shared", "done", "to run", "time", "peak memory"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = (row.units, row.shared, row.done, row.to_run)
        table.add_row(
            row.kind,
            *(f"{number:,}" for number in numbers),
            format_duration(row.seconds),
            format_bytes(row.memory),
        )
    return table


def _write_conclusion(
    plan: Plan,
    store: Store,
    todo: Sequence[str],
    estimates: Mapping[str, Estimate],
    machine: Machine,
) -> list[str]:
    if not todo:
        return [f"Nothing to run: {store} has everything."]
    total = sum(estimates[key].seconds for key in todo)
    wall = estimate_wall_seconds(plan, todo, estimates, machine.workers)
    lines = [
        f"To run: {format_count(len(todo), 'unit')}, {_format_work(total, machine)};"
        f" about {format_duration(wall)} on {machine}."
    ]
    measured = sum(estimates[key].basis == "measured" for key in todo)
    rate = (
        f"{GPU_FLOPS / 1e12:.0f} TFLOP/s per GPU"
        if machine.gpus
        else f"{CPU_FLOPS / 1e9:.0f} GFLOP/s per core"
    )
    if measured == len(todo):
        lines.append(f"Basis: rows in {store} of such units.")
    elif measured:
        lines.append(
            f"Basis: rows in {store} for {measured:,} of them; for the others a cost model"
            " corrected by these rows."
        )
    else:
        lines.append(
            f"Basis: a cost model ({rate}); there are no measured rows of such units in {store}."
        )
    return lines


def _find_custom_datasets(space: Space) -> list[DatasetRef]:
    """Return the user's data sets, whose size is not known before they are read, each once."""
    custom = {}
    for experiment in space.experiments:
        custom.update({ref.name: ref for ref in experiment.datasets if ref.path is not None})
    return list(custom.values())
