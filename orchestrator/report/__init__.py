"""Reports of a search space from the Parquet tables of a store.

`results` reads rows, `tables` and `figures` show them, and `render` prints both as HTML, Markdown,
LaTeX, CSV and in a terminal.
"""

from orchestrator.errors import ReportError
from orchestrator.report.model import Report, ReportFiles
from orchestrator.report.render.terminal import render_terminal
from orchestrator.report.write import write_report

__all__ = ["Report", "ReportError", "ReportFiles", "render_terminal", "write_report"]
