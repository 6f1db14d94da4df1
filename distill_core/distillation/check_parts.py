"""One pass through custom parts before anything starts; errors name the object and shapes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.distillation.base import Base, MatchingNetwork
from distill_core.distillation.custom_loss import (
    CustomLoss,
    build_custom_losses,
    require_dependence,
)
from distill_core.distillation.objective import Objective, decode_canvases
from distill_core.distillation.state import DistillationError
from distill_core.extensions import import_object
from distill_core.networks import Network, network_for, uses_batch_statistics
from distill_core.seeds import derive_seed, generator, use_global_seed
from distill_core.settings import DistillationSettings, SettingsError, is_custom

CLASSES, REAL_IMAGES = 2, 8
"""Classes and real images per class that are passed."""
_BASE_METHODS = ("draw", "update", "after", "tensors", "restore")


def check_custom_parts(dataset: Dataset, settings: DistillationSettings, images: Tensor) -> None:
    """Pass some images forward and backward through a custom network and a custom loss.

    Nothing is drawn from the global generators, and nothing is changed.

    Args:
        dataset: real images.
        settings: of a set.
        images: (K, M, C, H, W) its stored images.

    Raises:
        SettingsError: network or loss fails, or gives what cannot be used; the message names the
            object, and shapes.
    """
    losses = build_custom_losses(settings)
    if not losses and not is_custom(settings.network):
        return
    with use_global_seed(derive_seed("check of custom parts")):
        network = network_for(dataset.info, settings.network, dataset.train.device)
        check_network(settings.network, network, dataset)
        if losses:
            _check_losses(losses, network, dataset, settings, images)


def check_network(name: str, network: Network, dataset: Dataset) -> None:
    """Pass real images forward and backward through a network, in train mode.

    Raises:
        SettingsError: it fails, or gives other shapes than a feature map (N, C, H, W) and
            logits (N, classes).
    """
    images = _draw_real(dataset).flatten(0, 1)
    shape = tuple(images.shape)
    try:
        leaf = images.requires_grad_()
        given = leaf.clone(memory_format=torch.contiguous_format)
        maps = network.feature_map(given)
        if not torch.equal(given, leaf):
            raise SettingsError(f"network {name!r}: feature_map changes its input in place")
        _require_shape(name, "feature_map", maps, (len(leaf), "C", "H", "W"), shape)
        embedding = network.head_input(maps)
        _require_shape(name, "head_input", embedding, (len(leaf), "D"), shape)
        logits = network.logits(maps)
        _require_shape(name, "logits", logits, (len(leaf), len(dataset.info.classes)), shape)
        (gradient,) = torch.autograd.grad(logits.square().sum(), leaf, allow_unused=True)
        parts = torch.cat([network.feature_map(part.clone()) for part in leaf.detach().split(2)])
    except (SettingsError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise SettingsError(
            f"network {name!r} failed on images {shape}: {type(error).__name__}: {error}"
        ) from error
    if gradient is None:
        raise SettingsError(f"network {name!r}: its logits do not depend on the images")
    mixes = not torch.allclose(parts, maps, rtol=1e-3, atol=1e-4 * float(maps.detach().abs().max()))
    if mixes and not uses_batch_statistics(network):
        raise SettingsError(
            f"network {name!r}: the features of an image depend on the other images of a pass, or"
            " are random; set batch_statistics = True in its class, then all classes go through it"
            " in one pass"
        )


def build_custom_base(
    name: str, dataset: Dataset, settings: DistillationSettings, seed: int
) -> Base:
    """Build a custom base.

    Raises:
        SettingsError: it cannot be built, or lacks a method.
    """
    with name_errors(name, "its constructor"):
        base: Base = import_object(name)(dataset, settings, seed)
    missing = [method for method in _BASE_METHODS if not callable(getattr(base, method, None))]
    if missing:
        raise SettingsError(
            f"base {name!r}: {type(base).__name__} has no method {missing[0]}; it needs"
            f" {', '.join(_BASE_METHODS)}"
        )
    return base


@contextmanager
def name_errors(base: str | None, what: str) -> Iterator[None]:
    """Name a custom base in the errors of its code; without one, errors stay as they are."""
    try:
        yield
    except (SettingsError, DistillationError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if base is None:
            raise
        message = f"base {base!r}: {what} failed: {type(error).__name__}: {error}"
        raise SettingsError(message) from error


def require_matching_network(name: str, drawn: object) -> MatchingNetwork:
    """Return what a custom base drew, if it is a `MatchingNetwork`."""
    if isinstance(drawn, MatchingNetwork):
        return drawn
    raise SettingsError(
        f"base {name!r}: draw returned something of type {type(drawn).__name__}; it must be a"
        " distill_core.distillation.base.MatchingNetwork"
    )


def require_update(name: str, updated: object, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return images and momentum that a custom base returned, if they have the right shape."""
    if isinstance(updated, tuple | list) and len(updated) == 2:
        new, velocity = updated
        if all(isinstance(each, Tensor) and each.shape == images.shape for each in updated):
            return new.detach(), velocity.detach()
    raise SettingsError(
        f"base {name!r}: update returned {_describe(updated)}; it must return images and momentum,"
        f" both of shape {tuple(images.shape)}"
    )


def _check_losses(
    losses: Sequence[CustomLoss],
    network: Network,
    dataset: Dataset,
    settings: DistillationSettings,
    images: Tensor,
) -> None:
    if any(loss.needs_blocks for loss in losses) and not network.list_blocks():
        raise SettingsError(
            f"network {settings.network!r} has no blocks, whose maps a loss needs; its class names"
            " them in a method list_blocks()"
        )
    objective = Objective(
        network=network.requires_grad_(False),
        extractor=None,
        settings=settings,
        losses=losses,
        classes=len(dataset.info.classes),
    )
    real = objective.compute_real_features(_draw_real(dataset), blocks=objective.needs_blocks)
    leaf = images[: len(real.maps)].detach().clone().requires_grad_()
    labels = torch.arange(len(leaf), device=leaf.device)
    computed = objective.compute_losses(real, decode_canvases(leaf, settings.partition), labels)
    for loss in losses:
        require_dependence(loss.term.name, computed[loss.term.label], leaf)


def _draw_real(dataset: Dataset) -> Tensor:
    """Return a few real images of some classes, (k, n, C, H, W)."""
    drawn = dataset.train.draw(generator("images of the check"), REAL_IMAGES)
    return dataset.train.normalized(drawn[:CLASSES])


def _require_shape(
    name: str, what: str, value: object, expected: tuple[int | str, ...], images: tuple[int, ...]
) -> None:
    fits = isinstance(value, Tensor) and value.dim() == len(expected)
    if isinstance(value, Tensor) and fits:
        pairs = zip(expected, value.shape, strict=True)
        fits = all(isinstance(wanted, str) or wanted == found for wanted, found in pairs)
    if not fits:
        wanted = ", ".join(map(str, expected))
        raise SettingsError(
            f"network {name!r}: {what} gives {_describe(value)} for images {images}; it must give"
            f" ({wanted})"
        )


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(map(_describe, value)) or 'nothing'}"
    return f"something of type {type(value).__name__}"
