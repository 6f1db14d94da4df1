"""Names as files show them: nothing in them moves a cursor, hides letters or is computed.

Names come from users and from files that others made.
"""

import hashlib
import re

LONGEST_NAME = 80
"""Letters of a name; longer ones lose their middle."""
_HASH_LENGTH = 6
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)
"""Control characters but line feed and tab, marks of direction, and halves of characters."""
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
_NUMBER = re.compile(r"[+-]\d[\d.,]*( \[[+\-−\d., ]*\])?")


def show_invisible(text: str) -> str:
    r"""Return a text with its invisible characters as \u001b; lines stay lines."""
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shorten_name(name: str) -> str:
    """Return a name that can be shown: visible, on one line, and not too long.

    Different names stay different.
    """
    shown = " ".join(show_invisible(name).split())
    if len(shown) <= LONGEST_NAME:
        return shown
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{shown[: LONGEST_NAME - _HASH_LENGTH - 2]}… {digest}"


def protect_cell(text: str) -> str:
    """Return a text for a CSV cell that no spreadsheet takes for a formula.

    What begins like a formula gets an apostrophe in front. Numbers with a sign stay as they are.
    """
    shown = show_invisible(text)
    is_formula = _FORMULA.match(shown) and not _NUMBER.fullmatch(shown)
    return f"'{shown}" if is_formula else shown
