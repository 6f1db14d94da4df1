"""Write a report from a plan and a store: HTML, Markdown, LaTeX, tables as CSV, and pictures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.errors import ReportError
from orchestrator.planning.plan import Plan
from orchestrator.planning.request import Request
from orchestrator.report.figures import write_figures
from orchestrator.report.figures.image_sheets import write_comparisons, write_sheets
from orchestrator.report.findings.claims import build_claims_table
from orchestrator.report.findings.generalization import build_generalization_sections
from orchestrator.report.findings.summary import build_summary
from orchestrator.report.manifest import update_manifest
from orchestrator.report.model import Report, ReportFiles, Section
from orchestrator.report.plain_text import show_invisible
from orchestrator.report.render.csv_file import write_csv, write_frame
from orchestrator.report.render.html import render_html
from orchestrator.report.render.latex import write_latex
from orchestrator.report.render.markdown import render_markdown
from orchestrator.report.results import Results, read_results
from orchestrator.report.tables.accuracy import build_accuracy_sections, build_results_frame
from orchestrator.report.tables.aggregates import build_aggregate_tables
from orchestrator.report.tables.continual import build_continual_sections
from orchestrator.report.tables.costs import build_cost_tables
from orchestrator.report.tables.features import build_feature_sections
from orchestrator.report.tables.overview import (
    build_failures_table,
    build_missing_table,
    build_overview,
    count_cells,
)
from orchestrator.report.tables.settings import build_settings_table
from orchestrator.store.store import Store


def build_report(
    results: Results,
    space_name: str,
    store: Store,
    overrides: Sequence[str] = (),
    command: str | None = None,
) -> Report:
    """Return all tables of a report without writing any; arguments as for `write_report`."""
    request = Request(space=space_name, overrides=tuple(overrides))
    counts = count_cells(results)
    # Without results, tables over all sections would have dashes alone.
    has_results = counts.missing < counts.planned
    claims = build_claims_table(results)
    return Report(
        space=space_name,
        command=command or request.command("run", "--store", store.address),
        planned_cells=counts.planned,
        missing_cells=counts.missing,
        summary=build_summary(results, claims) if has_results else (),
        claims=claims,
        overview=build_overview(results, space_name, overrides),
        settings=build_settings_table(results.plan),
        sections=_build_sections(results),
        aggregates=build_aggregate_tables(results) if has_results else (),
        costs=build_cost_tables(results),
        failures=build_failures_table(results),
        missing=build_missing_table(results),
    )


def write_report(
    plan: Plan,
    space_name: str,
    store: Store,
    out: Path,
    overrides: Sequence[str] = (),
    command: str | None = None,
) -> ReportFiles:
    """Write the report of a plan into a folder; equal rows give equal files.

    Files of an earlier report that this one does not write are removed.

    Args:
        plan: the cells and units of the search space.
        space_name: the user's name for the space; the report's title.
        store: results come from its Parquet tables, pictures from its synthetic sets.
        out: folder for the report, made if needed; files of an earlier report are replaced.
        overrides: the `--set` arguments that the plan was made with; the report names them.
        command: the command line that computes the missing results; `iid run` with the arguments
            above if None.

    Raises:
        TableError: a table file is damaged.
        ReportError: a synthetic set is damaged, or the folder cannot be written.
    """
    results = read_results(plan, store.refresh_tables().parent)
    report = build_report(results, space_name, store, overrides, command)
    try:
        return _write_files(results, report, store, out)
    except OSError as error:
        where = error.filename or out
        raise ReportError(
            f"{where} cannot be written ({error.strerror}); choose another folder with --out"
        ) from error


def _build_sections(results: Results) -> tuple[Section, ...]:
    sections = (
        *build_accuracy_sections(results),
        *build_generalization_sections(results),
        *build_continual_sections(results),
        *build_feature_sections(results),
    )
    return tuple(_distinguish([section for section in sections if section.has_results]))


def _distinguish(sections: Sequence[Section]) -> Iterator[Section]:
    """Yield sections; where titles are equal, with the experiment in the title."""
    counts = Counter(section.title for section in sections)
    for section in sections:
        if counts[section.title] == 1:
            yield section
        else:
            yield replace(section, title=f"{section.title} ({section.experiment})")


def _write_files(results: Results, report: Report, store: Store, out: Path) -> ReportFiles:
    written = [write_csv(table, out) for table in report.tables]
    all_results = out / "tables" / "results.csv"
    write_frame(build_results_frame(results), all_results)
    files = ReportFiles(
        report=report,
        folder=out,
        markdown=out / "report.md",
        html=out / "index.html",
        tables=(*written, all_results),
        latex=write_latex(report, out),
        pictures=(
            *write_comparisons(results, store, out),
            *write_sheets(results, store, out),
            *write_figures(results, out),
        ),
    )
    # The last look at every name: rows and units have some that no table shows.
    files.markdown.write_text(show_invisible(render_markdown(files)), encoding="utf-8")
    files.html.write_text(show_invisible(render_html(files, results)), encoding="utf-8")
    # Last, because only a complete report knows which files are stale.
    drawn: list[Path] = []
    for picture in files.pictures:
        drawn += [out / path for path in picture.paths]
    update_manifest(out, [*files.tables, *files.latex, *drawn])
    return files
