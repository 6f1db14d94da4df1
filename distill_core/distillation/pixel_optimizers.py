"""Adam and AdamW on the pixels, with torch's default constants; SGD is part of the base methods."""

import torch

from distill_core.distillation.state import DistillationState
from distill_core.settings import DistillationSettings

BETAS = (0.9, 0.999)
EPSILON = 1e-8
WEIGHT_DECAY = 0.01
"""Of AdamW; Adam has none."""
SECOND_MOMENT = "second"


def take_adam_step(
    state: DistillationState, gradient: torch.Tensor, settings: DistillationSettings
) -> None:
    """Take one step of Adam (Kingma and Ba, 2015) or AdamW (Loshchilov and Hutter, 2019).

    m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², x ← x − lr·m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ) and
    v̂ = v/(1 − β₂ᵗ). AdamW first shrinks the pixels: x ← (1 − lr·w)·x. `momentum_img` has no effect.

    Args:
        state: before the iteration; images and moments are replaced. `velocity` is m.
        gradient: of the images' shape.
        settings: learning rate and optimizer.
    """
    second = state.moments.get(SECOND_MOMENT)
    if second is None:
        second = torch.zeros_like(state.images)
    step, lr = state.iteration + 1, settings.lr_img
    state.velocity = BETAS[0] * state.velocity + (1 - BETAS[0]) * gradient
    second = BETAS[1] * second + (1 - BETAS[1]) * gradient.square()
    state.moments = {SECOND_MOMENT: second}
    images = state.images
    if settings.optimizer_img == "adamw":
        images = images * (1 - lr * WEIGHT_DECAY)
    scale = (second / (1 - BETAS[1] ** step)).sqrt() + EPSILON
    state.images = images - lr / (1 - BETAS[0] ** step) * state.velocity / scale
