"""3×3 convolutions on a CPU with a quarter of the multiplications: Winograd's F(4×4, 3×3).

A square of 4×4 results is computed from the 6×6 pixels around it by 36 matrix products, one for
each element of a transformed tile. That takes 36 multiplications for each pair of channels instead
of 144 (Lavin and Gray, CVPR 2016). The transforms of tiles are in `winograd.cpp`, which is compiled
within a second when it is first needed.

The relative difference from the plain sum is about 10⁻⁵, far less than that of TF32 on a GPU. So
precision `tf32` allows Winograd's algorithm, and `float32` does not.
"""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

COMPILERS = ("g++", "clang++", "c++")
SOURCE = Path(__file__).with_name("winograd.cpp")
MAX_TILE_NUMBERS = 2**21
"""Maximum of numbers in the tiles of one part of a batch, so that they stay in the cache."""
LANES = 16
"""Channels that the transforms process together."""
MIN_TILES = 32
"""Tiles from which a batch gains: the transform of the weights costs the same for any batch."""

_G = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_FILTERS = torch.kron(_G, _G)
"""(36, 9): maps the elements of a 3×3 filter to those of its tile."""


@cache
def build_transforms() -> ctypes.CDLL | None:
    """Compile the transforms; None where no compiler succeeds."""
    flags = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
    for compiler in filter(None, map(shutil.which, COMPILERS)):
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                library = Path(folder) / "winograd.so"
                command = [compiler, *flags, str(SOURCE), "-o", str(library)]
                subprocess.run(command, check=True, capture_output=True, timeout=60)
                return ctypes.CDLL(str(library))
        except (OSError, subprocess.SubprocessError):
            continue
    return None


def _transform(name: str, source: Tensor, target: Tensor, maps: Tensor) -> None:
    """Fill `target` from `source` with one of the transforms, for maps (N, H, W, C)."""
    _, h, w, c = maps.shape
    if h % 4 or w % 4 or c % LANES or not (source.dtype == target.dtype == torch.float32):
        raise ValueError(
            f"maps {tuple(maps.shape)} in {source.dtype} do not fit Winograd's transforms; see"
            " `is_applicable`"
        )
    sizes, threads = map(ctypes.c_int64, maps.shape), ctypes.c_int(torch.get_num_threads())
    pointers = ctypes.c_void_p(source.data_ptr()), ctypes.c_void_p(target.data_ptr())
    getattr(build_transforms(), name)(*pointers, *sizes, threads)


