"""Randomness by name: every draw comes from a generator whose seed is a hash of what the draw is
for.

Nothing depends on a clock, on the process, or on the order in which work is done. An iteration's
randomness is seeded by the iteration's number, so a run continued from a checkpoint draws what an
uninterrupted run would have drawn.
"""

import hashlib
import json

import torch

Identity = str | int | float | bool | None


def derive_seed(purpose: str, *identity: Identity) -> int:
    """Return a seed in [0, 2⁶³) that depends on nothing but `purpose` and `identity`.

    Args:
        purpose: what the numbers are drawn for, such as "initial images".
        identity: the values that tell this draw from others of the same purpose.
    """
    text = json.dumps(
        [purpose, *identity], ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(purpose: str, *identity: Identity) -> torch.Generator:
    """Return a CPU generator seeded by `derive_seed(purpose, *identity)`.

    Draws are made on the CPU and then moved, so that a CPU and a GPU see the same random numbers.
    """
    return torch.Generator().manual_seed(derive_seed(purpose, *identity))
