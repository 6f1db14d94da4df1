"""The cells that a claim is about: a difference of two methods, or a drop to another network."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.analysis.generalization import Contrast, compute_drop
from orchestrator.analysis.statistics import Estimate, estimate_mean, paired_differences, pool
from orchestrator.report.findings.architectures import (
    Transfer,
    TransferGroup,
    collect_keys,
    find_matching,
    list_transfer_groups,
)
from orchestrator.report.results import Measurement, Results, Scope, format_ipc
from orchestrator.report.tables.settings_differences import describe_differences
from search_spaces.claims import Claim, Pair


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedCell:
    """One number that a claim is about."""

    dataset: str
    label: str
    """Where it was measured, and what of, for readers."""
    contrast: Contrast | None
    """None without results."""
    differing: str
    """How the settings differ from the published ones; empty where they do not."""
    keys: tuple[str, ...]
    """Units that the number comes from."""


def collect_cells(results: Results, claim: Claim) -> list[ClaimedCell]:
    """Return the planned cells of a claim, each once.

    Where one is there twice, a comparable one is taken, and of these the one with most sets. A
    published claim is about test images under protocol paper.
    """
    best: dict[tuple[str, str], ClaimedCell] = {}
    found = _list_pairs(results, claim) if claim.pairs else _list_drops(results, claim)
    for cell in found:
        other = best.get((cell.dataset, cell.label))
        if other is None or _rank(cell) > _rank(other):
            best[cell.dataset, cell.label] = cell
    return list(best.values())


def _rank(cell: ClaimedCell) -> tuple[bool, int]:
    """Return what a cell is chosen by; one without results comes last."""
    return (False, 0) if cell.contrast is None else (not cell.differing, cell.contrast.sets)


def _is_wanted(claim: Claim, scope: Scope, ipc: int | None) -> bool:
    is_usual = (scope.protocol, scope.split) == ("paper", "test")
    if claim.published and not is_usual:
        return False
    # The data sets of a published claim are looked at later: others are shown as not comparable.
    if not claim.published and claim.datasets and scope.dataset not in claim.datasets:
        return False
    return ipc is not None and (not claim.ipc or ipc in claim.ipc)


def _list_pairs(results: Results, claim: Claim) -> Iterator[ClaimedCell]:
    for methods in _group_by_place(results, claim):
        for pair in claim.pairs:
            first, second = methods.get(pair.first), methods.get(pair.second)
            if first is None or second is None or not _is_on_network(results, claim, first, second):
                continue
            # Where both methods are the same units, there is nothing to gain, and no claim either.
            if first.planned_keys == second.planned_keys and claim.chosen == "smallest":
                continue
            yield _build_difference(results, claim, pair, first, second)


def _group_by_place(results: Results, claim: Claim) -> Iterable[dict[str, Measurement]]:
    """Return measurements by method for each scope, size and network."""
    places: dict[tuple[Scope, int | None, str], dict[str, Measurement]] = {}
    for m in results.measurements:
        if not m.sweep and _is_wanted(claim, m.scope, m.ipc):
            places.setdefault((m.scope, m.ipc, m.network), {})[m.method] = m
    return places.values()


def _is_on_network(results: Results, claim: Claim, first: Measurement, second: Measurement) -> bool:
    if claim.networks:
        return first.network in claim.networks
    matching = find_matching(results, first) or find_matching(results, second)
    return matching is None or first.network == matching


def _build_difference(
    results: Results, claim: Claim, pair: Pair, first: Measurement, second: Measurement
) -> ClaimedCell:
    differing = ""
    if claim.published:
        reasons = [describe_differences(results.plan, m) for m in (first, second)]
        differing = next(filter(None, reasons), "")
    return ClaimedCell(
        dataset=first.scope.dataset,
        label=_label(str(pair), first.scope, first.ipc, first.network),
        contrast=_subtract(first, second),
        differing=differing,
        keys=collect_keys((first, second)),
    )


def _subtract(first: Measurement, second: Measurement) -> Contrast | None:
    group = paired_differences(first.accuracies, second.accuracies)
    if not group:
        return None
    if first.planned_keys == second.planned_keys:
        same = Estimate(value=0.0, error=0.0, freedom=1)
        return Contrast(value=0.0, estimate=same, sets=len(group), is_exact=True)
    value = float(pool(group).mean())
    return Contrast(value=value, estimate=estimate_mean(group), sets=len(group))


def _list_drops(results: Results, claim: Claim) -> Iterator[ClaimedCell]:
    for group in list_transfer_groups(results):
        if not _is_wanted(claim, group.scope, group.ipc):
            continue
        for transfer in group.transfers:
            if transfer.method not in claim.drops:
                continue
            # Networks that are named but were not measured are cells without results.
            for network in claim.networks or transfer.others:
                if network != transfer.matching:
                    yield _build_drop(results, claim, group, transfer, network)


def _build_drop(
    results: Results, claim: Claim, group: TransferGroup, transfer: Transfer, network: str
) -> ClaimedCell:
    base, other = transfer.measured[transfer.matching], transfer.measured.get(network)
    measured = [base] if other is None else [base, other]
    differing = ""
    if claim.published:
        reasons = [describe_differences(results.plan, m, is_transfer=m is other) for m in measured]
        differing = next(filter(None, reasons), "")
    return ClaimedCell(
        dataset=group.scope.dataset,
        label=_label(transfer.method, group.scope, group.ipc, network),
        contrast=compute_drop(base.accuracies, other.accuracies) if other else None,
        differing=differing,
        keys=collect_keys(measured),
    )


def _label(what: str, scope: Scope, ipc: int | None, network: str) -> str:
    return f"{what}, {scope.place}, {format_ipc(ipc)}, {network}"
