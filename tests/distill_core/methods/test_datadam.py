"""DataDAM against its formula in float64, and what must hold for any images."""

import numpy as np
import pytest
import torch

from distill_core.check_plugin import check_plugin
from distill_core.distillation.view import Features, View
from distill_core.methods.datadam import DataDAM, compute_attention
from distill_core.networks import build_network

NAME = "distill_core.methods.datadam:DataDAM"


def features(seed, images, dtype=torch.float64):
    draws = torch.Generator().manual_seed(seed)
    sizes = ((4, 8), (4, 4), (6, 2))
    blocks = [torch.randn(2, images, c, s, s, generator=draws, dtype=dtype) for c, s in sizes]
    network = build_network("ConvNetW4D1", channels=1, classes=2, image_size=8)
    return Features(torch.zeros(2, images, 1, 8, 8), blocks[-1] * 0.5, tuple(blocks), network)


def view(real, synthetic):
    return View(
        real=real,
        synthetic=synthetic,
        labels=torch.arange(2),
        classes=2,
        extractor=None,
        iteration=0,
        iterations=1,
        draw=torch.Generator,
    )


def by_formula(real, synthetic, power, weight):
    """The formula of the docstring, image by image and class by class."""

    def mean_attention(maps):
        vectors = []
        for image in maps.numpy():
            attention = (np.abs(image) ** power).sum(0).ravel()
            vectors.append(attention / np.sqrt((attention**2).sum()))
        return np.mean(vectors, axis=0)

    total = 0.0
    for c in range(2):
        for of_real, of_synthetic in zip(real.blocks[:-1], synthetic.blocks[:-1], strict=True):
            gap = mean_attention(of_real[c]) - mean_attention(of_synthetic[c])
            total += (gap**2).sum()
        gap = real.maps[c].numpy().mean(0) - synthetic.maps[c].numpy().mean(0)
        total += weight * (gap**2).sum()
    return total


@pytest.mark.parametrize(("power", "weight"), [(4.0, 0.01), (1.0, 0.5)])
def test_it_is_the_formula(power, weight):
    real, synthetic = features(1, 5), features(2, 3)
    loss = DataDAM(power=power, weight_output=weight, scale=1.0)(view(real, synthetic))
    assert float(loss) == pytest.approx(by_formula(real, synthetic, power, weight), rel=1e-12)
    scaled = DataDAM(power=power, weight_output=weight)(view(real, synthetic))
    assert float(scaled) == pytest.approx(100 * float(loss), rel=1e-12)


def test_equal_sets_have_no_loss_and_the_scale_of_maps_does_not_matter():
    real = features(1, 4)
    assert float(DataDAM()(view(real, real))) == 0
    maps = real.blocks[0]
    torch.testing.assert_close(compute_attention(maps, 4.0), compute_attention(3 * maps, 4.0))
    assert compute_attention(torch.zeros(1, 1, 2, 2, 2), 4.0).isfinite().all()


def test_the_gradient_is_that_of_finite_differences():
    real, start = features(1, 3), features(2, 2)

    def loss(first, last):
        blocks = (first, *start.blocks[1:])
        return DataDAM()(view(real, Features(start.images, last, blocks, start.network)))

    leaves = [start.blocks[0].clone().requires_grad_(), start.maps.clone().requires_grad_()]
    assert torch.autograd.gradcheck(loss, leaves, eps=1e-6, atol=1e-5)


def test_it_passes_the_check():
    assert all(seen.is_good for seen in check_plugin(NAME, image_size=16))
