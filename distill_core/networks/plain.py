"""Networks that are one chain of layers: ConvNet, AlexNet, VGG, LeNet and MLP."""

import torch
from torch import Tensor, nn

from distill_core.networks.network import Block, Network, build_stack, padded_side
from distill_core.settings import SettingsError

ALEXNET = [
    Block(128, 5, True),
    Block(192, 5, True),
    Block(256, 3, False),
    Block(192, 3, False),
    Block(192, 3, True),
]
VGG_WIDTHS = (64, 128, 256, 512, 512)
VGG_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class Chain(Network):
    """A network whose feature map is the output of one chain of layers."""

    features: nn.Sequential

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the output of the last block after its pooling, (N, C, H, W)."""
        features: Tensor = self.features(x)
        return features


class ConvNet(Chain):
    """Equal 3×3 blocks that halve the map (Gidaris and Komodakis, CVPR 2018); a flat head input."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        image_size: int,
        width: int = 128,
        depth: int = 3,
        activation: str = "R",
        norm: str = "IN",
        pooling: str = "AP",
    ) -> None:
        super().__init__()
        blocks = [Block(width, 3, pooling != "NP")] * depth
        self.features, _, side = build_stack(
            blocks,
            channels=channels,
            image_size=image_size,
            norm=norm,
            activation=activation,
            pooling=pooling,
        )
        self.classifier = nn.Linear(width * side**2, classes)


class AlexNet(Chain):
    """Five convolutions for small images; the input of the head is the flattened map."""

    head_name = "fc"

    def __init__(self, *, channels: int, classes: int, image_size: int, norm: str = "NN") -> None:
        super().__init__()
        self.features, width, side = build_stack(
            ALEXNET, channels=channels, image_size=image_size, norm=norm
        )
        self.fc = nn.Linear(width * side**2, classes)


class VGG(Chain):
    """Five stages of 3×3 convolutions (Simonyan and Zisserman, ICLR 2015).

    The input of the head is the mean over positions.
    """

    def __init__(
        self, *, channels: int, classes: int, image_size: int, depth: int, norm: str = "IN"
    ) -> None:
        super().__init__()
        stages = zip(VGG_WIDTHS, VGG_DEPTHS[depth], strict=True)
        blocks: list[Block] = []
        for width, count in stages:
            # The last block of a stage halves the map.
            blocks += [Block(width, 3, False)] * (count - 1) + [Block(width, 3, True)]
        self.features, width, _ = build_stack(
            blocks, channels=channels, image_size=image_size, norm=norm
        )
        self.classifier = nn.Linear(width, classes)

    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return the mean over positions, (N, 512)."""
        return feature_map.mean((2, 3))


class LeNet(Chain):
    """Two convolutions and three linear layers (LeCun et al., 1998); the last one is the head."""

    head_name = "fc_3"

    def __init__(self, *, channels: int, classes: int, image_size: int) -> None:
        super().__init__()
        side = padded_side(image_size)
        padding = (side - image_size) // 2
        side = ((side - 4) // 2 - 4) // 2
        if side < 1:
            raise SettingsError(
                f"images of {image_size} pixels are too small for LeNet; it needs at least 16"
            )
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=padding),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.fc_1 = nn.Linear(16 * side**2, 120)
        self.fc_2 = nn.Linear(120, 84)
        self.fc_3 = nn.Linear(84, classes)

    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return the output of the second linear layer, (N, 84)."""
        return torch.relu(self.fc_2(torch.relu(self.fc_1(feature_map.flatten(1)))))


class MLP(Network):
    """Three linear layers; the output of the second serves as a map with one position."""

    head_name = "fc_3"

    def __init__(self, *, channels: int, classes: int, image_size: int, width: int = 128) -> None:
        super().__init__()
        self.fc_1 = nn.Linear(channels * image_size**2, width)
        self.fc_2 = nn.Linear(width, width)
        self.fc_3 = nn.Linear(width, classes)

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the output of the second linear layer as (N, width, 1, 1)."""
        return torch.relu(self.fc_2(torch.relu(self.fc_1(x.flatten(1)))))[:, :, None, None]
