"""Memory of the device a computation runs on."""

import resource
import sys

import torch
from torch import Tensor


def to_device(drawn: Tensor, device: torch.device | str) -> Tensor:
    """Move what was drawn on the CPU to a device, without waiting for a GPU: from pinned memory."""
    if torch.device(device).type == "cuda":
        return drawn.pin_memory().to(device, non_blocking=True)
    return drawn.to(device)


def free_memory(device: torch.device | str) -> int | None:
    """Return the bytes of a GPU that are free, those included that this process has reserved; None for a CPU."""
    if torch.device(device).type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


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
