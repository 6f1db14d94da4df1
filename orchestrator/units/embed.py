"""Lay the features of real, initial and synthetic images out in the plane."""

from dataclasses import dataclass
from typing import ClassVar

from distill_core.settings import FeatureSettings, Protocol
from orchestrator.units.kinds import Unit, UnitKind


@dataclass(frozen=True, kw_only=True)
class Embed(Unit):
    """Lay features out and compare them class by class; the parents are the set and an extractor.

    The extractor is the network whose features are shown.
    """

    kind: ClassVar[str] = "embed"
    protocol: Protocol
    settings: FeatureSettings
    seed: int


def _describe(unit: Embed) -> tuple[str, ...]:
    return (f"seed {unit.seed}",)


KIND = UnitKind(
    unit=Embed,
    version=2,
    action="embed",
    label="sets embedded",
    table="features",
    compute="orchestrator.execution.unit_functions.features:embed",
    load="orchestrator.planning.unit_loads:count_embedding",
    describe=_describe,
)
