"""Our format: one safetensors file with the images as stored, and the metadata in its header."""

import json
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from distill_core.exporters.content import ExportContent, Format, build_tensor_line
from distill_core.exporters.metadata import build_metadata
from distill_core.synthetic_set import SyntheticSet
from distill_core.tensor_files import write_tensors

FILE = "synthetic_set.safetensors"
HEADER = "export"


def _write(content: ExportContent, folder: Path) -> None:
    path = folder / FILE
    content.source.save(path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    write_tensors(
        tensors,
        path,
        metadata={
            **header,
            HEADER: json.dumps(build_metadata(content, SAFETENSORS), allow_nan=False),
        },
    )


def _read(folder: Path, source: SyntheticSet) -> tuple[Tensor, Tensor]:
    return SyntheticSet.load(folder / FILE).training_images()


def _build_loading_code(content: ExportContent) -> str:
    source = content.source
    labels = "labels" if source.soft_labels is None else "soft_labels"
    lines = [
        "from safetensors.torch import load_file",
        "",
        f'tensors = load_file("{FILE}")',
        build_tensor_line("mean", source.mean),
        build_tensor_line("std", source.std),
        f'images, labels = (tensors["images"] - mean) / std, tensors["{labels}"]',
    ]
    if source.partition > 1:
        side = source.images.shape[-1]
        tile = side // source.partition
        lines += [
            (
                f"corners = [(i, j) for j in range(0, {side}, {tile}) for i in range(0, {side},"
                f" {tile})]"
            ),
            f"tiles = torch.cat([images[:, :, i:i + {tile}, j:j + {tile}] for i, j in corners])",
            f'images = nn.functional.interpolate(tiles, size={side}, mode="bilinear")',
            f"labels = torch.cat([labels] * {source.partition**2})",
        ]
    return "\n".join(lines)


SAFETENSORS = Format(
    name="safetensors",
    about=(
        f"`{FILE}` holds `images` (pixels, nominally 0 to 1, nothing clipped) and `labels`; its"
        " header holds the metadata as JSON."
    ),
    write=_write,
    read=_read,
    build_loading_code=_build_loading_code,
    decoded=False,
)
