"""Pixel statistics, to describe images whose file leaves their space open and to detect errors.

The bounds are meant to accept every distilled set, however far its pixels are outside [0, 1], and
to reject images that are read in another way than they were written. When real CIFAR-10 images are
normalized twice, or not denormalized, more than half of their pixels are outside [−0.2, 1.2].
Pixels that are denormalized by mistake have a quarter of the data set's contrast.

Whitening takes away most of the coarse contrast: means over squares of a quarter of the side have a
standard deviation of 1.1 in normalized CIFAR-10 images, of 0.08 in whitened ones, and of 0.2 in
DATM's whitened set.
"""

from dataclasses import dataclass, replace
from math import log
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.datasets.info import DatasetInfo
from distill_core.importers.raw_set import RawSet

MARGIN = 0.2
MAX_OUTSIDE = 0.25
"""Maximum share of pixels outside [0, 1] by more than the margin."""
MIN_CONTRAST = 0.4
"""Minimum, as a share of the data set's standard deviation."""
MAX_MEAN_DISTANCE = 1.5
"""Maximum distance to the data set's mean, in its standard deviations."""
MAX_WHITENED_MEAN, MAX_WHITENED_STD = 0.25, 0.9
MAX_WHITENED_COARSE, MAX_WHITENED_SHARE = 0.45, 0.4
"""Coarse contrast of whitened images, and its share of their variance."""
MIN_WHITENED_SMOOTHNESS = 0.1
"""Correlation of neighboring pixels; that of noise is 0."""
BYTES, SIGNED = "0,0.00392156862745098", "0.5,0.5"
"""Means and standard deviations of bytes, and of images in [−1, 1]."""


class _Guess(NamedTuple):
    """What images are, and the matching options."""

    description: str
    zca: str | None
    normalized: str | None


@dataclass(frozen=True, kw_only=True)
class PixelStatistics:
    """Statistics over all images of a set."""

    low: float
    high: float
    mean: tuple[float, ...]
    """Per channel."""
    std: tuple[float, ...]
    outside: float
    """Share of the values outside [−0.2, 1.2]."""
    coarse: float
    """Standard deviation of the means over squares of a quarter of the side."""
    smoothness: float
    """Correlation of neighbors in a row."""
    expected: DatasetInfo | None = None
    """The data set that the images stand for."""

    @classmethod
    def measure(cls, images: Tensor, expected: DatasetInfo | None = None) -> "PixelStatistics":
        """Measure images (N, C, H, W)."""
        channels = images.transpose(0, 1).flatten(1).double()
        mean, std = channels.mean(1), channels.std(1, correction=0)
        centered = images - mean.to(images).view(-1, 1, 1)
        variance = float(centered.square().mean())
        together = float((centered[..., 1:] * centered[..., :-1]).mean())
        squares = F.avg_pool2d(centered, max(1, images.shape[-1] // 4))
        return cls(
            low=float(images.min()),
            high=float(images.max()),
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
            outside=float(((images < -MARGIN) | (images > 1 + MARGIN)).float().mean()),
            coarse=float(squares.square().mean() ** 0.5),
            smoothness=together / variance if variance > 0 else 0.0,
            expected=expected,
        )

    def __str__(self) -> str:
        means = ", ".join(f"{value:.2f}" for value in self.mean)
        stds = ", ".join(f"{value:.2f}" for value in self.std)
        text = (
            f"values between {self.low:.2f} and {self.high:.2f}, mean {means} and std {stds} per"
            " channel"
        )
        return text.replace("-", "−")

    @property
    def description(self) -> str:
        """What images with such statistics usually are."""
        return self._guess.description

    @property
    def zca(self) -> str | None:
        """The matching value of --zca; None if there is none."""
        return self._guess.zca

    @property
    def normalized(self) -> str | None:
        """The matching value of --normalised; None if there is none."""
        return self._guess.normalized

    @property
    def _guess(self) -> _Guess:
        spread = sum(self.std) / len(self.std)
        if spread < 0.01:
            return _Guess("nearly constant images, which are not a set", None, None)
        if self.outside < 0.1 and self.low > -MARGIN and self.high < 1 + MARGIN:
            return _Guess("pixels in [0, 1]", "no", "no")
        if self._is_whitened(spread):
            return _Guess("ZCA-whitened images", "yes", "no")
        guesses = {_Guess("normalized images", "no", "yes"): (0.0, 1.1)}
        mean, std = self._expect()
        guesses[_Guess("pixels, some of them outside [0, 1]", "no", "no")] = (mean, std)
        if self.low >= 0 and self.high > 2:  # bytes are never negative
            guesses[_Guess("bytes from 0 to 255", "no", BYTES)] = (255 * mean, 255 * std)
        if self.low >= -1 - MARGIN / 2 and self.high <= 1 + MARGIN / 2:
            guesses[_Guess("images in [−1, 1]", "no", SIGNED)] = (2 * mean - 1, 2 * std)
        stored = sum(self.mean) / len(self.mean)

        def measure_distance(guess: _Guess) -> float:
            mean, std = guesses[guess]
            return abs(stored - mean) / std + abs(log(spread / std))

        return min(guesses, key=measure_distance)

    def _is_whitened(self, spread: float) -> bool:
        return (
            max(abs(value) for value in self.mean) < MAX_WHITENED_MEAN
            and spread < MAX_WHITENED_STD
            and self.coarse < min(MAX_WHITENED_COARSE, spread * MAX_WHITENED_SHARE**0.5)
            and self.smoothness > MIN_WHITENED_SMOOTHNESS
        )

    def _expect(self) -> tuple[float, float]:
        """Return mean and standard deviation of the pixels of the data set, or of most."""
        if self.expected is None:
            return 0.45, 0.25
        channels = len(self.expected.mean)
        return sum(self.expected.mean) / channels, sum(self.expected.std) / channels


def find_contradiction(pixels: Tensor, info: DatasetInfo) -> str | None:
    """Describe why images (N, C, H, W) cannot be in pixel space; None if they can."""
    found = PixelStatistics.measure(pixels)
    if found.outside > MAX_OUTSIDE:
        return f"{found.outside:.0%} of the pixels would be far outside [0, 1] ({found})"
    contrast = max(std / expected for std, expected in zip(found.std, info.std, strict=True))
    if contrast < MIN_CONTRAST:
        return (
            f"the images would be nearly constant, with {contrast:.0%} of the contrast of"
            f" {info.name} ({found})"
        )
    pairs = zip(found.mean, info.mean, info.std, strict=True)
    if max(abs(mean - expected) / std for mean, expected, std in pairs) > MAX_MEAN_DISTANCE:
        return f"the images would be far darker or brighter than {info.name} ({found})"
    return None


def match_channels(raw: RawSet, info: DatasetInfo) -> RawSet:
    """Give gray image files, which have one channel or three equal ones, those of the data set."""
    images = raw.images
    if not raw.image_files:
        return raw
    if images.shape[1] == 1:
        return replace(raw, images=images.expand(-1, info.channels, -1, -1))
    is_gray = images.shape[1] == 3 and torch.equal(images[:, :1], images[:, 1:2])
    if is_gray and info.channels == 1:
        return replace(raw, images=images[:, :1])
    return raw
