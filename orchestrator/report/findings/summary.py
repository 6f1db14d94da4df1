"""A few sentences on what was found, from the numbers: the top of every report."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.analysis.statistics import Array, differs_from_zero, paired_differences
from orchestrator.planning.methods import REFERENCE, pair_methods
from orchestrator.report.entries import format_points
from orchestrator.report.model import Table
from orchestrator.report.results import Measurement, Results, Scope
from orchestrator.text import format_count

_RULINGS = ("supported", "contradicted", "undecided", "not comparable")


class _Point(NamedTuple):
    """What two methods are compared at."""

    scope: Scope
    ipc: int | None
    network: str


def build_summary(results: Results, claims: Table | None) -> tuple[str, ...]:
    """Return a sentence on each comparison of methods, and one on the claims; none without results.

    A method is compared with its base, such as DM+IID with DM. Where no method has its base, each
    is compared with Random. Cells are points of a grid (data set, IPC, network) without swept
    settings.

    Args:
        results: of the search space.
        claims: the table of claims.
    """
    methods = _place_measurements(results)
    pairs = pair_methods(list(methods))
    with_base = [(first, second) for first, second in pairs if second != REFERENCE]
    sentences = []
    for first, second in with_base or pairs:
        differences = list(_list_differences(methods[first], methods[second]))
        if differences:
            sentences.append(_describe_pair(first, second, differences))
    if claims is not None:
        sentences.append(_count_rulings(claims))
    return tuple(sentences)


def _place_measurements(results: Results) -> dict[str, dict[_Point, Measurement]]:
    methods: dict[str, dict[_Point, Measurement]] = {}
    for m in results.measurements:
        if m.summary and m.ipc is not None and not m.sweep:
            methods.setdefault(m.method, {})[_Point(m.scope, m.ipc, m.network)] = m
    return methods


def _list_differences(
    first: dict[_Point, Measurement], second: dict[_Point, Measurement]
) -> Iterator[list[Array]]:
    """Yield first − second at each point that both have, unless both are the same sets there."""
    for point, m in first.items():
        other = second.get(point)
        if other is None or m.planned_keys == other.planned_keys:
            continue
        differences = paired_differences(m.accuracies, other.accuracies)
        if differences:
            yield differences


def _describe_pair(first: str, second: str, cells: Sequence[list[Array]]) -> str:
    means = [float(np.concatenate(differences).mean()) for differences in cells]
    several = [differences for differences in cells if len(differences) > 1]
    where = format_count(len(cells), "cell")
    size = f"{format_points(float(np.mean(means)), 2)} points"
    if len(cells) > 1:
        size += f" on average ({format_points(min(means), 2)} to {format_points(max(means), 2)})"
    if not several:
        return f"{first} against {second}, {where}: {size}. One seed says nothing about other sets."
    clear = [
        float(np.concatenate(differences).mean())
        for differences in several
        if differs_from_zero(differences)
    ]
    better = sum(mean > 0 for mean in clear)
    found = f"clearly better in {better}, clearly worse in {len(clear) - better}"
    if len(several) < len(cells):
        found += f"; {len(cells) - len(several)} with one seed cannot tell"
    return f"{first} against {second}, {where}: {found}. The difference is {size}."


def _count_rulings(claims: Table) -> str:
    verdicts = claims.header.index("Verdict")
    counts = Counter(row[verdicts].text.split(":")[0] for row in claims.rows)
    parts = [f"{counts[ruling]} {ruling}" for ruling in _RULINGS if counts[ruling]]
    return f"Of {format_count(len(claims.rows), 'claim')}: {', '.join(parts)}."
