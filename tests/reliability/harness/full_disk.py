"""A disk that is full from the n-th write on, or for the n-th alone, whichever way of asking for
space that is.
"""

import errno
import os
import sys
from contextlib import contextmanager
from pathlib import Path

_SPACE = {"os.mkdir", "os.rename", "os.link", "os.symlink"}
_active = None


class FullDisk:
    """Counts the writes below a folder, and makes one of them fail, or it and all later ones."""

    def __init__(self, root, fails=None, *, stays=False):
        self.root, self.fails, self.stays = str(root), fails, stays
        self.count = 0

    def write(self, path):
        """Count a write; raise as a full disk does if its turn has come."""
        self.count += 1
        if self.fails is not None and (
            self.count == self.fails or (self.stays and self.count > self.fails)
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    @contextmanager
    def inserted(self, monkeypatch):
        """Have the disk for the duration of a block."""
        global _active

        def fsync(descriptor):
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if path.startswith(self.root):
                self.write(path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            _active = self
            try:
                yield self
            finally:
                _active = None


def _hook(event, arguments):
    if _active is None or not (event in _SPACE or event == "open"):
        return
    path = os.fspath(arguments[0]) if isinstance(arguments[0], (str, os.PathLike)) else None
    if path is None or not str(path).startswith(_active.root):
        return
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    _active.write(str(path))


sys.addaudithook(_hook)
