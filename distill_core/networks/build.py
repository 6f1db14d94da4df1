"""Building networks by name."""

from collections.abc import Callable
from dataclasses import asdict

import torch

from distill_core import seeds
from distill_core.datasets.info import DatasetInfo
from distill_core.networks.custom import build_custom_network
from distill_core.networks.initialization import initialize
from distill_core.networks.names import parse_network_name
from distill_core.networks.network import Network
from distill_core.networks.plain import MLP, VGG, AlexNet, ConvNet, LeNet
from distill_core.networks.resnet import ResNet
from distill_core.networks.vit import ViT
from distill_core.settings import SettingsError, is_custom

FAMILIES: dict[str, Callable[..., Network]] = {
    "ConvNet": ConvNet,
    "AlexNet": AlexNet,
    "VGG": VGG,
    "ResNet": ResNet,
    "MLP": MLP,
    "LeNet": LeNet,
    "ViT": ViT,
}


def network_for(
    info: DatasetInfo,
    name: str,
    device: torch.device | str,
    generator: torch.Generator | None = None,
) -> Network:
    """Build a network for the images and classes of a data set on a device; see `build_network`."""
    network = build_network(
        name,
        channels=info.channels,
        classes=len(info.classes),
        image_size=info.image_size,
        generator=generator,
    )
    return network.to(device)


def build_network(
    name: str,
    *,
    channels: int,
    classes: int,
    image_size: int,
    generator: torch.Generator | None = None,
) -> Network:
    """Build an initialized network on the CPU, in train mode.

    Args:
        name: see `list_network_names`; also combinations such as ConvNetW16D2 or ResNet18W16, and
            `module:object` for a custom network: a `Network` whose constructor takes channels,
            classes and image_size.
        channels: of the images.
        classes: number of classes, the width of the logits.
        image_size: side of the square images, in pixels.
        generator: source of the parameters (see `initialize`); None derives them from the name.

    Raises:
        SettingsError: the name is unknown, or the network does not fit the images.
    """
    draws = generator or seeds.generator("network parameters", name)
    if is_custom(name):
        return build_custom_network(
            name, draws, channels=channels, classes=classes, image_size=image_size
        )
    architecture = asdict(parse_network_name(name))
    family = FAMILIES[architecture.pop("family")]
    variations = {key: value for key, value in architecture.items() if value is not None}
    try:
        # Layers that are built on a real device draw from the global random state.
        with torch.device("meta"):
            network = family(
                channels=channels, classes=classes, image_size=image_size, **variations
            )
    except SettingsError as error:
        raise SettingsError(f"network {name!r}: {error}") from None
    network.to_empty(device="cpu")
    initialize(network, draws)
    return network
