from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from distill_core.datasets.image_set import ImageSet
from distill_core.evaluation.features import (
    compare_features,
    compute_neighbor_plane,
    compute_spread,
    fit_principal_plane,
)
from distill_core.networks import Network, build_network
from distill_core.settings import FeatureSettings

SETTINGS = FeatureSettings(images=12, perplexity=5)


class TwoChannels(Network):
    """A network whose channels are the means of the upper and the lower half, at one position."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(2, 3)

    def feature_map(self, x):
        return torch.stack([half.mean((1, 2, 3)) for half in x.chunk(2, dim=2)], dim=1)[
            ..., None, None
        ]


def halves(*pairs):
    """Images (1, M, 1, 4, 4) whose halves have these values."""
    values = torch.tensor(pairs, dtype=torch.float32)
    return values.repeat_interleave(2, dim=1)[None, :, None, :, None].expand(-1, -1, -1, -1, 4)


def dataset_of(tiny_dataset, pixels):
    """One class of images whose halves have these pixel values; mean 0, deviation 1/255."""
    images = halves(*pixels)[0].to(torch.uint8)
    statistics = {"mean": (0.0,), "std": (1 / 255,)}
    labels = torch.zeros(len(images), dtype=torch.int64)
    train = ImageSet.build(images, labels, classes=1, name="halves", **statistics)
    info = replace(tiny_dataset.info, name="halves", classes=("all",), image_size=4, **statistics)
    return replace(tiny_dataset, info=info, train=train, test=train)


def synthetic_like(dataset, m=4, seed=0):
    info = dataset.info
    shape = (len(info.classes), m, info.channels, info.image_size, info.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def convnet():
    return build_network("ConvNetW8D2", channels=1, classes=3, image_size=16).eval()


@pytest.fixture(scope="module")
def described(tiny_dataset, convnet):
    images = synthetic_like(tiny_dataset), synthetic_like(tiny_dataset, seed=1)
    return compare_features(tiny_dataset, convnet, *images, SETTINGS, seed=0)


def test_spread_and_covariance_distance_by_hand(tiny_dataset):
    """Real covariance diag(4, 1); initial diag(0, 0); synthetic [[1, 1], [1, 1]]."""
    data = dataset_of(tiny_dataset, [(10, 20), (14, 20), (10, 22), (14, 22)])
    initial, synthetic = halves((3.0, 3.0), (3.0, 3.0)), halves((0.0, 0.0), (2.0, 2.0))
    real, start, end = compare_features(
        data, TwoChannels().eval(), initial, synthetic, SETTINGS, seed=0
    )
    assert [entry.origin for entry in (real, start, end)] == ["real", "initial", "synthetic"]
    assert [entry.images for entry in (real, start, end)] == [4, 2, 2]
    assert (real.spread, start.spread, end.spread) == pytest.approx((5 * 4 / 3, 0, 2 * 2))
    assert real.covariance_distance is None
    assert start.covariance_distance == pytest.approx(np.sqrt(16 + 1))
    assert end.covariance_distance == pytest.approx(np.sqrt(9 + 1 + 1))


def test_principal_plane_by_hand(tiny_dataset):
    """The real images vary most in their upper halves, which is the first axis."""
    data = dataset_of(tiny_dataset, [(10, 20), (14, 20), (10, 22), (14, 22)])
    real, start, _ = compare_features(
        data, TwoChannels().eval(), halves((3.0, 5.0)), halves((0.0, 0.0)), SETTINGS, seed=0
    )
    np.testing.assert_allclose(
        sorted(map(tuple, real.pca)), [(-2, -1), (-2, 1), (2, -1), (2, 1)], atol=1e-5
    )
    np.testing.assert_allclose(start.pca, [(3 - 12, 5 - 21)], atol=1e-5)


def test_one_image_has_no_spread(tiny_dataset, convnet):
    images = synthetic_like(tiny_dataset, m=1)
    one = compare_features(tiny_dataset, convnet, images, images, SETTINGS, seed=0)
    assert all(np.isnan(entry.spread) for entry in one if entry.origin != "real")


def test_an_entry_for_every_class_and_origin(described):
    origins = ("real", "initial", "synthetic")
    assert [(entry.label, entry.origin) for entry in described] == [
        (c, o) for c in range(3) for o in origins
    ]
    for entry in described:
        assert entry.images == (12 if entry.origin == "real" else 4)
        assert entry.pca.shape == entry.tsne.shape == (entry.images, 2)
        assert entry.pca.dtype == entry.tsne.dtype == np.float64
        assert np.isfinite(entry.pca).all() and np.isfinite(entry.tsne).all()
        assert entry.spread > 0
        assert (entry.covariance_distance is None) == (entry.origin == "real")


def test_describing_again_gives_the_same_numbers(described, tiny_dataset, convnet):
    images = synthetic_like(tiny_dataset), synthetic_like(tiny_dataset, seed=1)
    torch.manual_seed(7)
    np.random.seed(7)
    again = compare_features(tiny_dataset, convnet, *images, SETTINGS, seed=0)
    for one, other in zip(described, again, strict=True):
        assert (one.spread, one.covariance_distance) == (other.spread, other.covariance_distance)
        np.testing.assert_array_equal(one.pca, other.pca)
        np.testing.assert_array_equal(one.tsne, other.tsne)


def test_sets_of_one_seed_share_the_real_images_and_their_plane(described, tiny_dataset, convnet):
    images = synthetic_like(tiny_dataset), 5 * synthetic_like(tiny_dataset, m=4, seed=2)
    other = compare_features(tiny_dataset, convnet, *images, SETTINGS, seed=0)
    for mine, theirs in zip(described, other, strict=True):
        same = np.array_equal(mine.pca, theirs.pca)
        assert same == (mine.origin != "synthetic")
    reseeded = compare_features(tiny_dataset, convnet, *images, SETTINGS, seed=1)
    assert not np.array_equal(reseeded[0].pca, other[0].pca)


def test_a_class_with_few_images_gives_each_of_them_once(tiny_dataset, convnet):
    train = tiny_dataset.train.subset(torch.tensor([*range(20), 20, 21, 22, *range(40, 60)]))
    images = synthetic_like(tiny_dataset)
    entries = compare_features(
        replace(tiny_dataset, train=train), convnet, images, images, SETTINGS, seed=0
    )
    real = [entry for entry in entries if entry.origin == "real"]
    assert [entry.images for entry in real] == [12, 3, 12]
    assert len(np.unique(real[1].pca, axis=0)) == 3


def test_axes_of_the_plane_do_not_depend_on_the_sign_of_the_images():
    """Mirrored images have the same axes, whose sign the decomposition leaves open."""
    real = np.random.default_rng(0).normal(size=(20, 3)) * (1, 5, 2)
    real -= real.mean(axis=0)
    plane, mirrored = fit_principal_plane(real)(real), fit_principal_plane(-real)(real)
    np.testing.assert_allclose(plane, mirrored, atol=1e-9)
    assert np.corrcoef(plane[:, 0], real[:, 1])[0, 1] > 0.9
    assert np.corrcoef(plane[:, 1], real[:, 2])[0, 1] > 0.9


def test_embeddings_of_one_dimension_have_a_plane():
    plane = fit_principal_plane(np.array([[0.0], [2.0]]))(np.array([[3.0]]))
    np.testing.assert_allclose(np.abs(plane), [[2.0, 0.0]])


def test_perplexity_is_lowered_to_fit():
    points = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_array_equal(
        compute_neighbor_plane(points, 30, 0), compute_neighbor_plane(points, 2, 0)
    )
    assert not np.array_equal(
        compute_neighbor_plane(points, 1, 0), compute_neighbor_plane(points, 2, 0)
    )


def test_spread_by_hand():
    assert compute_spread(np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 6.0]])) == pytest.approx(
        (4 + 4 + 4 + 4 + 16) / 2
    )


def test_images_that_do_not_fit_are_refused(tiny_dataset, convnet):
    images = synthetic_like(tiny_dataset)
    for initial, synthetic in (
        (images, images[:, :2]),
        (images[:2], images[:2]),
        (images[0], images[0]),
    ):
        with pytest.raises(ValueError, match="K = 3"):
            compare_features(tiny_dataset, convnet, initial, synthetic, SETTINGS, seed=0)
