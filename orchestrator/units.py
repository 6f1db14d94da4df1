"""Units of work: what the orchestrator schedules, stores and never does twice.

A unit is a frozen record of everything that can change its result: its settings, its seed, its data
set by name and version, and the keys of the units whose artefacts it reads. Its key is a hash of
that record, so equal work has equal names wherever and whenever it is planned. Where a thing lies
and what it runs on (paths, device, workers) is not in it.

Editing an algorithm so that results change means raising that kind's number in
`ALGORITHM_VERSIONS`: the old artefacts keep their names, and nothing stale is ever mistaken for the
new.
"""

import dataclasses
import functools
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from distill_core.importers.reading import Reading
from distill_core.settings import (
    LOCATION,
    CoresetMethod,
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    FeatureSettings,
    Protocol,
    SettingsError,
    Split,
)

KEY_LENGTH = 16

ALGORITHM_VERSIONS = {
    "train_extractors": 1,
    "import_extractors": 1,
    "import_set": 1,
    "select": 1,
    "distill": 1,
    "evaluate": 1,
    "continual": 1,
    "embed": 2,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unit:
    """What units of every kind have."""

    kind: ClassVar[str]
    dataset: DatasetRef
    parents: tuple[str, ...] = ()
    """Keys of the units whose artefacts this one reads."""

    @property
    def key(self) -> str:
        """The unit's name: 16 hex digits."""
        return unit_key(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainExtractor(_Unit):
    """Train one network of the extractor pool on the real training images."""

    kind: ClassVar[str] = "train_extractors"
    protocol: Protocol
    settings: ExtractorSettings
    index: int
    """Place in the pool; the seed of the network follows from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportExtractor(_Unit):
    """Take one network of the extractor pool from a user's folder of `state_dict` files."""

    kind: ClassVar[str] = "import_extractors"
    network: str
    """Architecture of the files."""
    pool: str
    """The user's name for the pool."""
    index: int
    """Place among the folder's files, sorted by name."""
    folder: str = field(metadata=LOCATION)
    """Where the files lie."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSet(_Unit):
    """Take a set that was made elsewhere from the user's files."""

    kind: ClassVar[str] = "import_set"
    protocol: Protocol
    method: str
    """The user's name for how it was made."""
    ipc: int
    """Stored images a class."""
    seed: int
    """Number of the set among those of its method."""
    content: str
    """SHA-256 of the files."""
    reading: Reading
    path: str = field(metadata=LOCATION)
    """Where the files lie."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Select(_Unit):
    """Choose real images as a baseline set; herding and k-center read the features of one extractor
    (the parent).
    """

    kind: ClassVar[str] = "select"
    protocol: Protocol
    method: CoresetMethod
    ipc: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Distill(_Unit):
    """Distil one synthetic set; the parents are the extractor pool, empty where λ_CC is 0."""

    kind: ClassVar[str] = "distill"
    protocol: Protocol
    ipc: int
    settings: DistillationSettings
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluate(_Unit):
    """Train `num_eval` fresh networks on one set (the parent; none means the whole training set)
    and test them.
    """

    kind: ClassVar[str] = "evaluate"
    protocol: Protocol
    split: Split
    """Which images measure the accuracy; a search for settings only ever sees "validation"."""
    network: str
    settings: EvaluationSettings
    seed: int
    """Seed of the set; evaluation networks are paired over methods by it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Continual(_Unit):
    """Class-incremental learning: after each step train `num_eval` fresh networks on the memory,
    test on classes seen.

    The parents are the sets of the steps in their order, each of some classes of the data set; the
    memory after step s is the union of the first s.
    """

    kind: ClassVar[str] = "continual"
    protocol: Protocol
    split: Split
    network: str
    settings: EvaluationSettings
    seed: int
    """Number of the class order, and seed of the sets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embed(_Unit):
    """Lay the features of real, initial and synthetic images out in the plane, and compare them
    class by class.

    The parents are the set and the extractor whose features are shown.
    """

    kind: ClassVar[str] = "embed"
    protocol: Protocol
    settings: FeatureSettings
    seed: int


Unit = (
    TrainExtractor | ImportExtractor | ImportSet | Select | Distill | Evaluate | Continual | Embed
)
KINDS: dict[str, type[Unit]] = {
    unit.kind: unit
    for unit in (
        TrainExtractor,
        ImportExtractor,
        ImportSet,
        Select,
        Distill,
        Evaluate,
        Continual,
        Embed,
    )
}
"""Kinds in the order in which a plan meets them."""


def unit_key(unit: _Unit) -> str:
    """Hash a unit's identity.

    Raises:
        SettingsError: a field holds a value without a stable identity.
    """
    identity = {
        "kind": unit.kind,
        "algorithm": ALGORITHM_VERSIONS[unit.kind],
        "fields": canonical(unit),
    }
    text = json.dumps(
        identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def canonical(value: Any, where: str = "unit") -> Any:
    """Reduce a value to JSON with one spelling for equal content.

    Fields marked as locations are left out, and those marked as added later while they have their
    default. Numbers that are equal are spelt alike (1 and 1.0), so that a file's notation cannot
    change a key.

    Raises:
        SettingsError: the value has no stable identity; the message names the field.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if _identifies(f, getattr(value, f.name))]
        return {f.name: canonical(getattr(value, f.name), f"{where}.{f.name}") for f in fields}
    if isinstance(value, dict):
        return {str(name): canonical(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not isinstance(value, bool):
        return _canonical_float(value, where)
    if value is None or isinstance(value, str | int | bool):
        return value
    raise SettingsError(
        f"{where} is a {type(value).__name__}, which has no stable identity; "
        "use a number, a string, a list, or a dataclass of these"
    )


def _identifies(field: dataclasses.Field[Any], value: object) -> bool:
    added_at_default = field.metadata.get("added", False) and value == field.default
    return bool(field.metadata.get("identity", True)) and not added_at_default


def _canonical_float(value: float, where: str) -> int | float:
    if not math.isfinite(value):
        raise SettingsError(f"{where} is {value}; give a finite number")
    return int(value) if value.is_integer() else value


def to_json(unit: Unit) -> str:
    """Write a unit with all its fields, locations included, so that `from_json` restores it
    anywhere.
    """
    return json.dumps(
        {"kind": unit.kind, **dataclasses.asdict(unit)}, sort_keys=True, allow_nan=False
    )


def from_json(text: str) -> Unit:
    """Restore a unit from `to_json`.

    Raises:
        SettingsError: the text is not a unit of a known kind with fields of that kind, each of its
            type.
    """
    try:
        fields = json.loads(text)
        kind = fields.pop("kind")
        return _reader(kind).validate_json(
            json.dumps(fields, allow_nan=False), strict=True, extra="forbid"
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or kind
        raise SettingsError(f"not a unit of work: {where}: {first['msg']}") from error
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise SettingsError(f"not a unit of work: {error!r}") from error


@functools.cache
def _reader(kind: str) -> TypeAdapter[Unit]:
    return TypeAdapter(KINDS[kind])
