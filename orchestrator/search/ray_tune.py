"""A study on Ray Tune: its trials are Tune trials, and ASHA is their scheduler.

Tune keeps nothing from one launch to the next. The memory of ASHA is filled again from the journal,
value by value in the order in which they came. The suggestions follow from the journal too.
"""

import dataclasses
import logging
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.cluster.dataset_transfer import DatasetArchives
from orchestrator.execution.trial import build_trial_resources
from orchestrator.launch.join_cluster import translate_ray_errors
from orchestrator.launch.plan_searcher import MAX_DEATHS
from orchestrator.launch.private_folder import private_folder
from orchestrator.search.study_progress import StudyProgress
from orchestrator.search.study_run import StudyRun
from orchestrator.search.worker import RungMeasurement, run_search_trial
from orchestrator.text import find_last_line

_log = logging.getLogger(__name__)

TIE = 1e-9
"""Far less than one image more or less."""
_MEASURED = [field.name for field in dataclasses.fields(RungMeasurement)]


def run_study(
    run: StudyRun,
    *,
    slots: int,
    archives: DatasetArchives | None = None,
    progress: StudyProgress | None = None,
) -> None:
    """Run a study's trials on the joined cluster until it has all of them.

    Args:
        run: the study.
        slots: trials at a time.
        archives: on a cluster, the data sets that were sent to its nodes.
        progress: records what the trials do, for a display.

    Raises:
        LaunchError: Ray broke down, or its folder for temporary files cannot be written.
        StoreError: the store cannot be read or written.
    """
    trial: Any = run_search_trial
    if archives is not None:
        trial = tune.with_parameters(run_search_trial, archives=archives)
    with (
        translate_ray_errors(),
        private_folder("search") as folder,
    ):
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
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
                callbacks=[_TrialFollower(progress)],
            ),
        ).fit()


class StudySearcher(Searcher):
    """Suggests the trials of a study."""

    def __init__(self, run: StudyRun) -> None:
        super().__init__()
        self._run = run
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial.

        Returns:
            None if there is none now, FINISHED if there is none any more.
        """
        config = self._run.next_config()
        if config is not None:
            self._numbers[trial_id] = config["number"]
            return config
        return Searcher.FINISHED if self._run.is_over() else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record that no worker has the trial any more."""
        reason = f"its worker died {MAX_DEATHS + 1} times" if error else None
        self._run.release(self._numbers.pop(trial_id), reason)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is in the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is in the store."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher for a resume that is not used here


class RungScheduler(AsyncHyperBandScheduler):
    """ASHA over the rungs of a study; knows those of earlier launches, and keeps the journal."""

    def __init__(self, run: StudyRun) -> None:
        reduction, rungs = run.study.experiment.rungs.reduction, len(run.study.iterations)
        # ASHA sees powers of the reduction instead of iterations, which are rounded per rung.
        super().__init__(
            time_attr="resource",
            metric="value",
            mode="max",
            grace_period=1,
            reduction_factor=reduction,
            max_t=reduction ** (rungs - 1),
        )
        self._run = run
        # Results one by one, as they came: the decisions of ASHA depend on their order.
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
        """Decide whether a trial continues."""
        # The result with which Tune ends a trial may lack the fields, and a trial that stopped with
        # its launch has nothing to record.
        if "outcome" not in result or result["outcome"] == "stopped":
            return str(TrialScheduler.CONTINUE)
        fields: dict[str, Any] = {name: result[name] for name in _MEASURED}
        fields["values"] = tuple(result["values"])
        decision: str = TrialScheduler.STOP
        if result["outcome"] == "value":
            value = _break_tie(result["value"], self._run.journal.next_order())
            decision = super().on_trial_result(tune_controller, trial, {**result, "value": value})
        else:
            fields["value"] = None  # Tune got NaN, since it wants a number
        passes = decision == TrialScheduler.CONTINUE
        measured = RungMeasurement(**fields)
        state = self._run.record_rung(trial.config["number"], measured, passes=passes)
        return str(TrialScheduler.CONTINUE if state == "passed" else TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as for the searcher


class _TrialFollower(tune.Callback):
    """Follows the trials for a display, and logs workers that died, which Tune starts again."""

    def __init__(self, progress: StudyProgress | None) -> None:
        self._progress = progress

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """Note that a worker has a trial."""
        if self._progress is not None:
            self._progress.record_start(trial.config["number"], trial.config["parameters"])

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        """Note how far a unit of a trial is."""
        if self._progress is not None and "working" in result:
            work = f"rung {result['at'] + 1} of {self._progress.rungs}, {result['working']}"
            self._progress.record_step(
                trial.config["number"], work, result["step"], result["total"], result["values"]
            )

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """Note that no worker has a trial any more."""
        if self._progress is not None:
            self._progress.record_end(trial.config["number"])

    def on_trial_recover(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """Log a death after which the trial is tried again."""
        self._log_death(trial, "it is tried again")

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object
    ) -> None:
        """Log the last death of a trial."""
        self._log_death(trial, "it has failed")

    def _log_death(self, trial: TuneTrial, consequence: str) -> None:
        if self._progress is not None:
            self._progress.workers_died += 1
            self._progress.record_end(trial.config["number"])
        number, error = trial.config.get("number"), trial.get_error()
        reason = find_last_line(error) if error else "no reason is known"
        _log.warning("the worker of trial %s died, %s: %s", number, consequence, reason)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as for the searcher


def _break_tie(value: float, order: int) -> float:
    """Make the earlier of equal values the better one.

    Accuracies on few images are often equal, and ASHA stops no trial that is equal to the best.
    """
    return value - TIE * order


def _build_placement(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    resources = build_trial_resources({"cpus": config["settings"]["cpus"], "gpus": config["gpus"]})
    return tune.PlacementGroupFactory([resources])


def _name_trial(trial: TuneTrial) -> str:
    return str(trial.trial_id)
