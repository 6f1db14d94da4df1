"""What a user chooses about a launch, as one object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cluster.resources import ResourceRequest
from orchestrator.execution.trial import RUNNER, TrialSettings
from orchestrator.store import provenance
from orchestrator.store.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """Where and how units are computed; none of it can change a result."""

    data_root: Path
    """Folder of the data sets."""
    resources: ResourceRequest = field(default_factory=ResourceRequest)
    """CPUs and GPUs per unit, and the Ray cluster to join."""
    runner: str = RUNNER
    """Unit function as module:name."""
    checkpoint_seconds: float = 30.0
    """Time between two checkpoints of a unit."""
    tensorboard: bool = True
    """Whether units write TensorBoard logs."""
    data: Mapping[str, object] = field(default_factory=dict)
    """What was found in the data sets, for the record of a launch."""

    def build_trial_settings(self, store: Store, run: str) -> TrialSettings:
        """Return what the trials of a launch share."""
        return TrialSettings(
            store=store.address,
            data_root=str(self.data_root.expanduser().resolve()),
            run=run,
            git_commit=provenance.read_git_commit(),
            runner=self.runner,
            checkpoint_seconds=self.checkpoint_seconds,
            tensorboard=self.tensorboard,
        )
