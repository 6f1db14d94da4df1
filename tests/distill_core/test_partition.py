import pytest
import torch
import torch.nn.functional as F

from distill_core.distillation.objective import decode_canvases
from distill_core.partition import downscale, partition, tile


def test_golden(golden, image):
    torch.testing.assert_close(
        partition(image(3, 3, 32, 32, 31), 2),
        golden["idm/partition/out"].float(),
        rtol=1e-5,
        atol=1e-5,
    )
    torch.testing.assert_close(
        partition(image(2, 3, 64, 64, 33), 2),
        golden["idm/partition64/out"].float(),
        rtol=1e-5,
        atol=1e-5,
    )
    torch.testing.assert_close(
        downscale(image(3, 3, 32, 32, 31), 2),
        golden["idm/downscale/out"].float(),
        rtol=1e-5,
        atol=1e-5,
    )


def test_golden_labels(golden):
    assert torch.arange(3).repeat(4).tolist() == golden["idm/partition/labels"].tolist()


@pytest.mark.parametrize("factor", [2, 3])
def test_a_tiled_canvas_holds_the_shrunk_images(factor, image):
    images = image(2 * factor**2, 3, 12, 12, 4)
    canvases = tile(images, factor)
    assert canvases.shape == (2, 3, 12, 12)
    up = F.interpolate(downscale(images, factor), size=12, mode="bilinear", align_corners=False)
    torch.testing.assert_close(partition(canvases, factor), up)


def test_factor_one_is_the_identity(image):
    images = image(2, 3, 8, 8, 1)
    assert partition(images, 1) is images and tile(images, 1) is images


def test_decoding_keeps_classes_together(image):
    images = image(6, 3, 8, 8, 1).view(3, 2, 3, 8, 8)
    for c in range(3):
        torch.testing.assert_close(decode_canvases(images, 2)[c], partition(images[c], 2))


def test_sides_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="9 pixels"):
        partition(torch.zeros(1, 1, 9, 9), 2)
