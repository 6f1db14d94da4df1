"""The reproduction table: our accuracies beside those that others published."""

from collections.abc import Mapping, Sequence

from orchestrator.planning.plan import Plan
from orchestrator.report.entries import (
    format_interval,
    format_percent,
    format_points,
    format_summary,
)
from orchestrator.report.model import MISSING, Table, TableEntry
from orchestrator.report.results import Measurement, Results, Scope
from orchestrator.report.tables.published import (
    GAINS,
    Published,
    find_published,
    list_published_sizes,
)
from orchestrator.report.tables.settings_differences import (
    collect_remarks,
    describe_deviations,
    resolve_published_settings,
)

_CAPTION = (
    "Test accuracy in %, protocol paper: mean ± population standard deviation; difference in"
    " points; 95 % interval of our mean (two-level bootstrap over sets and networks). Verdict:"
    " whether the interval covers the published mean or lies above or below it; a measurement with"
    f" other settings than published is not comparable. Blank: nobody published it. {GAINS}"
)
_HEADER = (
    "Data set",
    "IPC",
    "Method",
    "Published",
    "Ours",
    "Difference",
    "95 % interval",
    "Verdict",
    "Source",
)


def build_reproduction_tables(results: Results) -> tuple[Table, ...]:
    """Return the table of every main measurement under protocol paper of data sets that others
    published figures of.

    Nothing where there is no such data set, or no networks were trained.
    """
    chosen = _main(results)
    if not any(m.summary for m in chosen):
        return ()
    remarked = {id(m): collect_remarks(results.plan, m) if m.summary else [] for m in chosen}
    notes = tuple(dict.fromkeys(text for m in chosen for text in remarked[id(m)]))
    rows = tuple(_row(results.plan, m, remarked[id(m)], notes) for m in chosen)
    return (
        Table(
            slug="reproduction",
            title="Reproduction of published figures",
            header=_HEADER,
            rows=rows,
            caption=_CAPTION,
            text_columns=(0, 2, 7, 8),
            notes=notes,
        ),
    )


def build_verdict(measurement: Measurement, published: Published | None, differing: str) -> str:
    """Return what a measurement says of a published mean, in words; empty where there is nothing to
    compare.

    Args:
        measurement: ours.
        published: theirs.
        differing: how our settings differ from theirs, empty if they do not.
    """
    if measurement.summary is None or published is None:
        return ""
    if differing:
        return f"not comparable: {differing}"
    if measurement.summary.interval is None:
        return "one network: no interval"
    low, high = measurement.summary.interval
    return (
        "above" if low > published.accuracy else "below" if high < published.accuracy else "covers"
    )


def _main(results: Results) -> list[Measurement]:
    """Return one measurement for each data set, IPC and method: of several the comparable one, then
    the largest.

    Data sets and sizes that nobody published a figure of are left out.
    """
    plain = [
        m
        for m in results.measurements
        if not m.sweep and (m.scope.protocol, m.scope.split) == ("paper", "test")
    ]
    sizes = {m.scope.dataset: list_published_sizes(m.scope.dataset) for m in plain}
    plain = [
        m
        for m in plain
        if m.ipc in sizes[m.scope.dataset] or (m.ipc is None and sizes[m.scope.dataset])
    ]
    networks: dict[Scope, list[str]] = {}
    for m in plain:
        networks.setdefault(m.scope, []).append(m.network)
    points: dict[tuple[str, int | None, str], list[Measurement]] = {}
    for m in plain:
        if m.network == _network(results.plan, m, networks[m.scope]):
            points.setdefault((m.scope.dataset, m.ipc, m.method), []).append(m)
    chosen = [max(found, key=lambda m: _weight(results.plan, m)) for found in points.values()]
    datasets = list(dict.fromkeys(m.scope.dataset for m in chosen))
    methods = list(dict.fromkeys(m.method for m in chosen))
    return sorted(
        chosen,
        key=lambda m: (
            datasets.index(m.scope.dataset),
            m.ipc or float("inf"),
            methods.index(m.method),
        ),
    )


def _network(plan: Plan, m: Measurement, measured: Sequence[str]) -> str:
    """Return the network of the published protocol, or where a scope lacks it, the scope's
    first.
    """
    dataset = plan.units[m.cells[0].evaluation_key].dataset
    published = resolve_published_settings(dataset, m.method, m.ipc).distillation.network
    return published if published in measured else measured[0]


def _weight(plan: Plan, m: Measurement) -> tuple[bool, bool, int]:
    return (
        m.summary is not None,
        not describe_deviations(plan, m),
        m.summary.networks if m.summary else 0,
    )


def _row(
    plan: Plan, m: Measurement, remarked: Sequence[str], notes: Sequence[str]
) -> tuple[TableEntry, ...]:
    published = find_published(m.scope.dataset, m.ipc, m.method)
    marks = tuple(notes.index(text) + 1 for text in remarked)
    texts: Mapping[str, str] = {
        "Data set": m.scope.dataset,
        "IPC": "all" if m.ipc is None else str(m.ipc),
        "Method": m.method,
        "Published": _published_text(published),
        "Difference": (
            format_points(m.summary.mean - published.accuracy) if m.summary and published else ""
        ),
        "95 % interval": format_interval(m.summary.interval) if m.summary else MISSING,
        "Verdict": build_verdict(m, published, describe_deviations(plan, m)),
        "Source": published.source if published else "",
    }
    ours = TableEntry(text=format_summary(m.summary), notes=marks, keys=m.keys)
    linked = {
        name: TableEntry(text=texts[name], keys=m.keys)
        for name in ("Difference", "95 % interval")
        if texts[name]
    }
    return tuple(
        ours if name == "Ours" else linked.get(name, TableEntry(text=texts[name]))
        for name in _HEADER
    )


def _published_text(published: Published | None) -> str:
    if published is None:
        return ""
    return format_percent(published.accuracy) + (
        "" if published.std is None else f" ± {format_percent(published.std)}"
    )
