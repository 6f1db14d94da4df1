"""Distill one synthetic set."""

from dataclasses import dataclass
from typing import ClassVar

from distill_core.settings import DistillationSettings
from orchestrator.units.kinds import SetUnit, UnitKind


@dataclass(frozen=True, kw_only=True)
class Distill(SetUnit):
    """Distill a set; the parents are the extractor pool, none where λ_CC is 0."""

    kind: ClassVar[str] = "distill"
    settings: DistillationSettings

    @property
    def method_name(self) -> str:
        """The method that makes the set, as reports call it."""
        return self.settings.method

    @property
    def images_per_class(self) -> int:
        """Images per class that a network trains on."""
        return self.ipc * self.settings.partition**2


def _describe(unit: Distill) -> tuple[str, ...]:
    return unit.method_name, f"IPC {unit.ipc}", f"seed {unit.seed}"


KIND = UnitKind(
    unit=Distill,
    version=1,
    action="distill",
    label="sets distilled",
    table="distillations",
    compute="orchestrator.execution.unit_functions.sets:distill_set",
    load="orchestrator.planning.unit_loads:count_distillation",
    describe=_describe,
)
