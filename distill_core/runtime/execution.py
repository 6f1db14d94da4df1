"""How a network's passes run: eagerly, or compiled where that was measured to win and a run is
long.

On a CPU a quarter of the time of a ConvNet's training step goes into norm, activation and pooling,
each of which reads and writes whole feature maps. `torch.compile` fuses them into one loop, and
lets the convolutions run in channels-last order, in which the eager norm is slow. In bf16
convolutions are quick; in float32 they take most of the time, so where precision `tf32` allows more
rounding they are Winograd's (`distill_core.runtime.winograd`). Results agree within rounding. Which
way is taken depends on the task and the machine alone, never on the clock, so that a run which is
resumed goes the same way; only where compilation fails is it another. What was measured stands in
benchmarks/README.md.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from distill_core._compat import find_compile_errors, patch_config
from distill_core.networks import Network
from distill_core.networks.plain import VGG, ConvNet
from distill_core.networks.resnet import ResNet
from distill_core.runtime.cuda_graphs import Capture, capture_on_gpu
from distill_core.runtime.winograd import COMPILERS, WinogradConvolutions, build_transforms
from distill_core.settings import Precision

MIN_FLOPS_TO_COMPILE = 3 * 10**13
"""Operations from which a computation repays its compilation, one to four minutes on two cores:
amply for a ConvNet, just so for a ResNet, whose next computation finds it on disk."""
COMPILED_NETWORKS = "only ConvNets, ResNets and VGGs with instance or group norm"
WINOGRAD = ", Winograd convolutions"
RECOMPILE_LIMIT = 256
"""Architectures and batch shapes that one process compiles for; an architecture that needs more
goes on eagerly.
"""

RunNetwork = Callable[[Network, Tensor], Tensor]


@dataclass(frozen=True)
class ExecutionMode:
    """A way to run a network forward (backward follows from it), and why it was chosen."""

    run: RunNetwork
    """Maps a network and images (B, C, H, W) to logits (B, classes)."""
    reason: str
    """Such as "eager: too short to repay compilation"."""
    capture: Callable[[], Capture] | None = None
    """Makes what captures steps that are replayed; None runs each of them anew."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why some networks run eagerly all the same, by their layers in words."""

    def describe(self, network: Network) -> str:
        """Return how a network was run, and why."""
        return self.failed.get(repr(network), self.reason) if self.failed else self.reason


def _run_network(network: Network, images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits


def _run_by_winograd(network: Network, images: Tensor) -> Tensor:
    with WinogradConvolutions():
        return _run_network(
            network, images.contiguous(memory_format=torch.channels_last)
        )  # and all maps after them


def eager_mode(reason: str) -> ExecutionMode:
    """Return the plain way: operation by operation."""
    return ExecutionMode(_run_network, f"eager: {reason}")


def captured_mode() -> ExecutionMode:
    """Return the way of CUDA graphs, which nothing chooses by itself: it has not been run on a GPU
    yet.
    """
    return ExecutionMode(_run_network, "captured", capture_on_gpu)


def choose_execution_mode(
    network: Network, image: Callable[[], Tensor], images: float, precision: Precision
) -> ExecutionMode:
    """Choose for a computation.

    Args:
        network: on the device where it computes.
        image: gives one of the images, (1, C, H, W).
        images: forward passes of one image that the computation amounts to; a training step has
            three for each.
        precision: of the passes.
    """
    device = next(network.parameters()).device
    if device.type != "cpu":
        return eager_mode(f"nothing else has been measured on {device.type}")
    if not (isinstance(network, (ConvNet, ResNet, VGG)) and _has_group_norm(network)):
        return eager_mode(f"{COMPILED_NETWORKS} were measured to gain from compilation")
    if images * count_forward_operations(network, image()) < MIN_FLOPS_TO_COMPILE:
        return eager_mode("too short to repay compilation")
    if not any(map(shutil.which, COMPILERS)):
        return eager_mode(f"there is no C++ compiler, none of {', '.join(COMPILERS)}")
    winograd = precision == "tf32" and build_transforms() is not None
    if not (isinstance(network, ConvNet) or winograd or precision == "bf16"):
        why = ", and Winograd's did not compile" if precision == "tf32" else ""
        return eager_mode(f"nearly all of it are convolutions in float32{why}")
    return compiled_mode(winograd=winograd)


def _has_group_norm(network: Network) -> bool:
    return any(isinstance(layer, nn.GroupNorm) for layer in network.modules())


@torch.no_grad()
def count_forward_operations(network: Network, image: Tensor) -> int:
    """Count the operations of convolutions and products that one image (1, C, H, W) takes, an
    addition being one.
    """
    training = network.training
    with FlopCounterMode(display=False) as counter:
        network.eval()(image)
    network.train(training)
    return int(counter.get_total_flops())


@cache
def compiled_mode(*, winograd: bool) -> ExecutionMode:
    """Return the way that compiles for each architecture and batch shape, once in a process, kept
    on disk.

    What cannot be compiled runs eagerly; to find out in time, backward passes are compiled with the
    forward ones.

    Args:
        winograd: whether 3×3 convolutions are Winograd's, which have to be
            `distill_core.runtime.winograd.build_transforms`.
    """
    os.environ.setdefault("TORCH_WARM_POOL", "0")  # of processes that compile for GPUs alone
    fast = torch.compile(_run_by_winograd if winograd else _run_network, dynamic=False)
    # Made once: making them takes longer than a small pass.
    limits = patch_config(
        "torch._dynamo.config",
        recompile_limit=RECOMPILE_LIMIT,
        accumulated_recompile_limit=RECOMPILE_LIMIT,
        fail_on_recompile_limit_hit=True,
    )
    at_once = patch_config("torch._functorch.config", force_non_lazy_backward_lowering=True)
    errors = find_compile_errors()
    failed: dict[str, str] = {}

    def run(network: Network, images: Tensor) -> Tensor:
        if not failed or repr(network) not in failed:
            try:
                with limits, at_once:
                    return fast(
                        network, images.contiguous()
                    )  # another order in memory would be compiled anew
            except errors.limit:
                failed[repr(network)] = (
                    f"eager: this process compiled for {RECOMPILE_LIMIT} shapes before"
                )
            except errors.failure as error:
                failed[repr(network)] = f"eager: compilation failed ({type(error).__name__})"
        return _run_network(network, images)

    return ExecutionMode(run, f"compiled{WINOGRAD if winograd else ''}", failed=failed)
