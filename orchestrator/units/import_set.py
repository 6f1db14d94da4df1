"""Take a set that was made elsewhere from the user's files."""

from dataclasses import dataclass, field
from typing import ClassVar

from distill_core.importers.reading import Reading
from distill_core.settings import LOCATION
from orchestrator.units.kinds import SetUnit, UnitKind


@dataclass(frozen=True, kw_only=True)
class ImportSet(SetUnit):
    """Take a set from files; `seed` is its number among those of its method."""

    kind: ClassVar[str] = "import_set"
    method: str
    """The user's name for how it was made."""
    content: str
    """SHA-256 of the files."""
    reading: Reading
    path: str = field(metadata=LOCATION)
    """Where the files are."""
    more_paths: tuple[str, ...] = field(default=(), metadata=LOCATION)
    """Where further parts of the set are."""

    @property
    def method_name(self) -> str:
        """The method that made the set, as reports call it."""
        return self.method

    @property
    def images_per_class(self) -> int:
        """Images per class that a network trains on."""
        return self.ipc * self.reading.partition**2


def _describe(unit: ImportSet) -> tuple[str, ...]:
    return unit.method, f"IPC {unit.ipc}", f"seed {unit.seed}"


KIND = UnitKind(
    unit=ImportSet,
    version=1,
    action="import set",
    label="sets imported",
    table="distillations",
    compute="orchestrator.execution.unit_functions.imported_sets:import_set",
    describe=_describe,
)
