"""DC, DSA and DM: `{"data": [[images, labels]], "accs_all_exps": {network: [accuracy, …]}}`."""

from pathlib import Path

import torch
from torch import Tensor

from distill_core.exporters.content import ExportContent, Format
from distill_core.synthetic_set import SyntheticSet

FILE = "dc.pt"


def _write(content: ExportContent, folder: Path) -> None:
    reached: dict[str, list[float]] = {}
    # The layout cannot distinguish several schedules of one network.
    for accuracy in content.accuracies:
        reached.setdefault(accuracy.network, []).extend(accuracy.accuracies)
    torch.save(
        {"data": [[content.images, content.labels]], "accs_all_exps": reached}, folder / FILE
    )


def _read(folder: Path, source: SyntheticSet) -> tuple[Tensor, Tensor]:
    images, labels = torch.load(folder / FILE, weights_only=True)["data"][0]
    return images, labels


def _build_loading_code(content: ExportContent) -> str:
    return f'images, labels = torch.load("{FILE}", weights_only=True)["data"][0]'


DC = Format(
    name="dc",
    about=(
        f"The layout of DC, DSA and DM: `{FILE}` holds one pair of normalized images and labels,"
        " and accuracies by network."
    ),
    write=_write,
    read=_read,
    build_loading_code=_build_loading_code,
    soft_labels=False,
)
