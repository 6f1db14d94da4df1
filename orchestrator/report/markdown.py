"""The report as GitHub-flavoured Markdown, from the template beside this module."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.report.model import Entry, ReportFiles, Table

_ESCAPED = str.maketrans({"|": r"\|", "\n": " ", "<": "&lt;", "*": r"\*", "_": r"\_"})
_EMPHASIS = {"best": "**{}**", "clear": "**{}**", "second": "<u>{}</u>", None: "{}"}


def render_markdown(files: ReportFiles) -> str:
    """Return the whole report; pictures and figures are linked relative to its folder."""
    environment = Environment(
        loader=PackageLoader("orchestrator.report"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"table": markdown_table, "escape": escape}
    captions: dict[str, str] = {}
    for table in files.report.tables:
        captions.setdefault(table.caption, table.slug)
    template = environment.get_template("report.md.jinja")
    return template.render(files=files, report=files.report, captioned=set(captions.values()))


def markdown_table(table: Table) -> str:
    """Return a table with its footnotes, without title and caption."""
    lines = [
        _line([escape(name) for name in table.header]),
        _line([":--" if i in table.text_columns else "--:" for i in range(len(table.header))]),
        *(_line([_entry(entry) for entry in line]) for line in table.rows),
    ]
    notes = [f"<sup>{i}</sup> {escape(note)}" for i, note in enumerate(table.notes, 1)]
    return "\n".join(lines) + ("\n\n" + "<br>\n".join(notes) if notes else "")


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return text.translate(_ESCAPED)


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _entry(entry: Entry) -> str:
    marks = f"<sup>{','.join(map(str, entry.notes))}</sup>" if entry.notes else ""
    return (_EMPHASIS[entry.emphasis].format(escape(entry.text)) if entry.text else "") + marks
