"""A store in one folder that all its machines see: entries are files, a rename publishes a unit."""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.store import atomic_files
from orchestrator.store.storage import DAY, Entry
from orchestrator.store.storage.names import DONE

_TEMPORARIES = (".*", "tables/*/.*", "datasets/.*", "plans/.*", "runs/.*")
"""Hidden files of atomic writes and markers; those among the leases belong to takeovers too."""
_ABSENT = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class FolderStorage:
    """A folder, which appears with the first thing written to it; see `Storage`."""

    local: Path
    is_local: ClassVar[bool] = True

    @property
    def address(self) -> str:
        return str(self.local)

    def resolved(self) -> "FolderStorage":
        return FolderStorage(self.local.expanduser().resolve())

    def where(self, name: str) -> str:
        return str(self.local / name)

    def list_top_level(self) -> set[str] | None:
        with atomic_files.translate_errors(self.local):
            return set(os.listdir(self.local)) if self.local.is_dir() else None  # noqa: PTH208

    # Entries

    def entries(self, folder: str) -> dict[str, Entry]:
        base = self.local / folder
        with atomic_files.translate_errors(base):
            return {name: _entry(state) for name, state in _walk(str(base))}

    def entry(self, name: str) -> Entry | None:
        path = self.local / name
        with atomic_files.translate_errors(path):
            try:
                return _entry(path.stat())
            except _ABSENT:
                return None

    def get(self, name: str) -> bytes | None:
        path = self.local / name
        with atomic_files.translate_errors(path):
            try:
                return path.read_bytes()
            except _ABSENT:
                return None

    def put(self, name: str, data: bytes) -> None:
        atomic_files.write(self.local / name, data)

    def create(self, name: str, data: bytes) -> bool:
        return atomic_files.create(self.local / name, data)

    def touch(self, name: str, data: bytes) -> None:
        """Renew a file's time, which works on a full disk too and replaces nobody's content."""
        path = self.local / name
        with atomic_files.translate_errors(path):
            os.utime(path)

    def remove(self, *names: str) -> None:
        for name in names:
            path = self.local / name
            with atomic_files.translate_errors(path):
                path.unlink(missing_ok=True)

    def remove_all(self, name: str) -> None:
        path = self.local / name
        with atomic_files.translate_errors(path):
            while path.is_dir():
                try:
                    shutil.rmtree(path)
                except FileNotFoundError:
                    continue  # another process removes it too: finish what it leaves
            path.unlink(missing_ok=True)

    def move(self, name: str, target: str) -> None:
        path, place = self.local / name, self.local / target
        with atomic_files.translate_errors(path):
            if path.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                path.rename(place)

    def sha256(self, name: str) -> str | None:
        path = self.local / name
        with atomic_files.translate_errors(path):
            return atomic_files.sha256(path) if path.is_file() else None

    def now(self, folder: str) -> float:
        """Return the time by the clock of the file system, which several machines share."""
        probe = self.local / folder / f".clock.{uuid.uuid4().hex}"
        with atomic_files.translate_errors(probe):
            try:
                probe.touch()
                return probe.stat().st_mtime
            finally:
                probe.unlink(missing_ok=True)

    # Files on this machine: the store is one of them

    def upload(self, name: str) -> None:
        """Do nothing: the local file is the entry."""

    def download(self, name: str) -> Path:
        return self.local / name

    def refresh(self, folder: str, names: Collection[str] | None = None) -> Path:
        return self.local / folder

    # Units

    def publish(self, unit: str, workdir: Path, record: Mapping[str, Any]) -> bool:
        """Rename `workdir` to the unit's folder, `DONE` written last."""
        with atomic_files.translate_errors(workdir):
            atomic_files.write_inside(workdir / DONE, atomic_files.to_json_bytes(record))
            return rename_unless_complete(workdir, self.local / unit)

    def list_published(self) -> dict[str, str]:
        """List units, with one look for `DONE` in each."""
        units = self.local / "units"
        found = {}
        with atomic_files.translate_errors(units):
            for kind in _names(units):
                for key in _names(units / kind):
                    # os.path: pathlib takes ten times as long, and there are 10,000 units
                    if key[0] != "." and os.path.exists(f"{units}/{kind}/{key}/{DONE}"):  # noqa: PTH110
                        found[key] = kind
        return found

    def locate_contents(self, unit: str, record: Mapping[str, Any]) -> str:
        return unit

    def fetch(self, unit: str, *, again: bool = False) -> Path:
        return self.local / unit

    def find_abandoned(
        self, done: Collection[str], is_held: Callable[[str], bool]
    ) -> Iterator[str]:
        """Yield the folders of killed attempts, and hidden files that are a day old.

        An attempt holds its unit's lease before it makes its folder, so one without is over.
        """
        with atomic_files.translate_errors(self.local):
            for folder in sorted(self.local.glob("units/*/.*")):
                if not is_held(folder.name.split(".")[1]):
                    yield folder.relative_to(self.local).as_posix()
            then = time.time() - DAY
            for pattern in _TEMPORARIES:
                for path in self.local.glob(pattern):
                    if _is_old_file(path, then):
                        yield path.relative_to(self.local).as_posix()


def rename_unless_complete(workdir: Path, place: Path) -> bool:
    """Rename a folder to `place` unless a complete unit is there; return whether that was done.

    A rename onto a folder that is not empty fails, so of two that try only the first succeeds. A
    folder without `DONE` is what an interrupted deletion left: it makes room.
    """
    while True:
        try:
            workdir.rename(place)
        except OSError:
            if not place.exists():
                raise
        else:
            atomic_files.sync_folder(place.parent)  # or a power failure could take it back
            return True
        if (place / DONE).exists():
            return False
        _discard(place)


def _discard(place: Path) -> None:
    """Remove an incomplete folder; by way of a rename, since somebody may complete it meanwhile."""
    aside = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        place.rename(aside)
    except FileNotFoundError:
        return  # another process discarded it
    if (aside / DONE).exists():  # completed between the check and the rename: put it back
        aside.rename(place)
    else:
        shutil.rmtree(aside, ignore_errors=True)


def _walk(folder: str, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files below a folder; what disappears meanwhile is left out."""
    try:
        found = list(os.scandir(folder))
    except _ABSENT:
        return
    for item in found:
        name = f"{prefix}{item.name}"
        if item.is_dir():
            yield from _walk(item.path, f"{name}/")
            continue
        try:
            yield name, item.stat()
        except FileNotFoundError:
            continue


def _entry(state: os.stat_result) -> Entry:
    return Entry(state.st_size, f"{state.st_mtime_ns} {state.st_size}", state.st_mtime)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (names only, for speed)
    except _ABSENT:
        return []


def _is_old_file(path: Path, then: float) -> bool:
    try:
        return path.is_file() and path.stat().st_mtime < then
    except FileNotFoundError:
        return False  # its writer has renamed it
