import pytest

from distill_core.chunks import class_chunk, forward_images


@pytest.mark.parametrize(
    ("classes", "image_size", "real", "synthetic", "expected"),
    [
        (10, 32, 256, 10, 10),
        (10, 32, 256, 50, 10),
        (10, 32, 256, 200, 2),
        (100, 32, 256, 10, 32),
        (200, 64, 256, 200, 1),
        (10, 32, 10**6, 1, 1),
        (10, 32, 1, 10**6, 1),
    ],
)
def test_as_many_classes_as_fit(classes, image_size, real, synthetic, expected):
    assert class_chunk(classes=classes, image_size=image_size, real=real, synthetic=synthetic) == expected


def test_forward_passes_are_bounded_in_pixels():
    assert forward_images("cpu", 32) == 4 * forward_images("cpu", 64) == 256
    assert forward_images("cuda", 10_000) == 1
