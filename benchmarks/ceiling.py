"""The arithmetic that a device is capable of, measured by a product of two large matrices."""

import torch
from clock import Clock

from distill_core.settings import Precision

SIDES = {"cpu": 2048, "cuda": 8192}
ROUNDS = 10


def measure_ceiling(device: torch.device, precision: Precision) -> float:
    """Return operations per second of the fastest of some rounds.

    A multiplication and an addition are two operations.
    """
    side = SIDES[device.type]
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    first, second = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "ieee" if precision == "float32" else "tf32"
    try:
        return 2 * side**3 / min(_time_product(first, second, device) for _ in range(ROUNDS))
    finally:
        products.fp32_precision = before


def _time_product(first: torch.Tensor, second: torch.Tensor, device: torch.device) -> float:
    clock = Clock(device)
    clock.start()
    torch.mm(first, second)
    return clock.stop()
