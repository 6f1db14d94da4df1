"""TensorBoard logs of units: one folder per unit, written by the worker that computes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLog:
    """Event files in one folder; nothing is imported or written before the first value."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write named values of one step."""
        writer = self._open(step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def write_image(self, step: int, tag: str, image: "np.ndarray[Any, Any]") -> None:
        """Write an image, uint8 (H, W, C)."""
        self._open(step).add_image(tag, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what is buffered."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> "SummaryWriter":
        if self._writer is None:
            # Only workers that log import TensorBoard, which takes seconds.
            from torch.utils.tensorboard import SummaryWriter

            # An attempt that was killed may have logged steps after its last checkpoint. They are
            # computed again, so TensorBoard has to drop the old values.
            purge_step = step if self._folder.exists() else None
            self._writer = SummaryWriter(str(self._folder), purge_step=purge_step)
        return self._writer
