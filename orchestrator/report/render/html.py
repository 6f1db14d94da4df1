"""The report as one HTML file that needs nothing else: no network, no other file, no framework."""

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator.report.model import Picture, ReportFiles
from orchestrator.report.render.data_uri import EncodedPicture, encode_picture
from orchestrator.report.render.evidence import collect_evidence
from orchestrator.report.render.markdown import select_captioned
from orchestrator.report.results import Results
from orchestrator.report.tables.overview import select_failed_rows

_FIGURE_SCALE = 0.6
"""Figures have 160 dots per inch, a page has 96."""


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
    """Return a page from one of the templates in `templates`.

    Args:
        template: name of its file.
        folder: the report's folder, which pictures are read from.
        content: variables of the template.

    Raises:
        OSError: a picture cannot be read.
    """

    def inline(picture: Picture) -> EncodedPicture:
        return encode_picture(folder / picture.path)

    environment = Environment(
        loader=PackageLoader("orchestrator.report.render"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    # Sorted keys, so that equal rows give equal files; no spaces, because evidence is large.
    environment.policies["json.dumps_kwargs"] = {
        "sort_keys": True,
        "ensure_ascii": False,
        "separators": (",", ":"),
    }
    environment.filters["breakable"] = mark_breaks
    environment.filters["inline"] = inline
    return environment.get_template(template).render(figure_scale=_FIGURE_SCALE, **content)


def mark_breaks(text: str) -> Markup:
    """Return a heading that may break after a slash or an underscore, but not inside λ_CC."""
    return Markup(re.sub(r"(?<=[/_])(?<!λ_)", "<wbr>", str(escape(text))))


def _list_failures(files: ReportFiles, results: Results) -> tuple[FailedUnit, ...]:
    table = files.report.failures
    if table is None:
        return ()
    tracebacks = select_failed_rows(results).set_index("key")["traceback"]
    failures = []
    for row in table.rows:
        key, what, error, reason = (entry.text for entry in row)
        traceback = tracebacks[key] or ""
        failures.append(
            FailedUnit(key=key, what=what, error=error, reason=reason, traceback=traceback)
        )
    return tuple(failures)
