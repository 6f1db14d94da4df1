"""Random parameters from a given generator, in place, with PyTorch's default distributions."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distill_core.networks.network import Network
from distill_core.seeds import to_device, use_global_seed
from distill_core.settings import SettingsError

EMBEDDING_STD = 0.02

_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
_WHOLE_PASS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
)
"""Layers whose output for an image depends, in train mode, on the other images of the pass."""


class _Uniform(NamedTuple):
    """A parameter that is uniform in ±bound."""

    parameter: Tensor
    bound: float


@torch.no_grad()
def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Draw new values for every parameter of `network`, in place, and reset running statistics.

    Weights and biases of convolutions and linear layers are uniform in ±1/√fan_in, norms are the
    identity, and parameters that a network lists in `embeddings` (the ViT's positions) are normal
    with standard deviation 0.02, truncated at ±2. Every other module draws its parameters itself,
    in `reset_parameters()`, children before the modules that contain them. The numbers are drawn
    on the CPU or the generator's device and then copied, so a CPU generator gives the same
    parameters on any device. The global random state does not change, and the parameters stay the
    same objects: optimizers and compiled networks remain valid.

    Raises:
        SettingsError: a module has parameters of its own but no `reset_parameters()`.
    """
    uniform: list[_Uniform] = []
    others: list[tuple[str, nn.Module]] = []
    for name, module in network.named_modules():
        if _is_plain_layer(module):
            bound = module.weight[0].numel() ** -0.5
            uniform.append(_Uniform(module.weight, bound))
            if module.bias is not None:
                uniform.append(_Uniform(module.bias, bound))
        elif type(module) in _NORMS:
            module.reset_parameters()
        else:
            others.append((name, module))
            _draw_embeddings(module, generator)
    _fill_uniform(uniform, generator)
    for name, module in reversed(others):
        _reset_module(name, module, generator)


def uses_batch_statistics(network: nn.Module) -> bool:
    """Return whether features depend on other images of the pass in train mode.

    Batch norm averages over them, and dropout draws one mask for all of them. Networks that do
    such a thing in their own code say so by `batch_statistics = True`.
    """
    return any(
        isinstance(module, _WHOLE_PASS) or getattr(module, "batch_statistics", False) is True
        for module in network.modules()
    )


def _is_plain_layer(module: nn.Module) -> bool:
    """Whether a module is a convolution or linear layer with torch's own parameters."""
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return False
    own = (nn.Conv2d.reset_parameters, nn.Linear.reset_parameters)
    return type(module).reset_parameters in own and module._parameters.keys() <= {"weight", "bias"}


def _draw_embeddings(module: nn.Module, generator: torch.Generator) -> None:
    for name in module.embeddings if isinstance(module, Network) else ():
        parameter = module.get_parameter(name)
        drawn = torch.empty(parameter.shape, device=generator.device)
        parameter.copy_(nn.init.trunc_normal_(drawn, std=EMBEDDING_STD, generator=generator))


def _reset_module(name: str, module: nn.Module, generator: torch.Generator) -> None:
    """Let a module draw its parameters, from global generators that are seeded for it."""
    listed = module.embeddings if isinstance(module, Network) else ()
    own = [key for key, _ in module.named_parameters(recurse=False) if key not in listed]
    reset = _find_reset(module)
    if reset is None:
        if own and not isinstance(module, nn.ParameterList | nn.ParameterDict):
            raise SettingsError(_missing_reset_message(name, module, own[0]))
        return
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with use_global_seed(seed):
        if all(parameter.device.type == "cpu" for parameter in module.parameters()):
            reset()
            return
        # Drawn on the CPU, so that a GPU sees the same numbers.
        drawn = copy.deepcopy(module).cpu()
        reset_drawn = _find_reset(drawn)
        assert reset_drawn is not None
        reset_drawn()
    module.load_state_dict(drawn.state_dict())


def _find_reset(module: nn.Module) -> Callable[[], object] | None:
    """Return the method that draws a module's parameters; torch's attention hides its own."""
    for name in ("reset_parameters", "_reset_parameters"):
        if callable(reset := getattr(module, name, None)):
            found: Callable[[], object] = reset
            return found
    return None


def _missing_reset_message(name: str, module: nn.Module, parameter: str) -> str:
    place = f"{name}.{parameter}" if name else parameter
    what = type(module).__name__
    advice = f"give {what} a method reset_parameters() that sets it in place"
    if isinstance(module, Network):
        advice += f', or list it in embeddings = ("{parameter}",) to draw it from N(0, 0.02)'
    if "parametri" in what.lower():
        advice = "use a module without parametrizations (weight norm, spectral norm)"
    return (
        f"parameter {place} ({what}) has no way to be drawn again: a network is initialized many"
        f" times; {advice}"
    )


def _fill_uniform(uniform: list[_Uniform], generator: torch.Generator) -> None:
    """Fill all parameters by one draw and one transfer."""
    if not uniform:
        return
    sizes = [each.parameter.numel() for each in uniform]
    drawn = torch.empty(sum(sizes), device=generator.device).uniform_(-1, 1, generator=generator)
    pieces = torch.split(to_device(drawn, uniform[0].parameter.device), sizes)
    for each, piece in zip(uniform, pieces, strict=True):
        each.parameter.copy_(piece.view_as(each.parameter)).mul_(each.bound)
