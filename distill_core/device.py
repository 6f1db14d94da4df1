"""Memory of the device a computation runs on."""

import resource
import sys

import torch


def reset_peak_memory(device: torch.device | str) -> None:
    """Start counting a GPU's peak memory anew; a CPU process's peak cannot be reset."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device | str) -> int:
    """Return the peak in bytes: allocated on a GPU since the last reset, or resident in the process on a CPU."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
