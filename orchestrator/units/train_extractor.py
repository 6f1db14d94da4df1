"""Train one network of the extractor pool on the real training images."""

from dataclasses import dataclass
from typing import ClassVar

from distill_core.settings import ExtractorSettings, Protocol
from orchestrator.units.kinds import ExtractorUnit, UnitKind


@dataclass(frozen=True, kw_only=True)
class TrainExtractor(ExtractorUnit):
    """Train one network of the pool; its seed follows from its index."""

    kind: ClassVar[str] = "train_extractors"
    protocol: Protocol
    settings: ExtractorSettings

    @property
    def architecture(self) -> str:
        """Name of the network's architecture."""
        return self.settings.network


def _describe(unit: TrainExtractor) -> tuple[str, ...]:
    return unit.architecture, f"number {unit.index}"


KIND = UnitKind(
    unit=TrainExtractor,
    version=1,
    action="train extractor",
    label="extractors trained",
    table="extractors",
    compute="orchestrator.execution.unit_functions.extractors:train",
    load="orchestrator.planning.unit_loads:count_extractor_training",
    describe=_describe,
)
