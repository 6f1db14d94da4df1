"""Ray's auth token: whoever can reach Ray's ports and has the token can run code on this machine.

Ray asks for the token by default, but creates it as a file that every user of the machine can read.
So the file is created here, before Ray does it.
"""

import logging
import os
import secrets
from pathlib import Path

_log = logging.getLogger(__name__)

GROUP_AND_OTHERS = 0o077


def keep_token_private() -> None:
    """Make sure that only its owner can read the file with Ray's token.

    Users who name a token or switch it off (`RAY_AUTH_MODE=disabled`) have made their choice.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    path = Path("~") / ".ray" / "auth_token"
    try:
        path = path.expanduser()
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            _create_token_file(path)
        elif path.stat().st_mode & GROUP_AND_OTHERS and path.stat().st_uid == os.getuid():
            path.chmod(0o600)
            _log.info("%s was readable by others, which it is no longer", path)
    except (OSError, RuntimeError) as error:
        # There is no home folder to write to. A token in the environment is known to this process
        # and to those that it starts, which is all that a Ray of this machine needs.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        _log.warning("Ray's token stays in memory, since %s cannot be written: %s", path, error)


def _create_token_file(path: Path) -> None:
    """Create the file with a new token, unless another process does it first."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # O_EXCL with the mode: at no moment can somebody else open the file.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(32))
        try:
            # A link, unlike a rename, never replaces a file: two processes that start at the same
            # time end up with the same token, and nobody reads half of one.
            os.link(temporary, path)
        except FileExistsError:
            _log.info("another process has created %s", path)
    finally:
        temporary.unlink(missing_ok=True)
