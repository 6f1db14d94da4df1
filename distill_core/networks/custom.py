"""Custom networks, `module:object`: built on the CPU, and checked to be drawn anew in full."""

import math

import torch
from torch import nn

from distill_core.extensions import import_object
from distill_core.networks.initialization import initialize
from distill_core.networks.network import Network
from distill_core.seeds import derive_seed, use_global_seed
from distill_core.settings import SettingsError


def build_custom_network(
    name: str, draws: torch.Generator, *, channels: int, classes: int, image_size: int
) -> Network:
    """Build an initialized network on the CPU, in train mode.

    What the constructor computes and keeps in buffers stays; every parameter is drawn anew.

    Args:
        name: `module:object`.
        draws: source of the parameters (see `initialize`).
        channels: of the images.
        classes: number of classes.
        image_size: side of the square images, in pixels.

    Raises:
        SettingsError: the constructor fails, what it builds is no `Network`, it has no linear
            layer as head, or a parameter cannot be drawn anew.
    """
    try:
        # The constructor may draw: equal numbers in every process.
        with use_global_seed(derive_seed("network constructor", name)):
            network = import_object(name)(channels=channels, classes=classes, image_size=image_size)
    except SettingsError as error:
        raise SettingsError(f"network {name!r}: {error}") from None
    except (Exception, SystemExit) as error:
        raise SettingsError(f"network {name!r}: {type(error).__name__}: {error}") from error
    network = _require_network(name, network, classes)
    for parameter_name, parameter in network.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise SettingsError(
                f"network {name!r}: {parameter_name} is of a lazy module; give its size"
            )
        if parameter.is_floating_point():
            parameter.data.fill_(math.nan)
    before = dict(network.named_parameters())
    try:
        initialize(network, draws)
    except SettingsError as error:
        raise SettingsError(f"network {name!r}: {error}") from None
    _check_drawn(name, network, before)
    return network.train()


def _require_network(name: str, network: object, classes: int) -> Network:
    """Return what a constructor built, if it is a `Network` with a head for the classes."""
    if not isinstance(network, Network):
        raise SettingsError(
            f"network {name!r} builds a {type(network).__name__}, not a"
            " distill_core.networks.Network"
        )
    try:
        head: object = network.head
    except AttributeError:
        head = None
    if not isinstance(head, nn.Linear):
        found = "has none" if head is None else f"has a {type(head).__name__} there"
        raise SettingsError(
            f"network {name!r}: the last layer has to be an nn.Linear called"
            f" {network.head_name!r}, and {type(network).__name__} {found}; name another one with"
            " head_name = ..."
        )
    if head.out_features != classes:
        raise SettingsError(
            f"network {name!r}: {network.head_name} has {head.out_features} outputs for"
            f" {classes} classes"
        )
    return network


def _check_drawn(name: str, network: Network, before: dict[str, nn.Parameter]) -> None:
    """Check that `initialize` gave every parameter a value, and left it the same object."""
    for place, parameter in network.named_parameters():
        if parameter is not before.get(place) or parameter.isnan().any():
            owner = network.get_submodule(place.rpartition(".")[0])
            raise SettingsError(
                f"network {name!r}: reset_parameters() does not set {place}"
                f" ({type(owner).__name__}) in place, as by nn.init.ones_; it must, because a"
                " network is initialized many times"
            )
