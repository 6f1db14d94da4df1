"""Results whose custom code has changed since: told, because the key of a unit cannot show it."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from distill_core.settings import SettingsError
from distill_core.source_hash import hash_source
from orchestrator.store import tables
from orchestrator.units import KINDS, Unit, list_custom_names


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedSource:
    """A custom object whose source is not the one that some results were computed with."""

    name: str
    """`module:object`."""
    keys: tuple[str, ...]
    """Units that other source was used for."""
    now: str | None
    """Hash of the source as it is here; None where the module is not found."""
    then: tuple[str, ...]
    """Hashes that were recorded with the units."""

    def describe(self) -> str:
        """Say what changed, and what to do."""
        base, _, version = self.name.partition("@")
        units = f"{len(self.keys)} unit{'s' * (len(self.keys) != 1)}"
        if self.now is None:
            return (
                f"The code of {self.name} is not found here, so it cannot be compared with that of"
                f" {units}."
            )
        return (
            f"The code of {self.name} has changed since {units} used it (source"
            f" {', '.join(self.then)} then, {self.now} now); their results are of the code then. If"
            f" results change, name it {base}@{int(version or 1) + 1} to compute them again."
        )


def find_changed_sources(table_folder: Path, units: Iterable[Unit]) -> list[ChangedSource]:
    """Compare the source of custom objects with the one recorded with done units.

    Args:
        table_folder: the store's tables.
        units: done units; those without custom objects cost nothing.

    Raises:
        TableError: a table cannot be read.
    """
    keys: dict[str, list[str]] = defaultdict(list)
    for unit in units:
        if list_custom_names(unit):
            keys[KINDS[unit.kind].table].append(unit.key)
    recorded: dict[tuple[str, str], str] = {}
    for table, of_table in keys.items():
        recorded |= _read_recorded(table_folder, table, of_table)
    return _compare(recorded)


def find_all_changed_sources(table_folder: Path) -> list[ChangedSource]:
    """Compare as `find_changed_sources` does, for everything in the tables.

    Raises:
        TableError: a table cannot be read.
    """
    recorded: dict[tuple[str, str], str] = {}
    for table in {kind.table for kind in KINDS.values()}:
        recorded |= _read_recorded(table_folder, table, None)
    return _compare(recorded)


def _read_recorded(
    table_folder: Path, table: str, keys: Iterable[str] | None
) -> dict[tuple[str, str], str]:
    """Return hashes by name and key of the unit; rows of old versions have none."""
    rows = tables.read(table_folder, table, keys).select(["key", "sources"])
    recorded = {}
    for row in rows.to_pylist():
        for name, value in json.loads(row["sources"] or "{}").items():
            if value is not None:
                recorded[name, row["key"]] = value
    return recorded


def _compare(recorded: dict[tuple[str, str], str]) -> list[ChangedSource]:
    changed: dict[str, dict[str, str]] = defaultdict(dict)
    now: dict[str, str | None] = {}
    for (name, key), then in recorded.items():
        if name not in now:
            now[name] = _hash_here(name)
        if now[name] != then:
            changed[name][key] = then
    found = []
    for name, then_by_key in sorted(changed.items()):
        found.append(
            ChangedSource(
                name=name,
                keys=tuple(sorted(then_by_key)),
                now=now[name],
                then=tuple(sorted(set(then_by_key.values()))),
            )
        )
    return found


def _hash_here(name: str) -> str | None:
    try:
        return hash_source(name)
    except SettingsError:
        return None
