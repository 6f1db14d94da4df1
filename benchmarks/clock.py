"""Common parts of all benchmarks: time on a device, spread over rounds, and the machine."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

Side = Callable[[], dict[str, float]]
"""Runs one side of a comparison once and returns seconds by part."""
Times = list[dict[str, float]]
"""Seconds by part, of each round."""
Spread = dict[str, float]
"""Median, min, max and n."""
Spreads = dict[str, Spread]
"""By part."""


class Clock:
    """Seconds between `start` and `stop`: device events on a GPU, wall time on a CPU.

    `processor` has the processor seconds of all threads of this process in that time. It is the
    better measure on a busy machine, with one thread.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.on_gpu = torch.device(device).type == "cuda"
        self.begin = self.end = None
        if self.on_gpu:
            # The host runs ahead of a GPU, so only events on the device tell when work ended.
            self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.began = self.processor_began = self.processor = 0.0

    def start(self) -> None:
        """Start timing."""
        if self.begin is not None:
            torch.cuda.synchronize()
            self.begin.record()
        self.processor_began = time.process_time()
        self.began = time.perf_counter()

    def stop(self) -> float:
        """Stop timing and return the seconds."""
        self.processor = time.process_time() - self.processor_began
        if self.begin is None or self.end is None:
            return time.perf_counter() - self.began
        self.end.record()
        self.end.synchronize()
        return float(self.begin.elapsed_time(self.end)) / 1000

    def stop_part(self, part: str) -> dict[str, float]:
        """Stop, and return seconds and processor seconds by name."""
        return {part: self.stop(), f"{part} processor": self.processor}


def time_work(
    part: str, work: Callable[[], object], device: torch.device | str
) -> dict[str, float]:
    """Return how long `work` takes: {part: seconds, "part processor": processor seconds}."""
    clock = Clock(device)
    clock.start()
    work()
    return clock.stop_part(part)


def interleave(sides: Mapping[str, Side], rounds: int, warm_up: int = 1) -> dict[str, Times]:
    """Run the sides in turn, `rounds` times each; the first `warm_up` rounds are not counted.

    Load by other processes then affects all sides alike.
    """
    times: dict[str, Times] = {name: [] for name in sides}
    for done in range(warm_up + rounds):
        for name, side in sides.items():
            measured = side()
            if done >= warm_up:
                times[name].append(measured)
    return times


def spread(values: Sequence[float]) -> Spread:
    """Return median, minimum, maximum and number of values."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def spread_parts(times: Times) -> Spreads:
    """Return the spread of every part over rounds."""
    spreads = {}
    for part in times[0]:
        spreads[part] = spread([time[part] for time in times])
    return spreads


def describe_machine(device: torch.device | str) -> dict[str, object]:
    """Return what a figure depends on: device, threads, load by other processes, versions."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name() if on_gpu else name_processor(),
        "threads": torch.get_num_threads(),
        "load before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def name_processor() -> str:
    """Return the name of the processor, if the system provides it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
