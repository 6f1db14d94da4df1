"""Memory of the device that a computation runs on."""

import ctypes
import resource
import sys

import torch


def get_free_memory(device: torch.device | str) -> int | None:
    """Return the free bytes of a GPU, including unused ones that this process has reserved.

    None for a CPU.
    """
    if torch.device(device).type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


_MALLOPT = {"ARENA_MAX": (-8, 1), "MMAP_MAX": (-4, 0), "TRIM_THRESHOLD": (-1, 2**31 - 1)}
"""Parameters of glibc's mallopt: one heap for all threads, no memory outside it, none returned."""


def keep_memory() -> bool:
    """Let this process reuse CPU memory that it frees, instead of returning it to the system.

    Feature maps are so large that glibc requests and returns each of them separately, and the
    system clears the pages each time: a third of a ConvNet's training step. Results do not change.
    The setting applies to the whole process, but only to threads that start later, so call this
    first.

    Returns:
        Whether the system's allocator supports it; other allocators stay unchanged.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and all(mallopt(*parameter) == 1 for parameter in _MALLOPT.values())


def reset_peak_memory(device: torch.device | str) -> None:
    """Reset a GPU's peak memory; the peak of a CPU process cannot be reset."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def get_peak_memory(device: torch.device | str) -> int:
    """Return the peak memory in bytes: on a GPU since the last reset, on a CPU of the process."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # macOS counts in bytes, Linux in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
