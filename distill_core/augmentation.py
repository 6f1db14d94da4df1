"""Differentiable Siamese augmentation (DSA, Zhao and Bilen 2021), batched on the device.

Images have the shape (G, N, C, H, W): the N images of each of G groups share one operation and its
parameters. In distillation a group is a class, and the same `Draw` is applied to its real and its
synthetic images (Siamese). When a network is trained for evaluation, a group is one image. Draws
are made on the CPU, so the host never waits for the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.seeds import to_device
from distill_core.settings import DSA_OPS, parse_dsa_strategy

BRIGHTNESS, SATURATION, CONTRAST = 1.0, 2.0, 0.5
CROP_RATIO, CUTOUT_RATIO = 0.125, 0.5
SCALE_RATIO, ROTATE_DEGREES = 1.2, 15.0


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One operation for each of G groups; tensors (G,) on the images' device."""

    ops: frozenset[str]
    """Operations that at least one group has; known without reading from the device."""
    op: Tensor
    """int64 index into DSA_OPS."""
    brightness: Tensor
    """x + (r − 0.5)·1."""
    saturation: Tensor
    """(x − channel mean)·2r + channel mean."""
    contrast: Tensor
    """(x − image mean)·(r + 0.5) + image mean."""
    flip: Tensor
    """Flip where below 0.5."""
    scale_x: Tensor
    """Width of the sampling grid, in [1/1.2, 1.2]."""
    scale_y: Tensor
    """Height of the sampling grid, likewise."""
    angle: Tensor
    """Radians."""
    shift_rows: Tensor
    """int64 pixels; row i shows row i + shift."""
    shift_columns: Tensor
    """int64 pixels."""
    cutout_row: Tensor
    """int64 center of the cut-out window."""
    cutout_column: Tensor
    """int64 center of the cut-out window."""

    def tensors(self) -> list[Tensor]:
        """Return the tensors in a fixed order."""
        return [getattr(self, name) for name in _TENSOR_FIELDS]

    @classmethod
    def from_tensors(cls, ops: frozenset[str], tensors: Sequence[Tensor]) -> "Draw":
        """Build a draw from its operations and what `tensors` returned."""
        return cls(ops=ops, **dict(zip(_TENSOR_FIELDS, tensors, strict=True)))

    def select(self, groups: slice) -> "Draw":
        """Return the draw of some of the groups."""
        values = {name: getattr(self, name)[groups] for name in _TENSOR_FIELDS}
        op = values["op"]
        ops = self.ops
        # Reading `op` from a GPU means waiting for it, which costs more than operations in vain.
        if op.device.type == "cpu":
            ops = frozenset(DSA_OPS[i] for i in op.tolist())
        return replace(self, ops=ops, **values)


_TENSOR_FIELDS = tuple(field.name for field in fields(Draw) if field.name != "ops")


def draw_augmentation(
    strategy: str,
    groups: int,
    image_size: int,
    generator: torch.Generator,
    *,
    device: torch.device | str = "cpu",
    same_op: bool = False,
) -> Draw | None:
    """Draw an operation and its parameters for every group.

    Args:
        strategy: DSA operations joined by "_", or "none", for which the result is None.
        groups: G.
        image_size: side of the images in pixels.
        generator: a CPU generator.
        device: device of the images.
        same_op: whether all groups get the same operation, as in training for evaluation.
    """
    ops = parse_dsa_strategy(strategy)
    if not ops:
        return None
    choice = torch.randint(len(ops), (1 if same_op else groups,), generator=generator)
    chosen = torch.tensor([DSA_OPS.index(op) for op in ops])[choice]
    r = torch.rand(8, groups, generator=generator)
    # Rounded half up, as in the released code.
    reach = int(image_size * CROP_RATIO + 0.5)
    window = int(image_size * CUTOUT_RATIO + 0.5)
    shifts = torch.randint(-reach, reach + 1, (2, groups), generator=generator)
    centers = torch.randint(0, image_size + 1 - window % 2, (2, groups), generator=generator)
    low, high = 1 / SCALE_RATIO, SCALE_RATIO
    values = {
        "op": chosen.expand(groups),
        "brightness": r[0],
        "saturation": r[1],
        "contrast": r[2],
        "flip": r[3],
        "scale_x": low + (high - low) * r[4],
        "scale_y": low + (high - low) * r[5],
        "angle": (2 * r[6] - 1) * torch.pi * ROTATE_DEGREES / 180,
        "shift_rows": shifts[0],
        "shift_columns": shifts[1],
        "cutout_row": centers[0],
        "cutout_column": centers[1],
    }
    # One transfer of a single float32 tensor; indices and pixels are small enough to be exact.
    packed = torch.stack([value.to(torch.float32) for value in values.values()])
    on_device = {}
    for row, (name, value) in zip(to_device(packed, device).unbind(), values.items(), strict=True):
        on_device[name] = row if value.is_floating_point() else row.long()
    return Draw(ops=frozenset(DSA_OPS[i] for i in chosen.tolist()), **on_device)


