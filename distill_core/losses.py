"""The three losses of IID; `distill_core.distillation.losses` defines them."""

from distill_core.distillation.losses import (
    class_centralization,
    covariance_matching,
    mean_matching,
)

__all__ = ["class_centralization", "covariance_matching", "mean_matching"]
