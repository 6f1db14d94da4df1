"""Randomness by name: the seed of every generator is a hash of what its draws are for.

Nothing depends on a clock, on the process, or on the order of execution. The draws of an iteration
are seeded by its number, so a run continued from a checkpoint draws the same numbers as an
uninterrupted run.
"""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

Identity = str | int | float | bool | None


def derive_seed(purpose: str, *identity: Identity) -> int:
    """Return a seed in [0, 2⁶³) that depends only on `purpose` and `identity`.

    Args:
        purpose: what the numbers are drawn for, such as "initial images".
        identity: values that distinguish this draw from others of the same purpose.
    """
    text = json.dumps(
        [purpose, *identity], ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(purpose: str, *identity: Identity) -> torch.Generator:
    """Return a CPU generator seeded by `derive_seed(purpose, *identity)`.

    Draws are made on the CPU and then moved, so a CPU and a GPU use the same random numbers.
    """
    return torch.Generator().manual_seed(derive_seed(purpose, *identity))


@contextmanager
def use_global_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python; afterwards they are as before.

    Nothing of this project draws from them. Dropout does, and so may a custom network or loss.
    """
    python, legacy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


def to_device(drawn: Tensor, device: torch.device | str) -> Tensor:
    """Move draws from the CPU to a device; pinned memory avoids waiting for a GPU."""
    if torch.device(device).type == "cuda":
        return drawn.pin_memory().to(device, non_blocking=True)
    return drawn.to(device)
