"""Whitenings of real images, computed once for a store: 50,000 images take most of a minute."""

import hashlib
import logging
from collections.abc import Callable

from safetensors import SafetensorError
from safetensors.torch import load, save

from distill_core.datasets.image_set import ImageSet
from distill_core.importers.whitening import compute_whitening_slowly
from distill_core.importers.zca import EPSILON, Whitening
from orchestrator.store.storage import Storage

Normalization = tuple[tuple[float, ...], tuple[float, ...]]

_log = logging.getLogger(__name__)


def load_or_fit(
    storage: Storage,
    images: ImageSet,
    normalization: Normalization | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Whitening:
    """Return the whitening of real images; it is kept by the fingerprint of the images.

    Args:
        storage: where the store is.
        images: the real training images.
        normalization: mean and standard deviation, if whitening follows normalization.
        progress: receives the share of the images that was read, if it has to be computed.

    Raises:
        WhiteningError: there are too few images.
    """
    name = name_file(images, normalization)
    if (content := storage.get(name)) is not None:
        try:
            tensors = load(content)
            return Whitening(tensors["mean"], tensors["inverse"])
        except (SafetensorError, KeyError, ValueError) as error:
            _log.warning("%s is damaged and is computed again: %s", storage.where(name), error)
    whitening = compute_whitening_slowly(images, normalization, progress)
    tensors = {"mean": whitening.mean, "inverse": whitening.inverse.contiguous()}
    try:
        storage.put(name, save(tensors))
    except OSError as error:
        _log.warning("the whitening could not be kept: %s", error)
    return whitening


def is_kept(storage: Storage, images: ImageSet, normalization: Normalization | None = None) -> bool:
    """Return whether `load_or_fit` will find the whitening."""
    return storage.entry(name_file(images, normalization)) is not None


def name_file(images: ImageSet, normalization: Normalization | None) -> str:
    """Return the name of the file with a whitening in a store."""
    identity = repr((images.fingerprint, normalization, EPSILON))
    return f"whitenings/{hashlib.sha256(identity.encode()).hexdigest()[:16]}.safetensors"
