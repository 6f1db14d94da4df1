"""`iid report`: the report of a search space, from what a store has."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from orchestrator.plan import make_plan
from orchestrator.report import ReportError, render_terminal, write_report
from orchestrator.report.model import slug
from orchestrator.store import Store
from search_spaces.space import load_space

REPORTS = Path("reports")


def show_report(name: str, overrides: Sequence[str], store: Store, out: Path | None, console: Console) -> None:
    """Write the report of a search space, print its main tables and name its file.

    Args:
        name: a shipped search space or the path of a YAML file.
        overrides: `path=value` each, as for `iid run`.
        store: where the results are.
        out: folder for the report; `reports/<space>` if None.
        console: where to print.

    Raises:
        SpaceError: the search space cannot be used.
        TableError: the store holds a damaged table.
        ReportError: there is no store, a synthetic set is damaged, or the report cannot be written.
    """
    space = load_space(name, overrides)
    if not store.root.is_dir():
        raise ReportError(f"there is no store at {store.root}; name it with --store, or make it with iid run {name}")
    files = write_report(make_plan(space), name, store.root, out or REPORTS / slug(space.name), overrides)
    console.print(render_terminal(files.report))
    console.print(f"Report: {files.markdown}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Tables: {store.tables}/*/*.parquet", highlight=False, markup=False, soft_wrap=True)
