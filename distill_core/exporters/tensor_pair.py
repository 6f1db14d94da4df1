"""Two files of torch.save, images and labels: what the layouts of MTT and DD-Ranking have in
common.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from distill_core.exporters.content import ExportContent
from distill_core.synthetic_set import SyntheticSet


@dataclass(frozen=True, slots=True)
class TensorPair:
    """The names of both files."""

    images: str
    labels: str

    def write(self, content: ExportContent, folder: Path) -> None:
        """Write both files."""
        torch.save(content.images, folder / self.images)
        torch.save(content.targets, folder / self.labels)

    def read(self, folder: Path, source: SyntheticSet) -> tuple[Tensor, Tensor]:
        """Read both files back."""
        return torch.load(folder / self.images, weights_only=True), torch.load(
            folder / self.labels, weights_only=True
        )

    def loading(self, content: ExportContent) -> str:
        """Return the lines of a script that load both."""
        names = (("images", self.images), ("labels", self.labels))
        return "\n".join(
            f'{name} = torch.load("{file}", weights_only=True)' for name, file in names
        )
