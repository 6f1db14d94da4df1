"""The sets that a user wants to evaluate: read from files, or found in the store by key."""

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.load import Dataset
from distill_core.importers.choose_sets import build_set, choose_groups, split_path
from distill_core.importers.convert import (
    NOTES,
    compute_content_digest,
    convert,
    count_images_per_class,
)
from distill_core.importers.decide import decide_reading
from distill_core.importers.names import clean_name
from distill_core.importers.raw_set import (
    FoundSets,
    ImportQuestionError,
    ImportSetError,
    RawSet,
)
from distill_core.importers.reading import Reading, ReadingOptions
from distill_core.importers.recognize import recognize_all
from distill_core.importers.zca import Whitening
from distill_core.paths import check_path
from distill_core.settings import SettingsError
from distill_core.synthetic_set import SyntheticSet, SyntheticSetError
from orchestrator.errors import StoreError
from orchestrator.execution.unit_functions.inputs import SET_FILE
from orchestrator.execution.whitenings import Normalization, is_kept, load_or_fit
from orchestrator.launch.inputs.answers import list_commands
from orchestrator.launch.status import find_unit
from orchestrator.planning.imported_sets import EvaluationRequest, GivenSet
from orchestrator.store.store import Store
from orchestrator.units import ImportSet, SetUnit, Unit

KEY = re.compile(r"[0-9a-f]{4,16}")
FROM_FILE = "file"
SECONDS_BETWEEN_REPORTS = 10.0
GENERIC_LAYOUTS = ("mtt", "ddranking", "hf")
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
    command: tuple[str, ...] = ()
    """Words of the command line, which answers to questions are added to."""


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
    files: list[str] = []
    for path in paths:
        if not check_path(path).exists() and KEY.fullmatch(path):
            given_sets.append(_find_stored_set(path, store, question))
        else:
            files.append(path)
    join = file_options.options.join
    for group in [files] if join and files else [[path] for path in files]:
        try:
            place = _locate(group)
            read = _SetReader(question, dataset, store, file_options, report)
            given_sets += read(place, given_sets)
        except ImportQuestionError as error:
            words = file_options.command or ("iid", "evaluate", group[0])
            commands = list_commands(words, group[0], error.answers)
            raise SettingsError("\n  ".join([str(error), *commands])) from error
        except ImportSetError as error:
            raise SettingsError(str(error)) from error
    return given_sets


class _Place(NamedTuple):
    """Where the files of one or more sets are."""

    paths: tuple[Path, ...]
    choice: str | None
    """What the user wrote behind #."""


def _locate(group: Sequence[str]) -> _Place:
    """Return the paths of a group, and which set of the file is meant."""
    paths, choice = [], None
    for text in group:
        path = check_path(text)
        if not path.exists():
            name, choice = split_path(text)
            path = check_path(name)
        paths.append(path.resolve())
    return _Place(tuple(paths), choice if len(paths) == 1 else None)


