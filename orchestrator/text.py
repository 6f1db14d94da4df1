"""Write durations and errors for people."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 31557600
"""Seconds."""


LONGEST_LINE = 900
"""Characters of a line of an error message."""
_JOINERS = "\u200c\u200d\xa0"
"""Zero-width joiners, which some scripts and emoji need, and the space that does not break."""


def format_duration(seconds: float) -> str:
    """Write a duration as 0.4 s, 42 s, 3 min 20 s, 2 h 05 min or 4 d 03 h, 250 d or 1.3 years."""
    if 0 < seconds < 0.95:  # from 0.95 on, one digit would say 1 s
        return f"{seconds:.1g} s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02d} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"
    if whole < 100 * DAY:
        return f"{whole // DAY} d {whole % DAY // HOUR:02d} h"
    if whole < YEAR:
        return f"{whole // DAY} d"
    return f"{_round_to_digits(whole / YEAR, 2)} years"


def format_hours(seconds: float) -> str:
    """Write a time as a number of hours that says no more than an estimate knows: 0.25 or 1,200."""
    return _round_to_digits(seconds / HOUR, 2)


def _round_to_digits(number: float, digits: int) -> str:
    if number == 0:
        return "0"
    rounded = float(f"{number:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def format_count(number: int, noun: str) -> str:
    """Write "1 unit" or "1,234 units"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_bytes(count: float) -> str:
    """Write a size as 350 MiB or 1.2 GiB; all sizes that people read are in these."""
    if count < 2**20:
        return f"{count / 2**10:.0f} KiB"
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def find_last_line(error: object) -> str:
    """Return the last line of an error's text, where Ray says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown"


def clean_message(text: str) -> str:
    """Return a message for a terminal: nothing in it moves the cursor or hides a part of it.

    Names in it come from users and files. Lines stay lines, but a very long one loses its middle.
    """
    lines = []
    for line in text.split("\n"):
        visible = "".join(char if _is_visible(char) else ascii(char)[1:-1] for char in line)
        if len(visible) > LONGEST_LINE:
            visible = f"{visible[: LONGEST_LINE // 2]} … {visible[-LONGEST_LINE // 3 :]}"
        lines.append(visible)
    return "\n".join(lines)


def _is_visible(char: str) -> bool:
    return char.isprintable() or char in _JOINERS


def choose_error_console(console: "Console") -> "Console":
    """Return where errors are printed: stderr if the console is quiet."""
    from rich.console import Console

    return Console(stderr=True) if console.quiet else console
