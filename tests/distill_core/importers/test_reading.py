"""The decisions about a file are described in words."""

import pytest

from distill_core.importers.reading import Reading


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        (Reading(layout="imagefolder"), "pixels in [0, 1]"),
        (Reading(layout="dc", normalised=True), "normalized by the data set's mean and std"),
        (
            Reading(layout="idm", normalised=True, mean=(0.5, 0.25), std=(0.2, 0.1), partition=2),
            "normalized by mean 0.5/0.25 and std 0.2/0.1, each cut into 2 × 2 images",
        ),
        (
            Reading(layout="mtt", zca="real data", soft_labels="logits"),
            "pixels in [0, 1], ZCA undone with statistics of real images, soft labels (logits)",
        ),
        (
            Reading(layout="mtt", zca="0" * 64),
            "pixels in [0, 1], ZCA undone with statistics of a file",
        ),
    ],
)
def test_words(reading, text):
    assert str(reading) == text
