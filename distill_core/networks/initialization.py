"""Random parameters from a given generator, in place, with PyTorch's default distributions."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from distill_core.seeds import to_device

EMBEDDING_STD = 0.02


class _Uniform(NamedTuple):
    """A parameter that is uniform in ±bound."""

    parameter: Tensor
    bound: float


@torch.no_grad()
def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Draw new values for every parameter of `network`, in place, and reset running statistics.

    Weights and biases of convolutions and linear layers are uniform in ±1/√fan_in, norms are the
    identity, and parameters of other modules (the ViT's position embedding) are normal with
    standard deviation 0.02, truncated at ±2. The numbers are drawn on the generator's device and
    then copied, so a CPU generator gives the same parameters on any device. The global random state
    does not change, and the parameters stay the same objects: optimizers and compiled networks
    remain valid.
    """
    uniform: list[_Uniform] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            uniform.append(_Uniform(module.weight, bound))
            if module.bias is not None:
                uniform.append(_Uniform(module.bias, bound))
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            module.reset_parameters()
        else:
            for parameter in module.parameters(recurse=False):
                drawn = torch.empty(parameter.shape, device=generator.device)
                parameter.copy_(
                    nn.init.trunc_normal_(drawn, std=EMBEDDING_STD, generator=generator)
                )
    _fill_uniform(uniform, generator)


def uses_batch_statistics(network: nn.Module) -> bool:
    """Return whether features depend on other images of the batch in train mode (batch norm)."""
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def _fill_uniform(uniform: list[_Uniform], generator: torch.Generator) -> None:
    """Fill all parameters by one draw and one transfer."""
    sizes = [each.parameter.numel() for each in uniform]
    drawn = torch.empty(sum(sizes), device=generator.device).uniform_(-1, 1, generator=generator)
    pieces = torch.split(to_device(drawn, uniform[0].parameter.device), sizes)
    for each, piece in zip(uniform, pieces, strict=True):
        each.parameter.copy_(piece.view_as(each.parameter)).mul_(each.bound)
