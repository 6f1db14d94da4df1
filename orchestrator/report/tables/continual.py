"""Tables of class-incremental learning: accuracy over the classes seen so far.

They come from the trajectories, which are rows of `continual`: a column per step, and the average
over all steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.analysis.statistics import Array, GroupSummary, summarize_accuracies
from orchestrator.planning.methods import pair_methods
from orchestrator.report.entries import (
    SAME_SET,
    build_paired_entry,
    build_spread_entries,
    build_summary_entry,
    collect_footnotes,
    rank_accuracies,
)
from orchestrator.report.model import MISSING, Section, Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Results, Scope, Trajectory, format_ipc, list_scopes
from orchestrator.report.swept_settings import name_swept_method

_ACCURACY = (
    "Accuracy in % over the classes seen so far: mean ± population standard deviation over class"
    " orders and networks. Average: the mean over all steps, computed for each network. The best"
    " of each column and all that are not clearly worse are bold, the second best underlined"
    " likewise. Clearly means that the 95 % interval of the paired difference excludes zero, for"
    " which it takes several orders."
)
_SPREAD = (
    "All values in %. The 95 % interval is Student's t over the means of the class orders; with"
    " one order it covers networks only, and says nothing about other orders. Between orders:"
    " sample standard deviation of the means of the orders. Within orders: pooled sample standard"
    " deviation of the networks of the same order."
)
_SPREAD_HEADER = (
    "mean ± std",
    "95 % interval",
    "between orders",
    "within orders",
    "orders × networks",
)
_DIFFERENCE = (
    "Difference in accuracy in points, paired by class order and network, with its 95 % interval"
    " (Student's t over the means of the orders). Bold where there are several orders and the"
    " interval excludes zero; one order says nothing about others."
)

Part = Callable[[Array], Array]
"""What a column shows of an order's accuracies: (steps, networks) to (networks,)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _StepGrid:
    """Methods that learned the same number of steps with the same network and memory."""

    slug: str
    title: str
    columns: dict[str, Part]
    trajectories: dict[str, Trajectory]
    """By method."""


def build_continual_sections(results: Results) -> tuple[Section, ...]:
    """Return the class-incremental results of each scope as tables."""
    sections = []
    for scope in list_scopes(results.trajectories):
        chosen = [t for t in results.trajectories if t.scope == scope]
        sections.append(_build_section(results, scope, chosen))
    return tuple(sections)


def _build_section(results: Results, scope: Scope, trajectories: Sequence[Trajectory]) -> Section:
    tables: list[Table] = []
    details: list[Table] = []
    for grid in _build_grids(results, scope, trajectories):
        tables.append(_build_accuracies(grid))
        details += [_build_spread(grid), _build_differences(grid)]
    return Section(
        experiment=scope.experiment,
        title=scope.title,
        place=scope.place,
        tables=tuple(tables),
        details=tuple(table for table in details if table.rows),
    )


def _build_grids(
    results: Results, scope: Scope, trajectories: Sequence[Trajectory]
) -> Iterator[_StepGrid]:
    found: dict[tuple[int, int | None, str], list[Trajectory]] = {}
    for t in trajectories:
        found.setdefault((t.steps, t.ipc, t.network), []).append(t)
    for (steps, ipc, network), chosen in found.items():
        counted = f"{steps} {'step' if steps == 1 else 'steps'}"
        yield _StepGrid(
            slug=make_slug(*scope.name, f"{steps} steps", format_ipc(ipc), network),
            title=f"Class-incremental learning in {counted}, {format_ipc(ipc)}, {network}",
            columns=_build_columns(steps, _count_classes_seen(results, chosen)),
            trajectories={name_swept_method(t.method, t.sweep): t for t in chosen},
        )


def _build_columns(steps: int, seen: Mapping[int, int]) -> dict[str, Part]:
    columns: dict[str, Part] = {}
    for step in range(1, steps + 1):
        heading = f"{seen[step]} classes" if step in seen else f"step {step}"
        columns[heading] = _select_step(step)
    columns["average"] = lambda accuracies: accuracies.mean(axis=0)
    return columns


def _select_step(step: int) -> Part:
    return lambda accuracies: accuracies[step - 1]


def _count_classes_seen(results: Results, trajectories: Sequence[Trajectory]) -> dict[int, int]:
    """Return the number of classes seen after each step that has rows."""
    keys: list[str] = []
    for t in trajectories:
        keys += t.keys
    rows = results.rows["continual"]
    rows = rows[rows["key"].isin(keys)].dropna(subset="classes")
    return {
        int(step): len(classes) for step, classes in zip(rows["step"], rows["classes"], strict=True)
    }


def _select_part(t: Trajectory, part: Part) -> dict[int, Array]:
    return {seed: part(t.accuracies[seed]) for seed in sorted(t.accuracies)}


def _summarize_part(t: Trajectory, part: Part) -> GroupSummary | None:
    return summarize_accuracies(list(_select_part(t, part).values())) if t.accuracies else None


def _build_accuracies(grid: _StepGrid) -> Table:
    notes = collect_footnotes(grid.trajectories.values())
    rows = {method: [TableEntry(text=method)] for method in grid.trajectories}
    for part in grid.columns.values():
        summaries = {method: _summarize_part(t, part) for method, t in grid.trajectories.items()}
        emphasis = rank_accuracies(
            {method: _select_part(t, part) for method, t in grid.trajectories.items()}
        )
        for method, t in grid.trajectories.items():
            entry = build_summary_entry(t, summaries[method], emphasis.get(method), notes)
            rows[method].append(entry)
    return Table(
        slug=grid.slug,
        title=grid.title,
        header=("Method", *grid.columns),
        rows=tuple(map(tuple, rows.values())),
        caption=_ACCURACY,
        notes=notes,
    )


def _build_spread(grid: _StepGrid) -> Table:
    rows = []
    for method, t in grid.trajectories.items():
        for column, part in grid.columns.items():
            summary = _summarize_part(t, part)
            if summary:
                entries = build_spread_entries(_select_part(t, part), summary, t.keys)
                rows.append((*build_row(method, column), *entries))
    return Table(
        slug=f"{grid.slug}-spread",
        title=f"{grid.title}: spread",
        header=("Method", "After", *_SPREAD_HEADER),
        rows=tuple(rows),
        caption=_SPREAD,
        text_columns=(0, 1),
    )


def _build_differences(grid: _StepGrid) -> Table:
    rows = []
    for first, second in pair_methods(list(grid.trajectories)):
        a, b = grid.trajectories[first], grid.trajectories[second]
        entries = [_build_difference(a, b, part) for part in grid.columns.values()]
        if any(entry.text != MISSING for entry in entries):
            rows.append((TableEntry(text=f"{first} − {second}"), *entries))
    return Table(
        slug=f"{grid.slug}-differences",
        title=f"{grid.title}: differences",
        header=("Difference", *grid.columns),
        rows=tuple(rows),
        caption=_DIFFERENCE,
    )


def _build_difference(first: Trajectory, second: Trajectory, part: Part) -> TableEntry:
    if first.planned_keys == second.planned_keys:
        return TableEntry(text=SAME_SET)
    keys = (*first.keys, *second.keys)
    return build_paired_entry(_select_part(first, part), _select_part(second, part), keys)
