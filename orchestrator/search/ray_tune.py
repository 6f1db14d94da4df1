"""A study on Ray Tune: its trials as Tune trials, ASHA as their scheduler.

Tune remembers nothing from one launch to the next. ASHA's memory is filled anew from the journal,
value by value in the order in which they came; the suggestions follow from the journal too.
"""

import dataclasses
import tempfile
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.cluster.dataset_transfer import DatasetArchives
from orchestrator.errors import LaunchError
from orchestrator.execution.trial import build_trial_resources
from orchestrator.launch.plan_searcher import MAX_DEATHS
from orchestrator.search.study_run import StudyRun
from orchestrator.search.worker import RungMeasurement, run_search_trial
from orchestrator.text import last_line

TIE = 1e-9
"""Far less than one image more or less."""
_MEASURED = [field.name for field in dataclasses.fields(RungMeasurement)]


def run_study(run: StudyRun, *, slots: int, archives: DatasetArchives | None = None) -> None:
    """Run a study's trials on the joined cluster until there are as many as there are to be.

    Args:
        run: the study.
        slots: trials at a time.
        parcels: on a cluster, the data sets that were sent to its nodes.

    Raises:
        LaunchError: Ray broke down, or its folder for temporary files cannot be written.
        StoreError: the store cannot be read or written.
    """
    trial: Any = run_search_trial
    if archives is not None:
        trial = tune.with_parameters(run_search_trial, archives=archives)
    try:
        with tempfile.TemporaryDirectory(
            prefix="iid-search-", ignore_cleanup_errors=True
        ) as folder:
            tune.Tuner(
                tune.with_resources(trial, _build_placement),
                tune_config=tune.TuneConfig(
                    search_alg=StudySearcher(run),
                    scheduler=RungScheduler(run),
                    num_samples=-1,
                    max_concurrent_trials=slots,
                    reuse_actors=True,
                    trial_name_creator=_name_trial,
                    trial_dirname_creator=_name_trial,
                ),
                run_config=tune.RunConfig(
                    name=run.settings.run,
                    storage_path=folder,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
                ),
            ).fit()
    except (TuneError, RayError, OSError) as error:
        raise LaunchError(
            f"Ray broke down: {last_line(error)}; see that {tempfile.gettempdir()} has room (TMPDIR"
            " names another folder) and that the cluster is up, then run the same command again:"
            " what is done stays done"
        ) from error


class StudySearcher(Searcher):
    """Suggests what a study wants to try."""

    def __init__(self, run: StudyRun) -> None:
        super().__init__()
        self._run = run
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, None while there is none, FINISHED at the
        end.
        """
        config = self._run.next_config()
        if config is not None:
            self._numbers[trial_id] = config["number"]
            return config
        return Searcher.FINISHED if self._run.over() else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note that no worker has the trial any more."""
        died = f"its worker died {MAX_DEATHS + 1} times" if error else None
        self._run.ended(self._numbers.pop(trial_id), died)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is in the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is in the store."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher for a resume that we do not use


class RungScheduler(AsyncHyperBandScheduler):
    """ASHA over the rungs of a study, which remembers those of earlier launches and keeps the
    journal.
    """

    def __init__(self, run: StudyRun) -> None:
        reduction, rungs = run.study.experiment.rungs.reduction, len(run.study.iterations)
        super().__init__(
            time_attr="resource",
            metric="value",
            mode="max",
            grace_period=1,
            reduction_factor=reduction,
            max_t=reduction ** (rungs - 1),
        )
        self._run = run
        for number, result in run.journal.in_order():
            earlier: Any = SimpleNamespace(trial_id=f"earlier-{number}")
            controller: Any = None
            self.on_trial_add(controller, earlier)
            value = _break_tie(result.value or 0.0, result.order or 0)
            super().on_trial_result(
                controller, earlier, {"resource": reduction**result.rung, "value": value}
            )

    def on_trial_result(
        self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]
    ) -> str:
        """Decide whether a trial goes on."""
        if "outcome" not in result or result["outcome"] == "stopped":
            return str(TrialScheduler.CONTINUE)
        fields: dict[str, Any] = {name: result[name] for name in _MEASURED}
        decision: str = TrialScheduler.STOP
        if result["outcome"] == "value":
            ranked = {
                **result,
                "value": _break_tie(result["value"], self._run.journal.next_order()),
            }
            decision = super().on_trial_result(tune_controller, trial, ranked)
        else:
            fields["value"] = None
        measured = RungMeasurement(**fields | {"values": tuple(result["values"])})
        passes = decision == TrialScheduler.CONTINUE
        state = self._run.note(trial.config["number"], measured, passes=passes)
        return str(TrialScheduler.CONTINUE if state == "passed" else TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _break_tie(value: float, order: int) -> float:
    """Let the earlier of equal values count as better: accuracies on few images tie often, and ASHA
    stops no tie.
    """
    return value - TIE * order


def _build_placement(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    resources = build_trial_resources({"cpus": config["settings"]["cpus"], "gpus": config["gpus"]})
    return tune.PlacementGroupFactory([resources])


def _name_trial(trial: TuneTrial) -> str:
    return str(trial.trial_id)