def augment(images: Tensor, draw: Draw | None) -> Tensor:
    """Apply each group's operation to all images of the group, differentiably.

    Args:
        images: (G, N, C, H, W), normalized.
        draw: the operations, or None to leave the images as they are.

    Returns:
        (G, N, C, H, W).
    """
    if draw is None:
        return images
    result = images
    for op in DSA_OPS:
        if op not in draw.ops:
            continue
        changed = OPERATIONS[op](images, draw)
        if len(draw.ops) == 1:
            return changed
        result = torch.where(_by_group(draw.op == DSA_OPS.index(op)), changed, result)
    return result


def adjust_brightness(images: Tensor, draw: Draw) -> Tensor:
    """Add (r − 0.5)·1 to every value."""
    return images + (_by_group(draw.brightness) - 0.5) * BRIGHTNESS


def adjust_saturation(images: Tensor, draw: Draw) -> Tensor:
    """Scale the distance from the mean over channels by 2r."""
    mean = images.mean(dim=2, keepdim=True)
    return (images - mean) * (_by_group(draw.saturation) * SATURATION) + mean


def adjust_contrast(images: Tensor, draw: Draw) -> Tensor:
    """Scale the distance from the mean over the image by r + 0.5."""
    mean = images.mean(dim=(2, 3, 4), keepdim=True)
    return (images - mean) * (_by_group(draw.contrast) + CONTRAST) + mean


def adjust_color(images: Tensor, draw: Draw) -> Tensor:
    """Adjust brightness, then saturation, then contrast."""
    return adjust_contrast(adjust_saturation(adjust_brightness(images, draw), draw), draw)


def flip(images: Tensor, draw: Draw) -> Tensor:
    """Mirror horizontally where the draw is below 0.5."""
    return torch.where(_by_group(draw.flip) < 0.5, images.flip(-1), images)


def crop(images: Tensor, draw: Draw) -> Tensor:
    """Shift by whole pixels: y[i, j] = x[i + rows, j + columns], zero outside."""
    size = images.shape[-1]
    position = torch.arange(size, device=images.device)
    rows, columns = position + draw.shift_rows[:, None], position + draw.shift_columns[:, None]
    inside_rows, inside_columns = (rows >= 0) & (rows < size), (columns >= 0) & (columns < size)
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]
    source = rows.clamp(0, size - 1)[:, :, None] * size + columns.clamp(0, size - 1)[:, None, :]
    index = source.flatten(1)[:, None, None].expand(*images.shape[:3], -1)
    return images.flatten(3).gather(3, index).view_as(images) * inside[:, None, None]


def cut_out(images: Tensor, draw: Draw) -> Tensor:
    """Set a window of half the side to zero, clipped at the border."""
    size = images.shape[-1]
    window = int(size * CUTOUT_RATIO + 0.5)
    position = torch.arange(size, device=images.device)

    def within(center: Tensor) -> Tensor:
        start = center[:, None] - window // 2
        return (position >= start) & (position < start + window)

    hole = within(draw.cutout_row)[:, :, None] & within(draw.cutout_column)[:, None, :]
    return images * ~hole[:, None, None]


def scale(images: Tensor, draw: Draw) -> Tensor:
    """Sample on the grid diag(scale_x, scale_y)."""
    zero = torch.zeros_like(draw.scale_x)
    return _sample(images, torch.stack((draw.scale_x, zero, zero, zero, draw.scale_y, zero), dim=1))


def rotate(images: Tensor, draw: Draw) -> Tensor:
    """Sample on the grid [[cos, −sin], [sin, cos]]."""
    cos, sin, zero = draw.angle.cos(), draw.angle.sin(), torch.zeros_like(draw.angle)
    return _sample(images, torch.stack((cos, -sin, zero, sin, cos, zero), dim=1))


OPERATIONS: dict[str, Callable[[Tensor, Draw], Tensor]] = {
    "color": adjust_color,
    "crop": crop,
    "cutout": cut_out,
    "flip": flip,
    "scale": scale,
    "rotate": rotate,
}


def _sample(images: Tensor, affine: Tensor) -> Tensor:
    groups, count, channels, height, width = images.shape
    # All images of a group share one grid, so they can be stacked as channels.
    stacked = images.reshape(groups, count * channels, height, width)
    grid = F.affine_grid(
        affine.view(groups, 2, 3), [groups, count * channels, height, width], align_corners=False
    )
    return F.grid_sample(
        stacked, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    ).view_as(images)


def _by_group(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1, 1)
