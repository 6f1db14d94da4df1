"""The function that a Ray Tune trial runs, in a process that may have run other trials before.

The result of every unit is reported, failures included. Only a fault of the machinery raises, such
as a killed worker, and makes Tune try again.
"""

import gc
import logging
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.execution.commit import OutcomeRecorder
from orchestrator.execution.context import UnitProgress
from orchestrator.execution.lost_devices import (
    EXIT_CODE,
    MAX_LOSSES,
    DeviceNotes,
    identify_device,
    keep_until_over,
    name_model,
)
from orchestrator.execution.run_units import compute_units
from orchestrator.execution.trial import TrialSettings, UnitResult, count_cpu_threads
from orchestrator.store import run_log
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import Unit, from_json

_log = logging.getLogger(__name__)


def run_trial(config: dict[str, Any]) -> None:
    """Compute the units of a Tune trial, and report their progress and their results."""
    # Imported only here: plain processes use `prepare_process` without Ray.
    import ray
    from ray import tune

    shared = dict(config)
    units = [from_json(text) for text in shared.pop("units")]
    gpus = shared.pop("gpus")
    settings = TrialSettings(**shared)
    run_log.attach(open_store(settings.store), settings.run)
    prepare_process(cpus=settings.cpus, gpus=gpus)

    def report(place: int, progress: UnitProgress) -> None:
        tune.report({"place": place, **asdict(progress)})

    keys = [unit.key for unit in units]
    with run_log.name_units(keys):
        if not gpus:
            results = compute_units(units, settings, device="cpu", report=report)
        else:
            all_gpus = int(ray.cluster_resources().get("GPU", 1))  # type: ignore[no-untyped-call]
            guard = DeviceGuard(open_store(settings.store), settings.run, all_gpus)
            refused = guard.check(units, settings, tune.report)
            if refused is None:
                results = compute_units(units, settings, device="cuda", report=report)
                guard.end_if_lost(keys, results)
            else:
                results = refused
    run_log.flush()  # before the report, after which Tune may stop this process
    tune.report({"results": [asdict(result) for result in results]})


@dataclass(frozen=True, slots=True)
class DeviceGuard:
    """Decides whether this process may use its GPU, and ends the process once it cannot."""

    store: Store
    run: str
    gpus: int
    """Number of GPUs of all nodes."""

    def check(
        self,
        units: Sequence[Unit],
        settings: TrialSettings,
        report: Callable[[dict[str, Any]], object],
    ) -> list[UnitResult] | None:
        """Return the results of units that must not be computed here; None if they may be.

        A GPU that is out of use is kept until the launch is over, so that nobody else gets it.
        """
        notes, device = self._notes(), identify_device()
        keys = [unit.key for unit in units]
        verdict = notes.judge(device, keys, gpus=self.gpus)
        if verdict == "use":
            return None
        reasons = [str(note["reason"]) for note in notes.read().values()]
        last = reasons[-1] if reasons else ""
        if verdict == "blame":
            notes.forget_unit(keys)
            if len(units) > 1:
                return [UnitResult(status="split")] * len(units)
            recorder = OutcomeRecorder(self.store, settings, "cuda")
            error = RuntimeError(f"no GPU could compute any more after this unit; the last: {last}")
            return [recorder.record_exception(units[0], error)]
        _log.error("%s is out of use after %d lost processes: %s", device, MAX_LOSSES, last)
        run_log.flush()
        report({"kept": device, "reason": last})
        keep_until_over(
            self.store, self.run, lambda: notes.judge(device, [], gpus=self.gpus) == "use"
        )
        return []

    def end_if_lost(self, keys: Sequence[str], results: Sequence[UnitResult]) -> None:
        """End this process if its GPU is lost, after a note; Ray and Tune start another one."""
        lost = [result for result in results if result.status == "lost"]
        if not lost:
            if any(result.status == "done" for result in results):
                self._notes().forget(identify_device())
            return
        device, reason = identify_device(), lost[0].reason or ""
        self._notes().add(device, name_model(), keys, reason)
        _log.error("this process ends, since %s does not compute any more: %s", device, reason)
        run_log.flush()
        os._exit(EXIT_CODE)  # nothing that asks the device on the way out may hang or abort

    def _notes(self) -> DeviceNotes:
        return DeviceNotes(self.store, self.run)


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
