"""How networks are run: eagerly, or compiled where that was measured to be faster.

On a CPU a quarter of the time of a ConvNet's training step goes into norm, activation and pooling,
each of which reads and writes whole feature maps. `torch.compile` fuses them into one loop, and
lets convolutions run in channels-last order, in which the eager norm is slow. In bf16 convolutions
are fast. In float32 they take most of the time, so where precision `tf32` allows more rounding,
Winograd's algorithm computes them (`distill_core.runtime.winograd`). Results agree within rounding.

The mode depends only on the task and the machine, never on measured time, so a resumed run uses the
same mode. The one exception is a failed compilation. Measurements are in benchmarks/README.md.
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
from distill_core.networks.network import arrange_images
from distill_core.networks.plain import VGG, ConvNet
from distill_core.networks.resnet import ResNet
from distill_core.runtime.cuda_graphs import Capture, capture_on_gpu
from distill_core.runtime.winograd import COMPILERS, WinogradConvolutions, build_transforms
from distill_core.settings import Precision

MIN_FLOPS_TO_COMPILE = 3 * 10**13
"""Operations from which a computation gains from compilation, which takes one to four minutes on
two cores. A ConvNet gains clearly. A ResNet breaks even, and its next run uses the code on disk.
"""
COMPILED_NETWORKS = "only ConvNets, ResNets and VGGs with instance or group norm"
WINOGRAD = ", Winograd convolutions"
RECOMPILE_LIMIT = 256
"""Architectures and batch shapes that one process compiles; beyond it networks are run eagerly."""

RunNetwork = Callable[[Network, Tensor], Tensor]


@dataclass(frozen=True)
class ExecutionMode:
    """A way to run a network forward and backward, and why it was chosen."""

    run: RunNetwork
    """Maps a network and images (B, C, H, W) to logits (B, classes)."""
    reason: str
    """Such as "eager: too short to repay compilation"."""
    capture: Callable[[], Capture] | None = None
    """Builds a capture for steps that are replayed; None runs every step without replay."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why some networks are run eagerly despite the mode, by their layers in words."""

    @property
    def is_eager(self) -> bool:
        """Whether networks run operation by operation."""
        return self.run is _run_network

    def describe(self, network: Network, failure: str | None = None) -> str:
        """Describe how a network was run, and why.

        Args:
            network: as it was run.
            failure: why a capture failed; None where none did.
        """
        if failure is not None:
            return f"eager: no CUDA graph ({failure})"
        return self.failed.get(repr(network), self.reason) if self.failed else self.reason


def _run_network(network: Network, images: Tensor) -> Tensor:
    logits: Tensor = network(arrange_images(network, images))
    return logits


def _run_by_winograd(network: Network, images: Tensor) -> Tensor:
    with WinogradConvolutions():
        # Feature maps inherit the order in memory of the images.
        return _run_network(network, images.contiguous(memory_format=torch.channels_last))


def eager_mode(reason: str) -> ExecutionMode:
    """Return the mode that runs operation by operation."""
    return ExecutionMode(_run_network, f"eager: {reason}")


def captured_mode() -> ExecutionMode:
    """Return the mode of CUDA graphs; never chosen automatically, as no GPU has run it yet."""
    return ExecutionMode(_run_network, "captured", capture_on_gpu)


def choose_execution_mode(
    network: Network, image: Callable[[], Tensor], images: float, precision: Precision
) -> ExecutionMode:
    """Choose the mode for a computation.

    Args:
        network: on the device where it computes.
        image: returns one of the images, (1, C, H, W).
        images: cost of the computation in forward passes of one image; a training step costs three
            per image.
        precision: of the network's arithmetic.
    """
    device = next(network.parameters()).device
    if device.type != "cpu":
        return eager_mode(f"nothing else has been measured on {device.type}")
    # The types themselves: code of a subclass may not compile, or need another order in memory.
    if type(network) not in (ConvNet, ResNet, VGG) or not _has_group_norm(network):
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
    """Count the operations of convolutions and matrix products for one image (1, C, H, W).

    A multiplication and an addition are two operations.
    """
    training = network.training
    with FlopCounterMode(display=False) as counter:
        network.eval()(image)
    network.train(training)
    return int(counter.get_total_flops())


@cache
def compiled_mode(*, winograd: bool) -> ExecutionMode:
    """Return the mode that compiles for each architecture and batch shape.

    A process compiles each of them once; the compiled code is cached on disk. Networks that cannot
    be compiled are run eagerly.

    Args:
        winograd: whether Winograd's algorithm computes 3×3 convolutions; its transforms must be
            available (`distill_core.runtime.winograd.build_transforms`).
    """
    # The pool of compiler processes only serves GPUs.
    os.environ.setdefault("TORCH_WARM_POOL", "0")
    fast = torch.compile(_run_by_winograd if winograd else _run_network, dynamic=False)
    # Built once, because building them takes longer than running a small batch.
    limits = patch_config(
        "torch._dynamo.config",
        recompile_limit=RECOMPILE_LIMIT,
        accumulated_recompile_limit=RECOMPILE_LIMIT,
        fail_on_recompile_limit_hit=True,
    )
    # Backward passes are compiled together with forward passes: a failure during a backward pass
    # would be too late to run eagerly.
    at_once = patch_config("torch._functorch.config", force_non_lazy_backward_lowering=True)
    errors = find_compile_errors()
    failed: dict[str, str] = {}

    def run(network: Network, images: Tensor) -> Tensor:
        if not failed or repr(network) not in failed:
            try:
                with limits, at_once:
                    # Another order in memory would be compiled again.
                    return fast(network, images.contiguous())
            except errors.limit:
                failed[repr(network)] = (
                    f"eager: this process compiled for {RECOMPILE_LIMIT} shapes before"
                )
            except errors.failure as error:
                failed[repr(network)] = f"eager: compilation failed ({type(error).__name__})"
        return _run_network(network, images)

    return ExecutionMode(run, f"compiled{WINOGRAD if winograd else ''}", failed=failed)
