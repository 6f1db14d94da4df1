import pytest
import torch

from distill_core.importers.zca import WhiteningError, fit_whitening


@pytest.fixture(scope="module")
def images():
    """500 images of 2×3×3 correlated pixels."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(500, 18, generator=generator) @ torch.randn(18, 18, generator=generator)
    ).view(-1, 2, 3, 3)


def test_whitened_images_are_uncorrelated_with_unit_variance(images):
    flat = fit_whitening([images], epsilon=0.0).whiten(images.double()).flatten(1)
    torch.testing.assert_close(flat.mean(0), torch.zeros(18).double(), atol=1e-8, rtol=0)
    torch.testing.assert_close(flat.T.cov(), torch.eye(18).double(), atol=1e-6, rtol=0)


def test_it_is_the_whitening_of_the_formula(images):
    """Compare with the definition by singular values, ε = 0.1."""
    flat = images.flatten(1).double()
    centered = flat - flat.mean(0)
    u, s, _ = torch.linalg.svd(centered.T @ centered / (len(flat) - 1))
    expected = centered @ (u @ torch.diag(1 / (s + 0.1).sqrt()) @ u.T)
    torch.testing.assert_close(fit_whitening([images]).whiten(images.double()).flatten(1), expected)


def test_the_inverse_gives_the_images_back_and_batches_do_not_matter(images):
    whole, parts = fit_whitening([images]), fit_whitening(images.split(77))
    torch.testing.assert_close(whole.inverse, parts.inverse)
    torch.testing.assert_close(whole.unwhiten(whole.whiten(images)), images, rtol=1e-5, atol=1e-5)


def test_it_stays_close_to_the_image():
    """ZCA changes an image the least of all whitenings: its matrix is symmetric."""
    images = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    whitening = fit_whitening([images])
    torch.testing.assert_close(whitening.inverse, whitening.inverse.T)


def test_what_cannot_be_whitened(images):
    with pytest.raises(WhiteningError, match="two images"):
        fit_whitening([images[:1]])
    with pytest.raises(WhiteningError, match="not 18"):
        fit_whitening([images]).unwhiten(torch.zeros(1, 1, 4, 4))
