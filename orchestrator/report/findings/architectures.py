"""Methods on several evaluation networks: which network their sets were distilled with.

The tables and the figure of generalization both read results through this module.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.report.results import Measurement, Results, Scope, list_scopes
from orchestrator.units import Distill

MATCHING = "distillation.network"
"""The setting that a sweep over matching networks varies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """The measurements of one method at one size on several networks."""

    method: str
    matching: str
    """The network that its sets were distilled with, or are compared from."""
    measured: dict[str, Measurement]
    """By evaluation network, the matching one first; all with results."""

    @property
    def others(self) -> tuple[str, ...]:
        """The evaluation networks besides the matching one."""
        return tuple(network for network in self.measured if network != self.matching)

    @property
    def keys(self) -> tuple[str, ...]:
        """Units that the accuracies come from."""
        return collect_keys(self.measured.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferGroup:
    """The methods of one scope and size that were measured on several networks."""

    scope: Scope
    ipc: int
    transfers: tuple[Transfer, ...]
    """Synthetic sets and selected images; the whole training set is apart."""
    whole: Transfer | None
    """Networks trained on all images."""

    @property
    def matching(self) -> str:
        """The matching network of most methods."""
        return Counter(each.matching for each in self.transfers).most_common(1)[0][0]

    @property
    def networks(self) -> tuple[str, ...]:
        """All evaluation networks, the matching one first."""
        names = dict.fromkeys([self.matching])
        for transfer in self.transfers:
            names.update(dict.fromkeys(transfer.measured))
        return tuple(names)


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchingSweep:
    """The sets of one method at one size, distilled with several networks."""

    scope: Scope
    ipc: int
    method: str
    transfers: tuple[Transfer, ...]
    """One per matching network that was also evaluated."""


def list_transfer_groups(results: Results) -> Iterator[TransferGroup]:
    """Yield the groups in which a method has results on its matching and on another network."""
    for scope in list_scopes(results.measurements):
        here = [m for m in results.measurements if m.scope == scope and not m.sweep and m.summary]
        for ipc in sorted({m.ipc for m in here if m.ipc is not None}):
            sized = [m for m in here if m.ipc == ipc]
            default = _find_common_matching(results, sized)
            transfers = _build_transfers(results, sized, default)
            if transfers:
                whole = _build_transfers(results, [m for m in here if m.ipc is None], default)
                yield TransferGroup(
                    scope=scope, ipc=ipc, transfers=transfers, whole=next(iter(whole), None)
                )


def list_matching_sweeps(results: Results) -> Iterator[MatchingSweep]:
    """Yield the sweeps over matching networks that were evaluated on several networks."""
    groups: dict[tuple[Scope, int, str], dict[str, list[Measurement]]] = {}
    for m in results.measurements:
        if m.summary and m.ipc is not None and [path for path, _ in m.sweep] == [MATCHING]:
            by_network = groups.setdefault((m.scope, m.ipc, m.method), {})
            by_network.setdefault(str(m.sweep[0][1]), []).append(m)
    for (scope, ipc, method), by_network in groups.items():
        built = [_build_transfer(method, each, found) for each, found in by_network.items()]
        transfers = tuple(each for each in built if each is not None)
        if transfers:
            yield MatchingSweep(scope=scope, ipc=ipc, method=method, transfers=transfers)


def collect_keys(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """Return the units of some measurements, each once."""
    keys: dict[str, None] = {}
    for m in measurements:
        keys.update(dict.fromkeys(m.keys))
    return tuple(keys)


def _build_transfers(
    results: Results, measurements: Sequence[Measurement], default: str
) -> tuple[Transfer, ...]:
    by_method: dict[str, list[Measurement]] = {}
    for m in measurements:
        by_method.setdefault(m.method, []).append(m)
    transfers = []
    for method, chosen in by_method.items():
        matching = find_matching(results, chosen[0]) or default
        transfer = _build_transfer(method, matching, chosen)
        if transfer is not None:
            transfers.append(transfer)
    return tuple(transfers)


def _build_transfer(
    method: str, matching: str, measurements: Sequence[Measurement]
) -> Transfer | None:
    """Return a method's transfer; None without the matching network or without another."""
    by_network = {m.network: m for m in measurements}
    if matching not in by_network or len(by_network) < 2:
        return None
    measured = {matching: by_network[matching], **by_network}
    return Transfer(method=method, matching=matching, measured=measured)


def find_matching(results: Results, m: Measurement) -> str | None:
    """Return the network that a measurement's sets were distilled with; None for real images."""
    key = m.cells[0].set_key
    unit = results.plan.units.get(key) if key else None
    return unit.settings.network if isinstance(unit, Distill) else None


def _find_common_matching(results: Results, measurements: Sequence[Measurement]) -> str:
    """Return the matching network of most measurements, or the first evaluation network."""
    found = Counter(filter(None, (find_matching(results, m) for m in measurements)))
    return found.most_common(1)[0][0] if found else measurements[0].network
