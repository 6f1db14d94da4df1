"""Small images, and a registry that accepts small data sets."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from distill_core.datasets.info import REGISTRY


def _pixels(n, height, width=None, channels=3, seed=0):
    shape = (n, height, width or height, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _encode(pixels, format="PNG"):
    buffer = BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pixels():
    """Random uint8 images (N, H, W, C)."""
    return _pixels


@pytest.fixture(scope="session")
def encode():
    """The file content of one image (H, W, C)."""
    return _encode


@pytest.fixture
def shrink(monkeypatch):
    """Make the registry expect a smaller data set of any pixels: `shrink("mnist", train_images=6)`.

    `pixel_mean` brings the check of the pixels back.
    """

    def change(name, **fields):
        fields = {"pixel_mean": (), **fields}
        monkeypatch.setitem(REGISTRY, name, replace(REGISTRY[name], **fields))

    return change
