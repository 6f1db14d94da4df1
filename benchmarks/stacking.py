"""Time a training step of several networks: one by one, on streams, stacked, or as groups.

    python benchmarks/stacking.py [--networks 4] [--images 10 100] [--rounds 5] [--threads 2]
    [--device cpu] [--out NAME.json]

The networks are ConvNets (width 128, three blocks with instance norm) for images of 3 × 32 × 32. A
step is forward, backward and plain SGD update of all networks, each with different images. Sides
alternate, and the first round is not counted. All sides compute the same gradients
(tests/benchmarks). On a GPU each network is also run on a separate stream, and the step of every
side is also replayed as one graph of all networks.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from clock import describe_machine, interleave, spread_parts, time_work
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from distill_core.networks import Network, build_network
from distill_core.runtime.cuda_graphs import Capture, capture_on_gpu

Gradients = dict[str, Tensor]
"""Gradients of all networks by name of the parameter, (networks, …)."""


def compute_looped(networks: list[Network], images: Tensor, labels: Tensor) -> Gradients:
    """Compute gradients of one network after the other, with images (networks, B, C, H, W)."""
    gradients: dict[str, list[Tensor]] = {}
    for network, batch in zip(networks, images, strict=True):
        parameters = dict(network.named_parameters())
        loss = F.cross_entropy(network(batch), labels)
        of_network = torch.autograd.grad(loss, list(parameters.values()))
        for name, gradient in zip(parameters, of_network, strict=True):
            gradients.setdefault(name, []).append(gradient)
    return {name: torch.stack(values) for name, values in gradients.items()}


def compute_stacked(networks: list[Network], images: Tensor, labels: Tensor) -> Gradients:
    """Compute gradients of parameters that are stacked by `torch.func`."""
    parameters, _ = stack_module_state(networks)  # type: ignore[arg-type]

    def loss(values: Gradients, batch: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(networks[0], values, (batch,)), labels)

    result: Gradients = vmap(grad(loss))(parameters, images)
    return result


def compute_grouped(networks: list[Network], images: Tensor, labels: Tensor) -> Gradients:
    """Compute gradients of one network whose groups of channels are the networks."""
    stack, _ = stack_module_state(networks)  # type: ignore[arg-type]
    leaves = {name: value.detach().requires_grad_() for name, value in stack.items()}
    count = len(networks)
    x = images.transpose(0, 1).flatten(1, 2)  # (B, networks · C, H, W)
    for layer in range(0, 12, 4):
        weight = leaves[f"features.{layer}.weight"].flatten(0, 1)
        bias = leaves[f"features.{layer}.bias"].flatten(0, 1)
        scale = leaves[f"features.{layer + 1}.weight"].flatten(0, 1)
        shift = leaves[f"features.{layer + 1}.bias"].flatten(0, 1)
        x = F.conv2d(x, weight, bias, padding=1, groups=count)
        x = F.avg_pool2d(F.relu_(F.group_norm(x, x.shape[1], scale, shift)), 2)
    features = x.unflatten(1, (count, -1)).flatten(2).transpose(0, 1)  # (networks, B, D)
    logits = torch.baddbmm(
        leaves["classifier.bias"][:, None], features, leaves["classifier.weight"].transpose(1, 2)
    )
    total = F.cross_entropy(logits.flatten(0, 1), labels.repeat(count), reduction="sum")
    loss = total / len(labels)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def compute_on_streams(networks: list[Network], images: Tensor, labels: Tensor) -> Gradients:
    """Compute gradients of each network on a separate stream; needs a GPU."""
    here = torch.cuda.current_stream()
    each = []
    for network, batch in zip(networks, images, strict=True):
        stream = torch.cuda.Stream()
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            each.append((stream, compute_looped([network], batch[None], labels)))
    for stream, _ in each:
        here.wait_stream(stream)
    result = {}
    for name in each[0][1]:
        result[name] = torch.cat([gradients[name] for _, gradients in each])
    return result


GradientFunction = Callable[[list[Network], Tensor, Tensor], Gradients]
FUNCTIONS: dict[str, GradientFunction] = {
    "one after the other": compute_looped,
    "torch.func": compute_stacked,
    "grouped convolutions": compute_grouped,
}
GPU_FUNCTIONS: dict[str, GradientFunction] = {**FUNCTIONS, "a stream each": compute_on_streams}


def take_step(
    compute: GradientFunction, networks: list[Network], images: Tensor, labels: Tensor
) -> None:
    """Update all networks by plain SGD."""
    gradients = compute(networks, images, labels)
    with torch.no_grad():
        for index, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                parameter -= 0.01 * gradients[name][index]


def build_steps(
    count: int, batch: int, device: torch.device, capture: Capture | None
) -> dict[str, Callable[[], object]]:
    """Return a step of `count` networks on batches of `batch` images for each way to compute it."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(count, batch, 3, 32, 32, generator=draws).to(device)
    labels = (torch.arange(batch) % 10).to(device)

    def build(compute: GradientFunction) -> Callable[[], None]:
        draws = torch.Generator().manual_seed(1)
        networks = []
        for _ in range(count):
            network = build_network(
                "ConvNet", channels=3, classes=10, image_size=32, generator=draws
            )
            networks.append(network.to(device))
        return partial(take_step, compute, networks, images, labels)

    functions = GPU_FUNCTIONS if device.type == "cuda" else FUNCTIONS
    steps: dict[str, Callable[[], object]] = {}
    for name, compute in functions.items():
        steps[name] = build(compute)
        if capture is not None:
            steps[f"{name}, one graph"] = capture_step(build(compute), capture)
    return steps


def capture_step(work: Callable[[], None], capture: Capture) -> Callable[[], object]:
    """Capture `work` and return its replay."""
    # Run once before, because initialization cannot be captured.
    work()
    return capture(work)


def measure(count: int, batch: int, rounds: int, device: torch.device) -> dict[str, object]:
    """Time all sides for `count` networks and batches of `batch` images."""
    capture = capture_on_gpu() if device.type == "cuda" else None
    steps = build_steps(count, batch, device, capture)
    sides = {name: partial(time_work, "step", work, device) for name, work in steps.items()}
    spreads = {}
    for name, times in interleave(sides, rounds).items():
        spreads[name] = spread_parts(times)
    return {"networks": count, "images": batch, "sides": spreads}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--images", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cases = []
    for batch in arguments.images:
        cases.append(measure(arguments.networks, batch, arguments.rounds, arguments.device))
    text = json.dumps({"machine": describe_machine(arguments.device), "cases": cases}, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
