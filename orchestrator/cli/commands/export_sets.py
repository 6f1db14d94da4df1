"""Write sets of a store in other formats, and check them by training on what was written."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.text import Text

from distill_core.evaluation.evaluate import TrainingSet, evaluate_network
from distill_core.exporters import Accuracy, ExportError, Format, export, find_format
from distill_core.exporters.export import CARD
from distill_core.exporters.hf import HF
from distill_core.settings import DatasetRef
from distill_core.synthetic_set import SyntheticSet, SyntheticSetError
from orchestrator.analysis.statistics import summarize_accuracies
from orchestrator.cli.commands.run import check_data
from orchestrator.cli.export_collection import require_free_card, write_collection
from orchestrator.errors import StoreError, missing_store_error
from orchestrator.execution.unit_functions.inputs import (
    SET_FILE,
    get_evaluation_images,
    load_cached_dataset,
)
from orchestrator.launch.status import find_unit
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.request import Request
from orchestrator.store.store import Store
from orchestrator.units import Distill, Evaluate, SetUnit, from_json
from search_spaces.errors import SpaceError
from search_spaces.experiments import Space

ROUNDING = 1e-9
"""Rounding error of a mean; the interval of equal accuracies is a single number."""

RecordedAccuracy = tuple[Evaluate, Accuracy]
"""An evaluation in the store, and what it found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportJob:
    """One set to export."""

    unit: SetUnit
    source: SyntheticSet
    folder: Path
    recorded: tuple[RecordedAccuracy, ...]


def export_sets(
    what: str,
    request: Request,
    kind: str,
    out: Path,
    store: Store,
    data: Path,
    console: Console,
    *,
    check: bool,
) -> int:
    """Export a set or all sets of a search space, and return the exit code.

    Args:
        what: a set's key or its beginning, or the search space of the request.
        request: the search space, if it is one.
        kind: name of the format.
        out: folder for the set, or for a space a folder for each.
        store: where the sets are.
        data: folder of the data sets; only read to check.
        console: where to print.
        check: read every export back, train the recorded number of networks on it, and compare; 1
            is returned if a mean lies outside its recorded interval.

    Raises:
        ExportError: the format does not exist or cannot hold a set, or there is nothing to compare
            with.
        SpaceError: there is neither such a set nor such a space.
        StoreError: the store is not there, or a set is not done or damaged.
        DatasetError: the data set is not there.
    """
    chosen = find_format(kind)
    if not store.exists():
        raise missing_store_error(store.address)
    jobs = _build_jobs(what, request, out, store, console)
    is_collection = chosen is HF and out not in (job.folder for job in jobs)
    if is_collection:
        require_free_card(out)
    if check:
        check_data((job.unit.dataset for job in jobs), data, download=False)
        for job in jobs:
            _choose_reference(job, store, data)
    inside = True
    for job in jobs:
        content = export(
            job.source, chosen, job.folder, tuple(accuracy for _, accuracy in job.recorded)
        )
        console.print(f"{chosen.name}: {job.folder}", highlight=False, markup=False, soft_wrap=True)
        if chosen.eight_bits:
            loss = content.measure_pixel_loss()
            line = (
                f"  8 bits lose at most {loss.largest:.2g}, on average {loss.mean:.2g}; clipped"
                f" {loss.clipped:.2%}"
            )
            console.print(line, highlight=False, markup=False)
        if check:
            inside &= _check_export(job, chosen, store, data, console)
    if is_collection:
        write_collection(out, request.name, (job.folder for job in jobs))
        console.print(f"{chosen.name}: {out / CARD}", highlight=False, markup=False, soft_wrap=True)
    return 0 if inside else 1


def _build_jobs(
    what: str, request: Request, out: Path, store: Store, console: Console
) -> list[ExportJob]:
    if re.fullmatch(r"[0-9a-f]{4,16}", what) and not Path(what).exists():
        unit = find_unit(store, what)
        if not isinstance(unit, SetUnit):
            raise ExportError(f"unit {unit.key} is of kind {unit.kind}, which makes no set")
        units: list[SetUnit] = [unit]
        folders = [out]
    else:
        plan = make_plan(_load_space(what, request))
        units = _find_sets(plan, request, store)
        if lacking := sum(isinstance(unit, SetUnit) for unit in plan.units.values()) - len(units):
            missing = (
                f"{len(units)} sets; {lacking} more of {request.name} are not there yet:"
                f" {request.command('run')}"
            )
            console.print(missing, highlight=False, markup=False, soft_wrap=True)
        folders = []
    sources = [_load_set(store, unit) for unit in units]
    recorded = _read_recorded(store, {unit.key for unit in units})
    return [
        ExportJob(
            unit=unit, source=source, folder=folder, recorded=tuple(recorded.get(unit.key, ()))
        )
        for unit, source, folder in zip(
            units, sources, folders or _name_folders(out, units, sources), strict=True
        )
    ]


def _load_space(what: str, request: Request) -> Space:
    """Read the search space; where there is none, the user may have meant a key."""
    try:
        return request.load()
    except SpaceError as error:
        if Path(what).suffix or "/" in what or Path(what).exists():
            raise
        raise SpaceError(
            f"{error}; nor is it the key of a set, which is 4 to 16 hex digits: iid status --units"
            " lists them"
        ) from error


def _find_sets(plan: Plan, request: Request, store: Store) -> list[SetUnit]:
    done = store.find_done_keys()
    units = [unit for key, unit in plan.units.items() if isinstance(unit, SetUnit) and key in done]
    if not units:
        raise ExportError(
            f"the store {store} has no set of {request.name} yet; make them:"
            f" {request.command('run')}"
        )
    return units


