"""Time a training step of several networks: in turn, on streams, stacked by `torch.func`, as
grouped convolutions.

    python benchmarks/stacking.py [--networks 4] [--images 10 100] [--rounds 5] [--threads 2]
    [--device cpu]
                                  [--out NAME.json]

ConvNet (width 128, three blocks with instance norm) on images of 3 × 32 × 32; a step is forward,
backward and the plain SGD update of all networks, each of which sees images of its own. Sides
alternate, and the first round is not counted. All sides compute the same gradients
(tests/benchmarks/test_stacking.py). On a GPU the networks are also run on a stream each, and the
step of every way is also replayed as one graph of all networks.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from clock import interleaved, machine, spread, timed
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from distill_core.networks import Network, build_network
from distill_core.runtime.cuda_graphs import Capture, capture_on_gpu

Gradients = dict[str, Tensor]
"""Gradients of all networks by name of the parameter, (networks, …)."""


def looped(networks: list[Network], images: Tensor, labels: Tensor) -> Gradients:
    """Take gradients one network after the other, images (networks, B, C, H, W)."""
    each = [
        torch.autograd.grad(F.cross_entropy(network(batch), labels), list(network.parameters()))
        for network, batch in zip(networks, images, strict=True)
    ]
    names = [name for name, _ in networks[0].named_parameters()]
    return {
        name: torch.stack(values)
        for name, values in zip(names, zip(*each, strict=True), strict=True)
    }


def stacked(networks: list[Network], images: Tensor, labels: Tensor) -> Gradients:
    """Take gradients of parameters stacked by `torch.func`."""
    parameters, _ = stack_module_state(networks)  # type: ignore[arg-type]

    def loss(values: Gradients, batch: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(networks[0], values, (batch,)), labels)

    result: Gradients = vmap(grad(loss))(parameters, images)
    return result


def grouped(networks: list[Network], images: Tensor, labels: Tensor) -> Gradients:
    """Take gradients of one network of `networks` groups, whose channels are those of all."""
    stack, _ = stack_module_state(networks)  # type: ignore[arg-type]
    leaves = {name: value.detach().requires_grad_() for name, value in stack.items()}
    count = len(networks)
    x = images.transpose(0, 1).flatten(1, 2)  # (B, networks · C, H, W)
    for layer in range(0, 12, 4):
        weight, bias, scale, shift = (
            leaves[f"features.{place}.{kind}"].flatten(0, 1)
            for place in (layer, layer + 1)
            for kind in ("weight", "bias")
        )
        x = F.conv2d(x, weight, bias, padding=1, groups=count)
        x = F.avg_pool2d(F.relu_(F.group_norm(x, x.shape[1], scale, shift)), 2)
    features = x.unflatten(1, (count, -1)).flatten(2).transpose(0, 1)  # (networks, B, D)
    logits = torch.baddbmm(
        leaves["classifier.bias"][:, None], features, leaves["classifier.weight"].transpose(1, 2)
    )
    loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(count), reduction="sum") / len(
        labels
    )
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def on_streams(networks: list[Network], images: Tensor, labels: Tensor) -> Gradients:
    """Take gradients of each network on a stream of its own; needs a GPU."""
    here = torch.cuda.current_stream()
    each = []
    for network, batch in zip(networks, images, strict=True):
        stream = torch.cuda.Stream()
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            each.append((stream, looped([network], batch[None], labels)))
    for stream, _ in each:
        here.wait_stream(stream)
    return {name: torch.cat([gradients[name] for _, gradients in each]) for name in each[0][1]}


Way = Callable[[list[Network], Tensor, Tensor], Gradients]
WAYS: dict[str, Way] = {
    "one after the other": looped,
    "torch.func": stacked,
    "grouped convolutions": grouped,
}
WAYS_ON_GPUS: dict[str, Way] = {**WAYS, "a stream each": on_streams}


def step(way: Way, networks: list[Network], images: Tensor, labels: Tensor) -> None:
    gradients = way(networks, images, labels)
    with torch.no_grad():
        for index, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                parameter -= 0.01 * gradients[name][index]


def steps(
    count: int, batch: int, device: torch.device, capture: Capture | None
) -> dict[str, Callable[[], object]]:
    """Return a step of `count` networks on batches of `batch` images by way, each way with networks
    of its own.
    """
    images = torch.randn(count, batch, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(
        device
    )
    labels = (torch.arange(batch) % 10).to(device)

    def own(way: Way) -> Callable[[], None]:
        draws = torch.Generator().manual_seed(1)
        networks = [
            build_network("ConvNet", channels=3, classes=10, image_size=32, generator=draws).to(
                device
            )
            for _ in range(count)
        ]
        return partial(step, way, networks, images, labels)

    ways = WAYS_ON_GPUS if device.type == "cuda" else WAYS
    made: dict[str, Callable[[], object]] = {name: own(way) for name, way in ways.items()}
    if capture is not None:
        made |= {f"{name}, one graph": replayed(own(way), capture) for name, way in ways.items()}
    return made


def replayed(work: Callable[[], None], capture: Capture) -> Callable[[], object]:
    """Return what replays `work`, which is run once before: that makes ready what a capture cannot
    hold.
    """
    work()
    return capture(work)


def measure(count: int, batch: int, rounds: int, device: torch.device) -> dict[str, object]:
    """Time all ways for `count` networks and batches of `batch` images."""
    capture = capture_on_gpu() if device.type == "cuda" else None
    sides = {
        name: partial(timed, "step", work, device)
        for name, work in steps(count, batch, device, capture).items()
    }
    times = interleaved(sides, rounds)
    parts = ("step", "step processor")
    return {
        "networks": count,
        "images": batch,
        "sides": {
            side: {part: spread([one[part] for one in of]) for part in parts}
            for side, of in times.items()
        },
    }


def main() -> None:
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
    cases = [
        measure(arguments.networks, batch, arguments.rounds, arguments.device)
        for batch in arguments.images
    ]
    text = json.dumps({"machine": machine(arguments.device), "cases": cases}, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
