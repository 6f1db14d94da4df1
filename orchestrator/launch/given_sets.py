"""The sets that a user wants to evaluate: read from files, or found in the store by key."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill_core.datasets.load import Dataset
from distill_core.importers.convert import compute_content_digest, convert, count_images_per_class
from distill_core.importers.decide import decide_reading
from distill_core.importers.raw_set import FoundSets, ImportSetError, RawSet
from distill_core.importers.reading import Reading, ReadingOptions
from distill_core.importers.recognize import recognize
from distill_core.paths import check_path
from distill_core.settings import SettingsError
from orchestrator.launch.status import find_unit
from orchestrator.planning.imported_sets import EvaluationRequest, GivenSet
from orchestrator.store.store import Store
from orchestrator.units import ImportSet, SetUnit, Unit

KEY = re.compile(r"[0-9a-f]{4,16}")
FROM_FILE = "file"
GENERIC_LAYOUTS = ("mtt", "ddranking")
GENERIC_NAMES = ("data", "images", "synthetic_set")
"""Names of files that say nothing about what is in them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileOptions:
    """What the command line says about the files of sets."""

    options: ReadingOptions
    """What the files leave open."""
    name: str | None = None
    """Name of the method; by default the one that a file gives."""
    lr_net: str | None = None
    """A learning rate in place of the protocol's, or "file" for the one that comes with a set."""
    allow_pickle: bool = False


def read_given_sets(
    paths: Sequence[str],
    question: EvaluationRequest,
    dataset: Dataset,
    store: Store,
    file_options: FileOptions,
    report: Callable[[str], None],
) -> list[GivenSet]:
    """Read every set that the user names.

    Args:
        paths: files and folders, or keys of sets in the store.
        question: what the sets are evaluated on.
        dataset: the data set of the question, loaded.
        store: where keys are looked up.
        file_options: what the command line says about files.
        report: takes a line about each set that was read from a file.

    Raises:
        SettingsError: a set cannot be imported; the message names the file and says what to do.
        StoreError: a key is unknown, or its set is not done.
    """
    given_sets: list[GivenSet] = []
    for path in paths:
        place = check_path(path)
        if not place.exists() and KEY.fullmatch(path):
            given_sets.append(_find_stored_set(path, store, question))
            continue
        try:
            place = place.resolve()
            given_sets += _read_sets(place, question, dataset, file_options, given_sets, report)
        except ImportSetError as error:
            raise SettingsError(str(error)) from error
    return given_sets


def _read_sets(
    path: Path,
    question: EvaluationRequest,
    dataset: Dataset,
    file_options: FileOptions,
    before: Sequence[GivenSet],
    report: Callable[[str], None],
) -> list[GivenSet]:
    """Read all sets of one path, and try to convert each of them."""
    found = recognize(path, allow_pickle=file_options.allow_pickle)
    content = compute_content_digest(found, path)
    # Sets of one method and IPC are numbered in the order of the command line, which serves as
    # their seed.
    counts = Counter((given.method, given.unit.ipc) for given in before)
    given_sets = []
    for number, raw in enumerate(found.sets):
        reading = decide_reading(found, number, file_options.options)
        method = file_options.name or _name_method(found, raw, path)
        ipc = _find_ipc(raw, reading, dataset, method, check=file_options.options.check)
        unit = ImportSet(
            dataset=question.dataset,
            protocol=question.protocol,
            method=method,
            ipc=ipc,
            seed=counts[method, ipc],
            content=content,
            reading=reading,
            path=str(path),
        )
        counts[method, ipc] += 1
        rate = _choose_rate(raw, file_options.lr_net)
        note = _write_note(reading, raw, rate)
        given_sets.append(GivenSet(unit=unit, method=method, lr_net=rate, note=note))
        report(
            f"{raw.where}: {found.reason}. Set {unit.seed} of {unit.method} [{unit.key[:6]}], IPC"
            f" {unit.ipc}, {reading}"
        )
    return given_sets


def _find_ipc(raw: RawSet, reading: Reading, dataset: Dataset, method: str, *, check: bool) -> int:
    """Convert a set, which raises where that is impossible, and return its images per class."""
    synthetic = convert(raw, reading, dataset, method=method, spec={}, check=check)
    if raw.native is not None:
        return synthetic.ipc
    return count_images_per_class(len(raw.images), len(dataset.info.classes))


def _name_method(found: FoundSets, raw: RawSet, path: Path) -> str:
    """Name a method after its file, or after the folder where the file has a generic name."""
    if raw.native is not None:
        return raw.native.method
    if path.is_dir():
        return path.name
    generic = found.layout in GENERIC_LAYOUTS or path.stem in GENERIC_NAMES
    return path.parent.name if generic and path.parent.name else path.stem


def _choose_rate(raw: RawSet, lr_net: str | None) -> float | None:
    if lr_net is None:
        return None
    if lr_net == FROM_FILE:
        if raw.lr_net is None:
            raise SettingsError(
                f"--lr-net file: {raw.where} comes without a learning rate; give a number"
            )
        return raw.lr_net
    try:
        rate = float(lr_net)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise SettingsError(
            f"--lr-net {lr_net}: give a positive number, or file for the one that comes with"
            " the set"
        )
    return rate


def _write_note(reading: Reading, raw: RawSet, rate: float | None) -> str:
    notes = []
    if reading.soft_labels or (raw.native is not None and raw.native.soft_labels is not None):
        notes.append("trained with soft labels")
    if rate is not None:
        notes.append(f"trained with learning rate {rate:.4g}")
    return ", ".join(notes)


def _find_stored_set(key: str, store: Store, question: EvaluationRequest) -> GivenSet:
    unit = find_unit(store, key)
    if not isinstance(unit, SetUnit):
        raise SettingsError(f"unit {unit.key} is of kind {unit.kind}, which makes no set")
    store.fetch_folder(unit.key)  # raises if the unit is not done
    if unit.dataset != question.dataset:
        raise SettingsError(
            f"unit {unit.key} is a set of {unit.dataset.name}, not of {question.dataset.name}"
        )
    ancestors = tuple(_read_ancestors(unit, store))
    return GivenSet(unit=unit, method=unit.method_name, ancestors=ancestors)


def _read_ancestors(unit: Unit, store: Store) -> list[Unit]:
    """Read the units that a unit needs, directly or through others, parents first."""
    ancestors: list[Unit] = []
    for key in unit.parents:
        parent = store.read_unit(key)
        ancestors += [*_read_ancestors(parent, store), parent]
    return ancestors
