"""`iid report`: the report of a search space, from what the store has."""

from pathlib import Path

from rich.console import Console

from orchestrator.cli.options import (
    ReportOption,
    SetOption,
    SmokeOption,
    SpaceArgument,
    StoreOption,
    build_console,
    build_request,
)
from orchestrator.errors import ReportError, missing_store_error
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.planning.request import Request
from orchestrator.report import render_terminal, write_report
from orchestrator.report.place import Origin, choose_folder, describe_replaced, record_origin
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.store.verification.changed_sources import find_changed_sources


def report(
    space: SpaceArgument,
    store: StoreOption = "store",
    out: ReportOption = None,
    overrides: SetOption = None,
    smoke: SmokeOption = False,
) -> None:
    """Write the report: tables, figures and curves.

    The report also lists what failed and what is missing.
    """
    show_report(build_request(space, overrides, smoke), open_store(store), out, build_console())


def show_report(request: Request, store: Store, out: Path | None, console: Console) -> None:
    """Write the report of a search space, print its main tables and name its file.

    Raises:
        SpaceError: the search space cannot be used.
        TableError: the store holds a damaged table.
        ReportError: there is no store, a synthetic set is damaged, or the report cannot be written.
    """
    space = request.load()
    show_plan_report(make_plan(space), space.name, request, store, out, console)


def show_plan_report(
    plan: Plan,
    name: str,
    request: Request,
    store: Store,
    out: Path | None,
    console: Console,
    *,
    data: Path | None = None,
) -> None:
    """Do the same for a search space that is planned already.

    Args:
        plan: the plan of the search space.
        name: its name.
        request: what it was loaded by.
        store: where the results are.
        out: folder for the report; `reports/<name>` if None, with changed settings one of its own.
        console: where to print.
        data: the data folder, if the results come from one that was named; for the command in the
            report.
    """
    if not store.exists():
        raise missing_store_error(store.address, ReportError)
    origin = build_origin(request, name, "run", store)
    place = out or choose_folder(origin)
    where = ["--store", store.address, *(["--data", str(data)] if data else [])]
    # With its folder the command updates this report, whatever else is in `reports`.
    command = request.command("run", *where, "--out", str(place))
    replaced = describe_replaced(place, origin)
    files = write_report(plan, request.name, store, place, request.overrides, command)
    keep_origin(place, origin)
    console.print(render_terminal(files.report))
    print_replaced(console, replaced)
    print_place(console, f"Report: {files.markdown} and {files.html}")
    print_place(console, f"Tables: {store}/tables/*/*.parquet")
    for changed in find_changed_sources(store.tables, plan.units.values()):
        print_place(console, f"Note: {changed.describe()}")


def build_origin(request: Request, name: str, command: str, store: Store) -> Origin:
    """Return what the report of a search space is of."""
    path = Path(request.space)
    return Origin(
        name=f"{name} smoke" if request.smoke else name,
        command=command,
        source=str(path.resolve()) if path.is_file() else request.space,
        store=store.resolved().address,
        changes=request.overrides,
    )


def keep_origin(place: Path, origin: Origin) -> None:
    """Record what a report is of.

    Raises:
        ReportError: the record cannot be written.
    """
    try:
        record_origin(place, origin)
    except OSError as error:
        raise ReportError(
            f"{error.filename or place} cannot be written ({error.strerror}); choose another folder"
            " with --out"
        ) from error


def print_replaced(console: Console, replaced: str) -> None:
    """Say what a report replaced, if that was one of something else."""
    if replaced:
        print_place(console, f"Replaced in this folder: the report of {replaced}")


def print_place(console: Console, line: str) -> None:
    """Print a line with a path in it, which must not be wrapped or colored."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
