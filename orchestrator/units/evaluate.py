"""Train fresh networks on a set and test them."""

from dataclasses import dataclass
from typing import ClassVar

from distill_core.settings import EvaluationSettings, Protocol, Split
from orchestrator.units.kinds import Unit, UnitKind


@dataclass(frozen=True, kw_only=True)
class Evaluate(Unit):
    """Train and test `num_eval` networks.

    The parent is the set; without a parent they train on the whole training set.
    """

    kind: ClassVar[str] = "evaluate"
    protocol: Protocol
    split: Split
    """Images that measure the accuracy; a search for settings only ever sees "validation"."""
    network: str
    settings: EvaluationSettings
    seed: int
    """Seed of the set; it pairs the evaluation networks across methods."""

    @property
    def reads_test_images(self) -> bool:
        """Whether the unit measures on the test images."""
        return self.split == "test"


def _describe(unit: Evaluate) -> tuple[str, ...]:
    return unit.network, f"seed {unit.seed}"


KIND = UnitKind(
    unit=Evaluate,
    version=1,
    action="evaluate",
    label="sets evaluated",
    table="evaluations",
    compute="orchestrator.execution.unit_functions.evaluation:evaluate",
    load="orchestrator.planning.unit_loads:count_evaluation",
    describe=_describe,
)
