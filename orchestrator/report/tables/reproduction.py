"""The reproduction table: our accuracies next to those that others published.

A row is a data set, IPC and method without swept settings, from the rows of `evaluations`.
"""

from collections.abc import Iterable, Sequence

from orchestrator.planning.plan import Plan
from orchestrator.report.entries import (
    format_interval,
    format_points,
    format_summary,
)
from orchestrator.report.model import MISSING, Table, TableEntry
from orchestrator.report.results import Measurement, Results, Scope
from orchestrator.report.tables.published import (
    GAINS,
    Published,
    PublishedKey,
    describe_sources,
    find_all_published,
    format_published,
    list_published_sizes,
)
from orchestrator.report.tables.settings_differences import (
    collect_remarks,
    describe_differences,
    resolve_published_settings,
)

_CAPTION = (
    "Test accuracy in %, protocol paper: mean ± population standard deviation. Difference: ours"
    " minus published, in points. The 95 % interval is of our mean (Student's t over the means of"
    " the sets). Verdict: whether the interval covers the published mean, or is above or"
    " below it. Where sources disagree, the verdict uses the first. A measurement with other"
    " settings than the published ones is not comparable."
    f" Blank: nobody published a result. {GAINS}"
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
    """Return the reproduction table, or nothing where there is nothing to compare.

    It has the main measurements under protocol paper, on data sets that somebody published results
    of.
    """
    chosen = _select_main(results)
    if not any(m.summary for m in chosen):
        return ()
    remarks = [collect_remarks(results.plan, m) if m.summary else [] for m in chosen]
    notes: dict[str, None] = {}
    for texts in remarks:
        notes.update(dict.fromkeys(texts))
    numbers = {text: number for number, text in enumerate(notes, start=1)}
    rows = []
    for m, texts in zip(chosen, remarks, strict=True):
        rows.append(_build_row(results.plan, m, tuple(numbers[text] for text in texts)))
    table = Table(
        slug="reproduction",
        title="Reproduction of published results",
        header=_HEADER,
        rows=tuple(rows),
        caption=_CAPTION,
        text_columns=(0, 2, 7, 8),
        notes=tuple(notes),
    )
    return (table,)


def build_verdict(measurement: Measurement, published: Published | None, differing: str) -> str:
    """Return in words how a measurement compares with a published mean.

    Args:
        measurement: ours.
        published: theirs.
        differing: how our settings differ from theirs, empty if they do not.

    Returns:
        Empty where there is nothing to compare.
    """
    if measurement.summary is None or published is None:
        return ""
    if differing:
        return f"not comparable: {differing}"
    if measurement.summary.interval is None:
        return "one network: no interval"
    low, high = measurement.summary.interval
    if low == high:
        return "all equal: no interval"
    # The published interval is not known, so the verdict is on the published mean alone.
    if low > published.accuracy:
        return "above"
    return "below" if high < published.accuracy else "covers"


def _select_main(results: Results) -> list[Measurement]:
    """Return one measurement for each data set, IPC and method, sorted.

    Of several, a comparable one is taken, and of these the largest. Data sets and sizes of which
    nobody published a result are left out.
    """
    plain = [m for m in results.measurements if _may_be_published(m)]
    networks: dict[Scope, list[str]] = {}
    for m in plain:
        networks.setdefault(m.scope, []).append(m.network)
    found: dict[PublishedKey, list[Measurement]] = {}
    for m in plain:
        if m.network == _choose_network(results.plan, m, networks[m.scope]):
            found.setdefault(PublishedKey(m.scope.dataset, m.ipc, m.method), []).append(m)
    chosen = [max(same, key=lambda m: _weigh(results.plan, m)) for same in found.values()]
    return _sort_main(chosen)


def _may_be_published(m: Measurement) -> bool:
    if m.sweep or (m.scope.protocol, m.scope.split) != ("paper", "test"):
        return False
    sizes = list_published_sizes(m.scope.dataset)
    # The whole training set is shown on every published data set, as the bound of all methods.
    return m.ipc in sizes or (m.ipc is None and bool(sizes))


def _sort_main(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Sort by data set, IPC and method; the whole training set is last of a data set."""
    chosen = list(measurements)
    datasets = list(dict.fromkeys(m.scope.dataset for m in chosen))
    methods = list(dict.fromkeys(m.method for m in chosen))

    def sort_key(m: Measurement) -> tuple[int, float, int]:
        return datasets.index(m.scope.dataset), m.ipc or float("inf"), methods.index(m.method)

    return sorted(chosen, key=sort_key)


def _choose_network(plan: Plan, m: Measurement, measured: Sequence[str]) -> str:
    """Return the network of the published protocol, or the scope's first where it lacks that."""
    dataset = plan.units[m.cells[0].evaluation_key].dataset
    published = resolve_published_settings(dataset, m.method, m.ipc).distillation.network
    return published if published in measured else measured[0]


def _weigh(plan: Plan, m: Measurement) -> tuple[bool, bool, int]:
    """Return what to prefer a measurement by: a result, published settings, many networks."""
    networks = m.summary.networks if m.summary else 0
    return m.summary is not None, not describe_differences(plan, m), networks


def _build_row(plan: Plan, m: Measurement, notes: tuple[int, ...]) -> tuple[TableEntry, ...]:
    found = find_all_published(m.scope.dataset, m.ipc, m.method)
    published = found[0] if found else None
    difference = ""
    if m.summary and published:
        difference = format_points(m.summary.mean - published.accuracy)
    interval = format_interval(m.summary.interval) if m.summary else MISSING
    verdict = build_verdict(m, published, describe_differences(plan, m))
    return (
        TableEntry(text=m.scope.dataset),
        TableEntry(text="all" if m.ipc is None else str(m.ipc)),
        TableEntry(text=m.method),
        TableEntry(text=format_published(published)),
        TableEntry(text=format_summary(m.summary), notes=notes, keys=m.keys),
        TableEntry(text=difference, keys=m.keys if difference else ()),
        TableEntry(text=interval, keys=m.keys),
        TableEntry(text=verdict),
        TableEntry(text=describe_sources(found)),
    )
