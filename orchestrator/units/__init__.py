"""Units of work: what the orchestrator schedules, stores and never computes twice.

A unit is a frozen record of everything that can change its result: its settings, its seed, its data
set by name and version, and the keys of the units whose artifacts it reads. Its key is a hash of
that record, so equal work has the same name wherever and whenever it is planned. Where files are
and what a unit runs on (paths, device, workers) is not part of it.

Each kind of unit has one module here, with its class and its `UnitKind`. To add a kind, write such
a module and add its record to the list at the end of this file.
"""

from orchestrator.units import (
    continual,
    distill,
    embed,
    evaluate,
    import_extractor,
    import_set,
    select,
    train_extractor,
)
from orchestrator.units.continual import Continual
from orchestrator.units.custom_names import list_custom_names
from orchestrator.units.distill import Distill
from orchestrator.units.embed import Embed
from orchestrator.units.evaluate import Evaluate
from orchestrator.units.identity import KEY_LENGTH, canonicalize, hash_settings
from orchestrator.units.import_extractor import ImportExtractor
from orchestrator.units.import_set import ImportSet
from orchestrator.units.kinds import (
    KINDS,
    ExtractorUnit,
    SetUnit,
    Unit,
    UnitKind,
    describe_unit,
    import_function,
    list_tables,
    needs_gpu,
    register,
    unregister,
)
from orchestrator.units.names import (
    describe_with_set,
    find_set,
    list_settings,
    name_folder,
    name_units,
)
from orchestrator.units.select import Select
from orchestrator.units.serialization import from_json, to_json
from orchestrator.units.train_extractor import TrainExtractor

__all__ = [
    "KEY_LENGTH",
    "KINDS",
    "Continual",
    "Distill",
    "Embed",
    "Evaluate",
    "ExtractorUnit",
    "ImportExtractor",
    "ImportSet",
    "Select",
    "SetUnit",
    "TrainExtractor",
    "Unit",
    "UnitKind",
    "canonicalize",
    "describe_unit",
    "describe_with_set",
    "find_set",
    "from_json",
    "hash_settings",
    "import_function",
    "list_custom_names",
    "list_settings",
    "list_tables",
    "name_folder",
    "name_units",
    "needs_gpu",
    "register",
    "to_json",
    "unregister",
]

# In the order in which a plan meets them: a launch starts ready units of earlier kinds first.
for _module in (
    train_extractor,
    import_extractor,
    import_set,
    select,
    distill,
    evaluate,
    continual,
    embed,
):
    register(_module.KIND)
