"""Time one DM+IID iteration, batched over classes, against the same mathematics as a loop over classes and images.

    python benchmarks/distillation.py [--ipc 10] [--rounds 5] [--device cpu] [--out benchmarks/results/NAME.json]

Both sides compute the gradient of mean matching, class centralization and covariance matching on the same synthetic
images, for the same matching network, extractor, real batch and augmentation; rounds are interleaved, and the first
round of each side is not counted. The loop is a plain reading of the formulas: one class after the other, and within a
class one image after the other where a sum over images stands.
"""

import argparse
import json
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from distill_core.augment import Draw, augment, draw_augmentation
from distill_core.chunks import forward_images as forward_images_of
from distill_core.matching.objective import Objective
from distill_core.networks import build_network
from distill_core.settings import DSA_ALL, DistillationSettings

CLASSES, SIZE = 10, 32


def looped_gradient(objective: Objective, images: Tensor, real: Tensor, draw: Draw) -> Tensor:
    """Gradient on images (K, M, C, H, W) by the formulas as they stand, class by class and image by image."""
    gradients = []
    for c in range(len(images)):
        leaf = images[c].detach().requires_grad_()
        part = draw.of(slice(c, c + 1))
        synthetic, batch = augment(leaf[None], part)[0], augment(real[c][None], part)[0]
        maps = objective.network.feature_map(synthetic)
        with torch.no_grad():
            real_maps = objective.network.feature_map(batch)
        mean = (real_maps.flatten(1).mean(0) - maps.flatten(1).mean(0)).square().sum()
        features = objective.extractor.embed(synthetic)
        centre = features.mean(0)
        centralization = sum((feature - centre).square().sum() for feature in features)
        covariance = (looped_covariance(real_maps) - looped_covariance(maps)).square().sum()
        total = mean + objective.settings.lambda_cc * centralization + objective.settings.lambda_cm * covariance
        gradients.append(torch.autograd.grad(total, leaf)[0])
    return torch.stack(gradients)


def looped_covariance(maps: Tensor) -> Tensor:
    """Covariance (C, C) of maps (N, C, H, W), one image after the other."""
    centred = (maps - maps.mean(0)).flatten(2)
    return sum(image @ image.T for image in centred) / len(maps)


def measure(ipc: int, rounds: int, device: torch.device, forward_images: int | None) -> dict[str, object]:
    """Return times in seconds and the relative difference of the two gradients."""
    network, extractor = (
        build_network(name, channels=3, classes=CLASSES, image_size=SIZE).to(device).requires_grad_(False)
        for name in ("ConvNet", "ResNet18")
    )
    objective = Objective(
        network=network,
        extractor=extractor.eval(),
        settings=DistillationSettings(lambda_cc=0.05, lambda_cm=0.01),
        forward_images=forward_images,
    )
    draws = torch.Generator().manual_seed(0)
    real = torch.randn(CLASSES, 256, 3, SIZE, SIZE, generator=draws).to(device)
    images = torch.randn(CLASSES, ipc, 3, SIZE, SIZE, generator=draws).to(device)
    draw = draw_augmentation(DSA_ALL, CLASSES, SIZE, draws, device=device)
    sides = {
        "batched": lambda: gradients([objective], [images], real.__getitem__, draw, class_chunk=CLASSES)[0][0],
        "looped": lambda: looped_gradient(objective, images, real, draw),
    }
    gradients = {name: side() for name, side in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            times[name].append(seconds(side, device))
    difference = (gradients["batched"] - gradients["looped"]).abs().max() / gradients["looped"].abs().max()
    ratios = [loop / batch for loop, batch in zip(times["looped"], times["batched"], strict=True)]
    return {
        "case": f"DM+IID, ConvNet 128, ResNet18, {CLASSES} classes, 256 real images a class, IPC {ipc}",
        "machine": machine(device),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": {name: spread(values) for name, values in times.items()},
        "looped / batched": spread(ratios),
        "relative difference of the gradients": float(difference),
    }


def seconds(side: object, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    side()  # type: ignore[operator]
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


def machine(device: torch.device) -> dict[str, object]:
    name = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def processor() -> str:
    """Name of the processor, where the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--forward-images", type=int, help="real images in one forward pass (default: as `distill`)")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    forward_images = arguments.forward_images or forward_images_of(arguments.device.type, SIZE)
    result = measure(arguments.ipc, arguments.rounds, arguments.device, forward_images)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
