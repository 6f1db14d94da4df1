"""Random parameters from a generator of one's own, in place, distributed as PyTorch distributes
them by default.
"""

import torch
from torch import Tensor, nn

from distill_core.runtime.device import to_device

EMBEDDING_STD = 0.02


@torch.no_grad()
def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every parameter of `network` anew, in place, and reset its running statistics.

    Weights and biases of convolutions and linear layers are uniform in ±1/√fan_in, norms are the
    identity, and parameters that a module of another type owns (the ViT's position embedding) are
    normal with standard deviation 0.02, cut at ±2. The numbers are drawn on the generator's device
    and then copied, so a CPU generator gives the same parameters to a network on any device.
    Neither the global random state nor the parameters' identity changes: an optimizer or a compiled
    network goes on working.
    """
    uniform: list[tuple[Tensor, float]] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            uniform += [
                (parameter, bound)
                for parameter in (module.weight, module.bias)
                if parameter is not None
            ]
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
    """Return whether an image's features depend on the other images of the batch (a batch norm in
    train mode).
    """
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def _fill_uniform(parameters: list[tuple[Tensor, float]], generator: torch.Generator) -> None:
    """Fill each parameter with numbers uniform in ±bound: one draw and one transfer for all of
    them.
    """
    sizes = [parameter.numel() for parameter, _ in parameters]
    drawn = torch.empty(sum(sizes), device=generator.device).uniform_(-1, 1, generator=generator)
    pieces = torch.split(to_device(drawn, parameters[0][0].device), sizes)
    for (parameter, bound), piece in zip(parameters, pieces, strict=True):
        parameter.copy_(piece.view_as(parameter)).mul_(bound)
