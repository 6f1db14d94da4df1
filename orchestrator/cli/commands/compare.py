"""`iid compare`: two methods, two search spaces or two stores, cell by cell."""

from typing import Annotated

import typer

from orchestrator.cli.options import (
    SetOption,
    SmokeOption,
    StoreOption,
    build_console,
    build_request,
    complete_space,
)
from orchestrator.errors import ReportError, missing_store_error
from orchestrator.planning.plan import make_plan
from orchestrator.planning.request import Request
from orchestrator.report.findings.comparison import Comparison, Side, compare_sides
from orchestrator.report.render.terminal import render_terminal_table
from orchestrator.report.results import Results, read_results
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.text import format_duration
from search_spaces.load import list_spaces
from search_spaces.method_names import canonicalize_method

SideArgument = Annotated[str, typer.Argument(help="Method, search space, or store.")]


def compare(
    first: SideArgument,
    second: SideArgument,
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            metavar="SPACE",
            help="Search space, where methods or stores are compared.",
            autocompletion=complete_space,
        ),
    ] = None,
    store: StoreOption = "store",
    overrides: SetOption = None,
    smoke: SmokeOption = False,
) -> None:
    """Compare two methods, spaces or stores.

    They are compared cell by cell, paired by seed and network. Settings and costs that differ are
    named.
    """
    console = build_console()
    sides = _build_sides(first, second, space, store, overrides, smoke)
    comparison = compare_sides(*sides)
    if comparison is None:
        raise ReportError(
            f"{first} and {second} have no cell with results in common; iid status SPACE shows"
            " what is done"
        )
    console.print(render_terminal_table(comparison.table))
    for line in describe_comparison(comparison, sides[0].label, sides[1].label):
        console.print(line, highlight=False, markup=False)


def describe_comparison(comparison: Comparison, first: str, second: str) -> list[str]:
    """Return in words in how many cells which side is better, and what differs besides."""
    count = len(comparison.table.rows)
    lines = [
        f"{first} is clearly better in {comparison.better} of {count} cells, clearly worse in"
        f" {comparison.worse} (95 %, several sets)."
    ]
    if comparison.settings:
        lines.append(f"Settings of {first} that differ: {', '.join(comparison.settings)}.")
    ours, theirs = (_format_seconds(each) for each in comparison.seconds)
    lines.append(f"Time to make a set: {first} {ours}, {second} {theirs}.")
    return lines


def _format_seconds(seconds: float | None) -> str:
    return "nothing to compute" if seconds is None else format_duration(seconds)


def _build_sides(
    first: str,
    second: str,
    space: str | None,
    store: str,
    overrides: list[str] | None,
    smoke: bool,
) -> tuple[Side, Side]:
    """Tell what the two sides are, and read their results.

    Raises:
        ReportError: they are of different kinds, --space is missing, or there is no store.
    """
    methods = [_find_method(each) for each in (first, second)]
    if all(_is_space(each) for each in (first, second)):
        opened = open_store(store)
        requests = [build_request(each, overrides, smoke) for each in (first, second)]
        made = [Side(label=r.name, results=_read(r, opened), store=store) for r in requests]
        return made[0], made[1]
    if space is None:
        raise ReportError(
            f"{first} and {second} are compared within a search space; name it with --space"
        )
    request = build_request(space, overrides, smoke)
    if methods[0] and methods[1]:
        results = _read(request, open_store(store))
        labels = [method for method in methods if method]
        sides = [Side(label=label, results=results, store=store, method=label) for label in labels]
        return sides[0], sides[1]
    if any(methods) or _is_space(first) or _is_space(second):
        _refuse_unknown(first, second)
        raise ReportError(f"{first} and {second}: compare two methods, two spaces or two stores")
    left, right = (_read(request, open_store(each)) for each in (first, second))
    return (
        Side(label=first, results=left, store=first),
        Side(label=second, results=right, store=second),
    )


def _refuse_unknown(*names: str) -> None:
    """Raise a ReportError for a name next to a method that is none, such as a misspelled one."""
    for name in names:
        if not _is_space(name):
            try:
                canonicalize_method(name)
            except ValueError as error:
                raise ReportError(f"{name}: {error}") from error


def _find_method(name: str) -> str | None:
    try:
        return canonicalize_method(name)
    except ValueError:
        return None


def _is_space(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or name in dict(list_spaces())


def _read(request: Request, store: Store) -> Results:
    if not store.exists():
        raise missing_store_error(store.address, ReportError)
    return read_results(make_plan(request.load()), store.refresh_tables().parent)
