"""The whitening of a set's makers: statistics that they saved, or those of the real training
images.
"""

from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.importers.raw_set import ImportSetError, read_entries
from distill_core.importers.safe_loading import detect_file_kind, load_objects
from distill_core.importers.zca import Whitening, fit_whitening
from distill_core.synthetic_set import to_normalized

BATCH = 1024
MEANS = ("mean", "mean_vector")
INVERSES = ("inverse", "transform_inv")
"""Names of the statistics in a file; the second are those of the `ZCAWhitening` that the released
code uses.
"""


@lru_cache(maxsize=2)
def compute_real_whitening(
    images: ImageSet, normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
) -> Whitening:
    """Compute the whitening of real images, in pixel space or after (pixel − mean) / std.

    Raises:
        WhiteningError: there are too few images.
    """

    def pixels(batch: Tensor) -> Tensor:
        values = batch.cpu().float() / 255
        return values if normalization is None else to_normalized(values, *normalization)

    return fit_whitening(pixels(batch) for batch in images.images.split(BATCH))


def load_whitening(path: Path) -> Whitening:
    """Read the mean (D,) and the inverse transform (D, D) from a file of tensors by name.

    Raises:
        ImportSetError: the file is damaged, or lacks one of them.
    """
    try:
        value = (
            load_file(path)
            if detect_file_kind(path) == "safetensors"
            else load_objects(path, allow_pickle=False).value
        )
    except (OSError, SafetensorError) as error:
        raise ImportSetError(f"{path} cannot be read: {error}") from error
    entries = read_entries(value)
    tensors = [
        next((entries[n] for n in names if n in entries), None) for names in (MEANS, INVERSES)
    ]
    if not all(isinstance(tensor, Tensor) and tensor.is_floating_point() for tensor in tensors):
        raise ImportSetError(
            f"{path}: expected tensors {MEANS[0]!r} and {INVERSES[0]!r}, found {', '.join(entries)}"
        )
    mean, inverse = (torch.as_tensor(tensor).detach().cpu().double() for tensor in tensors)
    mean = mean.flatten()
    if inverse.shape != (len(mean), len(mean)) or not bool(
        mean.isfinite().all() and inverse.isfinite().all()
    ):
        raise ImportSetError(
            f"{path}: mean {tuple(mean.shape)} and inverse {tuple(inverse.shape)} do not fit"
            " together"
        )
    return Whitening(mean, inverse)
