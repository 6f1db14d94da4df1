"""Features of a synthetic set compared with those of real images: spread, covariance, planes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.distillation.losses import local_covariance
from distill_core.networks import Network
from distill_core.runtime.precision import forward_in_parts, use_precision
from distill_core.seeds import derive_seed, generator
from distill_core.settings import FeatureSettings

FEATURE_BATCH = 512

FloatArray = npt.NDArray[np.float64]
Origin = Literal["real", "initial", "synthetic"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassFeatures:
    """Features of one class's images of one origin."""

    label: int
    origin: Origin
    images: int
    """Number of images, n."""
    spread: float
    """Summed squared distance of the embeddings to their mean, over n − 1; NaN for one image."""
    covariance_distance: float | None
    """Frobenius distance between the local covariances of these and of the class's real images;
    None for the real images."""
    pca: FloatArray
    """(n, 2): embeddings on the first two principal axes of the real images."""
    tsne: FloatArray
    """(n, 2): embeddings in a plane that t-SNE computes for all classes and origins together."""


@dataclass(frozen=True, eq=False)
class _EmbeddedGroup:
    """One class's images of one origin before they are projected to planes."""

    label: int
    origin: Origin
    embeddings: FloatArray
    """float64 (n, D)."""
    covariance: Tensor
    """float64 (C, C)."""


def compare_features(
    dataset: Dataset,
    extractor: Network,
    initial: Tensor,
    synthetic: Tensor,
    settings: FeatureSettings,
    *,
    seed: int,
) -> list[ClassFeatures]:
    """Compare real, initial and synthetic images in the features of one network, class by class.

    Args:
        dataset: only its training split is read.
        extractor: network in eval mode on the data set's device.
        initial: (K, M, C, H, W) images that the set started from, normalized and cut by its
            partition.
        synthetic: (K, M, C, H, W) images of the set, likewise.
        settings: number of real images, perplexity.
        seed: of the set; it determines which real images are shown, and the state of t-SNE.

    Returns:
        For every class the real, the initial and the synthetic images, in this order.

    Raises:
        ValueError: initial and synthetic images are not of one shape (K, M, C, H, W), K the classes
            of the data set.
    """
    if (
        initial.shape != synthetic.shape
        or synthetic.dim() != 5
        or len(synthetic) != dataset.train.classes
    ):
        raise ValueError(
            f"initial {tuple(initial.shape)} and synthetic {tuple(synthetic.shape)} images must"
            f" both be (K, M, C, H, W) with K = {dataset.train.classes}"
        )
    groups = list(_embed_groups(dataset, extractor, initial, synthetic, settings, seed))
    embeddings = [group.embeddings for group in groups]
    state = derive_seed("t-SNE", dataset.info.name, seed) % 2**32
    ends = np.cumsum([len(part) for part in embeddings])[:-1]
    plane = compute_neighbor_plane(np.concatenate(embeddings), settings.perplexity, state)
    return _describe_groups(groups, np.split(plane, ends))


def _describe_groups(
    groups: Sequence[_EmbeddedGroup], tsne: Sequence[FloatArray]
) -> list[ClassFeatures]:
    """Compare all groups with the real images; `tsne` has the plane of each group."""
    real_groups = [group for group in groups if group.origin == "real"]
    project = fit_principal_plane(np.concatenate([group.embeddings for group in real_groups]))
    covariances = {group.label: group.covariance for group in real_groups}
    features = []
    for group, plane in zip(groups, tsne, strict=True):
        distance = None
        if group.origin != "real":
            distance = float((group.covariance - covariances[group.label]).norm())
        features.append(
            ClassFeatures(
                label=group.label,
                origin=group.origin,
                images=len(group.embeddings),
                spread=compute_spread(group.embeddings),
                covariance_distance=distance,
                pca=project(group.embeddings),
                tsne=plane,
            )
        )
    return features


def compute_spread(embeddings: FloatArray) -> float:
    """Return the variance of embeddings (n, D), summed over D; NaN for a single image.

    It is unbiased (divided by n − 1), so it does not depend on n.
    """
    if len(embeddings) < 2:
        return float("nan")
    return float(np.var(embeddings, axis=0, ddof=1).sum())


def fit_principal_plane(real: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Return the projection of embeddings (n, D) on the first two principal axes of `real`, (n, 2).

    An axis points in the direction in which its largest entry is positive. Missing axes give zeros.
    """
    fitted = PCA(n_components=min(2, *real.shape), svd_solver="full").fit(real)
    axes = fitted.components_
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)

    def project(embeddings: FloatArray) -> FloatArray:
        plane: FloatArray = np.zeros((len(embeddings), 2))
        plane[:, : len(axes)] = (embeddings - fitted.mean_) @ axes.T
        return plane

    return project


def compute_neighbor_plane(embeddings: FloatArray, perplexity: float, state: int) -> FloatArray:
    """Return t-SNE's plane (n, 2) of embeddings (n, D); its perplexity is at most (n − 1)/3."""
    reduction = TSNE(
        init="pca",
        perplexity=min(perplexity, (len(embeddings) - 1) / 3),
        random_state=state,
        n_jobs=1,
    )
    # Several threads would sum the gradient in any order, and t-SNE amplifies rounding.
    with threadpool_limits(limits=1):
        return np.asarray(reduction.fit_transform(embeddings), dtype=np.float64)


def _embed_groups(
    dataset: Dataset,
    extractor: Network,
    initial: Tensor,
    synthetic: Tensor,
    settings: FeatureSettings,
    seed: int,
) -> Iterator[_EmbeddedGroup]:
    images = dataset.train
    drawn = images.draw(generator("feature images", dataset.info.name, seed), settings.images)
    for label, count in enumerate(images.counts):
        # A class with fewer images than were drawn repeats them after its last one.
        real = images.normalized(drawn[label, :count])
        yield _embed_group(extractor, label, "real", real)
        yield _embed_group(extractor, label, "initial", initial[label].to(images.device))
        yield _embed_group(extractor, label, "synthetic", synthetic[label].to(images.device))


@torch.no_grad()
def _embed_group(extractor: Network, label: int, origin: Origin, images: Tensor) -> _EmbeddedGroup:
    with use_precision("float32"):
        maps = forward_in_parts(extractor.feature_map, FEATURE_BATCH)(images)
        embeddings = forward_in_parts(extractor.head_input, FEATURE_BATCH)(maps)
    covariance = local_covariance(maps.double().flatten(2).unsqueeze(0)).squeeze(0)
    return _EmbeddedGroup(label, origin, embeddings.double().cpu().numpy(), covariance)
