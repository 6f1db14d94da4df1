"""Losses of users, `module:object`: called, and checked to be a scalar that the images decide."""

import torch
from torch import Tensor

from distill_core.extensions import import_object
from distill_core.settings import SettingsError


def compute_custom_loss(name: str, real: Tensor, synthetic: Tensor) -> Tensor:
    """Compute a custom loss on feature maps in the usual order in memory, so `.view` works.

    Args:
        name: `module:object`.
        real: (K, N, C, H, W), without gradient.
        synthetic: (K, M, C, H, W), with gradient.

    Raises:
        SettingsError: it fails, or returns something other than a scalar that has a gradient.
    """
    # A copy: what the loss does to it in place must not reach the other sets of a cohort.
    copied = real.clone(memory_format=torch.contiguous_format)
    try:
        loss = import_object(name)(copied, synthetic.contiguous())
    except (SettingsError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise SettingsError(
            f"loss {name!r} failed on features of shape {tuple(real.shape)} (real) and"
            f" {tuple(synthetic.shape)} (synthetic): {type(error).__name__}: {error}"
        ) from error
    return require_loss(name, loss)


def require_loss(name: str, loss: object) -> Tensor:
    """Return what a custom loss returned, if it can be minimized.

    Raises:
        SettingsError: it is no floating-point tensor without dimensions, or has no gradient.
    """
    if not isinstance(loss, Tensor) or loss.dim() or not loss.is_floating_point():
        raise SettingsError(
            f"loss {name!r} returned something of {_describe(loss)}; it must be a"
            " floating-point tensor without dimensions"
        )
    if not loss.requires_grad:
        raise SettingsError(
            f"loss {name!r} has no gradient: what it returned was detached from the synthetic"
            " images (by .detach(), .item(), .data, numpy or no_grad) or does not depend on them,"
            " so it would change nothing"
        )
    return loss


def require_dependence(name: str, loss: Tensor, synthetic: Tensor) -> Tensor:
    """Return the gradient of a custom loss on the synthetic images or features.

    Raises:
        SettingsError: loss or gradient is not finite, or the loss does not depend on them.
    """
    if not loss.isfinite():
        raise SettingsError(
            f"loss {name!r} is {float(loss.detach())} for the initial images: it divides by zero or"
            " takes a root or logarithm of what can be zero or negative"
        )
    (gradient,) = torch.autograd.grad(loss, synthetic, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise SettingsError(
            f"loss {name!r} does not depend on the synthetic images, so it would change nothing"
        )
    if not gradient.isfinite().all():
        raise SettingsError(
            f"the gradient of loss {name!r} is not finite for the initial images: at a root of"
            " zero, for instance, it is infinite; add a small constant"
        )
    return gradient


def _describe(loss: object) -> str:
    if not isinstance(loss, Tensor):
        return f"type {type(loss).__name__}"
    if loss.dim():
        return f"shape {tuple(loss.shape)}"
    return f"type {str(loss.dtype).removeprefix('torch.')}"
