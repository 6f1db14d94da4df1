"""Residual networks for small images (He et al., CVPR 2016).

A 3×3 stem is followed by four stages; the last three halve the map. With pooling AP, average
pooling after a convolution halves the map instead of the stride of the convolution, and the input
of the head is the flattened map instead of its mean over positions. Norms keep the parameter name
"bn" of published checkpoints.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill_core.networks.network import Network, build_norm_layers
from distill_core.settings import SettingsError

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def _split_stride(stride: int, pooled: bool) -> tuple[int, list[nn.Module]]:
    """Return the stride of a convolution and the pooling after it; both shrink maps by `stride`."""
    return (1, [nn.AvgPool2d(stride)]) if pooled and stride > 1 else (stride, [])


class BasicBlock(nn.Module):
    """Two 3×3 convolutions parallel to a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, *, norm: str, pooled: bool) -> None:
        super().__init__()
        conv_stride, pool = _split_stride(stride, pooled)
        self.conv1 = nn.Conv2d(channels, width, 3, stride=conv_stride, padding=1, bias=False)
        (self.bn1,) = build_norm_layers(norm, width, 0)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        (self.bn2,) = build_norm_layers(norm, width, 0)
        self.pool = nn.Sequential(*pool)
        self.shortcut = _build_shortcut(channels, width, stride, norm=norm, pooled=pooled)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, width · expansion, H / stride, W / stride)."""
        out = self.pool(torch.relu_(self.bn1(self.conv1(x))))
        return torch.relu_(self.bn2(self.conv2(out)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """A 3×3 convolution between two 1×1 convolutions, parallel to a shortcut; widens by four."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, *, norm: str, pooled: bool) -> None:
        super().__init__()
        conv_stride, pool = _split_stride(stride, pooled)
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        (self.bn1,) = build_norm_layers(norm, width, 0)
        self.conv2 = nn.Conv2d(width, width, 3, stride=conv_stride, padding=1, bias=False)
        (self.bn2,) = build_norm_layers(norm, width, 0)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        (self.bn3,) = build_norm_layers(norm, width * self.expansion, 0)
        self.pool = nn.Sequential(*pool)
        self.shortcut = _build_shortcut(
            channels, width * self.expansion, stride, norm=norm, pooled=pooled
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, width · expansion, H / stride, W / stride)."""
        out = torch.relu_(self.bn1(self.conv1(x)))
        out = self.pool(torch.relu_(self.bn2(self.conv2(out))))
        return torch.relu_(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet(Network):
    """ResNet-18, -34 or -50; the published extractor pool is ResNet-18 with instance norm."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        image_size: int,
        depth: int,
        width: int = 64,
        norm: str = "IN",
        pooling: str | None = None,
    ) -> None:
        super().__init__()
        if image_size < 16:
            raise SettingsError(
                f"images of {image_size} pixels are too small for a ResNet; it needs at least 16"
            )
        self.pooled = pooling == "AP"
        block = Bottleneck if depth >= 50 else BasicBlock
        widths = [width * 2**stage for stage in range(4)]
        ends = [width, *(block.expansion * w for w in widths)]
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        (self.bn1,) = build_norm_layers(norm, width, 0)
        stages = []
        for i, count in enumerate(STAGES[depth]):
            stride = 2 if i else 1
            stages.append(
                _build_stage(
                    block, ends[i], widths[i], count, stride=stride, norm=norm, pooled=self.pooled
                )
            )
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        positions = (image_size // 8) ** 2 if self.pooled else 1
        self.classifier = nn.Linear(ends[-1] * positions, classes)

    def list_blocks(self) -> Sequence[nn.Module]:
        """Return the four stages."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the output of the fourth stage, (N, C, H, W)."""
        out: Tensor = torch.relu_(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = stage(out)
        return out

    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return the mean over positions, (N, C), or with pooling AP the flattened map."""
        return feature_map.flatten(1) if self.pooled else feature_map.mean((2, 3))


def _build_stage(
    block: type[BasicBlock | Bottleneck],
    channels: int,
    width: int,
    count: int,
    *,
    stride: int,
    norm: str,
    pooled: bool,
) -> nn.Sequential:
    first = block(channels, width, stride, norm=norm, pooled=pooled)
    others = (
        block(width * block.expansion, width, 1, norm=norm, pooled=pooled) for _ in range(count - 1)
    )
    return nn.Sequential(first, *others)


def _build_shortcut(
    channels: int, width: int, stride: int, *, norm: str, pooled: bool
) -> nn.Sequential:
    """Build the identity as an empty chain, or a 1×1 projection where the shape changes."""
    if stride == 1 and channels == width:
        return nn.Sequential()
    conv_stride, pool = _split_stride(stride, pooled)
    projection = nn.Conv2d(channels, width, 1, stride=conv_stride, bias=False)
    return nn.Sequential(projection, *pool, *build_norm_layers(norm, width, 0))
