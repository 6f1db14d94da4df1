"""The three losses of IID, batched over classes, and the global form of the third.

All of them are sums over classes, images and entries, because the published weights λ_CC and λ_CM
assume that scaling. K is the number of classes; N and M are the real and synthetic images of a
class.
"""

import torch
from torch import Tensor


def mean_matching(real: Tensor, synthetic: Tensor) -> Tensor:
    """Squared distance between the mean features of each class, summed over classes.

    From DM (Zhao and Bilen, eq. 4):
    L = Σ_c ‖mean_n φ(x_cn) − mean_m φ(s_cm)‖²

    Args:
        real: (K, N, D) features of real images.
        synthetic: (K, M, D) features of synthetic images.

    Returns:
        Scalar.

    Raises:
        ValueError: the shapes do not agree in K and D.
    """
    _require_matching("mean_matching", real, synthetic, dims=3)
    return squared_distance(real.mean(dim=1), synthetic.mean(dim=1))


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the squared differences of two tensors of one shape, such as means or covariances."""
    return (a - b).square().sum()


def class_centralization(
    synthetic: Tensor, *, alpha: float | None = None, beta: float = 0.0
) -> Tensor:
    """Spread of each class's synthetic features around their own mean (Deng et al., IID, L_CC).

    L = Σ_c Σ_j ‖ψ(s_cj) − mean_j ψ(s_cj)‖², or with `alpha` the paper's form Σ_c Σ_j max(0,
    exp(α·‖·‖²) − β). The gradient flows through the mean.

    Args:
        synthetic: (K, M, D) features of synthetic images.
        alpha: scale inside the exponential; None for the plain squared distance.
        beta: threshold of the exponential form.

    Returns:
        Scalar.

    Raises:
        ValueError: `synthetic` is not three-dimensional.
    """
    if synthetic.dim() != 3:
        raise ValueError(
            f"class_centralization takes features (K, M, D), not {tuple(synthetic.shape)}"
        )
    spread = (synthetic - synthetic.mean(dim=1, keepdim=True)).square().sum(dim=2)
    if alpha is None:
        return spread.sum()
    return ((alpha * spread).exp() - beta).clamp(min=0).sum()


def covariance_matching(real: Tensor, synthetic: Tensor) -> Tensor:
    """Squared Frobenius distance between the local feature covariances of each class.

    From IID (Deng et al., L_CM):
    L = Σ_c ‖Σ(X_c) − Σ(S_c)‖_F² with Σ as in `local_covariance`.

    Args:
        real: (K, N, C, P) feature maps of real images: C channels at P positions.
        synthetic: (K, M, C, P) feature maps of synthetic images.

    Returns:
        Scalar.

    Raises:
        ValueError: the shapes do not agree in K, C and P.
    """
    _require_matching("covariance_matching", real, synthetic, dims=4)
    return squared_distance(local_covariance(real), local_covariance(synthetic))


def global_covariance_matching(real: Tensor, synthetic: Tensor) -> Tensor:
    """Squared Frobenius distance between the covariances of whole feature vectors.

    This is the form that IID compares its local covariance with:
    L = Σ_c ‖(1/N)·X̃ᵀX̃ − (1/M)·S̃ᵀS̃‖_F², where X̃ (N, D) and S̃ (M, D) are centered. No D×D matrix
    is formed: ‖XᵀX − SᵀS‖² = ‖XXᵀ‖² + ‖SSᵀ‖² − 2‖XSᵀ‖².

    Args:
        real: (K, N, D) features of real images.
        synthetic: (K, M, D) features of synthetic images.

    Returns:
        Scalar of the features' type.

    Raises:
        ValueError: the shapes do not agree in K and D.
    """
    _require_matching("global_covariance_matching", real, synthetic, dims=3)
    # Near the optimum the three terms cancel; in float32 their difference would be lost.
    x, s = (_scaled_deviations(features.double()) for features in (real, synthetic))
    terms = _squared_products(x, x) + _squared_products(s, s) - 2 * _squared_products(x, s)
    return terms.to(synthetic.dtype)


def _scaled_deviations(features: Tensor) -> Tensor:
    """Center features (K, N, D) within each class and divide by √N."""
    deviations: Tensor = (features - features.mean(dim=1, keepdim=True)) / features.shape[1] ** 0.5
    return deviations


def _squared_products(a: Tensor, b: Tensor) -> Tensor:
    """‖A·Bᵀ‖_F² of (K, N, D) and (K, M, D), summed over K."""
    return torch.bmm(a, b.transpose(1, 2)).square().sum()


def local_covariance(features: Tensor) -> Tensor:
    """Covariance of channels over images and positions: Σ = (1/N) Σ_i F_i F_iᵀ with centered F_i.

    The mean that is subtracted is that of one channel at one position. The sum over positions is
    not divided.

    Args:
        features: (K, N, C, P).

    Returns:
        (K, C, C).
    """
    centered = features - features.mean(dim=1, keepdim=True)
    observations = centered.transpose(1, 2).flatten(2)
    return torch.bmm(observations, observations.transpose(1, 2)) / features.shape[1]


def _require_matching(loss: str, real: Tensor, synthetic: Tensor, *, dims: int) -> None:
    fits = real.dim() == synthetic.dim() == dims
    if not fits or real.shape[0] != synthetic.shape[0] or real.shape[2:] != synthetic.shape[2:]:
        raise ValueError(
            f"{loss}: real {tuple(real.shape)} and synthetic {tuple(synthetic.shape)} must both"
            f" have {dims} dimensions and differ only in the number of images (the second)"
        )
