"""Decoding of image files to arrays."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps

from distill_core.datasets.info import DatasetError, DatasetInfo
from distill_core.datasets.raw import (
    EncodedData,
    EncodedImage,
    EncodedSplit,
    Pixels,
    RawData,
    RawSplit,
)

T = TypeVar("T")

_GRAY_MODES = ("1", "L", "LA", "La")
_DEEP_MODES = ("I", "F")
_MODES = {1: "L", 3: "RGB"}


def decode_registered(data: EncodedData, info: DatasetInfo) -> RawData:
    """Decode images that must have the size in the data set's record; gray ones become RGB.

    Raises:
        DatasetError: an image cannot be decoded or has another size.
    """
    return _decode_data(data, channels=info.channels, image_size=info.image_size, resize=False)


def decode_custom(data: EncodedData, image_size: int | None) -> RawData:
    """Decode custom images to squares.

    Images of another size are resized (bilinear, antialiased) until the shorter side fits, then
    cropped at the center. The result is gray if all images are gray, otherwise RGB. Transparency is
    dropped.

    Args:
        data: the encoded images.
        image_size: side in pixels; None uses the shorter side of the first training image.

    Raises:
        DatasetError: an image cannot be decoded or has more than 8 bits per channel.
    """
    images = [*data.train.images, *data.test.images]
    channels = 1 if all(_inspect(image, _is_gray) for image in images) else 3
    size = image_size or _inspect(images[0], lambda image: min(image.size))
    return _decode_data(data, channels=channels, image_size=size, resize=True)


def _decode_data(data: EncodedData, *, channels: int, image_size: int, resize: bool) -> RawData:
    def decode(split: EncodedSplit) -> RawSplit:
        return RawSplit(_decode(split, channels, image_size, resize), split.labels)

    return RawData(decode(data.train), decode(data.test), data.classes)


def _decode(split: EncodedSplit, channels: int, image_size: int, resize: bool) -> Pixels:
    pixels = np.empty((len(split.images), image_size, image_size, channels), dtype=np.uint8)
    workers = torch.get_num_threads()

    def convert(image: Image.Image) -> Pixels:
        if image.mode.startswith(_DEEP_MODES):
            raise DatasetError(f"has pixels of mode {image.mode}; convert it to 8 bits per channel")
        if not resize and image.size != (image_size, image_size):
            raise DatasetError(
                f"is {image.width}×{image.height} pixels, not {image_size}×{image_size}"
            )
        # Converted first, because palette images can only be resized by nearest neighbor.
        image = image if image.mode == _MODES[channels] else image.convert(_MODES[channels])
        if image.size != (image_size, image_size):
            image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
        return np.asarray(image)

    def fill(worker: int) -> None:
        for index in range(worker, len(pixels), workers):
            pixels[index] = _inspect(split.images[index], convert).reshape(
                image_size, image_size, channels
            )

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(fill, range(workers)))
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _is_gray(image: Image.Image) -> bool:
    return image.mode in _GRAY_MODES


def _inspect(encoded: EncodedImage, use: Callable[[Image.Image], T]) -> T:
    if encoded.content is None:
        raise DatasetError(
            f"{encoded.where}: has no image bytes; write the data set with the images embedded"
        )
    try:
        content = encoded.content
        with Image.open(BytesIO(content) if isinstance(content, bytes) else content) as image:
            return use(image)
    except DatasetError as error:
        raise DatasetError(f"{encoded.where}: the image {error}") from error
    except Exception as error:  # on damaged bytes decoders may raise anything
        raise DatasetError(
            f"{encoded.where}: not a readable image ({error}); replace or remove it"
        ) from error
