"""The report as one HTML file that needs nothing else: no network, no other file, no framework."""

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator.report.model import ReportFiles
from orchestrator.report.render.data_uri import encode_picture
from orchestrator.report.render.evidence import collect_evidence
from orchestrator.report.render.markdown import select_captioned
from orchestrator.report.results import Results
from orchestrator.report.tables.overview import select_failed_rows

_FIGURE_SCALE = 0.6
"""Figures have 160 dots an inch, a page has 96."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedUnit:
    """A unit that failed, with its whole error."""

    key: str
    what: str
    error: str
    reason: str
    traceback: str


def render_html(files: ReportFiles, results: Results) -> str:
    """Return the whole report with its pictures, and with the rows behind its numbers.

    Raises:
        OSError: a picture cannot be read.
    """
    return render_page(
        "report.html.jinja",
        files.folder,
        files=files,
        report=files.report,
        captioned=select_captioned(files.report),
        failures=_list_failures(files, results),
        evidence=collect_evidence(files.report, results),
    )


def render_page(template: str, folder: Path, **content: object) -> str:
    """Return a page from one of the templates beside this module; pictures are read from the
    report's folder.

    Raises:
        OSError: a picture cannot be read.
    """
    environment = Environment(
        loader=PackageLoader("orchestrator.report.render"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {
        "sort_keys": True,
        "ensure_ascii": False,
        "separators": (",", ":"),
    }
    environment.filters["breakable"] = mark_breaks
    environment.filters["inline"] = lambda picture: encode_picture(folder / picture.path)
    return environment.get_template(template).render(figure_scale=_FIGURE_SCALE, **content)


def mark_breaks(text: str) -> Markup:
    """Return a heading that may be broken after a slash or an underscore, but not inside of
    λ_CC.
    """
    return Markup(re.sub(r"(?<=[/_])(?<!λ_)", "<wbr>", str(escape(text))))


def _list_failures(files: ReportFiles, results: Results) -> tuple[FailedUnit, ...]:
    table = files.report.failures
    tracebacks = select_failed_rows(results).set_index("key")["traceback"]
    return tuple(
        FailedUnit(key=key, what=what, error=error, reason=reason, traceback=tracebacks[key] or "")
        for key, what, error, reason in (
            [entry.text for entry in line] for line in (table.rows if table else ())
        )
    )
