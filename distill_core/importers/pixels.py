"""What images look like by their numbers: to say so where a file leaves it open, and to catch a
wrong reading.

The bounds are meant to let every distilled set pass, however far its pixels lie outside [0, 1], and
to stop images read in a way they were not written. Real CIFAR-10 images normalized twice, or not
denormalized, lie outside [−0.2, 1.2] with more than half of their pixels; pixels that are
denormalized, and whitened images taken for normalized ones, keep a quarter of the data set's
contrast.
"""

from dataclasses import dataclass

from torch import Tensor

from distill_core.datasets.info import DatasetInfo

MARGIN = 0.2
MAX_OUTSIDE = 0.25
"""Largest part of the pixels that may lie further outside [0, 1] than the margin."""
MIN_CONTRAST = 0.4
"""Of the data set's standard deviation."""
FURTHEST_MEAN = 1.5
"""Distance to the data set's mean, in its standard deviations."""


@dataclass(frozen=True, kw_only=True)
class PixelStatistics:
    """Numbers over all images of a set."""

    low: float
    high: float
    mean: tuple[float, ...]
    """Per channel."""
    std: tuple[float, ...]
    outside: float
    """Part of the values outside [−0.2, 1.2]."""

    @classmethod
    def of(cls, images: Tensor) -> "PixelStatistics":
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
        means, stds = (", ".join(f"{v:.2f}" for v in values) for values in (self.mean, self.std))
        text = (
            f"values between {self.low:.2f} and {self.high:.2f}, mean {means} and std {stds} a"
            " channel"
        )
        return text.replace("-", "−")

    @property
    def description(self) -> str:
        """What images with such numbers usually are."""
        return self._guess[0]

    @property
    def zca(self) -> str | None:
        """The value of --zca that says so; None where there is none."""
        return self._guess[1]

    @property
    def normalized(self) -> str | None:
        """The value of --normalised that says so; None where there is none."""
        return self._guess[2]

    @property
    def _guess(self) -> tuple[str, str | None, str | None]:
        largest_mean = max(abs(value) for value in self.mean)
        spread = sum(self.std) / len(self.std)
        if self.high > 20:
            return "bytes from 0 to 255", "no", "0,0.00392156862745098"
        if spread < 0.01:
            return "nearly constant images, which are no set at all", None, None
        if self.outside < 0.1 and self.low > -MARGIN and self.high < 1 + MARGIN:
            return "pixels in [0, 1]", "no", "no"
        if largest_mean < 0.2 and spread < 0.6:
            return "ZCA-whitened images", "yes", "no"
        if self.outside > MAX_OUTSIDE:
            return "normalized images", "no", "yes"
        return "pixels of which some lie outside [0, 1]", "no", "no"


def find_contradiction(pixels: Tensor, info: DatasetInfo) -> str | None:
    """Say what is odd about images (N, C, H, W) that are supposed to be in pixel space; None if
    nothing is.
    """
    found = PixelStatistics.of(pixels)
    if found.outside > MAX_OUTSIDE:
        return f"{found.outside:.0%} of the pixels would lie far outside [0, 1] ({found})"
    contrast = max(std / expected for std, expected in zip(found.std, info.std, strict=True))
    if contrast < MIN_CONTRAST:
        return (
            f"the images would be nearly constant, with {contrast:.0%} of the contrast of"
            f" {info.name} ({found})"
        )
    pairs = zip(found.mean, info.mean, info.std, strict=True)
    if max(abs(mean - expected) / std for mean, expected, std in pairs) > FURTHEST_MEAN:
        return f"the images would be far darker or brighter than {info.name} ({found})"
    return None
