"""The idx files of MNIST and FashionMNIST, plain or gzipped (format: yann.lecun.com/exdb/mnist)."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from distill_core.datasets.folders import require_regular
from distill_core.datasets.info import DatasetError, DatasetInfo
from distill_core.datasets.raw import Pixels, RawData, RawSplit, check_labels


def read_idx_data(folder: Path, info: DatasetInfo) -> RawData:
    """Read the four idx files of a data set.

    Raises:
        DatasetError: a file is damaged, or the files do not fit together.
    """

    def split(prefix: str) -> RawSplit:
        images = _find_file(folder, f"{prefix}-images-idx3-ubyte")
        labels = _find_file(folder, f"{prefix}-labels-idx1-ubyte")
        pixels = read_idx(images, dimensions=3)
        targets = read_idx(labels, dimensions=1).astype(np.int64)
        if len(pixels) != len(targets):
            raise DatasetError(
                f"{images} has {len(pixels)} images, {labels} has {len(targets)} labels; get both"
                " again"
            )
        check_labels(targets, len(info.classes), lambda index: f"{labels}, entry {index}")
        return RawSplit(pixels[:, None], targets)

    return RawData(split("train"), split("t10k"), info.classes)


def read_idx(path: Path, *, dimensions: int) -> Pixels:
    """Read one idx file of unsigned bytes.

    Raises:
        DatasetError: the file is damaged or of another type.
    """
    require_regular(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path}: damaged ({error}); delete it and get it again") from error
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4))
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) != header + math.prod(shape):
        raise DatasetError(
            f"{path}: not a complete idx file of {dimensions} dimensions; delete it, then get it"
            " again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape).copy()


def _find_file(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.exists() else plain.with_name(f"{name}.gz")
