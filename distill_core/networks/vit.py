"""A small vision transformer (Dosovitskiy et al., ICLR 2021) with mean pooling, no class token."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill_core.networks.network import Network
from distill_core.settings import SettingsError


class EncoderBlock(nn.Module):
    """Self-attention, then a perceptron, each on normalized tokens and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, T, width) to tokens of the same shape."""
        tokens = tokens + self.projection(self._attention(self.qkv(self.norm_1(tokens))))
        out: Tensor = tokens + self.mlp(self.norm_2(tokens))
        return out

    def _attention(self, qkv: Tensor) -> Tensor:
        query, key, value = torch.unflatten(qkv, -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class ViT(Network):
    """Patches of 4×4 pixels as tokens; the input of the head is their mean."""

    embeddings = ("position",)

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        image_size: int,
        patch: int = 4,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
    ) -> None:
        super().__init__()
        if image_size % patch:
            raise SettingsError(
                f"images of {image_size} pixels cannot be cut into patches of {patch} for the ViT"
            )
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.position = nn.Parameter(torch.empty(1, (image_size // patch) ** 2, width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the tokens of all patches, (N, width, image_size / patch, image_size / patch)."""
        patches: Tensor = self.patches(x)
        tokens: Tensor = self.norm(self.blocks(patches.flatten(2).transpose(1, 2) + self.position))
        return tokens.transpose(1, 2).reshape(patches.shape)

    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return the mean over tokens, (N, width)."""
        return feature_map.mean((2, 3))
