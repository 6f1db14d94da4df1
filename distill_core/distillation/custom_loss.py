"""Losses of users, `module:object`: built with their options, called, and checked.

A loss is a function of `(real, synthetic)` feature maps, a function of a `View`, or a class whose
objects are called with a `View`. Its options are the parameters that have a default; of a class,
those of its constructor.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from distill_core.distillation.view import View
from distill_core.extensions import import_object
from distill_core.settings import DistillationSettings, LossTerm, SettingsError


class CustomLoss:
    """One custom loss of one set."""

    def __init__(self, term: LossTerm) -> None:
        self.term = term
        found = import_object(term.name)
        self._target: Any = found
        if not callable(found):
            raise SettingsError(f"loss {term.name!r} is no function and no class")
        parameters = _list_parameters(found)
        required = [p for p in parameters if p.default is p.empty and p.kind in _POSITIONAL]
        self._check_options([p.name for p in parameters if p.default is not p.empty])
        self.takes_view = isinstance(found, type) or len(required) == 1
        if isinstance(found, type):
            try:
                self._target = found(**dict(term.options))
            except (SettingsError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                raise SettingsError(
                    f"loss {term.name!r} cannot be built: {type(error).__name__}: {error}"
                ) from error
        self._options = {} if isinstance(found, type) else dict(term.options)

    @property
    def needs_blocks(self) -> bool:
        """Whether it needs the maps of the network's blocks."""
        return bool(getattr(self._target, "blocks", False))

    def compute(self, view: View) -> Tensor:
        """Compute the loss of some classes.

        Raises:
            SettingsError: it fails, changes what it was given, or returns something other than a
                scalar that has a gradient.
        """
        shared = (*view.real.list_tensors(), *view.synthetic.list_tensors())
        versions = [tensor._version for tensor in shared]
        arguments: Sequence[Any] = (view,)
        if not self.takes_view:
            # A copy, so such a loss may change it in place; in the usual order, so `.view` works.
            copied = view.real.maps.clone(memory_format=torch.contiguous_format)
            arguments = copied, view.synthetic.maps.contiguous()
        try:
            loss = self._target(*arguments, **self._options)
        except (SettingsError, torch.OutOfMemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise SettingsError(
                f"loss {self.term.name!r} failed on features of shape"
                f" {tuple(view.real.maps.shape)} (real) and {tuple(view.synthetic.maps.shape)}"
                f" (synthetic): {type(error).__name__}: {error}"
            ) from error
        if versions != [tensor._version for tensor in shared]:
            raise SettingsError(
                f"loss {self.term.name!r} changes images or features in place; it shares them with"
                " other losses, so it has to copy what it changes"
            )
        return require_loss(self.term.name, loss)

    def tensors(self) -> dict[str, Tensor]:
        """Return its state, which checkpoints hold; empty for a loss without."""
        method: Callable[[], Mapping[str, Tensor]] | None = getattr(self._target, "tensors", None)
        return {} if method is None else dict(method())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `tensors` returned."""
        if tensors:
            self._target.restore(tensors)

    def _check_options(self, known: Sequence[str]) -> None:
        for option, _ in self.term.options:
            if option not in known:
                has = f"its options are {', '.join(known)}" if known else "it has no options"
                raise SettingsError(f"loss {self.term.name!r} has no option {option!r}; {has}")


def build_custom_losses(settings: DistillationSettings) -> tuple[CustomLoss, ...]:
    """Build the custom losses of a set, in their order."""
    return tuple(CustomLoss(term) for term in settings.loss_terms)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _list_parameters(target: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):  # compiled code may not tell
        return []


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
    """Return the gradient of a custom loss on the synthetic images.

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
