"""Choose real images as a baseline set."""

from dataclasses import dataclass
from typing import ClassVar

from distill_core.settings import CoresetMethod
from orchestrator.units.kinds import SetUnit, UnitKind

CORESET_NAMES: dict[CoresetMethod, str] = {
    "random": "Random",
    "herding": "Herding",
    "k-center": "K-Center",
}
"""What search spaces and reports call the methods."""


@dataclass(frozen=True, kw_only=True)
class Select(SetUnit):
    """Choose images; herding and k-center read the features of one extractor, the parent."""

    kind: ClassVar[str] = "select"
    method: CoresetMethod

    @property
    def method_name(self) -> str:
        """The method that makes the set, as reports call it."""
        return CORESET_NAMES[self.method]


def _describe(unit: Select) -> tuple[str, ...]:
    return unit.method_name, f"IPC {unit.ipc}", f"seed {unit.seed}"


def _needs_gpu(unit: Select) -> bool:
    return unit.method != "random"


KIND = UnitKind(
    unit=Select,
    version=1,
    action="select",
    label="sets selected",
    table="distillations",
    compute="orchestrator.execution.unit_functions.sets:select_images",
    load="orchestrator.planning.unit_loads:count_selection",
    describe=_describe,
    needs_gpu=_needs_gpu,
)
