"""The folder that a report goes to, so that no report replaces one of something else.

The full report of a space is in `reports/<space>`. A report with changed settings has a folder of
its own, and so has a report of another store, whose origin the folder records.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.report.model import make_slug

REPORTS = Path("reports")
ORIGIN = ".origin.json"
_NAME_LENGTH = 40
_HASH_LENGTH = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What a report is of."""

    name: str
    """What the folder is called, such as "quickstart smoke"."""
    command: str
    """The command that writes it: run, search or evaluate."""
    source: str
    """The search space or the sets."""
    store: str
    """Address of the store, valid in any working folder."""
    changes: tuple[str, ...] = ()
    """Settings changed on the command line."""

    @property
    def hash(self) -> str:
        """A few hex digits that tell it from other origins."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def choose_folder(origin: Origin) -> Path:
    """Return the folder of a report that the user gave none for."""
    changed = make_slug(*origin.changes)[:_NAME_LENGTH].rstrip("-.")
    own = REPORTS / make_slug(origin.name, changed, origin.hash)
    if origin.changes:
        return own
    plain = REPORTS / make_slug(origin.name)
    return plain if read_origin(plain) in (None, origin) else own


def read_origin(folder: Path) -> Origin | None:
    """Return what the report in a folder is of; None where there is none, or nobody knows."""
    try:
        found = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        return Origin(**{**found, "changes": tuple(found["changes"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def describe_replaced(folder: Path, origin: Origin) -> str:
    """Return what a report in a folder is of that another one replaces; empty without any."""
    found = read_origin(folder)
    if found is None or found == origin:
        return ""
    changed = f" with {', '.join(found.changes)}" if found.changes else ""
    return f"iid {found.command} {found.source}{changed}, store {found.store}"


def record_origin(folder: Path, origin: Origin) -> None:
    """Write next to a report what it is of.

    Raises:
        OSError: the file cannot be written.
    """
    (folder / ORIGIN).write_text(json.dumps(asdict(origin), indent=1) + "\n", encoding="utf-8")
