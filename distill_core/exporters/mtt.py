"""MTT, TESLA, FTD, DATM: `images_best.pt` and `labels_best.pt`, images normalised, labels classes or probabilities."""

from pathlib import Path

import torch
from torch import Tensor

from distill_core.exporters.content import Content, Format
from distill_core.synthetic_set import SyntheticSet

IMAGES, LABELS = "images_best.pt", "labels_best.pt"


def _write(content: Content, folder: Path) -> None:
    torch.save(content.images, folder / IMAGES)
    torch.save(content.targets, folder / LABELS)


def _read(folder: Path, source: SyntheticSet) -> tuple[Tensor, Tensor]:
    return torch.load(folder / IMAGES, weights_only=True), torch.load(folder / LABELS, weights_only=True)


def _loading(content: Content) -> str:
    return "\n".join(
        f'{name} = torch.load("{file}", weights_only=True)' for name, file in (("images", IMAGES), ("labels", LABELS))
    )


MTT = Format(
    name="mtt",
    about=f"The layout of MTT, TESLA, FTD and DATM: `{IMAGES}`, normalised and not ZCA-whitened, and `{LABELS}`.",
    write=_write,
    read=_read,
    loading=_loading,
)
