"""DC, DSA and DM: `{"data": [[images, labels]], "accs_all_exps": {network: [accuracy, …]}}`, images
normalized.
"""

from pathlib import Path

import torch
from torch import Tensor

from distill_core.exporters.content import ExportContent, Format
from distill_core.synthetic_set import SyntheticSet

FILE = "dc.pt"


def _write(content: ExportContent, folder: Path) -> None:
    reached: dict[str, list[float]] = {}
    for accuracy in content.accuracies:  # the layout does not tell schedules of one network apart
        reached.setdefault(accuracy.network, []).extend(accuracy.accuracies)
    torch.save(
        {"data": [[content.images, content.labels]], "accs_all_exps": reached}, folder / FILE
    )


def _read(folder: Path, source: SyntheticSet) -> tuple[Tensor, Tensor]:
    images, labels = torch.load(folder / FILE, weights_only=True)["data"][0]
    return images, labels


def _loading(content: ExportContent) -> str:
    return f'images, labels = torch.load("{FILE}", weights_only=True)["data"][0]'


DC = Format(
    name="dc",
    about=(
        f"The layout of DC, DSA and DM: `{FILE}` holds one pair of normalized images and labels,"
        " and accuracies by network."
    ),
    write=_write,
    read=_read,
    loading=_loading,
    soft_labels=False,
)
