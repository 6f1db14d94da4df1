"""The token without which nobody can use a Ray that was started here: whoever reaches Ray's ports
runs code.

Ray asks for it by default, and makes it as a file that everybody on the machine can read; so it is
made here.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077


def keep_token_private() -> None:
    """Have Ray's token in a file that only its owner can read, made before Ray makes it.

    A user who names a token, or switches it off (`RAY_AUTH_MODE=disabled`), decides for himself.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    path = Path.home() / ".ray" / "auth_token"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            _create(path, secrets.token_hex(32))
        elif path.stat().st_mode & OTHERS and path.stat().st_uid == os.getuid():
            path.chmod(0o600)
    except OSError:  # no home to write to: this process and those that it starts know it alone
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _create(path: Path, token: str) -> None:
    """Have the file appear whole, unless another process is faster."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
        ) as stream:
            stream.write(token)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
