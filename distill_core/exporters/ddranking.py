"""DD-Ranking: `images.pt`, normalised, all images of class 0 first, then those of class 1, …; `labels.pt` beside it."""

from pathlib import Path

import torch
from torch import Tensor

from distill_core.exporters.content import Content, ExportError, Format
from distill_core.synthetic_set import SyntheticSet

IMAGES, LABELS = "images.pt", "labels.pt"


def _write(content: Content, folder: Path) -> None:
    if content.soft_labels is None and len(set(content.counts())) > 1:
        raise ExportError("classes have different numbers of images, which DD-Ranking does not read; choose mtt or dc")
    torch.save(content.images, folder / IMAGES)
    torch.save(content.targets, folder / LABELS)


def _read(folder: Path, source: SyntheticSet) -> tuple[Tensor, Tensor]:
    return torch.load(folder / IMAGES, weights_only=True), torch.load(folder / LABELS, weights_only=True)


def _loading(content: Content) -> str:
    return "\n".join(
        f'{name} = torch.load("{file}", weights_only=True)' for name, file in (("images", IMAGES), ("labels", LABELS))
    )


DDRANKING = Format(
    name="ddranking",
    about=f"What DD-Ranking's metrics take as `image_tensor`: `{IMAGES}`, normalised, (classes × IPC, C, H, W) in the "
    f"order of the classes; `{LABELS}` in the same order (DD-Ranking's `soft_labels` where they are soft).",
    write=_write,
    read=_read,
    loading=_loading,
    by_class=True,
)
