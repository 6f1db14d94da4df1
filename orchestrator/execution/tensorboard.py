"""TensorBoard logs of units: one folder per unit, written by the worker that computes it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter


METRICS = ("accuracy", "loss", "train_accuracy", "train_loss")
"""Columns of results that TensorBoard compares by settings."""


class TensorBoardLog:
    """Event files in one folder; nothing is imported or written before the first value.

    Args:
        folder: where they are written.
        settings: plain values by name, which TensorBoard's tab HPARAMS compares; none if empty.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        self._settings = dict(settings or {})
        self._writer: SummaryWriter | None = None

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write named values of one step."""
        writer = self._open(step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def write_image(self, step: int, tag: str, image: "np.ndarray[Any, Any]") -> None:
        """Write an image, uint8 (H, W, C)."""
        self._open(step).add_image(tag, image, step, dataformats="HWC")

    def write_results(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the means of what the rows of a unit say, of those in `METRICS`."""
        for name in METRICS:
            found = [row[name] for row in rows if isinstance(row.get(name), float)]
            # A log that has no curve has nothing to compare, and TensorBoard takes long to import.
            if found and self._writer is not None:
                self._writer.add_scalar(f"result/{name}", sum(found) / len(found), step)

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
            if self._settings and purge_step is None:
                self._write_settings(self._writer)
        return self._writer

    def _write_settings(self, writer: "SummaryWriter") -> None:
        """Write the settings into the log itself; `add_hparams` would make a run of its own."""
        from torch.utils.tensorboard.summary import hparams

        metrics = dict.fromkeys((f"result/{name}" for name in METRICS), 0.0)
        for summary in hparams(self._settings, metrics):
            writer._get_file_writer().add_summary(summary)
