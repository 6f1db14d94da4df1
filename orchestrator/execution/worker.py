"""The function that a Ray Tune trial runs, in a process that may have run other trials before.

The result of every unit is reported, failures included. Only a fault of the machinery raises, such
as a killed worker, and makes Tune try again.
"""

import gc
import logging
import os
import random
import sys
from dataclasses import asdict
from typing import Any

from orchestrator.execution.context import UnitProgress
from orchestrator.execution.run_units import compute_units
from orchestrator.execution.trial import TrialSettings, count_cpu_threads
from orchestrator.store import run_log
from orchestrator.store.open import open_store
from orchestrator.units import from_json

_log = logging.getLogger(__name__)


def run_trial(config: dict[str, Any]) -> None:
    """Compute the units of a Tune trial, and report their progress and their results."""
    # Imported only here: plain processes use `prepare_process` without Ray.
    from ray import tune

    shared = dict(config)
    units = [from_json(text) for text in shared.pop("units")]
    gpus = shared.pop("gpus")
    settings = TrialSettings(**shared)
    run_log.attach(open_store(settings.store), settings.run)
    prepare_process(cpus=settings.cpus, gpus=gpus)

    def report(place: int, progress: UnitProgress) -> None:
        tune.report({"place": place, **asdict(progress)})

    device = "cuda" if gpus else "cpu"
    with run_log.name_units([unit.key for unit in units]):
        results = compute_units(units, settings, device=device, report=report)
    run_log.flush()  # before the report, after which Tune may stop this process
    tune.report({"results": [asdict(result) for result in results]})


def prepare_process(*, cpus: float, gpus: float) -> None:
    """Make a process as good as new, whether or not it computed another unit before.

    Hides the GPUs from a unit that has none, limits the CPU threads, resets the global random
    generators, and frees the device memory that the unit before left behind.
    """
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    threads = count_cpu_threads(cpus)
    # Read by libraries that are loaded later; torch may be loaded already and is set below.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    random.seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        torch.set_grad_enabled(True)
        if gpus and torch.cuda.is_initialized():
            # Cycles keep tensors alive, so they have to be collected before the cache is emptied.
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    _log.debug("process %d computes with %d threads and %g GPU", os.getpid(), threads, gpus)
