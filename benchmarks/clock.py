"""What all benchmarks share: seconds on a device, spread over rounds, and the name of the
machine.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch


class Clock:
    """Seconds between `start` and `stop`: device events on a GPU, where the host runs ahead; wall
    time on a CPU.

    `processor` has the seconds that all threads of this process computed meanwhile: what to look at
    on a machine that does other work, with one thread, whose waiting is not counted.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.on_gpu = torch.device(device).type == "cuda"
        self.begin, self.end = (
            (torch.cuda.Event(enable_timing=True) for _ in range(2))
            if self.on_gpu
            else (None, None)
        )
        self.began = self.processor_began = self.processor = 0.0

    def start(self) -> None:
        if self.begin is not None:
            torch.cuda.synchronize()
            self.begin.record()
        self.processor_began = time.process_time()
        self.began = time.perf_counter()

    def stop(self) -> float:
        self.processor = time.process_time() - self.processor_began
        if self.begin is None or self.end is None:
            return time.perf_counter() - self.began
        self.end.record()
        self.end.synchronize()
        return float(self.begin.elapsed_time(self.end)) / 1000

    def measured(self, part: str) -> dict[str, float]:
        """Stop, and return both by name."""
        return {part: self.stop(), f"{part} processor": self.processor}


def timed(part: str, work: Callable[[], object], device: torch.device | str) -> dict[str, float]:
    """Return how long `work` takes: {part: seconds, "part processor": processor seconds}."""
    clock = Clock(device)
    clock.start()
    work()
    return clock.measured(part)


def interleaved(
    sides: Mapping[str, Callable[[], dict[str, float]]], rounds: int, warm_up: int = 1
) -> dict[str, list[dict[str, float]]]:
    """Run the sides in turn, `rounds` times each; the first `warm_up` rounds are not counted."""
    times: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for done in range(warm_up + rounds):
        for name, side in sides.items():
            measured = side()
            if done >= warm_up:
                times[name].append(measured)
    return times


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def machine(device: torch.device | str) -> dict[str, object]:
    """Return what a figure depends on: device, threads, load by others when it was taken,
    versions.
    """
    on_gpu = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name() if on_gpu else processor(),
        "threads": torch.get_num_threads(),
        "load before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def processor() -> str:
    """Name of the processor, where the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
