"""DataDAM: matching of spatial attention maps (Sajedi et al., ICCV 2023), as a loss of a view.

For the maps F (C, H, W) of a block, attention is A(F) = Σ_c |F_c|^p, flattened, z = A/‖A‖₂. With
blocks 1 … L, of which the last only counts by its output f,

    L = scale · Σ_classes (Σ_{l<L} ‖mean z_l(real) − mean z_l(synthetic)‖²
                           + λ·‖mean f(real) − mean f(synthetic)‖²)

It takes the place of mean matching: use it with `lambda_mean: 0`. The paper's table has p = 4 and
λ = 0.01 (0.02 for images of 64 pixels and more), learning rate of the pixels 1 (10 above 50 images
per class), 8,000 iterations and 64 real images per class. The released code has p = 1 and 20,000
iterations, and multiplies both terms by 100, which the paper does not write. Here the output is
the last feature map.
"""

from torch import Tensor

from distill_core.distillation.view import View

EPSILON = 1e-12
"""Smallest norm of an attention map, for maps that are zero everywhere."""


class DataDAM:
    """Attention of all blocks but the last, and the mean of the last feature map.

    Args:
        power: p.
        weight_output: λ.
        scale: of the whole loss.
    """

    blocks = True

    def __init__(
        self, *, power: float = 4.0, weight_output: float = 0.01, scale: float = 100.0
    ) -> None:
        self.power, self.weight_output, self.scale = power, weight_output, scale

    def __call__(self, view: View) -> Tensor:
        """Return the loss of the classes of a view, summed over them."""
        gap = view.real.maps.flatten(2).mean(1) - view.synthetic.maps.flatten(2).mean(1)
        loss = self.weight_output * gap.square().sum()
        for real, synthetic in zip(view.real.blocks[:-1], view.synthetic.blocks[:-1], strict=True):
            gap = compute_attention(real, self.power).mean(1)
            gap = gap - compute_attention(synthetic, self.power).mean(1)
            loss = loss + gap.square().sum()
        return self.scale * loss


def compute_attention(maps: Tensor, power: float) -> Tensor:
    """Return the normalized attention (K, N, H·W) of maps (K, N, C, H, W)."""
    attention = maps.abs().pow(power).sum(2).flatten(2)
    normalized: Tensor = attention / attention.norm(dim=2, keepdim=True).clamp(min=EPSILON)
    return normalized
