"""What everything cost, in measured seconds and bytes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from orchestrator.planning.cost_model import images_per_class
from orchestrator.report.model import Table, build_row
from orchestrator.report.results import Results, label_dataset
from orchestrator.report.tables.overview import KIND_LABELS, collect_provenance
from orchestrator.units import KINDS, Continual, Distill, Evaluate, ImportExtractor, TrainExtractor

_MEMORY = (
    "Peak memory: of the device on a GPU; on a CPU of the whole process, whatever it computed"
    " before included."
)
_HOURS = (
    "Measured seconds of all rows added up: GPU-hours where the device is a GPU, otherwise"
    " processor-hours. What ran side by side on one device counts in full, what failed does not"
    " count."
)


def build_cost_tables(results: Results) -> tuple[Table, ...]:
    """Return what sets and networks cost, and the hours of each kind of unit; a table without rows
    is left out.
    """
    tables = (
        _hours(results),
        _sets(results),
        _networks(results),
        _continual(results),
        _extractors(results),
    )
    return tuple(table for table in tables if table.rows)


def _hours(results: Results) -> Table:
    frame = collect_provenance(results)
    frame = frame.assign(device=frame["device"].fillna("unknown"))
    lines = []
    for kind in KINDS:
        for device, group in frame[frame["kind"] == kind].groupby("device"):
            lines.append(
                (
                    KIND_LABELS[kind].capitalize(),
                    device,
                    group["key"].nunique(),
                    _hour(group["seconds"]),
                )
            )
    if len(lines) > 1:
        for device, group in frame.groupby("device"):
            lines.append(("All", device, group["key"].nunique(), _hour(group["seconds"])))
    header = ("Units", "Device", "number", "hours")
    return _table("cost-hours", "Hours", header, lines, _HOURS)


def _sets(results: Results) -> Table:
    order = list(dict.fromkeys(cell.method for cell in results.plan.cells))
    lines = []
    for place, group in _alike(
        results, results.rows["distillations"], ("method", "ipc"), _set_work
    ):
        times = _seconds(group["seconds_per_iteration"]), _seconds(group["seconds"])
        lines.append((*place, *times, _memory(group), len(group)))
    lines.sort(
        key=lambda line: (
            line[0],
            order.index(line[1]) if line[1] in order else len(order),
            line[2],
        )
    )
    work = ("Data set", "Method", "IPC", "matching network", "extractor", "iterations")
    header = (*work, "s / iteration", "s / set", "peak memory", "sets")
    return _table(
        "cost-sets",
        "Synthetic sets",
        header,
        lines,
        f"Means over sets. {_MEMORY}",
        words=(0, 1, 3, 4),
    )


def _networks(results: Results) -> Table:
    return _trained(results, "evaluations", "cost-networks", "Evaluated networks")


def _continual(results: Results) -> Table:
    return _trained(
        results, "continual", "cost-continual", "Networks of class-incremental learning"
    )


def _trained(results: Results, table: str, slug: str, title: str) -> Table:
    groups = _alike(results, results.rows[table], ("network",), _training_work)
    lines = [
        (
            dataset,
            network,
            images or "all",
            epochs,
            _seconds(group["seconds"]),
            _memory(group),
            len(group),
        )
        for (dataset, network, images, epochs), group in groups
    ]
    header = (
        "Data set",
        "Network",
        "images / class",
        "epochs",
        "s / network",
        "peak memory",
        "networks",
    )
    return _table(slug, title, header, lines, f"Means over networks. {_MEMORY}")


def _alike(
    results: Results,
    frame: pd.DataFrame,
    columns: Sequence[str],
    work: Callable[[Results, str], tuple[object, ...]],
) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield the rows of equal work in order: of one data set and as many classes, equal in
    `columns` and in `work`.
    """
    places = [
        (_dataset(results, key), *rest, *work(results, key))
        for key, *rest in frame[["key", *columns]].values
    ]
    for place in sorted(set(places)):
        yield place, frame[[each == place for each in places]]


def _dataset(results: Results, key: str) -> str:
    unit = results.plan.units[key]
    classes = len(unit.dataset.classes)
    return label_dataset(unit) + (
        f", {classes} {'class' if classes == 1 else 'classes'}" if classes else ""
    )


def _set_work(results: Results, key: str) -> tuple[str, str, int | str]:
    """Return what else decides how long a set takes: its matching network, extractors' network and
    iterations.
    """
    unit = results.plan.units[key]
    if not isinstance(unit, Distill):
        return "", "", ""
    pool = results.plan.units[unit.parents[0]] if unit.parents else None
    match pool:
        case TrainExtractor():
            extractor = pool.settings.network
        case ImportExtractor():
            extractor = pool.network
        case _:
            extractor = ""
    return unit.settings.network, extractor, unit.settings.iterations


def _training_work(results: Results, key: str) -> tuple[int, int]:
    """Return the images a class that networks train on, 0 for all there are, and the epochs."""
    unit = results.plan.units[key]
    epochs = unit.settings.epoch_eval_train + 1 if isinstance(unit, Evaluate | Continual) else 0
    return images_per_class(results.plan.units[unit.parents[0]]) if unit.parents else 0, epochs


def _extractors(results: Results) -> Table:
    frame = results.rows["extractors"]
    lines = [
        (dataset, network, _seconds(group["seconds"]), _memory(group), len(group))
        for (dataset, network), group in frame.groupby(["dataset", "network"])
    ]
    header = ("Data set", "Network", "s / network", "peak memory", "networks")
    return _table(
        "cost-extractors", "Extractor pool", header, lines, f"Means over networks. {_MEMORY}"
    )


def _table(
    slug: str,
    title: str,
    header: tuple[str, ...],
    lines: Iterable[tuple[object, ...]],
    caption: str,
    words: tuple[int, ...] = (0, 1),
) -> Table:
    rows = tuple(build_row(*line) for line in lines)
    return Table(
        slug=slug, title=title, header=header, rows=rows, caption=caption, text_columns=words
    )


def _seconds(values: pd.Series) -> str:
    mean = values.mean()
    return "" if pd.isna(mean) else f"{mean:.3g}" if mean < 1000 else f"{mean:.0f}"


def _hour(seconds: pd.Series) -> str:
    hours = seconds.sum() / 3600
    return f"{hours:,.1f}" if hours >= 10 else f"{hours:.3f}" if hours >= 0.001 else "< 0.001"


def _memory(group: pd.DataFrame) -> str:
    peak = group["peak_memory"].max()
    return "" if pd.isna(peak) else f"{peak / 2**30:.2f} GiB"
