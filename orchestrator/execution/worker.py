"""What a worker does with a Ray Tune trial, in a process that may have had another one before.

How its units ended is reported, failures too. Only what is wrong with the machinery (a worker
killed) is raised, and makes Tune try again.
"""

import gc
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


def run_trial(config: dict[str, Any]) -> None:
    """Compute the units of a Tune trial and report how each of them ended."""
    from ray import tune

    shared = dict(config)
    units, gpus = [from_json(text) for text in shared.pop("units")], shared.pop("gpus")
    settings = TrialSettings(**shared)
    run_log.attach(open_store(settings.store), settings.run)
    prepare_process(cpus=settings.cpus, gpus=gpus)

    def report(place: int, progress: UnitProgress) -> None:
        tune.report(
            {
                "place": place,
                "step": progress.step,
                "total": progress.total,
                "values": progress.values,
            }
        )

    with run_log.name_units([unit.key for unit in units]):
        results = compute_units(units, settings, device="cuda" if gpus else "cpu", report=report)
    run_log.flush()  # before the report, after which Tune may stop this process
    tune.report({"results": [asdict(result) for result in results]})


def prepare_process(*, cpus: float, gpus: float) -> None:
    """Make a process, new or used by another unit before, as good as new.

    Hides the GPUs from a unit that asked for none, limits the CPU threads, resets global generators
    and frees memory that a predecessor left on the device.
    """
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    threads = count_cpu_threads(cpus)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    random.seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        torch.set_grad_enabled(True)
        if gpus and torch.cuda.is_initialized():
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
