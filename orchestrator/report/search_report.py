"""The report of a search: what it found, how good that is, and which settings it tried.

It shows the trials and finalists of each study as tables and figures, and writes the search space
with the found settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ReportError
from orchestrator.report.figures.search import draw_figures
from orchestrator.report.figures.style import save_figure, use_style
from orchestrator.report.manifest import update_manifest
from orchestrator.report.model import Picture, Table, make_slug
from orchestrator.report.plain_text import show_invisible
from orchestrator.report.render.csv_file import write_csv
from orchestrator.report.render.html import render_page
from orchestrator.report.render.markdown import escape, render_markdown_table
from orchestrator.report.search_baseline import describe_verdict
from orchestrator.report.search_tables import (
    build_study_tables,
    build_summary_table,
    list_name_parts,
)
from orchestrator.search.results import StudyResult, build_found_space
from orchestrator.text import format_count

FOUND = "found.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPage:
    """What a report shows of one study."""

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
    results: Sequence[StudyResult],
    name: str,
    out: Path,
    *,
    command: str,
    run_found: str | None = None,
    found: Path | None = None,
) -> SearchReport:
    """Write the report of a search into a folder; equal rows give equal files.

    Args:
        results: of each study.
        name: the user's name for the search space.
        out: folder for the report, made if needed; files of an earlier report are replaced.
        command: the command line that continues the search.
        run_found: the command line that runs the found search space; not shown if None.
        found: file for the found search space; in the report's folder if None.

    Raises:
        ReportError: a file cannot be written.
    """
    try:
        return _write_files(results, name, out, command, run_found, found or out / FOUND)
    except OSError as error:
        where = error.filename or out
        raise ReportError(
            f"{where} cannot be written ({error.strerror}); choose another folder with --out"
        ) from error


def _write_files(
    results: Sequence[StudyResult],
    name: str,
    out: Path,
    command: str,
    run_found: str | None,
    found: Path,
) -> SearchReport:
    summary = build_summary_table(results)
    studies = [_build_study_page(result, out) for result in results]
    is_found = any(result.best for result in results)
    if is_found:
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text(build_found_space(make_slug(name), results), encoding="utf-8")
    shown = found.name if is_found else None
    report = SearchReport(
        summary=summary,
        markdown=out / "search.md",
        html=out / "index.html",
        found=found if is_found else None,
    )
    written = [write_csv(summary, out)]
    for study in studies:
        written += [write_csv(table, out) for table in study.tables]
    text = _render_markdown(name, summary, studies, command, run_found, shown)
    report.markdown.write_text(show_invisible(text), encoding="utf-8")
    page = render_page(
        "search.html.jinja",
        out,
        name=name,
        summary=summary,
        studies=studies,
        found=shown,
        run_found=run_found,
        command=command,
        captioned=_select_captioned(summary, studies),
        evidence={},
    )
    report.html.write_text(show_invisible(page), encoding="utf-8")
    for study in studies:
        for picture in study.pictures:
            written += [out / path for path in picture.paths]
    update_manifest(out, written)
    return report


def _build_study_page(result: StudyResult, out: Path) -> StudyPage:
    pictures = []
    with use_style():
        for drawn in draw_figures(result):
            path = Path("figures") / f"{make_slug(*list_name_parts(result.study), drawn.name)}.png"
            title = f"{result.study.title}: {drawn.title}"
            picture = Picture(title=title, path=path, group="search", caption=drawn.caption)
            for file in picture.paths:
                save_figure(drawn.figure, out / file)
            pictures.append(picture)
    return StudyPage(
        title=result.study.title,
        verdict=_build_verdict(result),
        tables=build_study_tables(result),
        pictures=tuple(pictures),
    )


def _select_captioned(summary: Table, studies: Sequence[StudyPage]) -> set[str]:
    """Return the slugs of the tables that show their caption, which the summary's is shown once."""
    shown = {summary.slug}
    for study in studies:
        shown.update(table.slug for table in study.tables if table.caption != summary.caption)
    return shown


def _render_markdown(
    name: str,
    summary: Table,
    studies: Sequence[StudyPage],
    command: str,
    run_found: str | None,
    found: str | None,
) -> str:
    captioned = _select_captioned(summary, studies)
    parts = [f"# Search: {escape(name)}", _render_table(summary, captioned)]
    if found is not None:
        parts.append(
            f"The found settings are in `{found}`, next to the method without them."
            " Running it reads the test images once."
        )
        parts += [f"To run it: `{run_found}`"] if run_found else []
    parts.append(f"To continue the search: `{command}`")
    for study in studies:
        parts += [f"## {escape(study.title)}", study.verdict]
        for table in study.tables:
            parts.append(f"### {table.title}\n\n{_render_table(table, captioned)}")
        for picture in study.pictures:
            link = f"![{escape(picture.title)}]({picture.path.as_posix()})"
            parts.append(f"{link}\n\n{picture.caption}")
    return "\n\n".join(parts) + "\n"


def _render_table(table: Table, captioned: set[str]) -> str:
    text = render_markdown_table(table)
    return f"{text}\n\n{escape(table.caption)}" if table.slug in captioned else text


def _build_verdict(result: StudyResult) -> str:
    """Return how the trials of a study ended, and what the best one is."""
    ended = {
        "stopped early": result.count("stopped"),
        "complete": result.count("complete"),
        "diverged": result.count("diverged"),
        "not finished": result.count("running", "passed", "failed"),
    }
    counts = ", ".join(f"{count} {state}" for state, count in ended.items() if count)
    seeds = format_count(len(result.study.experiment.seeds), "seed")
    sentence = f"{len(result.trials)} trials ({counts or 'none yet'}), each with {seeds}."
    return f"{sentence} {describe_verdict(result)}"
