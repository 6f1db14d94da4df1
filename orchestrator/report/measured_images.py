"""What an accuracy is over: how many images of how many classes, and what guessing reaches."""

import math
from dataclasses import dataclass

import pandas as pd

from distill_core.datasets.info import REGISTRY
from orchestrator.planning.dataset_shape import find_shape
from orchestrator.units import Evaluate, Unit

_ROUNDING = 1e-6
_FEW = 1000
"""With fewer images, a single one shows in the first decimal."""
_QUANTILE = 1.645
"""Of the normal distribution, for 95 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredImages:
    """The images that accuracies are over."""

    chance: float
    """Accuracy of naming the most frequent class, as a fraction."""
    classes: int
    images: int | None
    """None where neither the rows nor the record of the data set has the number."""
    split: str
    """test or validation."""

    def is_chance(self, accuracy: float) -> bool:
        """Return whether an accuracy is not above chance: one-sided test on the images, 5 %."""
        error = math.sqrt(self.chance * (1 - self.chance) / self.images) if self.images else 0.0
        return accuracy <= self.chance + _QUANTILE * error + _ROUNDING

    def describe(self) -> str:
        """Return it in words: "360 test images of 10 classes; chance is 10.3 %"."""
        count = "" if self.images is None else f"{self.images:,} "
        text = f"{count}{self.split} images of {self.classes} classes; chance is"
        text = f"{text} {100 * self.chance:.1f} %"
        if self.images is None or self.images >= _FEW:
            return text
        return f"{text}; one image is {100 / self.images:.1f} points"


def read_measured_images(unit: Unit, row: pd.Series) -> MeasuredImages | None:
    """Return what a row of `evaluations` is over; None where the row does not say.

    Files of version 0.1.0 have the classes alone. Their number of images comes from the record of
    the data set, and their chance takes equal classes.
    """
    accuracies = row["class_accuracies"]
    if accuracies is None or not len(accuracies):
        return None
    images = None if pd.isna(row["tested_images"]) else int(row["tested_images"])
    split = str(row["split"])
    if images is None and split == "test" and isinstance(unit, Evaluate):
        is_known = unit.dataset.name in REGISTRY
        images = find_shape(unit.dataset).test_images if is_known else None
    chance = 1 / len(accuracies) if pd.isna(row["chance"]) else float(row["chance"])
    return MeasuredImages(chance=chance, classes=len(accuracies), images=images, split=split)
