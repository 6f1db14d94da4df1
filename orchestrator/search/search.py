"""A whole search, from the command to its end.

For each study: compute the extractors, run the trials until there are enough, and evaluate the
winners in full. The first and the last step are ordinary launches. Only the trials are special:
`StudyRun` decides what they do, and `ray_tune` runs them.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.text import Text

from orchestrator.cluster._compat import keep_handlers
from orchestrator.cluster.resources import (
    Capacity,
    allocate,
    compute_gpu_need,
    should_use_gpus,
)
from orchestrator.errors import LaunchError
from orchestrator.launch.display import display
from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.launch.progress_view import published
from orchestrator.launch.stop_switch import StopSwitch
from orchestrator.launch.summary import print_summary
from orchestrator.planning.cost_estimates import estimate_costs
from orchestrator.planning.plan import Plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.search.journal import Journal, RungResult, Trial
from orchestrator.search.results import build_full_evaluations, select_winners
from orchestrator.search.study import Study, format_settings
from orchestrator.search.study_progress import StudyProgress
from orchestrator.search.study_run import StudyRun
from orchestrator.store import leases, provenance, run_log
from orchestrator.store.leases import Lease
from orchestrator.store.store import Store
from orchestrator.text import choose_error_console

if TYPE_CHECKING:
    from orchestrator.cluster.dataset_transfer import DatasetArchives

_log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a shell."""


def _is_taken_over(lease: Lease) -> bool:
    """Return whether somebody else has a lease, or may have had it in between."""
    lease.touch()
    return lease.lost.is_set() or lease.interrupted


