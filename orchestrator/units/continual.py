"""Class-incremental learning: train and test fresh networks after each step."""

from dataclasses import dataclass
from typing import ClassVar

from distill_core.settings import EvaluationSettings, Protocol, Split
from orchestrator.units.kinds import Unit, UnitKind


@dataclass(frozen=True, kw_only=True)
class Continual(Unit):
    """After each step train `num_eval` networks on the memory, test on the classes seen.

    The parents are the sets of the steps in order, each of some classes of the data set. The memory
    after step s is the union of the first s.
    """

    kind: ClassVar[str] = "continual"
    protocol: Protocol
    split: Split
    network: str
    settings: EvaluationSettings
    seed: int
    """Number of the class order, and seed of the sets."""

    @property
    def reads_test_images(self) -> bool:
        """Whether the unit measures on the test images."""
        return self.split == "test"


def _describe(unit: Continual) -> tuple[str, ...]:
    return unit.network, f"{len(unit.parents)} steps", f"seed {unit.seed}"


KIND = UnitKind(
    unit=Continual,
    version=1,
    action="continual",
    label="class-incremental runs",
    table="continual",
    compute="orchestrator.execution.unit_functions.evaluation:evaluate_steps",
    load="orchestrator.planning.unit_loads:count_continual_evaluation",
    describe=_describe,
)
