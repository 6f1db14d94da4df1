"""`iid search`: the name of its report, and the command that goes on."""

from types import SimpleNamespace

import pytest

from orchestrator.cli.commands.search import _count_next_trials, _name_search


@pytest.mark.parametrize(
    ("done", "running", "expected"), [(8, 0, 16), (5, 0, 8), (8, 1, 8), (0, 0, 8)]
)
def test_the_command_that_goes_on_has_something_left_to_do(done, running, expected):
    result = SimpleNamespace(trials=[None] * done, count=lambda *states: running)
    assert _count_next_trials([result], 8) == expected


def test_a_space_that_is_called_a_search_is_not_called_so_twice():
    assert _name_search("lambda_search") == "lambda_search"
    assert _name_search("paper/ablation") == "paper/ablation search"
