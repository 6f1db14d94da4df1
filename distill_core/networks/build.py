"""From a name to a network."""

from collections.abc import Callable
from dataclasses import asdict

import torch

from distill_core import seeds
from distill_core.datasets.info import DatasetInfo
from distill_core.extensions import import_object
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
    """Return a network for the images and classes of a data set, on a device; otherwise as
    `build_network`.
    """
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
    """Return an initialized network on the CPU, in train mode.

    Args:
        name: see `network_names`; also combinations such as ConvNetW16D2 or ResNet18W16, and
            `module:object` for a network of one's own: a `Network` whose constructor takes
            channels, classes and image_size.
        channels: of the images.
        classes: number of classes, the width of the logits.
        image_size: side of the square images, in pixels.
        generator: source of the parameters (see `initialize`); None derives them from the name
            alone.

    Raises:
        SettingsError: the name is unknown, or the network does not fit the images.
    """
    said = {
        key: value for key, value in asdict(parse_network_name(name)).items() if value is not None
    }
    own = is_custom(name)
    family = import_object(said.pop("family")) if own else FAMILIES[said.pop("family")]
    try:
        with torch.device(
            "meta"
        ):  # layers that are born on a real device draw from the global random state
            network = family(channels=channels, classes=classes, image_size=image_size, **said)
    except SettingsError as error:
        raise SettingsError(f"network {name!r}: {error}") from None
    except Exception as error:
        if not own:
            raise
        raise SettingsError(f"network {name!r}: {type(error).__name__}: {error}") from error
    if not isinstance(network, Network):
        raise SettingsError(
            f"network {name!r} makes a {type(network).__name__}, not a"
            " distill_core.networks.Network"
        )
    network.to_empty(device="cpu")
    initialize(network, generator or seeds.generator("network parameters", name))
    return network
