"""Paths that users give: what the system says of one becomes one clear line.

Every path of the command line, of a search space and of the environment passes `check_path`
before anything reads or writes there.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Literal

from distill_core.settings import SettingsError

PathKind = Literal["file", "folder", "any"]
"""What a path may lead to, if it exists. Pipes, devices and sockets are refused always."""

_SHOWN = 160
"""Characters of a path in a message; the middle of a longer one is left out."""

_SPECIAL = (
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_EXPLANATIONS = {
    errno.ENAMETOOLONG: "the name is too long for the file system; give a shorter one",
    errno.ELOOP: "a link there leads back to itself; remove it, or name its target",
    errno.EACCES: "permission denied; ask for access, or give another path",
    errno.EPERM: "permission denied; ask for access, or give another path",
    errno.ENOTDIR: "part of the path is a file, not a folder; check the path",
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.EISDIR: "it is a folder, not a file; name a file",
    errno.ENOSPC: "the disk is full; free some space, or name another place",
    errno.EROFS: "the file system is read-only; name another place",
    errno.EDQUOT: "your quota is used up; free some space, or name another place",
    errno.ESTALE: "the network file system lost it; check that the folder is mounted",
    errno.ENXIO: "it is no regular file; name a file",
}


class PathError(SettingsError):
    """A path cannot be used; the message names it, and says why and what to do."""


def check_path(given: str | Path, what: str = "", *, kind: PathKind = "any") -> Path:
    """Return a path that a user gave with `~` expanded; it need not exist.

    Nothing is opened, so a pipe without a writer keeps nobody waiting.

    Args:
        given: the path.
        what: option, setting or variable that it comes from, for the message.
        kind: what it may lead to if it exists.

    Raises:
        PathError: the system cannot look there, or there is something else than `kind`.
    """
    text = os.fspath(given)
    label = f"{what}: " if what else ""
    if not text:
        raise PathError(f"{label}the path is empty; name a file or folder")
    if "\0" in text:
        raise PathError(f"{label}{show_path(text)} contains a NUL character; correct the path")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PathError(
            f"{label}{show_path(text)} has bytes that are no UTF-8; rename it, or make a link to it"
            " that has another name"
        ) from error
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        user = Path(text).parts[0]
        why = f"no user {user[1:]} is known here" if len(user) > 1 else "HOME is not set"
        raise PathError(f"{label}{show_path(text)}: {why}; write the whole path") from error
    _check_what_is_there(path, label, kind)
    return path


def check_tree_file(path: Path) -> Path:
    """Return the path of a file inside a folder of the user's, if it is safe to open.

    Raises:
        PathError: it is a pipe, a device, a socket or a folder, or cannot be looked at.
    """
    _check_what_is_there(path, "", "file")
    return path


def show_path(path: str | Path) -> str:
    """Write a path for people: printable, and not longer than a message can bear."""
    readable = os.fsencode(path).decode(errors="backslashreplace")
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in readable)
    if len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"


def explain_os_error(error: OSError) -> str:
    """Say in words what the system says, and what to do."""
    known = _EXPLANATIONS.get(error.errno or 0)
    return known or (error.strerror or str(error)).lower()


def format_os_error(error: OSError) -> str:
    """Write an error of the system as "<path>: <what is wrong and what to do>"."""
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    places = " and ".join(show_path(os.fsdecode(name)) for name in names if name)
    return f"{places}: {explain_os_error(error)}" if places else explain_os_error(error)


def _check_what_is_there(path: Path, label: str, kind: PathKind) -> None:
    shown = show_path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise PathError(f"{label}{shown}: {explain_os_error(error)}") from error
    for is_special, name in _SPECIAL:
        if is_special(mode):
            wanted = "folder" if kind == "folder" else "regular file"
            raise PathError(f"{label}{shown} is {name}, not a {wanted}; name a {wanted}")
    if kind == "folder" and not stat.S_ISDIR(mode):
        raise PathError(f"{label}{shown} is a file, not a folder; name a folder")
    if kind == "file" and stat.S_ISDIR(mode):
        raise PathError(f"{label}{shown} is a folder, not a file; name a file")
