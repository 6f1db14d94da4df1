"""`iid compare`: what the two sides may be; the numbers are tested with the comparison."""

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.cli.commands.compare import describe_comparison
from orchestrator.report.findings.comparison import Comparison
from orchestrator.report.model import Table, build_row


def _error(*arguments):
    result = CliRunner().invoke(app, ["compare", *arguments])
    assert result.exit_code == 2, result.output
    return result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("DM", "IDM"), "name it with --space"),
        (("one", "two"), "name it with --space"),
        (("DM", "quickstart", "--space", "quickstart"), "compare two methods, two spaces or"),
        (("Random", "DN", "--space", "quickstart"), "error: DN: "),
        (("DM+IDI", "DM", "--space", "quickstart"), "error: DM+IDI: "),
        (("DM", "IDM", "--space", "quickstart", "--store", "none"), "there is none in none"),
        (("quickstart", "quickstart", "--store", "none"), "there is none in none"),
        (("none", "other", "--space", "quickstart"), "there is none in none"),
    ],
)
def test_what_cannot_be_compared_is_said(arguments, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert message in _error(*arguments)


def test_words_name_the_winner_and_what_differs_besides():
    table = Table(slug="x", title="x", header=("a",), rows=(build_row("1"), build_row("2")))
    comparison = Comparison(
        table=table, better=1, worse=0, settings=("lambda_cc 0.05, not 0",), seconds=(90.0, None)
    )
    assert describe_comparison(comparison, "DM+IID", "DM") == [
        "DM+IID is clearly better in 1 of 2 cells, clearly worse in 0 (95 %, several sets).",
        "Settings of DM+IID that differ: lambda_cc 0.05, not 0.",
        "Time to make a set: DM+IID 1 min 30 s, DM nothing to compute.",
    ]
