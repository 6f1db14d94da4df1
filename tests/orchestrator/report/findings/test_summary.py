"""The sentences at the top of a report."""

from orchestrator.report.findings.summary import build_summary
from orchestrator.report.model import Table, TableEntry
from orchestrator.report.results import read_results


def summarize(grid, claims=None):
    return build_summary(read_results(grid.plan, grid.store), claims)


def fill(grid, method, ipc, accuracies):
    for seed, values in enumerate(accuracies):
        grid.cell(method, ipc, seed, values)


def test_each_method_is_compared_with_its_base_and_clear_differences_are_counted(grid):
    for ipc in (1, 10):
        fill(grid, "DM", ipc, [[0.50, 0.51], [0.52, 0.53], [0.54, 0.55]])
    fill(grid, "DM+IID", 1, [[0.53, 0.54], [0.551, 0.561], [0.569, 0.579]])
    fill(grid, "DM+IID", 10, [[0.51, 0.52], [0.50, 0.51], [0.55, 0.56]])
    (sentence,) = summarize(grid)
    assert sentence == (
        "DM+IID against DM, 2 cells: clearly better in 1, clearly worse in 0."
        " The difference is +1.50 points on average (0.00 to +3.00)."
    )


def test_without_bases_methods_are_compared_with_random(grid):
    fill(grid, "Random", 1, [[0.30], [0.32]])
    fill(grid, "DM", 1, [[0.20], [0.2199]])
    assert summarize(grid) == (
        "DM against Random, 1 cell: clearly better in 0, clearly worse in 1."
        " The difference is −10.00 points.",
    )


def test_one_seed_claims_nothing(grid):
    fill(grid, "DM", 1, [[0.30, 0.31]])
    fill(grid, "DM+CC", 1, [[0.32, 0.33]])
    (sentence,) = summarize(grid)
    assert sentence.endswith("+2.00 points. One seed says nothing about other sets.")


def test_equal_sets_are_no_comparison_and_nothing_done_is_no_sentence(grid):
    assert summarize(grid) == ()
    fill(grid, "DM", 1, [[0.30, 0.31], [0.32, 0.33]])
    for seed in (0, 1):
        grid.cell("DM+IID", 1, seed, [0.30, 0.31], same_as="DM")
    assert summarize(grid) == ()


def test_verdicts_are_counted(grid):
    verdicts = ("supported", "undecided: 2 more seeds would decide", "undecided: one seed")
    table = Table(
        slug="claims",
        title="Claims",
        header=("Claim", "Verdict"),
        rows=tuple((TableEntry(text="a"), TableEntry(text=text)) for text in verdicts),
    )
    assert summarize(grid, table) == ("Of 3 claims: 1 supported, 2 undecided.",)