@dataclass(frozen=True, slots=True)
class _SetReader:
    """Reads all sets of one place, and tries to convert each of them."""

    question: EvaluationRequest
    dataset: Dataset
    store: Store
    file_options: FileOptions
    report: Callable[[str], None]

    def __call__(self, place: _Place, before: Sequence[GivenSet]) -> list[GivenSet]:
        options = self.file_options.options
        found = recognize_all(
            place.paths,
            allow_pickle=self.file_options.allow_pickle,
            labels_path=options.labels_path,
        )
        content = compute_content_digest(found, *place.paths)
        # Sets of one method and IPC are numbered in the order of the command line, which serves as
        # their seed.
        counts = Counter((given.method, given.unit.ipc) for given in before)
        given_sets: list[GivenSet] = []
        for group in choose_groups(found, place.choice, self.dataset, join=options.join):
            given = self._read(found, group, place, content, counts)
            if (same := _find_same(given, [*before, *given_sets])) is not None:
                # A copy counted as a repetition would make an interval out of nothing.
                self.report(f"  the same set as {same}; counted once")
                continue
            counts[given.method, given.unit.ipc] += 1
            given_sets.append(given)
        return given_sets

    def _read(
        self,
        found: FoundSets,
        group: tuple[int, ...],
        place: _Place,
        content: str,
        counts: Counter[tuple[str, int]],
    ) -> GivenSet:
        """Decide how one set is read, try it, and tell what it is."""
        options, question = self.file_options.options, self.question
        joined = group if len(group) > 1 else ()
        reading = decide_reading(found, group[0], options, self.dataset, joined=joined)
        raw = build_set(found, reading)
        given_name = self.file_options.name or _name_method(found, raw, place.paths[0])
        method = clean_name(given_name) or "imported"
        synthetic = convert(
            raw,
            reading,
            self.dataset,
            method=method,
            spec={},
            check=options.check,
            fit=self._fit_whitening,
        )
        ipc = synthetic.ipc
        if raw.native is None:
            ipc = count_images_per_class(len(raw.images), len(self.dataset.info.classes))
        unit = ImportSet(
            dataset=question.dataset,
            protocol=question.protocol,
            method=method,
            ipc=ipc,
            seed=counts[method, ipc],
            content=content,
            reading=reading,
            path=str(place.paths[0]),
            more_paths=tuple(map(str, place.paths[1:])),
        )
        rate = _choose_rate(raw, self.file_options.lr_net)
        notes = list(synthetic.spec[NOTES])
        if method != given_name:
            notes.append("characters that cannot be seen, or too many, were cut from the name")
        self.report(
            f"{raw.where}: {found.reason}. Set {unit.seed} of {unit.method} [{unit.key[:6]}], IPC"
            f" {unit.ipc}, {reading}"
        )
        for note in notes:
            self.report(f"  {note}")
        told = _write_note(reading, raw, rate, notes)
        return GivenSet(unit=unit, method=method, lr_net=rate, note=told)

    def _fit_whitening(self, images: ImageSet, normalization: Normalization | None) -> Whitening:
        """Load the whitening of the real images, or compute it and say so."""
        storage = self.store.storage
        if not is_kept(storage, images, normalization):
            self.report(
                f"computing the ZCA whitening of {len(images):,} real images, once for this store;"
                " 50,000 images of CIFAR-10 take about a minute"
            )
        told = time.monotonic()

        def tell(share: float) -> None:
            nonlocal told
            if time.monotonic() - told > SECONDS_BETWEEN_REPORTS:
                told = time.monotonic()
                self.report(f"  {share:.0%} of the images read")

        return load_or_fit(storage, images, normalization, tell)


def _find_same(given: GivenSet, before: Sequence[GivenSet]) -> str | None:
    """Return the path of an earlier set with the same name, content and reading."""
    for other in before:
        if isinstance(other.unit, ImportSet) and isinstance(given.unit, ImportSet):
            same = dataclasses.replace(other.unit, seed=given.unit.seed)
            if same.key == given.unit.key:
                return other.unit.path
    return None


def _name_method(found: FoundSets, raw: RawSet, path: Path) -> str:
    """Name a method after its file, or after the folder where the file has a generic name."""
    if raw.native is not None:
        return raw.native.method
    if raw.method is not None:
        return raw.method
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


def _write_note(reading: Reading, raw: RawSet, rate: float | None, notes: Sequence[str]) -> str:
    """Return what the report says about a set."""
    told = []
    if reading.soft_labels or (raw.native is not None and raw.native.soft_labels is not None):
        told.append("trained with soft labels")
    if rate is not None:
        told.append(f"trained with learning rate {rate:.4g}")
    return "; ".join([*([", ".join(told)] if told else []), *notes])


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
    note = "; ".join(_read_notes(unit, store))
    return GivenSet(unit=unit, method=unit.method_name, ancestors=ancestors, note=note)


def _read_notes(unit: SetUnit, store: Store) -> list[str]:
    """Return what was assumed, mapped or left out when a set of the store was imported."""
    if not isinstance(unit, ImportSet):
        return []
    try:
        notes = SyntheticSet.load(store.fetch_folder(unit.key) / SET_FILE).spec.get(NOTES, [])
    except SyntheticSetError as error:
        raise StoreError(f"store: {error}; delete its folder and run again") from error
    return [str(note) for note in notes]


def _read_ancestors(unit: Unit, store: Store) -> list[Unit]:
    """Read the units that a unit needs, directly or through others, parents first."""
    ancestors: list[Unit] = []
    for key in unit.parents:
        parent = store.read_unit(key)
        ancestors += [*_read_ancestors(parent, store), parent]
    return ancestors
