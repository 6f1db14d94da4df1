"""Writing a report: HTML, Markdown, LaTeX, tables as CSV, figures and pictures, from a plan and a
store.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import ReportError
from orchestrator.planning.plan import Plan
from orchestrator.planning.request import Request
from orchestrator.report import manifest
from orchestrator.report.figures import write_figures
from orchestrator.report.figures.image_sheets import write_comparisons, write_sheets
from orchestrator.report.model import (
    Picture,
    Report,
    ReportFiles,
    Table,
)
from orchestrator.report.render.html import render_html
from orchestrator.report.render.latex import write_latex
from orchestrator.report.render.markdown import render_markdown
from orchestrator.report.results import Results, read_results
from orchestrator.report.tables import accuracy, continual, features, overview
from orchestrator.report.tables.aggregates import build_aggregate_tables
from orchestrator.report.tables.costs import build_cost_tables
from orchestrator.report.tables.settings import build_settings_table
from orchestrator.store.store import Store


def build_report(
    results: Results,
    space_name: str,
    store: Store,
    overrides: Sequence[str] = (),
    command: str | None = None,
) -> Report:
    """Return all tables of a report; nothing is written. Arguments as for `write_report`."""
    request = Request(space=space_name, overrides=tuple(overrides))
    planned, missing = overview.count_cells(results)
    sections = (
        *accuracy.build_accuracy_sections(results),
        *continual.build_continual_sections(results),
        *features.build_feature_sections(results),
    )
    return Report(
        space=space_name,
        command=command or request.command("run", "--store", store.address),
        planned_cells=planned,
        missing_cells=missing,
        overview=overview.build_overview(results, space_name, overrides),
        settings=build_settings_table(results.plan),
        sections=tuple(section for section in sections if section.measured),
        across=build_aggregate_tables(results) if missing < planned else (),
        costs=build_cost_tables(results),
        failures=overview.build_failures_table(results),
        missing=overview.build_missing_table(results),
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

    Files that an earlier report wrote there and this one does not are removed.

    Args:
        plan: the cells and units of the search space.
        space_name: what the user calls the space; the report's title.
        store: results come from its Parquet tables, pictures from its synthetic sets.
        out: folder for the report, made if needed; files of an earlier report are replaced.
        overrides: the `--set` arguments that the plan was made with; the report names them.
        command: the command line that computes what is missing; `iid run` with the arguments above
            if None.

    Raises:
        TableError: a table file is damaged.
        ReportError: a synthetic set is damaged, or the folder cannot be written.
    """
    results = read_results(plan, store.fresh_tables().parent)
    report = build_report(results, space_name, store, overrides, command)
    try:
        return _write(results, report, store, out)
    except OSError as error:
        where = error.filename or out
        raise ReportError(
            f"{where} cannot be written ({error.strerror}); choose another folder with --out"
        ) from error


def _write(results: Results, report: Report, store: Store, out: Path) -> ReportFiles:
    written = [_write_csv(table, out / "tables" / f"{table.slug}.csv") for table in report.tables]
    everything = out / "tables" / "results.csv"
    accuracy.build_results_frame(results).to_csv(everything, index=False)
    files = ReportFiles(
        report=report,
        folder=out,
        markdown=out / "report.md",
        html=out / "index.html",
        tables=(*written, everything),
        latex=write_latex(report, out),
        pictures=(
            *write_comparisons(results, store, out),
            *write_sheets(results, store, out),
            *write_figures(results, out),
        ),
    )
    files.markdown.write_text(render_markdown(files), encoding="utf-8")
    files.html.write_text(render_html(files, results), encoding="utf-8")
    drawn = [out / path for picture in files.pictures for path in _list_paths(picture)]
    manifest.update_manifest(out, [*files.tables, *files.latex, *drawn])
    return files


def _list_paths(picture: Picture) -> list[Path]:
    return [picture.path, picture.svg] if picture.svg else [picture.path]


def _write_csv(table: Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.header)
        writer.writerows([entry.text for entry in line] for line in table.rows)
    return path
