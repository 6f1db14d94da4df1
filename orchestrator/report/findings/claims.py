"""The table of claims: what was claimed, and what the results say of it.

Claims are those of the paper, with their source, and those that a search space adds. Numbers come
from measurements without swept settings, which are rows of `evaluations`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.analysis.claims import MAX_MORE_SETS, Bound, Judgment, judge
from orchestrator.analysis.generalization import Contrast
from orchestrator.report.entries import format_points
from orchestrator.report.findings.claimed_cells import ClaimedCell, collect_cells
from orchestrator.report.model import Table, TableEntry
from orchestrator.report.results import Results
from orchestrator.report.tables.published import JPEG
from search_spaces.claims import Claim
from search_spaces.setting_sources import load_published_claims

_CAPTION = (
    "In points, with the 95 % interval: differences paired by seed and network, drops paired by set"
    " (Student's t over sets). Where the largest or smallest of several cells counts, the interval"
    " is corrected for choosing it. Supported: the whole interval meets the claim; contradicted:"
    " none of it does; undecided: some of it does. The tolerance of a published claim is named with"
    " it. More seeds: per cell, if means and spreads stay as they are. Not comparable: measured"
    " with other settings or images than the published ones."
)
_HEADER = ("Claim", "Verdict", "Ours", "Published", "Where", "Source")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """The cells of a claim that are judged together."""

    claim: Claim
    cells: tuple[ClaimedCell, ...]
    """Those with results."""
    planned: int
    """How many cells the claim is about."""
    reason: str
    """Why the numbers cannot be compared with the published ones; empty where they can."""


def build_claims_table(results: Results) -> Table | None:
    """Return a row per claim that the results say something about; None without any."""
    rows = []
    for claim in (*load_published_claims(), *results.plan.claims):
        for finding in _list_findings(results, claim):
            rows.append(_build_row(finding))
    if not rows:
        return None
    return Table(
        slug="claims",
        title="What was claimed, and what came out",
        header=_HEADER,
        rows=tuple(rows),
        caption=_CAPTION,
        text_columns=(0, 1, 3, 4, 5),
    )


def _list_findings(results: Results, claim: Claim) -> Iterator[_Finding]:
    """Yield what there is on a claim: once on its data sets, and once on each other one."""
    cells = collect_cells(results, claim)
    meant = [cell for cell in cells if _is_meant(claim, cell)]
    yield from _build_findings(claim, meant, "")
    if not claim.anywhere:
        return
    others = [cell for cell in cells if cell not in meant]
    for dataset in dict.fromkeys(cell.dataset for cell in others):
        elsewhere = [cell for cell in others if cell.dataset == dataset]
        yield from _build_findings(claim, elsewhere, f"measured on {dataset}")


def _is_meant(claim: Claim, cell: ClaimedCell) -> bool:
    return not claim.datasets or cell.dataset.removesuffix(JPEG) in claim.datasets


def _build_findings(claim: Claim, cells: Sequence[ClaimedCell], reason: str) -> Iterator[_Finding]:
    done = [cell for cell in cells if cell.contrast is not None]
    if not done:
        return
    if claim.published and not reason:
        comparable = [cell for cell in done if not cell.differing]
        # Without a comparable cell, the numbers are shown, and the first reason is named.
        reason = "" if comparable else done[0].differing
        done = comparable or done
    datasets = {cell.dataset for cell in cells}
    planned = max(len(cells), len(claim.pairs) * len(claim.ipc) * len(datasets))
    yield _Finding(claim=claim, cells=tuple(done), planned=planned, reason=reason)


def _build_row(finding: _Finding) -> tuple[TableEntry, ...]:
    claim, cells = finding.claim, finding.cells
    contrasts = [cell.contrast for cell in cells if cell.contrast is not None]
    bound = Bound(value=claim.bound / 100, is_upper=claim.at_most is not None)
    judgment = judge(
        contrasts,
        bound,
        largest=claim.chosen == "largest",
        is_complete=len(cells) >= finding.planned,
    )
    decisive = cells[judgment.place]
    keys: dict[str, None] = {}
    for cell in cells:
        keys.update(dict.fromkeys(cell.keys))
    return (
        TableEntry(text=claim.text),
        TableEntry(text=_describe(finding, judgment, contrasts)),
        TableEntry(text=_format_ours(judgment, claim, len(cells)), keys=tuple(keys)),
        TableEntry(text=_format_published(claim)),
        TableEntry(text=decisive.label),
        TableEntry(text=claim.source or "this search space"),
    )


def _format_published(claim: Claim) -> str:
    if not claim.tolerance:
        return claim.published
    return f"{claim.published} (tolerance {claim.tolerance:g})".strip()


def _format_ours(judgment: Judgment, claim: Claim, count: int) -> str:
    text = format_points(judgment.value, 2)
    if judgment.interval is not None:
        low, high = judgment.interval
        text += f" [{format_points(low, 2)}, {format_points(high, 2)}]"
    return f"{claim.chosen} of {count}: {text}" if count > 1 else text


def _describe(finding: _Finding, judgment: Judgment, contrasts: Sequence[Contrast]) -> str:
    """Return the verdict in words."""
    if finding.reason:
        return f"not comparable: {finding.reason}"
    if judgment.ruling != "undecided":
        return judgment.ruling
    if min(contrast.sets for contrast in contrasts) < 2:
        return "undecided: one seed says nothing about others"
    if not all(contrast.is_decisive for contrast in contrasts):
        return "undecided: the seeds agree exactly, so their spread is not known"
    if judgment.more_sets is not None:
        seeds = "seed" if judgment.more_sets == 1 else "seeds"
        return f"undecided: {judgment.more_sets:,} more {seeds} would decide"
    if len(finding.cells) < finding.planned:
        return f"undecided: {len(finding.cells)} of {finding.planned} cells measured"
    return f"undecided: more than {MAX_MORE_SETS:,} more seeds"
