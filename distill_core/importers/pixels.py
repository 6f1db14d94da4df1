"""Pixel statistics, to describe images whose file leaves their space open and to detect errors.

The bounds are meant to accept every distilled set, however far its pixels are outside [0, 1], and
to reject images that are read in another way than they were written. When real CIFAR-10 images are
normalized twice, or not denormalized, more than half of their pixels are outside [−0.2, 1.2].
Pixels that are denormalized by mistake, and whitened images that are read as normalized, have a
quarter of the data set's contrast.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from distill_core.datasets.info import DatasetInfo

MARGIN = 0.2
MAX_OUTSIDE = 0.25
"""Maximum share of pixels outside [0, 1] by more than the margin."""
MIN_CONTRAST = 0.4
"""Minimum, as a share of the data set's standard deviation."""
MAX_MEAN_DISTANCE = 1.5
"""Maximum distance to the data set's mean, in its standard deviations."""


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

    @classmethod
    def measure(cls, images: Tensor) -> "PixelStatistics":
        """Measure images (N, C, H, W)."""
        channels = images.transpose(0, 1).flatten(1).double()
        return cls(
            low=float(images.min()),
            high=float(images.max()),
            mean=tuple(channels.mean(1).tolist()),
            std=tuple(channels.std(1, correction=0).tolist()),
            outside=float(((images < -MARGIN) | (images > 1 + MARGIN)).float().mean()),
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
        largest_mean = max(abs(value) for value in self.mean)
        spread = sum(self.std) / len(self.std)
        if self.high > 20:
            return _Guess("bytes from 0 to 255", "no", "0,0.00392156862745098")
        if spread < 0.01:
            return _Guess("nearly constant images, which are not a set", None, None)
        if self.outside < 0.1 and self.low > -MARGIN and self.high < 1 + MARGIN:
            return _Guess("pixels in [0, 1]", "no", "no")
        if largest_mean < 0.2 and spread < 0.6:
            return _Guess("ZCA-whitened images", "yes", "no")
        if self.outside > MAX_OUTSIDE:
            return _Guess("normalized images", "no", "yes")
        return _Guess("pixels, some of them outside [0, 1]", "no", "no")


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
