"""Where a store stands: what its launches set out to do, and how far that is."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from distill_core.settings import SettingsError
from orchestrator.errors import StoreError
from orchestrator.launch.progress import find_blocked
from orchestrator.store import leases
from orchestrator.store.store import Store
from orchestrator.units import KINDS, Unit, describe_unit, from_json

STATES = ("done", "running", "failed", "waiting", "blocked")


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureNote:
    """A row of table `failures`."""

    unit: Unit
    error: str
    reason: str
    traceback: str
    finished: datetime
    host: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """Units of a store's search spaces, by state and kind."""

    spaces: tuple[str, ...]
    """Search spaces that were launched, with their changes from the command line; of each the last
    launch counts.
    """
    counts: Mapping[str, Counter[str]]
    """For each of `STATES` the number of units of each kind."""
    failures: tuple[FailureNote, ...]
    others: int = 0
    """Done units that earlier launches planned and none of these."""


def read_status(store: Store) -> Status:
    """Read where a store stands; nothing is changed.

    Raises:
        StoreError: the store is not there or cannot be read.
    """
    if not store.exists():
        raise StoreError(
            f"store: there is none in {store}; name it with --store, or make one with iid run"
        )
    launches = last_launches(store.runs())
    units = {key: unit for record in launches for key, unit in planned_units(store, record).items()}
    done = store.done_keys()
    running = leases.held_keys(store.storage) - done
    notes = tuple(note for note in _failure_notes(store) if note.unit.key not in done | running)
    failed = {note.unit.key for note in notes}
    blocked = find_blocked(failed, units)
    counts: dict[str, Counter[str]] = {state: Counter() for state in STATES}
    for key, unit in units.items():
        if key in done:
            state = "done"
        elif key in running:
            state = "running"
        elif key in failed:
            state = "failed"
        else:
            state = "blocked" if key in blocked else "waiting"
        counts[state][unit.kind] += 1
    return Status(
        spaces=tuple(dict.fromkeys(shlex.join(_name(record)) for record in launches)),
        counts=counts,
        failures=tuple(note for note in notes if note.unit.key in units),
        others=len(done - units.keys()),
    )


def last_launches(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the last launch of each search space and set of changes to it, of records that come
    oldest first.
    """
    return list({_name(record): record for record in records}.values())


def _name(record: Mapping[str, Any]) -> tuple[str, ...]:
    changes = record.get("overrides")
    listed = [str(change) for change in changes] if isinstance(changes, list) else []
    return (
        *str(record["space"]).split(),
        *(word for change in listed for word in ("--set", change)),
    )


def planned_units(store: Store, record: Mapping[str, Any]) -> dict[str, Unit]:
    """Return the units of a launch, each after those it needs; those of an incompatible version are
    left out.
    """
    units = {}
    for key, fields in store.planned(record).items():
        with suppress(SettingsError):
            units[key] = from_json(json.dumps(fields))
    return units


def find_unit(store: Store, key: str) -> Unit:
    """Return the unit whose key begins with `key`, from the launches' records or among the done
    ones.

    Raises:
        StoreError: there is none, or more than one, or it is another version's.
    """
    planned: dict[str, Any] = {}
    for record in {record["plan"]: record for record in store.runs()}.values():
        with suppress(StoreError):
            planned.update(store.planned(record))
    matches = sorted({match for match in (*planned, *store.done_keys()) if match.startswith(key)})
    if not matches:
        raise StoreError(
            f"no unit of {store} has a key that begins with {key!r}; iid run notes what it plans"
        )
    if len(matches) > 1:
        raise StoreError(
            f"{key!r} is the beginning of {len(matches)} keys, such as {', '.join(matches[:3])};"
            " give more"
        )
    (match,) = matches
    if match not in planned:
        return store.spec_of(match)
    with suppress(SettingsError):
        unit = from_json(json.dumps(planned[match]))
        if unit.key == match:
            return unit
    raise StoreError(
        f"unit {match} of {store} was planned by another version; run its search space again"
    )


def render_status(status: Status, *, tracebacks: bool = False) -> RenderableType:
    """Draw a status: a row a kind, then the failures with their reasons."""
    if not status.spaces and status.others:
        return Text(
            f"{status.others} units are done, but no launch has a record that can be read: see iid"
            " verify."
        )
    if not status.spaces:
        return Text("Nothing was launched on this store yet.")
    table = Table(
        title=f"search spaces: {', '.join(status.spaces)}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("kind")
    for state in STATES:
        table.add_column(state, justify="right")
    for kind in KINDS:
        if any(status.counts[state][kind] for state in STATES):
            table.add_row(kind, *(str(status.counts[state][kind]) for state in STATES))
    table.add_row("all", *(str(status.counts[state].total()) for state in STATES), style="bold")
    notes = [
        Text(f"failed: {describe_unit(f.unit)}: {f.error}: {f.reason}", style="red")
        for f in status.failures
    ]
    if status.others:
        notes.append(Text(f"{status.others} more units are done, which earlier launches planned"))
    details = [Text(failure.traceback) for failure in status.failures] if tracebacks else []
    return Group(table, *notes, *details)


def _failure_notes(store: Store) -> list[FailureNote]:
    notes = []
    for row in store.read("failures").to_pylist():
        try:
            unit = from_json(row["spec"])
        except SettingsError:
            continue
        texts = {name: row[name] or "" for name in ("error", "reason", "traceback", "host")}
        notes.append(FailureNote(unit=unit, finished=row["finished"], **texts))
    return notes
