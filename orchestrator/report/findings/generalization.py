"""Tables of generalization: how much accuracy a set loses on other architectures.

They come from measurements on several evaluation networks, which are rows of `evaluations`.
"""

from collections.abc import Iterable, Iterator, Sequence

from orchestrator.analysis.generalization import (
    Contrast,
    compute_independent_contrast,
    compute_largest,
    compute_mean_drop,
    compute_rank_agreement,
    compute_relative_drop,
    rank_methods,
)
from orchestrator.analysis.statistics import Interval, excludes
from orchestrator.planning.methods import REFERENCE
from orchestrator.report.entries import format_percent, format_points
from orchestrator.report.findings.architectures import (
    MatchingSweep,
    Transfer,
    TransferGroup,
    collect_keys,
    list_matching_sweeps,
    list_transfer_groups,
)
from orchestrator.report.model import MISSING, Section, Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Measurement, Results, Scope, format_ipc

_INTERVAL = (
    " In points, with the 95 % interval (Student's t over sets; with one set it covers networks"
    " only). Bold where there are several sets and the interval excludes zero."
)
_DROPS = (
    "Drop: accuracy with the matching network, which the set was distilled with, minus that with"
    " another network, paired by set. Positive: accuracy is lost. The interval of the largest drop"
    f" is corrected for choosing the largest.{_INTERVAL}"
)
_RELATIVE = (
    "Drop of the method minus the drop of a reference on the same network: of networks trained on"
    " the whole training set, and of random images, paired by set. Around zero: the network is"
    f" weaker anyway, and nothing is lost by the set.{_INTERVAL}"
)
_RANKS = (
    "Rank of the mean accuracy on each network, 1 for the best. Last row: Kendall's τ between the"
    " order on the matching network and that on the other one. 1: the same order; 0: no relation;"
    " −1: reversed."
)
_MATRIX = (
    "Rows: the network that the set was distilled with. Columns: the network that was trained on"
    f" it. Drop from the row's own network to the column's, paired by set.{_INTERVAL}"
)


def build_generalization_sections(results: Results) -> tuple[Section, ...]:
    """Return the drops of each scope that has results of several evaluation networks."""
    tables: dict[Scope, list[Table]] = {}
    details: dict[Scope, list[Table]] = {}
    for group in list_transfer_groups(results):
        tables.setdefault(group.scope, []).append(build_drops(group))
        details.setdefault(group.scope, []).extend(_build_details(group))
    for sweep in list_matching_sweeps(results):
        tables.setdefault(sweep.scope, []).append(build_matrix(sweep))
    return tuple(
        Section(
            experiment=scope.experiment,
            title=scope.generalization_title,
            place=scope.place,
            tables=tuple(found),
            details=tuple(details.get(scope, ())),
        )
        for scope, found in tables.items()
    )


def build_drops(group: TransferGroup) -> Table:
    """Return the drop of each method to each network, their mean, and the largest."""
    others = group.networks[1:]
    rows = []
    for transfer in _list_all(group):
        entries = [TableEntry(text=transfer.method)]
        base = transfer.measured[transfer.matching]
        accuracy = format_percent(base.summary.mean) if base.summary else MISSING
        entries.append(TableEntry(text=accuracy, keys=base.keys))
        entries += [_build_drop_entry(transfer, network) for network in others]
        rows.append((*entries, *_build_mean_and_largest(transfer)))
    return Table(
        slug=_name(group, "drops"),
        title=f"Drop on other architectures, {format_ipc(group.ipc)}",
        header=("Method", f"accuracy on {group.matching}", *others, "mean drop", "largest drop"),
        rows=tuple(rows),
        caption=_DROPS,
    )


def build_relative_drops(group: TransferGroup) -> Table:
    """Return the drops beyond those of the whole training set and of random images."""
    random = next((each for each in group.transfers if each.method == REFERENCE), None)
    references = [("Whole", group.whole, False), (REFERENCE, random, True)]
    others = group.networks[1:]
    rows = []
    for transfer in group.transfers:
        for name, reference, paired in references:
            if reference is None or reference is transfer:
                continue
            entries = [_build_relative(transfer, reference, other, paired) for other in others]
            rows.append((*build_row(transfer.method, f"beyond {name}"), *entries))
    return Table(
        slug=_name(group, "relative drops"),
        title=f"Drop beyond a reference, {format_ipc(group.ipc)}",
        header=("Method", "Reference", *others),
        rows=tuple(rows),
        caption=_RELATIVE,
        text_columns=(0, 1),
    )


