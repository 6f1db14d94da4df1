import pytest
from rich.console import Console

from orchestrator.text import (
    choose_error_console,
    clean_message,
    format_bytes,
    format_count,
    format_duration,
    format_hours,
)


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
        (250 * 86400, "250 d"),
        (1e8, "3.2 years"),
        (41_446 * 86400, "110 years"),
        (1e12, "32,000 years"),
    ],
)
def test_times_are_written_in_their_two_largest_units(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (36, "0.010"), (3600, "1.0"), (4 * 3600, "4.0"), (123_456 * 3600, "120,000")],
)
def test_hours_say_no_more_than_an_estimate_knows(seconds, text):
    assert format_hours(seconds) == text


def test_errors_are_printed_even_if_the_console_is_quiet(capsys):
    console = Console(quiet=True)
    console.print("a summary")
    choose_error_console(console).print("an error")
    assert capsys.readouterr() == ("", "an error\n")
    loud = Console()
    assert choose_error_console(loud) is loud


def test_sizes_and_counts_are_written_in_one_way():
    assert [format_bytes(size) for size in (2000, 5 * 2**20, 3 * 2**30)] == [
        "2 KiB",
        "5 MiB",
        "3.0 GiB",
    ]
    assert [format_count(count, "unit") for count in (0, 1, 1234)] == [
        "0 units",
        "1 unit",
        "1,234 units",
    ]


def test_a_message_has_nothing_that_moves_the_cursor_and_no_endless_line():
    assert clean_message("a\x1b[31mb\x07\u202ec\nd") == "a\\x1b[31mb\\x07\\u202ec\nd"
    assert clean_message("👩🏽\u200d🔬 é λ") == "👩🏽\u200d🔬 é λ"
    assert len(clean_message("x" * 10_000)) < 1000
