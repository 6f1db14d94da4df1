"""Tables of a search: found settings, trials evaluated in full, importance, and all trials.

They come from the trials and finalists of a study's journal.
"""

from collections.abc import Sequence

from orchestrator.report.entries import (
    format_interval,
    format_percent,
    format_points,
    format_summary,
)
from orchestrator.report.model import MISSING, Table, TableEntry, build_row, make_slug
from orchestrator.report.search_baseline import BASELINE
from orchestrator.search.journal import Trial
from orchestrator.search.results import Finalist, StudyResult
from orchestrator.search.study import Study, format_settings

SUMMARY = (
    "Accuracy in % on images held out of the training set: mean ± population standard deviation"
    " over all networks of all sets, evaluated in full. The baseline is trial 0: the published"
    " settings, or those of the search space where nobody published any. Difference from it in"
    " points, paired by seed and network, with its 95 % interval (Student's t over the means"
    " of the sets); bold where there are several sets and it excludes zero. The best of several"
    " trials is chosen on the same images, so its accuracy is biased upwards. Its accuracy on the"
    " test images, which are read once with the found settings, shows how good it is."
)
_HEADER = ("baseline", "best", "difference", "95 % interval")


def build_summary_table(results: Sequence[StudyResult]) -> Table:
    """Return a row per study: its trials, the best settings, and how good they are."""
    return Table(
        slug="search",
        title="Found settings",
        header=("Study", "trials", "stopped early", "best settings", *_HEADER),
        rows=tuple(_build_summary_row(result) for result in results),
        caption=SUMMARY,
        text_columns=(0, 3),
    )


def build_study_tables(result: StudyResult) -> tuple[Table, ...]:
    """Return the tables of a study that have rows."""
    tables = (
        build_finalists_table(result),
        build_importance_table(result),
        build_trials_table(result),
    )
    return tuple(table for table in tables if table.rows)


def build_finalists_table(result: StudyResult) -> Table:
    """Return the trials that were evaluated in full."""
    names = [dimension.name for dimension in result.study.dimensions]
    numbers = ("last rung", "accuracy", "95 % interval", "difference", "95 % interval")
    return Table(
        slug=make_slug("finalists", *list_name_parts(result.study)),
        title="Evaluated in full",
        header=("Trial", *names, *numbers),
        rows=tuple(_build_finalist_row(result.study, finalist) for finalist in result.finalists),
        caption=SUMMARY,
    )


def build_importance_table(result: StudyResult) -> Table:
    """Return how much each setting matters."""
    rows = []
    for path, share in result.importance.items():
        rows.append(build_row(path.rpartition(".")[2], f"{100 * share:.0f}"))
    return Table(
        slug=make_slug("importance", *list_name_parts(result.study)),
        title="Importance",
        header=("Setting", "% of the variance"),
        rows=tuple(rows),
        caption=(
            "Share of the variance in accuracy at the first rung that a setting explains"
            " (fANOVA, as in Optuna). Every trial reaches the first rung."
        ),
    )


def build_trials_table(result: StudyResult) -> Table:
    """Return all trials with their accuracy at each rung."""
    study = result.study
    names = [dimension.name for dimension in study.dimensions]
    rungs = [f"{iterations:,} iterations" for iterations in study.iterations]
    return Table(
        slug=make_slug("trials", *list_name_parts(study)),
        title="Trials",
        header=("Trial", "from", *names, *rungs, "state"),
        rows=tuple(_build_trial_row(study, trial) for trial in result.trials),
        caption=(
            "Accuracy in % on held-out images, mean over seeds. Sets are distilled for the given"
            " number of iterations and evaluated with few networks and epochs."
        ),
        text_columns=(0, 1, len(names) + len(rungs) + 2),
    )


def list_name_parts(study: Study) -> tuple[str, ...]:
    """Return the parts of a study's file names."""
    return study.experiment.name, study.dataset.name, f"ipc{study.ipc}", study.method


def _build_summary_row(result: StudyResult) -> tuple[TableEntry, ...]:
    best, published = result.best, result.published
    settings = format_settings(best.trial.parameters) if best else MISSING
    trials = build_row(result.study.title, len(result.trials), result.count("stopped"), settings)
    accuracies = build_row(*(format_summary(f.summary if f else None) for f in (published, best)))
    return (*trials, *accuracies, *_build_difference_entries(best))


def _build_finalist_row(study: Study, finalist: Finalist) -> tuple[TableEntry, ...]:
    trial = finalist.trial
    settings = [f"{trial.parameters[dimension.path]:g}" for dimension in study.dimensions]
    accuracies = build_row(
        format_percent(trial.value or 0.0),
        format_summary(finalist.summary),
        format_interval(finalist.summary.interval),
    )
    row = build_row(trial.number, *settings)
    return (*row, *accuracies, *_build_difference_entries(finalist))


def _build_difference_entries(finalist: Finalist | None) -> tuple[TableEntry, ...]:
    """Return the difference to the published settings, and its interval."""
    if finalist is None or finalist.difference is None:
        return build_row(MISSING, MISSING)
    difference = format_points(finalist.difference)
    if finalist.interval is None:
        return build_row(difference, MISSING)
    low, high = finalist.interval
    return (
        TableEntry(text=difference, emphasis="clear" if finalist.is_clear else None),
        TableEntry(text=f"{format_points(low)} to {format_points(high)}"),
    )


def _build_trial_row(study: Study, trial: Trial) -> tuple[TableEntry, ...]:
    reached = {rung.rung: rung.value for rung in trial.rungs if rung.value is not None}
    settings = [f"{trial.parameters[dimension.path]:g}" for dimension in study.dimensions]
    accuracies = [
        format_percent(reached[rung]) if rung in reached else MISSING
        for rung in range(len(study.iterations))
    ]
    # The journal calls trial 0 "published", whether or not anybody published its settings.
    origin = BASELINE if trial.number == 0 else trial.origin
    return build_row(trial.number, origin, *settings, *accuracies, trial.state)
