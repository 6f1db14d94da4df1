"""Standard output and error as they are: full devices, closed pipes, terminals without Unicode."""

import codecs
import io
import os
import sys
from typing import TextIO

ASCII = {
    "×": "x",
    "±": "+-",
    "–": "-",
    "—": "-",
    "…": "...",
    "·": "-",
    "•": "*",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "λ": "lambda",
    "α": "alpha",
    "β": "beta",
    "φ": "phi",
    "ψ": "psi",
    "µ": "u",
    "μ": "u",
    "²": "^2",
    "†": "+",
    "✓": "ok",
    "⚠": "!",
    "°": " degrees",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "\xa0": " ",
    "\u202f": " ",
}
"""What a terminal that knows few letters shows instead of those that the project prints."""


class LenientFile(io.FileIO):
    """A standard stream whose device may be full: what it cannot take is dropped.

    Hours of computing must not end because a log is full, so the failure is told at the end. A
    closed pipe is another matter: its reader wants no more.
    """

    failure: OSError | None = None

    def write(self, data: object) -> int:
        """Write bytes, or drop them if the device fails."""
        try:
            return super().write(data) or 0  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failure = self.failure or error
            return memoryview(data).nbytes  # type: ignore[arg-type]


def use_utf8() -> None:
    """Start this process anew in Python's UTF-8 mode, where the locale names another encoding.

    Names of files and classes, settings and reports are UTF-8. What is printed stays in the
    encoding of the terminal. Workers inherit the mode.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name == "utf-8" or sys.flags.utf8_mode:
        return
    terminal = getattr(sys.stdout, "encoding", None) or "ascii"
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", f"{terminal}:backslashreplace")
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def is_utf8(text: str) -> bool:
    """Tell whether a word of the command line came as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def prepare_streams() -> list[LenientFile]:
    """Make stdout and stderr bear full devices and every character; return the files below."""
    codecs.register_error("readable", _replace)
    files = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller, as `>&-` does
            continue
        file = LenientFile(stream.fileno(), "w", closefd=False)
        files.append(file)
        setattr(sys, name, _wrap(stream, file))
    return files


def find_failure(files: list[LenientFile]) -> OSError | None:
    """Flush the streams, and return why one of them could not take all, if so."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            # The interpreter flushes once more: let it write into nothing.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return next((file.failure for file in files if file.failure is not None), None)


def _wrap(stream: TextIO, file: LenientFile) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        errors="readable",
        line_buffering=file.isatty() or stream is sys.stderr,
    )


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write a character that the encoding lacks as its name, or else as its code."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = []
    for char in error.object[error.start : error.end]:
        if "\udc80" <= char <= "\udcff":  # a byte of a file name, as the system gave it
            parts.append(f"\\x{ord(char) - 0xDC00:02x}")
        else:
            parts.append(ASCII.get(char) or char.encode("ascii", "backslashreplace").decode())
    return "".join(parts), error.end
