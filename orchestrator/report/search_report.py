"""The report of a search: what it found, what that is worth, where it looked; tables, figures, and
the found space.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ReportError
from orchestrator.report import manifest
from orchestrator.report.entries import (
    format_interval,
    format_percent,
    format_points,
    format_summary,
)
from orchestrator.report.figures.search import draw_figures
from orchestrator.report.figures.style import save_figure, use_style
from orchestrator.report.model import (
    MISSING,
    Picture,
    Table,
    TableEntry,
    build_row,
    make_slug,
)
from orchestrator.report.render.html import render_page
from orchestrator.report.render.markdown import escape, render_markdown_table
from orchestrator.search.journal import Trial
from orchestrator.search.results import Finalist, StudyResult, build_found_space
from orchestrator.search.study import Study, format_settings

FOUND = "found.yaml"

SUMMARY = (
    "Accuracy in % on images held out of the training set, mean ± population standard deviation"
    " over all networks of all sets, evaluated in full. Difference to the published settings in"
    " points, paired by seed and network, with its 95 % interval (two-level bootstrap); bold where"
    " it excludes zero. The best of several trials is chosen on the same images, which flatters it:"
    " what it is worth is what the test images say, read once with the found settings."
)
FIGURE_TITLES = {
    "map": "where the search looked",
    "slices": "accuracy against each setting",
    "rungs": "trials over their rungs",
}
_HEADER = ("published", "best", "difference", "95 % interval")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPage:
    """What a report says of one study."""

    title: str
    verdict: str
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchReport:
    """What `write_search_report` wrote."""

    summary: Table
    markdown: Path
    html: Path
    found: Path | None
    """A search space with the found settings; None as long as nothing is found."""


def write_search_report(
    results: Sequence[StudyResult], name: str, out: Path, *, command: str, found: Path | None = None
) -> SearchReport:
    """Write the report of a search into a folder; equal rows give equal files.

    Args:
        results: of each study.
        name: what the user calls the search space.
        out: folder for the report, made if needed; files of an earlier report are replaced.
        command: the command line that goes on with the search.
        found: file for the found search space; in the report's folder if None.

    Raises:
        ReportError: a file cannot be written.
    """
    try:
        return _write(results, name, out, command, found or out / FOUND)
    except OSError as error:
        where = error.filename or out
        raise ReportError(
            f"{where} cannot be written ({error.strerror}); choose another folder with --out"
        ) from error


def build_summary_table(results: Sequence[StudyResult]) -> Table:
    """Return a line a study: trials, the best settings, and what they are worth."""
    return Table(
        slug="search",
        title="Found settings",
        header=("Study", "trials", "stopped early", "best settings", *_HEADER),
        rows=tuple(_build_summary_row(result) for result in results),
        caption=SUMMARY,
        text_columns=(0, 3),
    )


def build_finalists_table(result: StudyResult) -> Table:
    """Return the trials that were evaluated in full."""
    names = [dimension.name for dimension in result.study.dimensions]
    return Table(
        slug=make_slug("finalists", *_list_name_parts(result.study)),
        title="Evaluated in full",
        header=(
            "Trial",
            *names,
            "last rung",
            "accuracy",
            "95 % interval",
            "difference",
            "95 % interval",
        ),
        rows=tuple(_build_finalist_row(result.study, finalist) for finalist in result.finalists),
        caption=SUMMARY,
    )


def build_trials_table(result: StudyResult) -> Table:
    """Return all trials with their accuracy at each rung."""
    study = result.study
    names = [dimension.name for dimension in study.dimensions]
    return Table(
        slug=make_slug("trials", *_list_name_parts(study)),
        title="Trials",
        header=("Trial", "from", *names, *(f"{n:,} iterations" for n in study.iterations), "state"),
        rows=tuple(_build_trial_row(study, trial) for trial in result.trials),
        caption=(
            "Accuracy in % on held-out images, mean over seeds, of sets distilled for so many"
            " iterations and evaluated with few networks and epochs."
        ),
        text_columns=(0, 1, len(names) + len(study.iterations) + 2),
    )


def build_importance_table(result: StudyResult) -> Table:
    """Return how much each setting matters."""
    rows = [
        build_row(path.rpartition(".")[2], f"{100 * share:.0f}")
        for path, share in result.importance.items()
    ]
    return Table(
        slug=make_slug("importance", *_list_name_parts(result.study)),
        title="Importance",
        header=("Setting", "% of the variance"),
        rows=tuple(rows),
        caption=(
            "Part of the variance of the accuracy at the first rung, which every trial reaches,"
            " that a setting explains (fANOVA, as in Optuna)."
        ),
    )


def build_study_tables(result: StudyResult) -> tuple[Table, ...]:
    """Return the tables of a study that have lines."""
    tables = (
        build_finalists_table(result),
        build_importance_table(result),
        build_trials_table(result),
    )
    return tuple(table for table in tables if table.rows)


def _write(
    results: Sequence[StudyResult], name: str, out: Path, command: str, found: Path
) -> SearchReport:
    summary, studies = (
        build_summary_table(results),
        [_build_study_page(result, out) for result in results],
    )
    has_best = any(result.best for result in results)
    if has_best:
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text(build_found_space(make_slug(name), results), encoding="utf-8")
    shown = found.name if has_best else None
    report = SearchReport(
        summary=summary,
        markdown=out / "search.md",
        html=out / "index.html",
        found=found if has_best else None,
    )
    tables = [
        _write_csv(table, out)
        for table in (summary, *(table for study in studies for table in study.tables))
    ]
    report.markdown.write_text(
        _render_markdown(name, summary, studies, command, shown), encoding="utf-8"
    )
    page = render_page(
        "search.html.jinja",
        out,
        name=name,
        summary=summary,
        studies=studies,
        found=shown,
        command=command,
        captioned={
            summary.slug,
            *(t.slug for study in studies for t in study.tables if t.caption != summary.caption),
        },
        evidence={},
    )
    report.html.write_text(page, encoding="utf-8")
    drawn = [
        out / path
        for study in studies
        for p in study.pictures
        for path in (p.path, p.svg)
        if path is not None
    ]
    manifest.update_manifest(out, [*tables, *drawn])
    return report


def _build_study_page(result: StudyResult, out: Path) -> StudyPage:
    pictures = []
    with use_style():
        for kind, caption, figure in draw_figures(result):
            path = Path("figures") / f"{make_slug(*_list_name_parts(result.study), kind)}.png"
            title = f"{result.study.title}: {FIGURE_TITLES[kind]}"
            pictures.append(Picture(title=title, path=path, group="search", caption=caption))
            for place in (path, path.with_suffix(".svg")):
                save_figure(figure, out / place)
    return StudyPage(
        title=result.study.title,
        verdict=_build_verdict(result),
        tables=build_study_tables(result),
        pictures=tuple(pictures),
    )


def _render_markdown(
    name: str, summary: Table, studies: Sequence[StudyPage], command: str, found: str | None
) -> str:
    parts = [f"# Search: {escape(name)}", _render_table(summary)]
    if found is not None:
        parts.append(
            f"The found settings are in `{found}`; `iid run` on it reads the test images once."
        )
    parts.append(f"To go on with the search: `{command}`")
    for study in studies:
        parts += [f"## {escape(study.title)}", study.verdict]
        for table in study.tables:
            has_new_caption = table.caption != summary.caption
            parts.append(f"### {table.title}\n\n{_render_table(table, captioned=has_new_caption)}")
        parts += [
            f"![{escape(p.title)}]({p.path.as_posix()})\n\n{p.caption}" for p in study.pictures
        ]
    return "\n\n".join(parts) + "\n"


def _build_verdict(result: StudyResult) -> str:
    ended = {
        "stopped early": result.count("stopped"),
        "complete": result.count("complete"),
        "diverged": result.count("diverged"),
        "not finished": result.count("running", "passed", "failed"),
    }
    counts = ", ".join(f"{count} {name}" for name, count in ended.items() if count)
    seeds = len(result.study.experiment.seeds)
    sentence = f"{len(result.trials)} trials ({counts or 'none yet'}), each of {seeds} seeds."
    if result.best is None:
        return f"{sentence} None has been evaluated in full yet."
    if result.best.trial.number == 0:
        return (
            f"{sentence} None is better than the published settings"
            f" ({format_settings(result.study.published)})."
        )
    return (
        f"{sentence} The best is trial {result.best.trial.number}:"
        f" {format_settings(result.best.trial.parameters)}."
    )


def _build_summary_row(result: StudyResult) -> tuple[TableEntry, ...]:
    best, published = result.best, result.published
    shown = [result.study.title, len(result.trials), result.count("stopped")]
    return (
        *build_row(*shown, format_settings(best.trial.parameters) if best else MISSING),
        *build_row(*(format_summary(f.summary) if f else MISSING for f in (published, best))),
        *(_build_difference_entries(best) if best else build_row(MISSING, MISSING)),
    )


def _build_finalist_row(study: Study, finalist: Finalist) -> tuple[TableEntry, ...]:
    trial = finalist.trial
    return (
        *build_row(trial.number, *(f"{trial.parameters[d.path]:g}" for d in study.dimensions)),
        *build_row(
            format_percent(trial.value or 0.0),
            format_summary(finalist.summary),
            format_interval(finalist.summary.interval),
        ),
        *_build_difference_entries(finalist),
    )


def _build_difference_entries(finalist: Finalist) -> tuple[TableEntry, TableEntry]:
    if finalist.difference is None:
        return TableEntry(text=MISSING), TableEntry(text=MISSING)
    interval = finalist.interval
    clear = (
        interval is not None
        and len(finalist.accuracies) > 1
        and not interval[0] <= 0 <= interval[1]
    )
    return (
        TableEntry(text=format_points(finalist.difference), emphasis="clear" if clear else None),
        TableEntry(
            text=f"{format_points(interval[0])} to {format_points(interval[1])}"
            if interval
            else MISSING
        ),
    )


def _build_trial_row(study: Study, trial: Trial) -> tuple[TableEntry, ...]:
    reached = {r.rung: r.value for r in trial.rungs if r.value is not None}
    values = [
        format_percent(reached[rung]) if rung in reached else MISSING
        for rung in range(len(study.iterations))
    ]
    settings = [f"{trial.parameters[d.path]:g}" for d in study.dimensions]
    return build_row(trial.number, trial.origin, *settings, *values, trial.state)


def _list_name_parts(study: Study) -> tuple[object, ...]:
    return study.experiment.name, study.dataset.name, f"ipc{study.ipc}", study.method


def _render_table(table: Table, *, captioned: bool = True) -> str:
    return render_markdown_table(table) + (f"\n\n{escape(table.caption)}" if captioned else "")


def _write_csv(table: Table, out: Path) -> Path:
    path = out / "tables" / f"{table.slug}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.header)
        writer.writerows([entry.text for entry in line] for line in table.rows)
    return path
