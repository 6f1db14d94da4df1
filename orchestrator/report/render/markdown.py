"""The report as GitHub-flavored Markdown, from the template in `templates`."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.report.model import Report, ReportFiles, Table, TableEntry

_ESCAPED = str.maketrans({"|": r"\|", "\n": " ", "<": "&lt;", "*": r"\*", "_": r"\_"})
_EMPHASIS = {"best": "**{}**", "clear": "**{}**", "second": "<u>{}</u>", None: "{}"}


def render_markdown(files: ReportFiles) -> str:
    """Return the whole report; links to pictures and figures are relative to its folder."""
    environment = Environment(
        loader=PackageLoader("orchestrator.report.render"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"table": render_markdown_table, "escape": escape}
    template = environment.get_template("report.md.jinja")
    captioned = select_captioned(files.report)
    return template.render(files=files, report=files.report, captioned=captioned)


def select_captioned(report: Report) -> frozenset[str]:
    """Return the slugs of the tables that show their caption.

    Of the tables of a section that share a caption, only the first shows it.
    """
    sections = [(*section.tables, *section.details) for section in report.sections]
    inside: set[str] = set()
    for tables in sections:
        inside.update(table.slug for table in tables)
    # Captions are long, and readers see a section as a whole, so one of each is enough.
    others = tuple(table for table in report.tables if table.slug not in inside)
    shown: set[str] = set()
    for tables in (others, *sections):
        captions: dict[str, str] = {}
        for table in tables:
            captions.setdefault(table.caption, table.slug)
        shown.update(captions.values())
    return frozenset(shown)


def render_markdown_table(table: Table) -> str:
    """Return a table with its footnotes, without title and caption."""
    rulers = [":--" if i in table.text_columns else "--:" for i in range(len(table.header))]
    lines = [_render_line([escape(name) for name in table.header]), _render_line(rulers)]
    for row in table.rows:
        lines.append(_render_line([_render_entry(entry) for entry in row]))
    text = "\n".join(lines)
    if not table.notes:
        return text
    notes = [f"<sup>{i}</sup> {escape(note)}" for i, note in enumerate(table.notes, 1)]
    return text + "\n\n" + "<br>\n".join(notes)


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return text.translate(_ESCAPED)


def _render_line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _render_entry(entry: TableEntry) -> str:
    # An empty "****" would print as asterisks.
    text = _EMPHASIS[entry.emphasis].format(escape(entry.text)) if entry.text else ""
    return text + (f"<sup>{','.join(map(str, entry.notes))}</sup>" if entry.notes else "")
