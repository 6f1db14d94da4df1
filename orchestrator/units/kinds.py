"""Units, and the record that says everything the orchestrator has to know of a kind of units."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from distill_core.settings import DatasetRef, Protocol
from orchestrator.units.identity import canonicalize, hash_identity


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What units of every kind have.

    The classes of units have no slots, so that an instance can keep its key once it is computed.
    """

    kind: ClassVar[str]
    """Name of the kind: in keys, in tables and in the paths of a store."""

    dataset: DatasetRef
    parents: tuple[str, ...] = ()
    """Keys of the units whose artifacts this one reads."""

    @cached_property
    def key(self) -> str:
        """The unit's name: 16 hex digits.

        Raises:
            SettingsError: a field holds a value without a stable identity.
        """
        identity = {
            "kind": self.kind,
            "algorithm": KINDS[self.kind].version,
            "fields": canonicalize(self),
        }
        return hash_identity(identity)

    @property
    def reads_test_images(self) -> bool:
        """Whether the unit measures on the test images; from all other units they are hidden."""
        return False

    def __getstate__(self) -> dict[str, Any]:
        # Leave the key out: the program that reads a pickle may have another version of the kind.
        return {name: value for name, value in self.__dict__.items() if name != "key"}


@dataclass(frozen=True, kw_only=True)
class ExtractorUnit(Unit):
    """A unit that makes one network of an extractor pool."""

    index: int
    """Place in the pool."""

    @property
    def architecture(self) -> str:
        """Name of the network's architecture."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SetUnit(Unit):
    """A unit that makes a set for networks to train on."""

    protocol: Protocol
    ipc: int
    """Stored images per class."""
    seed: int

    @property
    def method_name(self) -> str:
        """The method that makes the set, as reports call it."""
        raise NotImplementedError

    @property
    def images_per_class(self) -> int:
        """Images per class that a network trains on, after the stored ones are partitioned."""
        return self.ipc


def _always(unit: Any) -> bool:
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitKind:
    """Everything that differs between kinds of units.

    Functions that need torch, or modules above this one, are given by name as `module:function`.
    They are imported where they are called, so that planning stays free of torch.
    """

    unit: type[Unit]
    """Class of the units; its `kind` is the name of the kind."""
    version: int
    """Version of the algorithm, a part of every key. Raise it when an edit changes results: what
    was computed before keeps its name, and nothing stale is mistaken for the new.
    """
    action: str
    """What one unit does, such as "distill"."""
    label: str
    """What many units have done, such as "sets distilled"."""
    table: str
    """Table of `orchestrator.store.tables` that the units' rows go to."""
    compute: str
    """Name of the function `(unit, dataset, context) -> rows` that computes a unit; see
    `orchestrator.execution.unit_functions`.
    """
    load: str | None = None
    """Name of the function `(unit, parent, shape, device) -> Load` that counts the operations of a
    unit; see `orchestrator.planning.cost_model`. None for units that only move files.
    """
    describe: Callable[[Any], Sequence[str]]
    """Returns what tells one unit of this kind from another on the same data set."""
    needs_gpu: Callable[[Any], bool] = _always
    """Returns whether a unit has anything to compute on a GPU."""

    @property
    def name(self) -> str:
        """Name of the kind."""
        return self.unit.kind


KINDS: dict[str, UnitKind] = {}
"""All kinds by name, in the order in which a plan meets them."""


def register(kind: UnitKind) -> None:
    """Add a kind; from here on its units have keys, and stores, launches and reports know them.

    Raises:
        ValueError: there is a kind of that name.
    """
    if kind.name in KINDS:
        raise ValueError(f"there is already a kind of unit named {kind.name!r}")
    KINDS[kind.name] = kind


def unregister(name: str) -> None:
    """Remove a kind; KeyError if there is none of that name."""
    del KINDS[name]


def import_function(name: str) -> Any:
    """Import what a name `module:function` stands for.

    Raises:
        ModuleNotFoundError: there is no such module.
        AttributeError: the module has no such function.
    """
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def list_tables() -> tuple[str, ...]:
    """Return the tables that units write their rows to, each once."""
    return tuple(dict.fromkeys(kind.table for kind in KINDS.values()))


def needs_gpu(unit: Unit) -> bool:
    """Return whether a unit computes on a GPU; the others leave the GPUs to the rest."""
    return KINDS[unit.kind].needs_gpu(unit)


def describe_unit(unit: Unit) -> str:
    """Name a unit for people, such as "distill digits, DM+IID, IPC 10, seed 0 [1f0a3c]"."""
    kind, classes = KINDS[unit.kind], len(unit.dataset.classes)
    dataset = f"{unit.dataset.name} ({classes} classes)" if classes else unit.dataset.name
    return f"{kind.action} {', '.join([dataset, *kind.describe(unit)])} [{unit.key[:6]}]"
