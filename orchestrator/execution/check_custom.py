"""Before a launch: one pass through the custom losses, bases and networks that its units name.

A plug-in that cannot work is refused before anything starts, not after hours of distillation. This
imports torch and the plug-ins, so only launches with such units call it.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from distill_core.datasets.load import Dataset, restrict
from distill_core.distillation.check_parts import check_network
from distill_core.distillation.loop import start_cohort
from distill_core.distillation.objective import PLAIN_MODE
from distill_core.distillation.run import SetRun
from distill_core.networks import network_for
from distill_core.runtime.precision import use_precision
from distill_core.seeds import derive_seed, use_global_seed
from distill_core.settings import DistillationSettings, is_custom
from orchestrator.execution.unit_functions.inputs import load_cached_dataset
from orchestrator.units import Continual, Distill, Evaluate, ExtractorUnit, Unit

REAL_IMAGES = 8
CLASSES = 2


def check_custom_objects(units: Iterable[Unit], data_root: Path) -> None:
    """Pass images of each data set through the custom objects that units name.

    Args:
        units: to be computed.
        data_root: folder of the data sets.

    Raises:
        SettingsError: an object fails or gives what cannot be used; the message names it.
        DistillationError: a set cannot be started.
        DatasetError: a data set cannot be read.
    """
    networks: dict[tuple[object, str], Unit] = {}
    distillations: dict[tuple[object, ...], Distill] = {}
    for unit in units:
        name = find_network(unit)
        whole = replace(unit.dataset, classes=())
        if name is not None and is_custom(name):
            networks.setdefault((whole, name), unit)
        if isinstance(unit, Distill) and unit.settings.has_custom_parts:
            settings = unit.settings
            kind = settings.network, settings.base, settings.custom_losses, settings.loss_options
            distillations.setdefault((whole, unit.ipc, settings.partition, *kind), unit)
    for (_, name), unit in networks.items():
        dataset = _load(unit, data_root)
        with use_global_seed(derive_seed("check of custom objects")):
            check_network(name, network_for(dataset.info, name, dataset.train.device), dataset)
    for distill in distillations.values():
        check_distillation(_load(distill, data_root), distill.settings, ipc=distill.ipc)


def check_distillation(dataset: Dataset, settings: DistillationSettings, *, ipc: int) -> None:
    """Take one iteration on a few images of two classes."""
    small = restrict(dataset, tuple(range(len(dataset.info.classes)))[:CLASSES])
    queue = settings.queue
    if queue is not None:
        queue = replace(queue, networks=1, trained_networks=1, train_steps=1, batch_train=8)
    batch = min(settings.batch_real, REAL_IMAGES)
    short = replace(settings, batch_real=batch, lambda_cc=0.0, queue=queue)
    with use_precision(settings.precision):
        cohort = start_cohort(small, [SetRun(settings=short)], ipc=ipc, seed=0)
        cohort.mode = PLAIN_MODE  # nothing is compiled for one iteration
        cohort.advance()
    if (error := cohort.runs[0].error) is not None:
        raise error


def find_network(unit: Unit) -> str | None:
    """Return the name of the network that a unit trains or matches."""
    if isinstance(unit, Distill):
        return unit.settings.network
    if isinstance(unit, ExtractorUnit):
        return unit.architecture
    return unit.network if isinstance(unit, Evaluate | Continual) else None


def _load(unit: Unit, data_root: Path) -> Dataset:
    return load_cached_dataset(replace(unit.dataset, classes=()), data_root, "cpu")