def _name_folders(
    out: Path, units: Sequence[SetUnit], sources: Sequence[SyntheticSet]
) -> list[Path]:
    """Name a folder per set: by method, data set, IPC and seed, and by key if these are equal."""
    names = [
        out
        / _make_safe_name(source.method)
        / _make_safe_name(source.dataset)
        / f"ipc{source.ipc}"
        / f"seed{unit.seed}"
        for unit, source in zip(units, sources, strict=True)
    ]
    often = Counter(names)
    return [
        name if often[name] == 1 else name.with_name(f"{name.name}-{unit.key}")
        for name, unit in zip(names, units, strict=True)
    ]


def _make_safe_name(name: str) -> str:
    return re.sub(r"[^\w.+-]", "-", name).strip(".") or "set"


def _load_set(store: Store, unit: SetUnit) -> SyntheticSet:
    path = store.fetch_folder(unit.key) / SET_FILE
    try:
        return SyntheticSet.load(path)
    except SyntheticSetError as error:
        raise StoreError(f"store: {error}; delete its folder and run again") from error


def _read_recorded(store: Store, keys: set[str]) -> dict[str, list[RecordedAccuracy]]:
    """Read the recorded accuracies of networks trained on some sets, by set."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in store.read("evaluations").to_pylist():
        if row["set_key"] in keys:
            rows.setdefault(row["key"], []).append(row)
    found: dict[str, list[RecordedAccuracy]] = {}
    for group in rows.values():
        unit = from_json(group[0]["spec"])
        if isinstance(unit, Evaluate):
            group.sort(key=lambda row: int(row["network_index"]))
            accuracies = tuple(float(row["accuracy"]) for row in group)
            found.setdefault(group[0]["set_key"], []).append(
                (unit, _summarize_accuracies(unit, accuracies))
            )
    return {
        key: sorted(each, key=lambda pair: _build_sort_key(pair[0])) for key, each in found.items()
    }


def _build_sort_key(unit: Evaluate) -> tuple[str, str, int]:
    """Sort test before validation, then networks by name, then the largest evaluation first."""
    return unit.split, unit.network, -unit.settings.num_eval * unit.settings.epoch_eval_train


def _summarize_accuracies(unit: Evaluate, accuracies: tuple[float, ...]) -> Accuracy:
    return Accuracy(
        network=unit.network,
        protocol=unit.protocol,
        split=unit.split,
        accuracies=accuracies,
        mean=float(np.mean(accuracies)),
        std=float(np.std(accuracies)),
        interval=summarize_accuracies([accuracies]).interval,
        settings=asdict(unit.settings),
    )


def _choose_reference(job: ExportJob, store: Store, data: Path) -> RecordedAccuracy:
    """Choose the evaluation that an export is checked against, with the matching network if any.

    Raises:
        ExportError: no evaluation has an interval; the message has the command that makes one.
    """
    matching = job.unit.settings.network if isinstance(job.unit, Distill) else None
    with_interval = [pair for pair in job.recorded if pair[1].interval is not None]
    if not with_interval:
        networks = [unit.network for unit, _ in job.recorded]
        network = matching or next(iter(networks), "ConvNet")
        problem = (
            "a single network was trained on it, which has no interval to check against"
            if networks
            else "the store has no evaluation of it to check against"
        )
        command = _write_evaluation_command(job.unit, network, store, data)
        raise ExportError(
            f"set {job.unit.key}: {problem}; make one with {command}, or leave --check out"
        )
    return next((pair for pair in with_interval if pair[0].network == matching), with_interval[0])


def _write_evaluation_command(unit: SetUnit, network: str, store: Store, data: Path) -> str:
    """Return the command line that trains two networks on a set."""
    words = [
        "iid",
        "evaluate",
        unit.key,
        "--dataset",
        format_dataset(unit.dataset),
        "--architectures",
        network,
    ]
    if unit.protocol != "paper":
        words += ["--protocol", unit.protocol]
    if str(store) != "store":
        words += ["--store", str(store)]
    if data != Path("data"):
        words += ["--data", str(data)]
    return shlex.join([*words, "--num-eval", "2"])


def format_dataset(dataset: DatasetRef) -> str:
    """Write a data set as --dataset takes it: its name, or all its fields that are set."""
    entries = {
        entry.name: value
        for entry in fields(dataset)
        if (value := getattr(dataset, entry.name)) != entry.default
    }
    return dataset.name if entries.keys() == {"name"} else json.dumps(entries)


def _check_export(job: ExportJob, kind: Format, store: Store, data: Path, console: Console) -> bool:
    """Train networks on an export as the recorded ones were trained, and print both means."""
    unit, accuracy = _choose_reference(job, store, data)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dataset = load_cached_dataset(unit.dataset, data, device)
    store.check_fingerprint(unit.dataset, dataset.fingerprint)
    training = TrainingSet.from_tensors(*kind.read(job.folder, job.source), device)
    test = get_evaluation_images(dataset, unit.protocol, unit.split)
    reached = [
        evaluate_network(
            training,
            test,
            dataset.info,
            unit.settings,
            network=unit.network,
            seed=unit.seed,
            index=index,
        ).accuracy
        for index in range(len(accuracy.accuracies))
    ]
    low, high = accuracy.interval or (accuracy.mean, accuracy.mean)
    mean = float(np.mean(reached))
    inside = low - ROUNDING <= mean <= high + ROUNDING
    console.print(
        Text(
            f"  {unit.network}, {len(reached)} networks: recorded {accuracy.mean:.2%} ({low:.2%} to"
            f" {high:.2%}), read back {mean:.2%}: {'inside' if inside else 'OUTSIDE'}",
            style="green" if inside else "red",
        ),
        soft_wrap=True,
    )
    return inside
