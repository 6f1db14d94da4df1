"""Verifying a remote store: every object is fetched once, laid out as in a folder, and looked at
like a store there.

What is looked at lies in a temporary folder of this machine's local copy, a few units at a time.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath

from orchestrator.errors import StoreError
from orchestrator.store import atomic_files, leases
from orchestrator.store.publish import DONE
from orchestrator.store.remote.names import attempt_of, done_name
from orchestrator.store.remote.store import RemoteStore
from orchestrator.store.remote.sweep import attempts_left
from orchestrator.store.remote.working_copy import is_plain
from orchestrator.store.store import Store
from orchestrator.store.verify import (
    DAMAGED,
    THREADS,
    Finding,
    UnitCheck,
    Verification,
    check_rest,
    check_unit,
    published,
)

_WHOLE = ("tables", "datasets", "runs", "plans")
"""Folders of small objects."""


def verify_remote(store: RemoteStore) -> Verification:
    """Look at everything in a remote store; nothing is changed.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    if not store.exists():
        raise StoreError(f"store: there is none in {store}; name it with --store")
    with atomic_files.translated(store.root):
        store.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".verify-", dir=store.root) as folder:
            mirror = Store(Path(folder))
            _fetch_records(store, mirror)
            kinds = store.done_kinds()
            done = frozenset(kinds)
            with ThreadPoolExecutor(THREADS) as pool:
                looks = list(
                    pool.map(lambda key: _look(store, mirror, kinds[key], key), sorted(done))
                )
            findings = [finding for look in looks for finding in look.findings]
            findings += check_rest(mirror, looks, set(done))
    findings += _leftovers(store, done)
    return Verification(
        units=len(done),
        files=sum(look.files for look in looks),
        bytes=sum(look.bytes for look in looks),
        findings=tuple(findings),
    )


def repair_remote(store: RemoteStore, findings: Iterable[Finding]) -> tuple[str, list[Finding]]:
    """Move what is damaged below `damaged/<number>/`; see `verify.repair`."""
    numbers = [
        int(first)
        for name in store.remote.entries(DAMAGED)
        if (first := name.split("/")[0]).isdecimal()
    ]
    folder = f"{DAMAGED}/{max(numbers, default=0) + 1}"
    left = []
    for finding in findings:
        if finding.action == "none":
            continue
        if finding.key is None:
            _set_aside(store, folder, finding.place)
            continue
        with leases.hold(store.lease_storage, finding.key, "verify") as lease:
            if lease is None:
                left.append(finding)
            else:
                _repair_unit(store, folder, finding)
    return store.remote.where(folder), left


def _repair_unit(store: RemoteStore, folder: str, finding: Finding) -> None:
    kind, key = str(finding.kind), str(finding.key)
    if finding.action == "recompute":
        _set_aside(store, folder, done_name(kind, key))  # first: what has no mark is not there
        _set_aside(store, folder, f"units/{kind}/{key}")
        _set_aside(store, folder, published(store, kind, key).relative_to(store.root).as_posix())
        store.discard_copy(key)
        return
    _set_aside(store, folder, finding.place)
    if finding.action == "publish":
        store.publish_missing_rows([store.spec_of(key)])


def _set_aside(store: RemoteStore, folder: str, place: str) -> None:
    """Move an object, or all below a folder."""
    for name in store.remote.entries(place):
        store.remote.move(f"{place}/{name}", f"{folder}/{place}/{name}")
    if store.remote.entry(place) is not None:
        store.remote.move(place, f"{folder}/{place}")


def _fetch_records(store: RemoteStore, mirror: Store) -> None:
    for folder in _WHOLE:
        names = [f"{folder}/{name}" for name in store.remote.entries(folder) if is_plain(name)]
        for name, data in store.remote.get_many(names):
            atomic_files.write(mirror.root / name, data)
    names = [
        f"checkpoints/{name}" for name in store.remote.entries("checkpoints") if is_plain(name)
    ]
    for name in names:
        try:
            store.remote.download({name: mirror.root / name})
        except StoreError:
            if (
                store.remote.entry(name) is not None
            ):  # otherwise a running unit replaced it meanwhile
                raise


def _look(store: RemoteStore, mirror: Store, kind: str, key: str) -> UnitCheck:
    """Fetch the winning attempt of a unit, look at it, and throw it away again."""
    mark = done_name(kind, key)
    try:
        record = store.done_record(key)
        attempt = attempt_of(record, key)
    except StoreError as error:
        finding = Finding(
            place=mark, problem=f"is damaged: {error}", action="recompute", kind=kind, key=key
        )
        return UnitCheck(findings=(finding,))
    place = mirror.unit_folder(attempt.split("/")[1], key)
    names = [name for name in store.remote.entries(attempt) if is_plain(name)]
    try:
        store.remote.download({f"{attempt}/{name}": place / name for name in names})
        atomic_files.write(place / DONE, atomic_files.to_json_bytes(record))
        return check_unit(mirror, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _leftovers(store: RemoteStore, done: frozenset[str]) -> Iterator[Finding]:
    for attempt in sorted({str(PurePosixPath(name).parent) for name in attempts_left(store, done)}):
        yield Finding(
            place=attempt,
            problem="is of an attempt that did not win; the next launch removes it",
            action="none",
        )
    for name in sorted(store.lease_storage.names()):
        key = name.removesuffix(".json")
        with suppress(StoreError):
            if key in done and not leases.is_held(store.lease_storage, key):
                problem = "is the lease of a unit that is done; the next launch removes it"
                yield Finding(place=f"leases/{name}", problem=problem, action="none")
