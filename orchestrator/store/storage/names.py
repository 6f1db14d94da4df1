"""Names of entries in a store: paths relative to it, with slashes."""

import hashlib
import urllib.parse

from distill_core.settings import DatasetRef
from orchestrator.units import KEY_LENGTH, Unit

DONE = "DONE"
"""File of a unit whose presence makes the unit done; it records the SHA-256 of the others."""
SPEC = "spec.json"
ROWS = "rows.parquet"


def unit_name(kind: str, key: str) -> str:
    """Return the name of a unit's folder."""
    return f"units/{kind}/{key}"


def rows_name(table: str, key: str) -> str:
    """Return the name of the file with a unit's rows in a table."""
    return f"tables/{table}/{key}.parquet"


def hash_trial_key(study: str, number: int) -> str:
    """Return the name of a trial's file in table `trials`, from the key of its study."""
    return hashlib.sha256(f"{study} {number}".encode()).hexdigest()[:KEY_LENGTH]


def checkpoints_name(unit: Unit) -> str:
    """Return the name of the folder of a unit's checkpoints."""
    return f"checkpoints/{unit.kind}/{unit.key}"


def dataset_name(dataset: DatasetRef) -> str:
    """Return the name of the file that says which images are behind a data set's name."""
    size = "" if dataset.image_size is None else f"-{dataset.image_size}"
    return f"datasets/{urllib.parse.quote(dataset.name, safe='')}@{dataset.version}{size}.json"
