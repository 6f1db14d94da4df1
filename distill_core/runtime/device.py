"""Memory of the device a computation runs on."""

import ctypes
import resource
import sys

import torch
from torch import Tensor


def to_device(drawn: Tensor, device: torch.device | str) -> Tensor:
    """Move what was drawn on the CPU to a device, without waiting for a GPU: from pinned memory."""
    if torch.device(device).type == "cuda":
        return drawn.pin_memory().to(device, non_blocking=True)
    return drawn.to(device)


def get_free_memory(device: torch.device | str) -> int | None:
    """Return the bytes of a GPU that are free, those included that this process has reserved; None
    for a CPU.
    """
    if torch.device(device).type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


_MALLOPT = {"ARENA_MAX": (-8, 1), "MMAP_MAX": (-4, 0), "TRIM_THRESHOLD": (-1, 2**31 - 1)}
"""Parameters of glibc's mallopt: one heap for all threads, nothing beside it, and nothing of it
given back.
"""


def keep_memory() -> bool:
    """Have this process reuse the CPU memory that it frees, instead of giving it back to the system
    each time.

    Feature maps are so large that glibc fetches and returns each of them by itself; the system then
    clears its pages, a third of a ConvNet's training step. No result changes. It concerns the whole
    process, and only threads that start later, so call it first of all.

    Returns:
        Whether the system's allocator can do so; others are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and all(mallopt(*parameter) == 1 for parameter in _MALLOPT.values())


def reset_peak_memory(device: torch.device | str) -> None:
    """Start counting a GPU's peak memory anew; a CPU process's peak cannot be reset."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def get_peak_memory(device: torch.device | str) -> int:
    """Return the peak in bytes: allocated on a GPU since the last reset, or resident in the process
    on a CPU.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