def build_ranks(group: TransferGroup) -> Table:
    """Return the rank of each method on each network, and how well the orders agree."""
    ranked = [each for each in group.transfers if set(each.measured) == set(group.networks)]
    columns = {network: _list_means(ranked, network) for network in group.networks}
    ranks = {network: rank_methods(means) for network, means in columns.items()}
    rows = []
    for i, transfer in enumerate(ranked):
        entries = []
        for network in group.networks:
            keys = transfer.measured[network].keys
            entries.append(TableEntry(text=str(ranks[network][i]), keys=keys))
        rows.append((TableEntry(text=transfer.method), *entries))
    first, *others = columns.values()
    agreements = [compute_rank_agreement(first, each) for each in others]
    keys = collect_keys(m for transfer in ranked for m in transfer.measured.values())
    taus = [
        TableEntry(text=MISSING if tau is None else f"{tau:.2f}".replace("-", "−"), keys=keys)
        for tau in agreements
    ]
    label = TableEntry(text=f"τ with {group.matching}")
    if len(rows) > 1:
        rows.append((label, TableEntry(text=""), *taus))
    return Table(
        slug=_name(group, "ranks"),
        title=f"Ranks on each architecture, {format_ipc(group.ipc)}",
        header=("Method", *group.networks),
        rows=tuple(rows) if len(rows) > 1 else (),
        caption=_RANKS,
    )


def build_matrix(sweep: MatchingSweep) -> Table:
    """Return the drops from each matching network to each evaluation network."""
    columns = dict.fromkeys(network for each in sweep.transfers for network in each.measured)
    rows = []
    for transfer in sweep.transfers:
        entries = [TableEntry(text=transfer.matching)]
        for network in columns:
            entries.append(_build_drop_entry(transfer, network))
        rows.append((*entries, *_build_mean_and_largest(transfer)))
    return Table(
        slug=make_slug(*sweep.scope.name, "drop matrix", f"ipc{sweep.ipc}", sweep.method),
        title=f"{sweep.method}: drop by matching network, {format_ipc(sweep.ipc)}",
        header=("Matching network", *columns, "mean drop", "largest drop"),
        rows=tuple(rows),
        caption=_MATRIX,
    )


def _build_details(group: TransferGroup) -> Iterator[Table]:
    for table in (build_relative_drops(group), build_ranks(group)):
        if table.rows:
            yield table


def _list_all(group: TransferGroup) -> Iterable[Transfer]:
    return group.transfers if group.whole is None else (*group.transfers, group.whole)


def _build_drop_entry(transfer: Transfer, network: str) -> TableEntry:
    if network == transfer.matching:
        return TableEntry(text="matching")
    base, other = transfer.measured[transfer.matching], transfer.measured.get(network)
    if other is None:
        return TableEntry(text="")
    return _build_entry(_compute_drop(base, other), (*base.keys, *other.keys))


def _build_mean_and_largest(transfer: Transfer) -> tuple[TableEntry, TableEntry]:
    base = transfer.measured[transfer.matching]
    others = [transfer.measured[network] for network in transfer.others]
    mean = _build_entry(_compute_mean_drop(base, others), transfer.keys)
    drops = [_compute_drop(base, other) for other in others]
    known = [drop for drop in drops if drop is not None]
    if not known:
        return mean, TableEntry(text=MISSING)
    place, interval = compute_largest(known)
    text = _format(known[place].value, interval)
    is_clear = all(drop.is_decisive for drop in known) and excludes(interval)
    largest = TableEntry(text=text, emphasis="clear" if is_clear else None, keys=transfer.keys)
    return mean, largest


def _compute_drop(base: Measurement, other: Measurement) -> Contrast | None:
    return _compute_mean_drop(base, [other])


def _compute_mean_drop(base: Measurement, others: Sequence[Measurement]) -> Contrast | None:
    if base.ipc is not None:
        return compute_mean_drop(base.accuracies, [other.accuracies for other in others])
    share = -1 / len(others)
    terms = [(share, other.accuracies) for other in others]
    return compute_independent_contrast([(1.0, base.accuracies), *terms])


def _build_relative(
    transfer: Transfer, reference: Transfer, network: str, paired: bool
) -> TableEntry:
    parts = (transfer, reference)
    if any(each.matching not in each.measured or network not in each.measured for each in parts):
        return TableEntry(text="")
    matched = reference.measured.get(transfer.matching)
    if matched is None:
        return TableEntry(text="")
    own = (transfer.measured[transfer.matching], transfer.measured[network])
    theirs = (matched, reference.measured[network])
    contrast = compute_relative_drop(
        (own[0].accuracies, own[1].accuracies),
        (theirs[0].accuracies, theirs[1].accuracies),
        paired=paired,
    )
    return _build_entry(contrast, collect_keys([*own, *theirs]))


def _build_entry(contrast: Contrast | None, keys: tuple[str, ...]) -> TableEntry:
    if contrast is None:
        return TableEntry(text=MISSING)
    is_clear = contrast.is_decisive and excludes(contrast.interval)
    return TableEntry(
        text=_format(contrast.value, contrast.interval),
        emphasis="clear" if is_clear else None,
        keys=keys,
    )


def _format(value: float, interval: Interval | None) -> str:
    text = format_points(value)
    if interval is None:
        return text
    return f"{text} [{format_points(interval[0])}, {format_points(interval[1])}]"


def _list_means(transfers: Sequence[Transfer], network: str) -> list[float]:
    summaries = [transfer.measured[network].summary for transfer in transfers]
    return [summary.mean for summary in summaries if summary is not None]


def _name(group: TransferGroup, what: str) -> str:
    return make_slug(*group.scope.name, what, f"ipc{group.ipc}")
