"""scikit-learn's digits: 1,797 scans of 8×8 pixels with 17 gray levels, from the UCI repository."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.raw import Pixels, RawData, RawSplit
from distill_core.datasets.splits import TEST_FRACTION, draw_stratified_mask


def read_digits(folder: Path, info: DatasetInfo) -> RawData:
    """Read the digits at 32×32 with a stratified test split, chosen by a hash of the name."""
    scans, labels = _read_scans()
    images = _enlarge(scans)
    test = draw_stratified_mask(
        torch.from_numpy(labels), TEST_FRACTION, purpose="test split", name=info.name
    ).numpy()
    return RawData(
        RawSplit(images[~test], labels[~test]), RawSplit(images[test], labels[test]), info.classes
    )


def _read_scans() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the scans (N, 8, 8) of 0 … 16, and their labels (N,).

    From the file that scikit-learn's `load_digits` reads: importing it takes longer than most of
    the units that use these images.
    """
    found = importlib.util.find_spec("sklearn")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        file = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if file.exists():
            rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.int64), digits.target.astype(np.int64)


def _enlarge(scans: NDArray[np.int64]) -> Pixels:
    """Resize (N, 8, 8) of 0 … 16 to (N, 1, 32, 32) of 0 … 255, bilinear with aligned pixel centers.

    It computes with integers, so every machine gets the same bytes: at factor four all weights are
    odd eighths.
    """
    weights = np.zeros((32, 8), dtype=np.int64)
    for row in range(32):
        # 8 times the source coordinate (row + 0.5) / 4 − 0.5, clipped to the scan.
        eighths = min(max(2 * row - 3, 0), 56)
        weights[row, eighths // 8] += 8 - eighths % 8
        weights[row, min(eighths // 8 + 1, 7)] += eighths % 8
    enlarged = weights @ scans @ weights.T
    # White is 64 × 16 = 1024; adding half of it rounds to the nearest integer.
    pixels: Pixels = ((enlarged * 255 + 512) // 1024).astype(np.uint8)
    return pixels[:, None]
