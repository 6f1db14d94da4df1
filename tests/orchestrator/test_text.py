import pytest

from orchestrator.text import format_duration


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
