"""Units that take a set which was made elsewhere."""

import json
import time
from pathlib import Path

from distill_core.datasets.load import Dataset
from distill_core.importers.convert import compute_content_digest, convert
from distill_core.importers.raw_set import ImportSetError
from distill_core.importers.recognize import recognize
from orchestrator.execution.context import UnitContext
from orchestrator.execution.unit_functions.inputs import SET_FILE
from orchestrator.store.tables import Row
from orchestrator.units import ImportSet, to_json


def import_set(unit: ImportSet, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Read the files as it was decided; the set is the artifact.

    Raises:
        ImportSetError: the files are gone, or are not those that were planned with.
    """
    began = time.monotonic()
    path = Path(unit.path)
    found = recognize(
        path, allow_pickle=True
    )  # whoever planned this allowed it, for this very content
    if compute_content_digest(found, path) != unit.content or unit.reading.number >= len(
        found.sets
    ):
        raise ImportSetError(
            f"{path} has changed since it was planned; give the same command again"
        )
    synthetic = convert(
        found.sets[unit.reading.number],
        unit.reading,
        dataset,
        method=unit.method,
        spec=json.loads(to_json(unit)),
        key=unit.key,
        check=False,  # pixels were looked at when this was planned
    )
    synthetic.save(context.workdir / SET_FILE)
    row = {
        "method": unit.method,
        "ipc": unit.ipc,
        "partition": synthetic.partition,
        "images": len(synthetic.images),
    }
    return [{**row, "seconds": time.monotonic() - began}]