class _End(NamedTuple):
    """How a part of a search ended."""

    code: int
    """The exit code of this part alone."""
    stopped: bool
    """Whether Ctrl-C or a signal came, even if all of this part was done by then."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What all studies of a search share."""

    store: Store
    options: RunOptions
    trials: int
    """Trials of each study in total."""
    console: Console
    space: str = ""
    """Name of the search space, for the record."""
    max_concurrent: int | None = None
    """Trials at a time; by default all that fit."""
    overrides: Sequence[str] = ()
    """What the command line changed in the search space, for the record."""

    def run(self, studies: Sequence[Study]) -> int:
        """Run all studies to their number of trials.

        Returns:
            The exit code: 0 if everything is done, 1 if something failed, 130 after Ctrl-C.

        Raises:
            StoreError: the store cannot be written, or is damaged.
            TableError: a table cannot be read.
            LaunchError: resources are impossible, the cluster cannot be reached or broke down, or
                another search is working on the same study.
        """
        search = replace(self, store=self.store.resolved())
        search.store.check_writable()
        exit_code = 0
        with ExitStack() as stack:
            if any(search._is_unfinished(study) for study in studies):
                # Joined once for all launches below. A search that is done needs no Ray, whose
                # import takes seconds.
                with keep_handlers():
                    from orchestrator.launch.join_cluster import join_cluster

                address = self.options.resources.address
                stack.enter_context(join_cluster(address, self.console))
            for place, study in enumerate(studies):
                end = search._run_study(study)
                exit_code = max(exit_code, end.code)
                if end.stopped:
                    left = studies[place + 1 :] if end.code in (0, 1) else ()
                    return search._stop() if left else exit_code
        return exit_code

    def _is_unfinished(self, study: Study) -> bool:
        trials = Journal.open(study, self.store).trials.values()
        return len(trials) < self.trials or not all(trial.finished for trial in trials)

    def _run_study(self, study: Study) -> _End:
        """Run one study."""
        self.console.print(Text(f"{study.title}: study {study.key}", style="bold"))
        run = provenance.make_run_id()
        # The lease is for the study's journal: two searches would give the same number to two
        # trials. Units have leases as always.
        with leases.hold(self.store.storage, study.key, run) as lease:
            if lease is None:
                raise LaunchError(
                    f"another search is working on study {study.key} ({study.title}); wait for it,"
                    " or stop it"
                )
            extractors = study.extractors()
            end = self._launch(study.build_plan(extractors, list(extractors)))
            if end.stopped:
                return self._end_stopped(end)
            if end.code == 0 and self._is_unfinished(study):
                end = self._run_trials(study, run, lease)
                if end.stopped:
                    return self._end_stopped(end)
            # Trials that failed are tried again by the next search; the others have winners.
            winners = select_winners(Journal.open(study, self.store).trials)
            choices = [trial.parameters for trial in winners]
            units, wanted = build_full_evaluations(study, *choices)
            last = self._launch(study.build_plan(extractors | units, wanted))
        return _End(max(end.code, last.code), last.stopped)

    def _launch(self, plan: Plan) -> _End:
        """Compute what the store lacks of a plan."""
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
        return _End(summary.exit_code, summary.stopped)

    def _end_stopped(self, end: _End) -> _End:
        """Return the end of a study that was stopped with work left, which the user is told."""
        if end.code != INTERRUPTED:  # what was running was just finished, or something failed
            self._stop()
        return _End(INTERRUPTED, stopped=True)

    def _stop(self) -> int:
        choose_error_console(self.console).print(
            "Stopped. Run the same command again to continue; what is done stays done."
        )
        return INTERRUPTED

    def _run_trials(self, study: Study, run: str, lease: Lease) -> _End:
        """Run the trials that a study lacks."""
        from orchestrator.search.ray_tune import run_study

        settings = self.options.build_trial_settings(self.store, run)
        switch = StopSwitch(self.store.stop_signal(run), self.console)
        journal = Journal.open(study, self.store, space=self.space, run=run)
        with run_log.record_launch(self.store, run), switch.installed():
            _log.info("search %s: study %s (%s)", run, study.key, study.title)
            capacity, archives = self._allocate(study)
            slots = min(capacity.slots, self.max_concurrent or capacity.slots)
            self._print_start(study, journal, slots)
            study_run = StudyRun(
                study=study,
                journal=journal,
                store=self.store,
                settings=replace(settings, cpus=capacity.cpus),
                gpus=capacity.gpus,
                trials=self.trials,
                is_stopping=switch.is_on,
                is_taken_over=lambda: _is_taken_over(lease),
                report_rung=self._print_rung,
            )
            progress = StudyProgress(
                read_trials=lambda: list(journal.trials.values()),
                trials=lambda: study_run.trials,
                slots=slots,
                rungs=len(study.iterations),
            )
            try:
                with (
                    display(progress, self.console),
                    published(progress, self.store, run, f"{self.space}: {study.title}"),
                ):
                    run_study(study_run, slots=slots, archives=archives, progress=progress)
            except KeyboardInterrupt:
                # A second Ctrl-C. What the workers have not saved is computed again.
                _log.warning("search %s was interrupted before its workers had stopped", run)
                return _End(self._stop(), stopped=True)
        return _End(self._finish(study_run, stopped=switch.is_on()), switch.is_on())

    def _allocate(self, study: Study) -> "tuple[Capacity, DatasetArchives | None]":
        """Check the machines.

        Returns:
            What each trial gets of them, and on a cluster what was sent to its nodes.
        """
        # Imported only here: it loads Ray.
        from orchestrator.cluster import preflight

        request = self.options.resources
        units, wanted = build_full_evaluations(study, study.published)
        plan = study.build_plan(study.extractors() | units, wanted)
        archives = None
        if request.address is None and not preflight.is_cluster():
            nodes = preflight.describe_this_machine()
        else:
            nodes, archives = preflight.check_nodes(
                self.store, self.options.data_root, plan.units.values()
            )
        use_gpus = should_use_gpus(nodes, request.gpus)
        costs = estimate_costs(plan, gpu=use_gpus, store_tables=self.store.refresh_tables())
        # The published settings stand for all trials: the searched ones change no sizes.
        need = compute_gpu_need(units.values(), costs)
        need = replace(need, units=max(need.units, self.trials))
        return allocate(nodes, cpus=request.cpus, gpus=request.gpus, need=need), archives

    def _finish(self, study_run: StudyRun, *, stopped: bool) -> int:
        """Print what is missing, and return the exit code.

        Raises:
            LaunchError: the search could not continue.
        """
        trials = study_run.journal.trials.values()
        unfinished = sum(not trial.finished for trial in trials)
        missing = unfinished + max(0, study_run.trials - len(trials))
        if study_run.halted is not None:
            raise LaunchError(
                f"the search cannot continue: {study_run.halted}; what is done stays done"
            )
        if stopped and missing:
            return self._stop()
        if missing:
            reasons = [trial.rungs[-1].reason for trial in trials if trial.state == "failed"]
            message = f"{missing} trials failed; run the same command again to try them again"
            if known := [reason for reason in dict.fromkeys(reasons) if reason]:
                message += f", once the reason is gone: {'; '.join(known[:3])}"
            choose_error_console(self.console).print(Text(message, style="red"))
        return 1 if missing else 0

    def _print_start(self, study: Study, journal: Journal, slots: int) -> None:
        done = sum(trial.finished for trial in journal.trials.values())
        rungs = " → ".join(map(str, study.iterations))
        message = (
            f"{self.trials} trials, {done} already done; {slots} at a time; rungs of {rungs}"
            " iterations"
        )
        self.console.print(message, highlight=False, soft_wrap=True)

    def _print_rung(self, trial: Trial, result: RungResult) -> None:
        reached = result.reason or ""
        if result.value is not None:
            reached = f"{100 * result.value:.2f} %"
        line = (
            f"trial {trial.number} ({format_settings(trial.parameters)}), {result.iterations}"
            f" iterations: {reached} {result.state}"
        )
        self.console.print(Text(line), soft_wrap=True)
