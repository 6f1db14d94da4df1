"""Tables of costs: what units took in measured seconds and bytes.

Hours come from the provenance of all rows. The other tables come from `distillations`,
`evaluations`, `continual` and `extractors`, with rows of equal work joined.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from orchestrator.planning.unit_loads import count_images_per_class
from orchestrator.report.model import Table, build_row
from orchestrator.report.results import Results, label_dataset
from orchestrator.report.tables.overview import collect_provenance
from orchestrator.units import KINDS, Continual, Distill, Evaluate, ExtractorUnit

_MEMORY = (
    "Peak memory: on a GPU that of the device, on a CPU that of the whole process, including"
    " earlier units."
)
_HOURS = (
    "Measured seconds of all rows, added up: GPU-hours where the device is a GPU, otherwise"
    " processor-hours. Units that ran side by side on one device count in full. Failed units do"
    " not count."
)

Row = tuple[object, ...]


class _SetWork(NamedTuple):
    """What decides how long a set takes, in addition to its data set, method and IPC."""

    network: str
    extractor: str
    iterations: int | str


class _TrainingWork(NamedTuple):
    """What decides how long a network trains, in addition to its data set and network."""

    images_per_class: int
    """0 for all images."""
    epochs: int


def build_cost_tables(results: Results) -> tuple[Table, ...]:
    """Return the costs of sets and networks, and the hours of each kind of unit.

    Tables without rows are left out.
    """
    tables = (
        _build_hours(results),
        _build_sets(results),
        _build_trained(results, "evaluations", "cost-networks", "Evaluated networks"),
        _build_trained(
            results, "continual", "cost-continual", "Networks of class-incremental learning"
        ),
        _build_extractors(results),
    )
    return tuple(table for table in tables if table.rows)


def _build_hours(results: Results) -> Table:
    frame = collect_provenance(results)
    frame = frame.assign(device=frame["device"].fillna("unknown"))
    rows: list[Row] = []
    for kind in KINDS:
        rows += _sum_hours(KINDS[kind].label.capitalize(), frame[frame["kind"] == kind])
    if len(rows) > 1:  # a sum of one row would repeat it
        rows += _sum_hours("All", frame)
    return _build_table("cost-hours", "Hours", ("Units", "Device", "number", "hours"), rows, _HOURS)


def _sum_hours(label: str, frame: pd.DataFrame) -> Iterator[Row]:
    """Yield a row per device."""
    for device, group in frame.groupby("device"):
        yield label, device, group["key"].nunique(), _format_hours(group["seconds"])


def _build_sets(results: Results) -> Table:
    order = list(dict.fromkeys(cell.method for cell in results.plan.cells))
    rows: list[Row] = []
    groups = _group_equal_work(
        results, results.rows["distillations"], ("method", "ipc"), _describe_set_work
    )
    for place, group in groups:
        rows.append(
            (
                *place,
                _format_seconds(group["seconds_per_iteration"]),
                _format_seconds(group["seconds"]),
                _format_memory(group),
                len(group),
            )
        )

    def sort_key(row: Row) -> tuple[Any, ...]:
        dataset, method, ipc, *_ = row
        return dataset, order.index(method) if method in order else len(order), ipc

    work = ("Data set", "Method", "IPC", "matching network", "extractor", "iterations")
    return _build_table(
        "cost-sets",
        "Synthetic sets",
        (*work, "s / iteration", "s / set", "peak memory", "sets"),
        sorted(rows, key=sort_key),
        f"Means over sets. {_MEMORY}",
        text_columns=(0, 1, 3, 4),
    )


def _build_trained(results: Results, table: str, slug: str, title: str) -> Table:
    rows: list[Row] = []
    groups = _group_equal_work(results, results.rows[table], ("network",), _describe_training_work)
    for (dataset, network, images, epochs), group in groups:
        seconds, memory = _format_seconds(group["seconds"]), _format_memory(group)
        rows.append((dataset, network, images or "all", epochs, seconds, memory, len(group)))
    work = ("Data set", "Network", "images / class", "epochs")
    return _build_table(
        slug,
        title,
        (*work, "s / network", "peak memory", "networks"),
        rows,
        f"Means over networks. {_MEMORY}",
    )


def _build_extractors(results: Results) -> Table:
    rows: list[Row] = []
    for place, group in results.rows["extractors"].groupby(["dataset", "network"]):
        seconds, memory = _format_seconds(group["seconds"]), _format_memory(group)
        rows.append((*place, seconds, memory, len(group)))
    return _build_table(
        "cost-extractors",
        "Extractor pool",
        ("Data set", "Network", "s / network", "peak memory", "networks"),
        rows,
        f"Means over networks. {_MEMORY}",
    )


def _group_equal_work(
    results: Results,
    frame: pd.DataFrame,
    columns: Sequence[str],
    describe_work: Callable[[Results, str], tuple[Hashable, ...]],
) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield the rows of equal work, in order.

    Work is equal where the data set, the number of classes, the given columns and the described
    work are.

    Args:
        results: of the report.
        frame: rows of units.
        columns: of the frame.
        describe_work: returns the rest of what decides the cost of a unit.

    Yields:
        The values that the rows share (data set, columns, work), and the rows.
    """
    places: list[tuple[Any, ...]] = []
    for key, *values in frame[["key", *columns]].values:
        places.append((_label_classes(results, key), *values, *describe_work(results, key)))
    for place in sorted(set(places)):
        yield place, frame[[each == place for each in places]]


