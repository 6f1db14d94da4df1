"""`iid verify`: whether a store still holds what was computed, and what to compute again."""

import logging
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.options import StoreOption, build_console
from orchestrator.errors import TableError
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.store.verification import verify as verification
from orchestrator.store.verification.changed_sources import find_all_changed_sources
from orchestrator.store.verification.verify import Finding, Verification
from orchestrator.text import format_bytes, format_count

_log = logging.getLogger(__name__)

SHOWN = 50


def verify(
    store: StoreOption = "store",
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Move damaged files aside; the next run computes them again."
        ),
    ] = False,
) -> None:
    """Check every file of a store against its hash.

    Lists the units that have to be computed again. Deletes nothing.
    """
    raise typer.Exit(show_verification(open_store(store), build_console(asked=True), mend=repair))


def show_verification(store: Store, console: Console, *, mend: bool = False) -> int:
    """Print what is wrong in a store and what to do about it.

    Args:
        store: the store.
        console: where to print.
        mend: whether to move damaged files aside and to publish rows again.

    Returns:
        The exit code: 0 if there is nothing to do or all of it was done, otherwise 1.

    Raises:
        StoreError: there is no store, or it cannot be read or, to mend it, written.
    """
    store = store.resolved()
    seen = verification.verify(store)
    _print_findings(seen.findings, console)
    _print_changed_sources(store, console)
    counts = format_count(seen.units, "unit"), format_count(seen.files, "file")
    extent = f"{', '.join(counts)}, {format_bytes(seen.bytes)}"
    if seen.intact:
        console.print(f"{extent}: everything is as it was computed.", highlight=False)
        return 0
    console.print(f"{extent}: {_summarize_actions(seen)}.", highlight=False, soft_wrap=True)
    if not mend:
        console.print(
            f"iid verify --repair --store {store} moves damaged files to the folder damaged of the"
            " store and publishes rows again; then run the search space again. Nothing is deleted.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        return 1
    folder, left = verification.repair(store, seen.findings)
    console.print(
        f"What is damaged is in {folder}; run the search space again.", markup=False, soft_wrap=True
    )
    for finding in left:
        console.print(
            Text(f"left alone: {finding.place}: another process is working on it"), soft_wrap=True
        )
    return 1 if left else 0


def _print_changed_sources(store: Store, console: Console) -> None:
    """Say which custom code is not what results were computed with; there is nothing to repair."""
    try:
        changed = find_all_changed_sources(store.refresh_tables())
    except TableError as error:
        # A damaged table is among the findings; its custom code is compared once it is repaired.
        _log.warning("custom code is not compared: %s", error)
        return
    for each in changed:
        console.print(Text(f"Note: {each.describe()}"), soft_wrap=True)


def _print_findings(findings: Sequence[Finding], console: Console) -> None:
    if not findings:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("to do", "where", "what is wrong"):
        table.add_column(heading, overflow="fold")
    order = sorted(findings, key=lambda finding: finding.action == "none")
    for finding in order[:SHOWN]:
        table.add_row(
            Text("-" if finding.action == "none" else finding.action),
            finding.place,
            Text(finding.problem),
        )
    console.print(table)
    if len(findings) > SHOWN:
        console.print(f"and {len(findings) - SHOWN} more")


def _summarize_actions(seen: Verification) -> str:
    counts = {
        "unit": len(seen.recompute),
        "row": sum(finding.action == "publish" for finding in seen.findings),
        "file": sum(finding.action == "set aside" for finding in seen.findings),
    }
    verbs = {"unit": "compute again", "row": "publish again", "file": "set aside"}
    named = ", ".join(f"{kind} {key}" for kind, key in seen.recompute[:5])
    todo = ", ".join(
        f"{format_count(count, what)} to {verbs[what]}" for what, count in counts.items() if count
    )
    return f"{todo} ({named}{', …' if len(seen.recompute) > 5 else ''})" if named else todo
