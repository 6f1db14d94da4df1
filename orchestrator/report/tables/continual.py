"""Tables of class-incremental learning: accuracy over the classes seen, after each step and over
all of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analysis.statistics import Array, Summary, summarize
from orchestrator.report.entries import (
    SAME_SET,
    build_paired_entry,
    build_spread_entries,
    build_summary_entry,
    collect_footnotes,
    list_planned_keys,
    pair_methods,
    rank_summaries,
)
from orchestrator.report.model import MISSING, Section, Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Results, Scope, Trajectory, format_ipc, list_scopes
from orchestrator.report.swept_settings import name_swept_method

_ACCURACY = (
    "Accuracy in % over the classes seen so far: mean ± population standard deviation over class"
    " orders and networks; average: of each network's accuracies over all steps. Best of each"
    " column bold, second underlined."
)
_SPREAD = (
    "In %. Interval: 95 %, two-level bootstrap over class orders and the networks within them."
    " Between orders, within orders: sample standard deviation of the orders' means, and of the"
    " networks on one order."
)
_DIFFERENCE = (
    "Difference of accuracy in points, paired by class order and network, with its 95 % interval"
    " (two-level bootstrap); bold where both the interval and a t test over the orders'"
    " differences, two-sided at 5 %, exclude zero."
)

Part = Callable[[Array], Array]
"""What a column shows of an order's accuracies (steps, networks): one number a network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Methods that learned the same sequence with the same network and memory."""

    slug: str
    title: str
    columns: dict[str, Part]
    methods: dict[str, Trajectory]


def build_continual_sections(results: Results) -> tuple[Section, ...]:
    """Return the class-incremental results of each scope as tables."""
    return tuple(
        _section(results, scope, [t for t in results.trajectories if t.scope == scope])
        for scope in list_scopes(results.trajectories)
    )


def _section(results: Results, scope: Scope, trajectories: Sequence[Trajectory]) -> Section:
    groups = list(_groups(results, scope, trajectories))
    details = [
        table for group in groups for table in (_spread(group), _differences(group)) if table.rows
    ]
    return Section(
        title=scope.title,
        place=scope.place,
        tables=tuple(map(_accuracies, groups)),
        details=tuple(details),
    )


def _groups(results: Results, scope: Scope, trajectories: Sequence[Trajectory]) -> Iterable[_Group]:
    found: dict[tuple[int, int | None, str], list[Trajectory]] = {}
    for t in trajectories:
        found.setdefault((t.steps, t.ipc, t.network), []).append(t)
    for (steps, ipc, network), chosen in found.items():
        yield _Group(
            slug=make_slug(*scope.name, f"{steps} steps", format_ipc(ipc), network),
            title=f"Class-incremental learning in {_steps(steps)}, {format_ipc(ipc)}, {network}",
            columns=_columns(steps, _classes_seen(results, chosen)),
            methods={name_swept_method(t.method, t.sweep): t for t in chosen},
        )


def _steps(count: int) -> str:
    return f"{count} {'step' if count == 1 else 'steps'}"


def _columns(steps: int, seen: Mapping[int, int]) -> dict[str, Part]:
    names = [
        f"{seen[step]} classes" if step in seen else f"step {step}" for step in range(1, steps + 1)
    ]
    columns = {name: _step(index) for index, name in enumerate(names)}
    return columns | {"average": lambda accuracies: accuracies.mean(axis=0)}


def _step(index: int) -> Part:
    return lambda accuracies: accuracies[index]


def _classes_seen(results: Results, trajectories: Sequence[Trajectory]) -> dict[int, int]:
    """Return the number of classes seen after each step, as far as there are rows."""
    rows = results.rows["continual"]
    rows = rows[rows["key"].isin([key for t in trajectories for key in t.keys])].dropna(
        subset="classes"
    )
    return {
        int(step): len(classes) for step, classes in zip(rows["step"], rows["classes"], strict=True)
    }


def _of(t: Trajectory, part: Part) -> dict[int, Array]:
    return {seed: part(t.accuracies[seed]) for seed in sorted(t.accuracies)}


def _summary(t: Trajectory, part: Part) -> Summary | None:
    return summarize(list(_of(t, part).values())) if t.accuracies else None


def _accuracies(group: _Group) -> Table:
    summaries = {
        c: {m: _summary(t, part) for m, t in group.methods.items()}
        for c, part in group.columns.items()
    }
    emphasis = {column: rank_summaries(found) for column, found in summaries.items()}
    notes = collect_footnotes(group.methods.values())
    rows = tuple(
        (
            TableEntry(text=m),
            *(
                build_summary_entry(t, summaries[c][m], emphasis[c].get(m), notes)
                for c in group.columns
            ),
        )
        for m, t in group.methods.items()
    )
    header = ("Method", *group.columns)
    return Table(
        slug=group.slug, title=group.title, header=header, rows=rows, caption=_ACCURACY, notes=notes
    )


def _spread(group: _Group) -> Table:
    header = (
        "Method",
        "After",
        "mean ± std",
        "95 % interval",
        "between orders",
        "within orders",
        "orders × networks",
    )
    rows = [
        (*build_row(method, column), *build_spread_entries(_of(t, part), summary, t.keys))
        for method, t in group.methods.items()
        for column, part in group.columns.items()
        if (summary := _summary(t, part))
    ]
    return Table(
        slug=f"{group.slug}-spread",
        title=f"{group.title}: spread",
        header=header,
        rows=tuple(rows),
        caption=_SPREAD,
        text_columns=(0, 1),
    )


def _differences(group: _Group) -> Table:
    rows = []
    for first, second in pair_methods(list(group.methods)):
        a, b = group.methods[first], group.methods[second]
        entries = [_difference(a, b, part) for part in group.columns.values()]
        if any(entry.text != MISSING for entry in entries):
            rows.append((TableEntry(text=f"{first} − {second}"), *entries))
    return Table(
        slug=f"{group.slug}-differences",
        title=f"{group.title}: differences",
        header=("Difference", *group.columns),
        rows=tuple(rows),
        caption=_DIFFERENCE,
    )


def _difference(first: Trajectory, second: Trajectory, part: Part) -> TableEntry:
    if list_planned_keys(first) == list_planned_keys(second):
        return TableEntry(text=SAME_SET)
    return build_paired_entry(_of(first, part), _of(second, part), (*first.keys, *second.keys))
