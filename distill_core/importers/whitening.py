"""The whitening that a set was made with: saved statistics, or those of real training images."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.importers.files.file_kinds import detect_file_kind
from distill_core.importers.files.safe_loading import compute_digest, load_objects
from distill_core.importers.raw_set import ImportSetError, read_entries
from distill_core.importers.zca import Whitening, fit_whitening
from distill_core.synthetic_set import to_normalized

BATCH = 1024
MEANS = ("mean", "mean_vector")
INVERSES = ("inverse", "transform_inv")
"""Names of the statistics in a file; the second names are those of `ZCAWhitening`, which the
released code uses."""


@lru_cache(maxsize=2)
def compute_real_whitening(
    images: ImageSet, normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
) -> Whitening:
    """Compute the whitening of real images, in pixel space or after (pixel − mean) / std.

    Raises:
        WhiteningError: there are too few images.
    """
    return compute_whitening_slowly(images, normalization, lambda share: None)


def compute_whitening_slowly(
    images: ImageSet,
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None,
    progress: Callable[[float], None],
) -> Whitening:
    """Compute what `compute_real_whitening` does, and report which share of images was read."""

    def read() -> Iterator[Tensor]:
        for number, batch in enumerate(images.images.split(BATCH)):
            progress(number * BATCH / len(images))
            values = batch.cpu().float() / 255
            yield values if normalization is None else to_normalized(values, *normalization)

    return fit_whitening(read())


def load_whitening(path: Path) -> Whitening:
    """Read the mean (D,) and the inverse transform (D, D) from a file of tensors by name.

    Raises:
        ImportSetError: the file is damaged, or lacks one of them.
    """
    value: object
    try:
        if detect_file_kind(path) == "safetensors":
            value = load_file(path)
        else:
            value = load_objects(path, allow_pickle=False).value
    except (OSError, SafetensorError) as error:
        raise ImportSetError(f"{path} cannot be read: {error}") from error
    entries = read_entries(value)
    mean, inverse = _find_tensor(entries, MEANS), _find_tensor(entries, INVERSES)
    if mean is None or inverse is None:
        raise ImportSetError(
            f"{path}: expected tensors {MEANS[0]!r} and {INVERSES[0]!r}, found {', '.join(entries)}"
        )
    mean = mean.flatten()
    are_finite = bool(mean.isfinite().all() and inverse.isfinite().all())
    if inverse.shape != (len(mean), len(mean)) or not are_finite:
        raise ImportSetError(
            f"{path}: mean {tuple(mean.shape)} and inverse {tuple(inverse.shape)} do not fit"
            " together"
        )
    return Whitening(mean, inverse)


def name_whitening(is_whitened: bool, path: str | None) -> str:
    """Return the value of `Reading.zca` for a file of statistics or for real training images."""
    if not is_whitened:
        return "no"
    return "real data" if path is None else compute_digest([Path(path)], Path(path).parent)


def _find_tensor(entries: Mapping[str, object], names: tuple[str, ...]) -> Tensor | None:
    """Return the first of some names as float64; None if it is missing or not of floats."""
    value = next((entries[name] for name in names if name in entries), None)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return None
    return value.detach().cpu().double()
