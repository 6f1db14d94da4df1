"""Writing a report: Markdown, tables as CSV, figures and pictures, from a plan and a store."""

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path

from orchestrator.plan import Plan
from orchestrator.report import overview, tables
from orchestrator.report.figures import write_loss_curves
from orchestrator.report.markdown import render_markdown
from orchestrator.report.model import Report, ReportError, ReportFiles, Table
from orchestrator.report.pictures import write_comparisons, write_sheets
from orchestrator.report.results import Results, read_results


def build_report(results: Results, space_name: str, store: Path, overrides: Sequence[str] = ()) -> Report:
    """Return all tables of a report; nothing is written."""
    words = ["iid", "run", space_name, "--store", str(store), *(word for o in overrides for word in ("--set", o))]
    return Report(
        space=space_name,
        command=shlex.join(words),
        planned_cells=sum(len(m.cells) for m in results.measurements),
        missing_cells=sum(m.missing for m in results.measurements),
        overview=overview.overview(results, space_name),
        sections=tables.sections(results),
        costs=overview.costs(results),
        failures=overview.failures(results),
        missing=overview.missing(results),
    )


def write_report(plan: Plan, space_name: str, store: Path, out: Path, overrides: Sequence[str] = ()) -> ReportFiles:
    """Write the report of a plan into a folder; equal rows give equal files.

    Args:
        plan: the cells and units of the search space.
        space_name: what the user calls the space; it is in the title and in the command that computes what is missing.
        store: folder of the store; results come from its Parquet tables, pictures from its synthetic sets.
        out: folder for the report, made if needed; files of an earlier report are replaced.
        overrides: the `--set` arguments that the plan was made with, for the same command.

    Raises:
        TableError: a table file is damaged.
        ReportError: a synthetic set is damaged, or the folder cannot be written.
    """
    results = read_results(plan, store)
    report = build_report(results, space_name, store, overrides)
    try:
        return _write(results, report, store, out)
    except OSError as error:
        where = error.filename or out
        raise ReportError(f"{where} cannot be written ({error.strerror}); choose another folder with --out") from error


def _write(results: Results, report: Report, store: Path, out: Path) -> ReportFiles:
    written = [_write_csv(table, out / "tables" / f"{table.slug}.csv") for table in report.tables]
    everything = out / "tables" / "results.csv"
    tables.results_frame(results).to_csv(everything, index=False)
    files = ReportFiles(
        report=report,
        folder=out,
        markdown=out / "report.md",
        tables=(*written, everything),
        comparisons=write_comparisons(results, store, out),
        sheets=write_sheets(results, store, out),
        curves=write_loss_curves(results, out),
    )
    files.markdown.write_text(render_markdown(files), encoding="utf-8")
    return files


def _write_csv(table: Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.header)
        writer.writerows([entry.text for entry in line] for line in table.rows)
    return path
