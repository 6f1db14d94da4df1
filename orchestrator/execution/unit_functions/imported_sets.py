"""Units that take a set which was made elsewhere."""

import json
import time
from functools import partial
from pathlib import Path

from distill_core.datasets.load import Dataset
from distill_core.importers.choose_sets import build_set
from distill_core.importers.convert import compute_content_digest, convert
from distill_core.importers.raw_set import ImportSetError
from distill_core.importers.recognize import recognize_all
from orchestrator.execution.context import UnitContext
from orchestrator.execution.unit_functions.inputs import SET_FILE
from orchestrator.execution.whitenings import load_or_fit
from orchestrator.store.tables import Row
from orchestrator.units import ImportSet, to_json


def import_set(unit: ImportSet, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Read the files as it was decided; the set is the artifact.

    Raises:
        ImportSetError: the files are gone, or are not those that were planned with.
    """
    began = time.monotonic()
    paths = [Path(path) for path in (unit.path, *unit.more_paths)]
    # Whoever planned this allowed pickles, for this very content.
    found = recognize_all(paths, allow_pickle=True, labels_path=unit.reading.labels_path)
    if compute_content_digest(found, *paths) != unit.content:
        raise ImportSetError(
            f"{paths[0]} has changed since it was planned; give the same command again"
        )
    synthetic = convert(
        build_set(found, unit.reading),
        unit.reading,
        dataset,
        method=unit.method,
        spec=json.loads(to_json(unit)),
        key=unit.key,
        check=False,  # pixels were looked at when this was planned
        fit=partial(load_or_fit, context.storage),
    )
    synthetic.save(context.workdir / SET_FILE)
    row = {
        "method": unit.method,
        "ipc": unit.ipc,
        "partition": synthetic.partition,
        "images": len(synthetic.images),
    }
    return [{**row, "seconds": time.monotonic() - began}]
