"""Take one network of the extractor pool from a user's folder of `state_dict` files."""

from dataclasses import dataclass, field
from typing import ClassVar

from distill_core.settings import LOCATION
from orchestrator.units.kinds import ExtractorUnit, UnitKind


@dataclass(frozen=True, kw_only=True)
class ImportExtractor(ExtractorUnit):
    """Take one network from a folder; `index` is its place among the files, sorted by name."""

    kind: ClassVar[str] = "import_extractors"
    network: str
    """Architecture of the files."""
    pool: str
    """The user's name for the pool."""
    folder: str = field(metadata=LOCATION)
    """Where the files are."""

    @property
    def architecture(self) -> str:
        """Name of the network's architecture."""
        return self.network


def _describe(unit: ImportExtractor) -> tuple[str, ...]:
    return unit.network, f"number {unit.index} of pool {unit.pool}"


def _needs_gpu(unit: ImportExtractor) -> bool:
    return False


KIND = UnitKind(
    unit=ImportExtractor,
    version=1,
    action="import extractor",
    label="extractors imported",
    table="extractors",
    compute="orchestrator.execution.unit_functions.extractors:import_extractor",
    describe=_describe,
    needs_gpu=_needs_gpu,
)
