"""A whole search: extractors first, then the trials of each study, then its winners in full."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from orchestrator.cluster.resources import (
    Capacity,
    allocate,
    compute_gpu_need,
    should_use_gpus,
)
from orchestrator.errors import LaunchError
from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.launch.stop_switch import StopSwitch
from orchestrator.launch.summary import print_summary
from orchestrator.planning.cost_estimates import estimate_costs
from orchestrator.planning.plan import Plan
from orchestrator.planning.work import find_pending
from orchestrator.search.journal import Journal, RungResult, Trial
from orchestrator.search.results import build_full_evaluations, select_winners
from orchestrator.search.study import Study, format_settings
from orchestrator.search.study_run import StudyRun
from orchestrator.store import leases, provenance, run_log
from orchestrator.store.store import Store

if TYPE_CHECKING:
    from orchestrator.cluster.dataset_transfer import DatasetArchives

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What all studies of a search share."""

    store: Store
    options: RunOptions
    trials: int
    """Of each study, in all."""
    console: Console
    space: str = ""
    """Name of the search space, for the record."""
    max_concurrent: int | None = None
    overrides: Sequence[str] = ()

    def run(self, studies: Sequence[Study]) -> int:
        """Bring all studies to their number of trials, and return the exit code.

        Raises:
            StoreError: the store cannot be written, or is damaged.
            TableError: a table cannot be read.
            LaunchError: resources are impossible, the cluster cannot be reached or broke down, or
                another search is at the same study.
        """
        search = replace(self, store=self.store.resolved())
        search.store.check_writable()
        with ExitStack() as stack:
            if any(search._is_unfinished(study) for study in studies):
                from orchestrator.launch import ray_tune

                stack.enter_context(
                    ray_tune.join_cluster(self.options.resources.address, self.console)
                )
            codes = []
            for study in studies:
                codes.append(search._study(study))
                if codes[-1] == 130:
                    break
        return max(codes, default=0)

    def _is_unfinished(self, study: Study) -> bool:
        known = Journal.open(study, self.store).trials
        return len(known) < self.trials or not all(trial.finished for trial in known.values())

    def _study(self, study: Study) -> int:
        self.console.print(Text(f"{study.title}: study {study.key}", style="bold"))
        run = provenance.make_run_id()
        with leases.hold(self.store.storage, study.key, run) as lease:
            if lease is None:
                raise LaunchError(
                    f"another search is at study {study.key} ({study.title}); wait for it, or"
                    " stop it"
                )
            pool = study.extractors()
            code = self._launch(study.build_plan(pool, list(pool)))
            if code == 0 and self._is_unfinished(study):
                code = self._trials(study, run)
            if code in (0, 1):
                trials = Journal.open(study, self.store).trials
                units, wanted = build_full_evaluations(
                    study, *(trial.parameters for trial in select_winners(trials))
                )
                code = max(code, self._launch(study.build_plan(pool | units, wanted)))
        return code

    def _launch(self, plan: Plan) -> int:
        summary = launch(
            find_pending(plan, self.store.find_done_keys()),
            self.store,
            self.options,
            space=self.space,
            overrides=self.overrides,
            console=self.console,
        )
        if summary.run is not None:
            print_summary(summary, self.console)
        return summary.exit_code

    def _trials(self, study: Study, run: str) -> int:
        from orchestrator.search.ray_tune import run_study

        settings = self.options.build_trial_settings(self.store, run)
        switch = StopSwitch(self.store.stop_signal(run), self.console)
        journal = Journal.open(study, self.store, space=self.space, run=run)
        with run_log.record_launch(self.store, run), switch.installed():
            _log.info("search %s: study %s (%s)", run, study.key, study.title)
            capacity, archives = self._capacity(study)
            slots = min(capacity.slots, self.max_concurrent or capacity.slots)
            done = sum(trial.finished for trial in journal.trials.values())
            rungs = " → ".join(map(str, study.iterations))
            opening = (
                f"{self.trials} trials, {done} already done; {slots} at a time; rungs of {rungs}"
                " iterations"
            )
            self.console.print(opening, highlight=False, soft_wrap=True)
            running = StudyRun(
                study=study,
                journal=journal,
                store=self.store,
                settings=replace(settings, cpus=capacity.cpus),
                gpus=capacity.gpus,
                trials=self.trials,
                is_stopping=switch.is_on,
                report_rung=self._print_rung,
            )
            try:
                run_study(running, slots=slots, archives=archives)
            except KeyboardInterrupt:
                return 130
        return self._outcome(running, stopped=switch.is_on())

    def _capacity(self, study: Study) -> "tuple[Capacity, DatasetArchives | None]":
        """Look at the machines; return what each trial gets of them, and what was sent to a
        cluster's nodes.
        """
        from orchestrator.cluster import preflight

        asked = self.options.resources
        units, wanted = build_full_evaluations(study, study.published)
        plan = study.build_plan(study.extractors() | units, wanted)
        alone = asked.address is None and not preflight.is_cluster()
        nodes, archives = (
            (preflight.describe_this_machine(), None)
            if alone
            else preflight.check_nodes(self.store, self.options.data_root, plan.units.values())
        )
        costs = estimate_costs(
            plan, gpu=should_use_gpus(nodes, asked.gpus), store_tables=self.store.refresh_tables()
        )
        need = compute_gpu_need(units.values(), costs)
        need = replace(need, units=max(need.units, self.trials))
        return allocate(nodes, cpus=asked.cpus, gpus=asked.gpus, need=need), archives

    def _outcome(self, run: StudyRun, *, stopped: bool) -> int:
        unfinished = [trial for trial in run.journal.trials.values() if not trial.finished]
        missing = len(unfinished) + max(0, run.trials - len(run.journal.trials))
        if run.halted is not None:
            raise LaunchError(f"the search cannot go on: {run.halted}; what is done stays done")
        if stopped and missing:
            self.console.print(
                "Stopped. Run the same command again to go on; what is done stays done."
            )
            return 130
        if missing:
            self.console.print(
                Text(
                    f"{missing} trials failed; run the same command again to try them again",
                    style="red",
                )
            )
        return 1 if missing else 0

    def _print_rung(self, trial: Trial, result: RungResult) -> None:
        reached = f"{100 * result.value:.2f} %" if result.value is not None else result.reason or ""
        line = (
            f"trial {trial.number} ({format_settings(trial.parameters)}), {result.iterations}"
            f" iterations: {reached} {result.state}"
        )
        _log.info("%s", line)
        self.console.print(Text(line), soft_wrap=True)
