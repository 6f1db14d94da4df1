"""Images and labels in two files of torch.save, as in the layouts of MTT and DD-Ranking."""

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
        images = torch.load(folder / self.images, weights_only=True)
        return images, torch.load(folder / self.labels, weights_only=True)

    def build_loading_code(self, content: ExportContent) -> str:
        """Return lines of a script that load both files."""
        lines = []
        for name, file in (("images", self.images), ("labels", self.labels)):
            lines.append(f'{name} = torch.load("{file}", weights_only=True)')
        return "\n".join(lines)
