"""Decoding of image files to arrays; every image that cannot be read is named, not only the first.

What changes an image on the way (resizing, cropping, dropped transparency) is counted.
"""

import os
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from distill_core.datasets.info import DatasetError, DatasetInfo
from distill_core.datasets.raw import (
    EncodedData,
    EncodedImage,
    EncodedSplit,
    Pixels,
    RawData,
    RawSplit,
)
from distill_core.datasets.record import SHOWN, ImageTraits

T = TypeVar("T")

LARGEST_SIDE = 4096
"""Side to which images are resized at most."""

_GRAY_MODES = ("1", "L", "LA", "La")
_DEEP_MODES = ("I", "F")
_MODES = {1: "L", 3: "RGB"}
_ORIENTATION = 0x0112
"""EXIF tag."""


class UnreadableImages(DatasetError):
    """Images cannot be read; the message names the first ones."""

    def __init__(self, name: str, problems: list[str]) -> None:
        self.problems = tuple(problems)
        """A line for each image: where it is, and why it cannot be read."""
        lines = [f"{name}: {len(problems):,} images cannot be read:", *problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines.append(f"and {len(problems) - SHOWN:,} more; iid datasets DATASET names all")
        super().__init__(problems[0] if len(problems) == 1 else "\n  ".join(lines))


def decode_registered(data: EncodedData, info: DatasetInfo) -> RawData:
    """Decode images that must have the size in the data set's record; gray ones become RGB.

    Raises:
        UnreadableImages: images cannot be decoded or have another size.
        DatasetError: they are of another format than the data set's.
    """
    raw = _decode_data(
        data, info.name, channels=info.channels, image_size=info.image_size, resize=False
    )
    for traits in (raw.record.train, raw.record.test):
        other = sorted(set(traits.formats if traits else ()) - set(info.formats))
        if other:
            raise DatasetError(
                f"{info.name}: images are {other[0]}, but this data set has"
                f" {' or '.join(info.formats)}; {_suggest_name(info, other[0])}"
            )
    return raw


def _suggest_name(info: DatasetInfo, found: str) -> str:
    if info.name == "cifar10" and found == "JPEG":
        return "CIFAR-10 encoded as JPEG is the data set cifar10-jpeg"
    if info.name == "cifar10-jpeg":
        return "give it as cifar10"
    return "give images that were encoded again another name, as a data set of your own"


def decode_custom(data: EncodedData, image_size: int | None, name: str = "data set") -> RawData:
    """Decode custom images to squares.

    Images of another size are resized (bilinear, antialiased) until the shorter side fits, then
    cropped at the center. The result is gray if all images are gray, otherwise RGB. Transparency is
    dropped, an EXIF rotation is not applied.

    Args:
        data: the encoded images.
        image_size: side in pixels; None uses the shorter side of the first training image.
        name: the data set's name, for messages.

    Raises:
        UnreadableImages: images cannot be decoded or have more than 8 bits per channel.
        DatasetError: the images would not fit into memory.
    """
    with _bombs_are_errors():
        channels, size = _find_shape(data, image_size, name)
    return _decode_data(data, name, channels=channels, image_size=size, resize=True)


def _find_shape(data: EncodedData, image_size: int | None, name: str) -> tuple[int, int]:
    """Return channels and side of the result; headers alone are read, up to the first in color."""
    channels = 1
    for image in (*data.train.images, *data.test.images):
        found = _try_inspect(image, lambda header: (header.mode, min(header.size)))
        if isinstance(found, DatasetError):
            continue  # named when all images are decoded
        mode, side = found
        if image_size is None:
            image_size = side
            if side > LARGEST_SIDE:
                raise DatasetError(
                    f"{name}: the first image, {image.where}, has {side} pixels per side, and all"
                    f" would be resized to that; give image_size, at most {LARGEST_SIDE}"
                )
        if mode not in _GRAY_MODES:
            channels = 3
            break
    size = image_size or 1
    _check_memory(len(data.train.images) + len(data.test.images), channels, size, name)
    return channels, size


def _check_memory(images: int, channels: int, size: int, name: str) -> None:
    """Refuse what no memory holds before it is asked for."""
    need = images * channels * size * size
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > memory:
        raise DatasetError(
            f"{name}: {images:,} images of {size}×{size}×{channels} take {need / 1e9:,.0f} GB, this"
            f" machine has {memory / 1e9:,.0f} GB; give a smaller image_size"
        )


def _decode_data(
    data: EncodedData, name: str, *, channels: int, image_size: int, resize: bool
) -> RawData:
    problems: list[str] = []
    splits, traits = [], []
    for split in (data.train, data.test):
        decoder = _Decoder(channels, image_size, resize)
        splits.append(RawSplit(decoder.decode(split), split.labels))
        traits.append(decoder.collect_traits())
        problems += [decoder.problems[index] for index in sorted(decoder.problems)]
    if problems:
        raise UnreadableImages(name, problems)
    record = replace(data.record, train=traits[0], test=traits[1])
    return RawData(splits[0], splits[1], data.classes, record)


@dataclass(slots=True)
class _Decoder:
    """Decodes the images of a split with threads, each of which counts for itself."""

    channels: int
    size: int
    resize: bool
    problems: dict[int, str] = field(default_factory=dict)
    counts: list[Counter[tuple[str, object]]] = field(default_factory=list)

    def decode(self, split: EncodedSplit) -> Pixels:
        """Return uint8 (N, C, H, W); images with problems stay undefined."""
        shape = (len(split.images), self.size, self.size, self.channels)
        pixels = np.empty(shape, dtype=np.uint8)
        workers = torch.get_num_threads()
        self.counts = [Counter() for _ in range(workers)]

        def fill(worker: int) -> None:
            counts = self.counts[worker]
            for index in range(worker, len(pixels), workers):
                image = split.images[index]
                found = _try_inspect(image, lambda opened: self._convert(opened, counts))
                if isinstance(found, DatasetError):
                    self.problems[index] = str(found)
                else:
                    pixels[index] = found.reshape(shape[1:])

        with _bombs_are_errors(), ThreadPoolExecutor(workers) as pool:
            list(pool.map(fill, range(workers)))
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    def _convert(self, image: Image.Image, counts: Counter[tuple[str, object]]) -> Pixels:
        side = self.size
        if image.mode.startswith(_DEEP_MODES):
            raise DatasetError(f"has pixels of mode {image.mode}; convert it to 8 bits per channel")
        if not self.resize and image.size != (side, side):
            raise DatasetError(f"is {image.width}×{image.height} pixels, not {side}×{side}")
        counts["format", str(image.format)] += 1
        counts["mode", image.mode] += 1
        counts["size", image.size] += 1
        for name, holds in _find_traits(image, side).items():
            counts[name, True] += holds
        # Converted first, because palette images can only be resized by nearest neighbor.
        mode = _MODES[self.channels]
        image = image if image.mode == mode else image.convert(mode)
        if image.size != (side, side):
            image = ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
        return np.asarray(image)

    def collect_traits(self) -> ImageTraits:
        """Add up what the threads counted."""
        total: Counter[tuple[str, object]] = Counter()
        for counts in self.counts:
            total.update(counts)

        def select(name: str) -> dict[object, int]:
            return {value: count for (kind, value), count in total.items() if kind == name}

        return ImageTraits(
            formats=select("format"),  # type: ignore[arg-type]
            modes=select("mode"),  # type: ignore[arg-type]
            sizes=select("size"),  # type: ignore[arg-type]
            resized=total["resized", True],
            cropped=total["cropped", True],
            transparent=total["transparent", True],
            rotated=total["rotated", True],
            animated=total["animated", True],
        )


def _find_traits(image: Image.Image, side: int) -> dict[str, bool]:
    return {
        "resized": min(image.size) != side,
        "cropped": image.width != image.height,
        "transparent": _is_transparent(image),
        "rotated": _is_rotated(image),
        "animated": bool(getattr(image, "is_animated", False)),
    }


def _is_rotated(image: Image.Image) -> bool:
    if "exif" not in image.info and image.format != "TIFF":
        return False  # to look for it costs as much as decoding a small image
    return image.getexif().get(_ORIENTATION, 1) not in (0, 1)


def _is_transparent(image: Image.Image) -> bool:
    if image.mode in ("RGBA", "LA"):
        lowest, _ = image.getchannel("A").getextrema()
        return isinstance(lowest, int) and lowest < 255
    return "transparency" in image.info


@contextmanager
def _bombs_are_errors() -> Iterator[None]:
    """Refuse images of more pixels than Pillow's limit, where it would only warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _try_inspect(encoded: EncodedImage, use: Callable[[Image.Image], T]) -> T | DatasetError:
    """Open an image and use it, or return what is wrong with it."""
    if encoded.content is None:
        return DatasetError(
            f"{encoded.where}: has no image bytes; write the data set with the images embedded"
        )
    try:
        with Image.open(_open(encoded.content)) as image:
            return use(image)
    except DatasetError as error:
        return DatasetError(f"{encoded.where}: the image {error}")
    except Exception as error:  # on damaged bytes decoders may raise anything
        return DatasetError(
            f"{encoded.where}: not a readable image ({_say(error)}); replace or remove it"
        )


def _say(error: Exception) -> str:
    """Return a reason without the addresses and paths that Pillow puts into it."""
    if isinstance(error, UnidentifiedImageError):
        return "its bytes are no known image format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _open(content: bytes | Path) -> BytesIO | Path:
    """Return what Pillow can read without waiting for somebody to write."""
    if isinstance(content, bytes):
        return BytesIO(content)
    if not stat.S_ISREG(content.stat().st_mode):
        raise DatasetError("is not a regular file; remove it")
    return content
