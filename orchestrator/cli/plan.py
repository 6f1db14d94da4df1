"""`iid plan`: what would run, what the store already has, and how long the rest would take."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

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
from orchestrator.planning.dataset_shape import ASSUMED_SHAPE
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.planning.request import Request
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.text import format_bytes, format_count, format_duration
from orchestrator.units import KINDS
from search_spaces.experiments import Space


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
    as_json: JsonOption = False,
) -> None:
    """Show what would run and how long it would take.

    Units that the store already has are not counted. Nothing is run and nothing is written.
    """
    request = build_request(space, overrides, smoke)
    show_plan(
        request, open_store(store), describe_machine(cpus, gpus), build_console(asked=True), as_json
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
    request: Request, store: Store, machine: Machine, console: Console, as_json: bool = False
) -> None:
    """Print the plan of a search space; nothing is run and nothing is written.

    Args:
        request: the search space.
        store: what is there already.
        machine: what to assume for the time.
        console: where to print.
        as_json: print plain values instead, for other programs.

    Raises:
        SpaceError: the search space cannot be used.
        TableError: the store holds a damaged table.
    """
    space = request.load()
    plan = make_plan(space)
    done = store.find_done_keys() & plan.units.keys()
    estimates = estimate_costs(
        plan, gpu=machine.gpus > 0, store_tables=store.refresh_tables(), done=done
    )
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
    for line in _write_conclusion(space, plan, store, todo, estimates, machine):
        console.print(line, highlight=False, markup=False)


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
    space: Space,
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
    hours = (
        f"{total / 3600:,.2f} GPU-hours"
        if machine.gpus
        else f"{format_duration(total)} of one core"
    )
    lines = [
        f"To run: {format_count(len(todo), 'unit')}, {hours};"
        f" about {format_duration(wall)} on {machine}."
    ]
    measured = sum(estimates[key].basis == "measured" for key in todo)
    rate = (
        f"{GPU_FLOPS / 1e12:.0f} TFLOP/s per GPU"
        if machine.gpus
        else f"{CPU_FLOPS / 1e9:.0f} GFLOP/s per core"
    )
    if measured:
        lines.append(
            f"Basis: rows in {store} for {measured:,} of them; for the others a cost model"
            " corrected by these rows."
        )
    else:
        lines.append(
            f"Basis: a cost model ({rate}); there are no measured rows of such units in {store}."
        )
    custom = sorted(_find_custom_datasets(space))
    if custom:
        lines.append(
            f"The size of {', '.join(custom)} is not known before it is read;"
            f" {ASSUMED_SHAPE.train_images:,} images of {ASSUMED_SHAPE.classes} classes are"
            " assumed."
        )
    return lines


def _find_custom_datasets(space: Space) -> set[str]:
    """Return the names of the user's data sets, whose size is not known before they are read."""
    custom = set()
    for experiment in space.experiments:
        custom |= {ref.name for ref in experiment.datasets if ref.path is not None}
    return custom