def _label_classes(results: Results, key: str) -> str:
    """Return a data set's name, with the number of classes where only some are used."""
    unit = results.plan.units[key]
    count = len(unit.dataset.classes)
    if not count:
        return label_dataset(unit)
    return f"{label_dataset(unit)}, {count} {'class' if count == 1 else 'classes'}"


def _describe_set_work(results: Results, key: str) -> _SetWork:
    unit = results.plan.units[key]
    if not isinstance(unit, Distill):
        return _SetWork(network="", extractor="", iterations="")
    pool = results.plan.units[unit.parents[0]] if unit.parents else None
    extractor = pool.architecture if isinstance(pool, ExtractorUnit) else ""
    settings = unit.settings
    return _SetWork(network=settings.network, extractor=extractor, iterations=settings.iterations)


def _describe_training_work(results: Results, key: str) -> _TrainingWork:
    unit = results.plan.units[key]
    images = count_images_per_class(results.plan.units[unit.parents[0]]) if unit.parents else 0
    # The setting counts as in the released code, which trains one epoch more than it says.
    epochs = unit.settings.epoch_eval_train + 1 if isinstance(unit, Evaluate | Continual) else 0
    return _TrainingWork(images_per_class=images, epochs=epochs)


def _build_table(
    slug: str,
    title: str,
    header: tuple[str, ...],
    rows: Iterable[Row],
    caption: str,
    text_columns: tuple[int, ...] = (0, 1),
) -> Table:
    return Table(
        slug=slug,
        title=title,
        header=header,
        rows=tuple(build_row(*row) for row in rows),
        caption=caption,
        text_columns=text_columns,
    )


def _format_seconds(values: pd.Series) -> str:
    """Return the mean with three digits, or all digits before the point."""
    mean = values.mean()
    if pd.isna(mean):
        return ""
    return f"{mean:.3g}" if mean < 1000 else f"{mean:.0f}"  # .3g would print 1.23e+03


def _format_hours(seconds: pd.Series) -> str:
    hours = seconds.sum() / 3600
    if hours >= 10:
        return f"{hours:,.1f}"
    # "0.000" would claim that a unit cost nothing.
    return f"{hours:.3f}" if hours >= 0.001 else "< 0.001"


def _format_memory(group: pd.DataFrame) -> str:
    peak = group["peak_memory"].max()
    return "" if pd.isna(peak) else f"{peak / 2**30:.2f} GiB"
