"""Read how far the search spaces of a store are, from its launches, leases and failures."""

import json
import logging
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from distill_core.settings import SettingsError
from orchestrator.errors import StoreError, missing_store_error
from orchestrator.launch.progress import find_blocked
from orchestrator.launch.progress_view import FoundProgress, read_progress
from orchestrator.store import leases
from orchestrator.store.store import Store
from orchestrator.units import Unit, from_json, name_units

_log = logging.getLogger(__name__)

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
class LaunchNote:
    """The record of a launch, as far as it says how the launch went."""

    run: str
    outcome: str | None
    """How it ended, one of `LaunchOutcome`; None if it runs still, was killed, or was recorded by a
    version that did not note the end.
    """
    log: str | None
    """Path or URL of its log; None in records of versions without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyNote:
    """What the trials of one study of a search have reached, from table `trials`."""

    key: str
    title: str
    states: Mapping[str, int]
    """Number of trials by state; "running" if a search works on the study, else "unfinished"."""
    best: float | None
    """Best accuracy on held-out images at full length; None if no trial got there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """Units of a store's search spaces, by state and kind."""

    spaces: tuple[str, ...]
    """Search spaces that were launched, with their changes from the command line."""
    counts: Mapping[str, Counter[str]]
    """Number of units of each kind, by state; of each space those of its last launch."""
    failures: tuple[FailureNote, ...]
    others: int = 0
    """Done units that only earlier launches planned."""
    last_launch: LaunchNote | None = None
    """The launch that began last; None if there was none."""
    running_launches: tuple[FoundProgress, ...] = ()
    """What launches and searches that run now, or were killed, have written last."""
    studies: tuple[StudyNote, ...] = ()
    """Searches, each with what its trials have reached."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names for people of all planned units, by key."""
    states: Mapping[str, str] = field(default_factory=dict)
    """One of `STATES` for each planned unit, by key."""


def read_status(store: Store) -> Status:
    """Read how far a store is; nothing is changed.

    Raises:
        StoreError: the store is not there or cannot be read.
    """
    if not store.exists():
        raise missing_store_error(store.address)
    records = store.read_runs()
    launches = find_last_launches(records)
    units: dict[str, Unit] = {}
    for record in launches:
        units.update(read_planned_units(store, record))
    done = store.find_done_keys()
    running = leases.find_held_keys(store.storage) - done
    # A unit that failed may have been done since, or be tried again right now.
    over = done | running
    notes = tuple(note for note in _read_failures(store) if note.unit.key not in over)
    failed = {note.unit.key for note in notes}
    blocked = find_blocked(failed, units)
    counts: dict[str, Counter[str]] = {state: Counter() for state in STATES}
    states = {}
    for key, unit in units.items():
        if key in done:
            state = "done"
        elif key in running:
            state = "running"
        elif key in failed:
            state = "failed"
        else:
            state = "blocked" if key in blocked else "waiting"
        states[key] = state
        counts[state][unit.kind] += 1
    trials = store.read("trials").to_pylist()
    of_trials = {key for row in trials for key in row["units"] or ()}
    held = leases.find_held_keys(store.storage)
    return Status(
        spaces=tuple(dict.fromkeys(shlex.join(_name_space(record)) for record in launches)),
        counts=counts,
        failures=tuple(note for note in notes if note.unit.key in units),
        others=len(done - units.keys() - of_trials),
        last_launch=_describe_launch(store, records[-1]) if records else None,
        running_launches=tuple(read_progress(store)),
        studies=tuple(_read_studies(trials, held)),
        names=name_units(units),
        states=states,
    )


def _read_studies(rows: Iterable[Mapping[str, Any]], held: Collection[str]) -> Iterator[StudyNote]:
    """Summarize the trials of each study."""
    studies: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (str(row["study"]), row["trial"], row["rung"])):
        # The state of the last rung is that of the trial.
        studies.setdefault(str(row["study"]), {})[row["trial"]] = row
    for key, last in studies.items():
        states: Counter[str] = Counter()
        for row in last.values():
            is_open = row["state"] in ("running", "passed")
            state = str(row["state"])
            if is_open:
                state = "running" if key in held else "unfinished"
            states[state] += 1
        first = next(iter(last.values()))
        values = [row["value"] for row in last.values() if row["state"] == "complete"]
        yield StudyNote(
            key=key,
            title=f"{first['dataset']}, IPC {first['ipc']}, {first['method']}",
            states=states,
            best=max((value for value in values if value is not None), default=None),
        )


def _describe_launch(store: Store, record: Mapping[str, Any]) -> LaunchNote:
    log = record.get("log")
    return LaunchNote(
        run=str(record["run"]),
        outcome=record.get("outcome"),
        log=f"{store.address}/{log}" if log else None,
    )


def find_last_launches(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the last launch of each search space with its changes.

    Args:
        records: of all launches, oldest first.
    """
    return list({_name_space(record): record for record in records}.values())


def _name_space(record: Mapping[str, Any]) -> tuple[str, ...]:
    changes = record.get("overrides")
    listed = [str(change) for change in changes] if isinstance(changes, list) else []
    return (
        *str(record["space"]).split(),
        *(word for change in listed for word in ("--set", change)),
    )


def read_planned_units(store: Store, record: Mapping[str, Any]) -> dict[str, Unit]:
    """Return the units of a launch, each after those it needs.

    Units that this version cannot read are left out.
    """
    units = {}
    for key, fields in store.read_plan(record).items():
        try:
            units[key] = from_json(json.dumps(fields))
        except SettingsError as error:
            _log.info("unit %s of launch %s cannot be read: %s", key, record["run"], error)
    return units


def find_unit(store: Store, key: str) -> Unit:
    """Return the planned or done unit whose key begins with `key`.

    Raises:
        StoreError: there is none, or more than one, or it is another version's.
    """
    if not store.exists():
        raise missing_store_error(store.address)
    planned: dict[str, Any] = {}
    for record in {record["plan"]: record for record in store.read_runs()}.values():
        try:
            planned.update(store.read_plan(record))
        except StoreError as error:
            # The key may be in another plan, or done.
            _log.warning("the plan of launch %s is left out: %s", record["run"], error)
    matches = sorted(
        {match for match in (*planned, *store.find_done_keys()) if match.startswith(key)}
    )
    if not matches:
        raise StoreError(
            f"no unit of {store} has a key that begins with {key!r}; iid status --units lists them,"
            " and iid run records what it plans"
        )
    if len(matches) > 1:
        raise StoreError(
            f"{key!r} is the beginning of {len(matches)} keys, such as {', '.join(matches[:3])};"
            " give more"
        )
    (match,) = matches
    if match not in planned:
        return store.read_unit(match)
    with suppress(SettingsError):
        unit = from_json(json.dumps(planned[match]))
        if unit.key == match:
            return unit
    raise StoreError(
        f"unit {match} of {store} was planned by another version; run its search space again"
    )


def _read_failures(store: Store) -> list[FailureNote]:
    notes = []
    for row in store.read("failures").to_pylist():
        try:
            unit = from_json(row["spec"])
        except SettingsError as error:
            _log.info("a failure of another version is left out: %s", error)
            continue
        texts = {name: row[name] or "" for name in ("error", "reason", "traceback", "host")}
        notes.append(FailureNote(unit=unit, finished=row["finished"], **texts))
    return notes
