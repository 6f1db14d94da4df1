import pytest

from distill_core.runtime.chunk_sizes import choose_class_chunk, choose_forward_images


@pytest.mark.parametrize(
    ("classes", "image_size", "real", "synthetic", "gpu", "cpu"),
    [
        (10, 32, 256, 1, 10, 10),
        (10, 32, 256, 10, 10, 10),
        (10, 32, 256, 50, 10, 2),
        (10, 32, 256, 200, 2, 1),
        (100, 32, 256, 10, 25, 12),
        (200, 64, 256, 200, 1, 1),
        (10, 32, 10**6, 1, 1, 1),
        (10, 32, 1, 10**6, 1, 1),
    ],
)
def test_as_many_classes_as_fit_in_chunks_as_equal_as_can_be(
    classes, image_size, real, synthetic, gpu, cpu
):
    sizes = {"classes": classes, "image_size": image_size, "real": real, "synthetic": synthetic}
    assert (choose_class_chunk("cuda", **sizes), choose_class_chunk("cpu", **sizes)) == (gpu, cpu)


def test_little_free_memory_makes_chunks_smaller_and_much_of_it_makes_none_larger():
    sizes = {"classes": 100, "image_size": 32, "real": 1, "synthetic": 50}
    found = [
        choose_class_chunk("cuda", **sizes, free=int(free)) for free in (80e9, 24e9, 4e9, 1e9, 0)
    ]
    assert found[0] == found[1] == choose_class_chunk("cuda", **sizes) == 10 and found[2:] == [
        3,
        1,
        1,
    ]


def test_forward_passes_are_bounded_in_pixels():
    assert choose_forward_images("cpu", 32) == 4 * choose_forward_images("cpu", 64) == 32
    assert choose_forward_images("cuda", 10_000) == 1