def _compute_tiles(name: str, maps: Tensor) -> Tensor:
    """Return the transformed tiles (36, T, C) of maps (N, H, W, C)."""
    n, h, w, c = maps.shape
    tiles = maps.new_empty(36, n * h * w // 16, c)
    _transform(name, maps, tiles, maps)
    return tiles


def _split_for_cache(maps: Tensor, channels: int) -> tuple[Tensor, ...]:
    """Split maps (N, C, H, W) into maps (N, H, W, C) whose tiles fit into the CPU's cache."""
    channels_last = maps.permute(0, 2, 3, 1).contiguous()
    _, h, w, c = channels_last.shape
    numbers_per_image = 36 * h * w // 16 * max(c, channels)
    images = max(1, MAX_TILE_NUMBERS // numbers_per_image)
    parts: tuple[Tensor, ...] = channels_last.split(images)
    return parts


def _convolve(maps: Tensor, filter_tiles: Tensor) -> Tensor:
    """Convolve maps (N, C, H, W) with the tiles (36, C, K) of filters."""
    (n, _, h, w), filters = maps.shape, filter_tiles.shape[2]
    results = maps.new_empty(n, h, w, filters)
    parts = _split_for_cache(maps, filters)
    for part, result in zip(parts, results.split(len(parts[0])), strict=True):
        product = torch.bmm(_compute_tiles("windows", part), filter_tiles)
        _transform("results", product, result, result)
    return results.permute(0, 3, 1, 2)


def _compute_filter_tiles(weight: Tensor, transform: Tensor) -> Tensor:
    """Return the tiles (36, K, C) of filters (K, C, 3, 3), by a transform (36, 9)."""
    k, c = weight.shape[:2]
    return (transform @ weight.reshape(k * c, 9).T).view(36, k, c)


# Graphs that were compiled to disk rely on an operator's name and the order in memory of its
# results. An operator with another order needs another name.
@torch.library.custom_op("distill_core::winograd", mutates_args=())
def winograd(maps: Tensor, weight: Tensor) -> Tensor:
    """Convolve float32 maps (N, C, H, W) with filters (K, C, 3, 3), padded by one."""
    return _convolve(maps, _compute_filter_tiles(weight, _FILTERS).transpose(1, 2))


@torch.library.custom_op(
    "distill_core::winograd_back", mutates_args=(), tags=torch.Tag.flexible_layout
)
def winograd_back(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient (N, C, H, W) of maps, given the result's and filters (K, C, 3, 3)."""
    return _convolve(gradient, _compute_filter_tiles(weight, _FILTERS.flip(1)))


@torch.library.custom_op(
    "distill_core::winograd_weight", mutates_args=(), tags=torch.Tag.flexible_layout
)
def winograd_weight(maps: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient (K, C, 3, 3) of filters, given maps and the result's gradient."""
    c, k = maps.shape[1], gradient.shape[1]
    products = maps.new_empty(36, k, c)
    parts = zip(_split_for_cache(maps, k), _split_for_cache(gradient, c), strict=True)
    for place, (part, result) in enumerate(parts):
        result_tiles = _compute_tiles("gradients", result).transpose(1, 2)
        # beta is 0 for the first part: the memory of `products` is not initialized.
        products.baddbmm_(result_tiles, _compute_tiles("windows", part), beta=min(place, 1))
    return (_FILTERS.T @ products.view(36, k * c)).T.contiguous().view(k, c, 3, 3)


@winograd.register_fake
def _(maps: Tensor, weight: Tensor) -> Tensor:
    n, _, h, w = maps.shape
    return maps.new_empty(n, h, w, weight.shape[0]).permute(0, 3, 1, 2)


@winograd_back.register_fake
def _(gradient: Tensor, weight: Tensor) -> Tensor:
    n, _, h, w = gradient.shape
    return gradient.new_empty(n, h, w, weight.shape[1]).permute(0, 3, 1, 2)


@winograd_weight.register_fake
def _(maps: Tensor, gradient: Tensor) -> Tensor:
    return maps.new_empty(gradient.shape[1], maps.shape[1], 3, 3)


def _save_inputs(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _compute_gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
    maps, weight = ctx.saved_tensors
    of_maps = winograd_back(gradient, weight) if ctx.needs_input_grad[0] else None
    return of_maps, winograd_weight(maps, gradient) if ctx.needs_input_grad[1] else None


winograd.register_autograd(_compute_gradients, setup_context=_save_inputs)
# Otherwise autocast would compute the matrix products in bf16.
for operator in (winograd, winograd_back, winograd_weight):
    operator.register_autocast("cpu", torch.float32)


def is_applicable(
    maps: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int
) -> bool:
    """Return whether Winograd's algorithm can compute a convolution, and is faster."""
    all_ones = all(value in (1, (1, 1)) for value in (stride, padding, dilation, groups))
    if (
        not all_ones
        or weight.shape[2:] != (3, 3)
        or maps.dim() != 4
        or maps.dtype != torch.float32
        or maps.device.type != "cpu"
    ):
        return False
    n, c, h, w = maps.shape
    return not (h % 4 or w % 4 or c % LANES or len(weight) % LANES) and n * h * w // 16 >= MIN_TILES


class WinogradConvolutions(TorchFunctionMode):
    """A context in which Winograd's algorithm computes all convolutions that it can."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Replace convolutions, and call all other functions."""
        return (_convolve_if_applicable if func is F.conv2d else func)(*args, **(kwargs or {}))


def _convolve_if_applicable(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if not is_applicable(input, weight, stride, padding, dilation, groups):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    result: Tensor = winograd(input, weight)
    return result if bias is None else result + bias.view(1, -1, 1, 1)
