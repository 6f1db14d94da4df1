"""The report as GitHub-flavoured Markdown, from the template beside this module."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.report.model import Report, ReportFiles, Table, TableEntry

_ESCAPED = str.maketrans({"|": r"\|", "\n": " ", "<": "&lt;", "*": r"\*", "_": r"\_"})
_EMPHASIS = {"best": "**{}**", "clear": "**{}**", "second": "<u>{}</u>", None: "{}"}


def render_markdown(files: ReportFiles) -> str:
    """Return the whole report; pictures and figures are linked relative to its folder."""
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
    return template.render(
        files=files, report=files.report, captioned=select_captioned(files.report)
    )


def select_captioned(report: Report) -> frozenset[str]:
    """Return the tables (by slug) that show their caption: in each section, the first of those that
    share it.
    """
    sections = [(*section.tables, *section.details) for section in report.sections]
    inside = {table.slug for tables in sections for table in tables}
    others = [table for table in report.tables if table.slug not in inside]
    captions: dict[tuple[int, str], str] = {}
    for number, tables in enumerate([others, *sections]):
        for table in tables:
            captions.setdefault((number, table.caption), table.slug)
    return frozenset(captions.values())


def render_markdown_table(table: Table) -> str:
    """Return a table with its footnotes, without title and caption."""
    lines = [
        _render_line([escape(name) for name in table.header]),
        _render_line(
            [":--" if i in table.text_columns else "--:" for i in range(len(table.header))]
        ),
        *(_render_line([_render_entry(entry) for entry in line]) for line in table.rows),
    ]
    notes = [f"<sup>{i}</sup> {escape(note)}" for i, note in enumerate(table.notes, 1)]
    return "\n".join(lines) + ("\n\n" + "<br>\n".join(notes) if notes else "")


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return text.translate(_ESCAPED)


def _render_line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _render_entry(entry: TableEntry) -> str:
    marks = f"<sup>{','.join(map(str, entry.notes))}</sup>" if entry.notes else ""
    return (_EMPHASIS[entry.emphasis].format(escape(entry.text)) if entry.text else "") + marks
