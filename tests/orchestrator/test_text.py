import pytest
from rich.console import Console

from orchestrator.text import choose_error_console, format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0.04 s"),
        (0.96, "1 s"),
        (42.4, "42 s"),
        (59.9, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599, "59 min 59 s"),
        (7500, "2 h 05 min"),
        (86399, "23 h 59 min"),
        (4 * 86400 + 3 * 3600, "4 d 03 h"),
        (1e8, "1,157 d 09 h"),
    ],
)
def test_times_are_written_in_their_two_largest_units(seconds, text):
    assert format_duration(seconds) == text


def test_errors_are_printed_even_if_the_console_is_quiet(capsys):
    console = Console(quiet=True)
    console.print("a summary")
    choose_error_console(console).print("an error")
    assert capsys.readouterr() == ("", "an error\n")
    loud = Console()
    assert choose_error_console(loud) is loud
