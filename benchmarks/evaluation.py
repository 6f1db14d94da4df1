"""Time the evaluation of one network: ours, the authors' release, and a plain loop.

    python benchmarks/evaluation.py [--official IID] [--networks ConvNet ResNet18] [--ipc 1 10 50]
    [--rounds 5] [--device cpu] [--threads 2] [--epochs 3] [--accuracy 0] [--sides ours] [--bf16]
    [--give-memory-back] [--out NAME.json]

The cases have CIFAR-10's shapes (10 classes of 32 × 32 pixels), noise, and batches of 256. A round
trains one fresh network on every side for a few epochs and tests it once on some images. All epochs
cost the same, and so do all test images, so a whole evaluation is extrapolated to 1,001 epochs and
10,000 test images. Compilation happens in a first round that is not counted and is reported
separately. `--accuracy N` also trains N networks per mode on digits with a short schedule and
reports their accuracies. With `--out`, results are written after every case.

Our sides keep the memory they free, as workers of a launch do, unless `--give-memory-back` is set.
The process of the release does not. "ours" is the mode that a whole evaluation of 20 networks
uses, "plain loop" the same training without compilation, graphs or a data loader, "graphs" and
"compiled" (GPU only) use CUDA graphs and compiled networks, "release" is `evaluate_synset` of the
checkout. With `--bf16` ours are also timed with `precision: bf16`.
"""

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from clock import Side, describe_machine, interleave, time_work
from evaluation_scale import (
    OURS,
    PUBLISHED_EPOCHS,
    PUBLISHED_TEST_IMAGES,
    Scale,
    compare_sides,
    summarize,
)
from official import OfficialError, start_evaluation

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.load import load_dataset
from distill_core.evaluation.evaluate import (
    TrainingSet,
    build_schedule,
    count_correct_by_class,
    evaluate_network,
)
from distill_core.networks import Network, build_network
from distill_core.runtime.device import keep_memory
from distill_core.runtime.execution import (
    ExecutionMode,
    captured_mode,
    choose_execution_mode,
    compiled_mode,
    eager_mode,
)
from distill_core.settings import DatasetRef, EvaluationSettings, Precision
from distill_core.training.trainer import fit

NETWORKS_PER_SET, CLASSES = 20, 10
SUFFIXES: dict[str, Precision] = {"": "tf32", " in bf16": "bf16"}


@dataclass(frozen=True)
class SideMode:
    """How one of our sides runs a network."""

    mode: ExecutionMode
    precision: Precision = "tf32"


def choose_modes(
    network: Network, ipc: int, device: torch.device, *, requested: list[str] | None, bf16: bool
) -> dict[str, SideMode]:
    """Return the modes of our sides by name: the requested ones, or all."""
    images = NETWORKS_PER_SET * (3 * PUBLISHED_EPOCHS * CLASSES * ipc + PUBLISHED_TEST_IMAGES)
    image = torch.zeros(1, 3, 32, 32, device=device)

    sides = {"plain loop": SideMode(eager_mode("asked for"))}
    for suffix, precision in SUFFIXES.items():
        sides[f"{OURS}{suffix}"] = SideMode(
            choose_execution_mode(network, lambda: image, images, precision), precision
        )
        if device.type == "cuda":
            sides |= {
                f"graphs{suffix}": SideMode(captured_mode(), precision),
                f"compiled{suffix}": SideMode(compiled_mode(winograd=False), precision),
            }
    selected = {}
    for name, side_mode in sides.items():
        kind = name.removesuffix(" in bf16")
        is_requested = kind == OURS or not requested or kind in requested
        if is_requested and (bf16 or side_mode.precision != "bf16"):
            selected[name] = side_mode
    return selected


def build_side(
    name: str,
    side_mode: SideMode,
    ipc: int,
    epochs: int,
    test: ImageSet,
    device: torch.device,
    describe: Callable[[str], None],
) -> Side:
    """Build a side that trains and tests one fresh network and returns both times.

    `describe` is called with a description of how the network was run.
    """
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(CLASSES * ipc, 3, 32, 32, generator=draws)
    training = TrainingSet.from_tensors(
        images, torch.arange(CLASSES).repeat_interleave(ipc), device
    )
    schedule = replace(
        build_schedule(EvaluationSettings(precision=side_mode.precision)),
        epochs=epochs,
        drop_after=epochs // 2 + 1,
    )

    def side() -> dict[str, float]:
        network = build_network(
            name, channels=3, classes=CLASSES, image_size=32, generator=draws
        ).to(device)
        mode, precision = side_mode.mode, side_mode.precision
        train = time_work(
            "train",
            lambda: fit(network, training.images, training.labels, schedule, draws, mode=mode),
            device,
        )
        test_pass = time_work(
            "test", lambda: count_correct_by_class(network, test, CLASSES, precision, mode), device
        )
        describe(mode.describe(network))
        return train | test_pass

    return side


def build_noise(count: int, device: torch.device) -> ImageSet:
    """Build noise with the shape of CIFAR-10."""
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draws)
    labels = torch.arange(count) % CLASSES
    return ImageSet.build(
        images,
        labels,
        classes=CLASSES,
        name="noise",
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        device=device,
    )


def measure(name: str, ipc: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Time one architecture at one IPC on all sides."""
    device, test = arguments.device, build_noise(arguments.test_images, arguments.device)
    scale = Scale(arguments.epochs, arguments.test_images)
    probe = build_network(name, channels=3, classes=CLASSES, image_size=32).to(device)
    modes = choose_modes(probe, ipc, device, requested=arguments.sides, bf16=arguments.bf16)
    describe: dict[str, str] = {}
    with ExitStack() as open_sides:
        sides: dict[str, Side] = {}
        for side, side_mode in modes.items():
            report = partial(describe.__setitem__, side)
            sides[side] = build_side(name, side_mode, ipc, arguments.epochs, test, device, report)
        if arguments.official:
            release = start_evaluation(
                arguments.official,
                name,
                ipc,
                device,
                epochs=arguments.epochs,
                test_images=arguments.test_images,
            )
            sides["release"] = open_sides.enter_context(release)
        warm_up = {side: run() for side, run in sides.items()}
        times = interleave(sides, arguments.rounds, warm_up=0)
    return {
        "network": name,
        "ipc": ipc,
        "epochs": arguments.epochs,
        "test images": arguments.test_images,
        "how they ran": describe,
        "first round": warm_up,
        "sides": {side: summarize(rounds, scale) for side, rounds in times.items()},
        "ratios": compare_sides(times, scale),
    }


def compare_accuracies(networks: int) -> dict[str, object]:
    """Train ConvNets on ten real digits per class, compiled and in a plain loop.

    Both start from the same parameters and see the same order of images and augmentation.
    """
    digits = load_dataset(DatasetRef(name="digits"), Path())
    train = digits.train
    chosen = torch.cat([(train.labels == c).nonzero().flatten()[:10] for c in range(CLASSES)])
    training = TrainingSet.from_tensors(train.normalized(chosen), train.labels[chosen], "cpu")
    settings = EvaluationSettings(epoch_eval_train=100)
    result: dict[str, list[float]] = {}
    for side, huge in (("compiled", 10**9), ("plain loop", 1)):
        # The number of networks decides whether compilation is worthwhile.
        shared = replace(settings, num_eval=huge)
        result[side] = []
        for index in range(networks):
            evaluated = evaluate_network(
                training,
                digits.test,
                digits.info,
                shared,
                network="ConvNetW32",
                seed=0,
                index=index,
            )
            result[side].append(evaluated.accuracy)
    return {"case": "digits, 10 real images a class, ConvNetW32, 101 epochs", **result}


def format_case(case: dict[str, object]) -> str:
    """Return a line for the terminal."""
    sides, ratio = case["sides"], case["ratios"]
    assert isinstance(sides, dict)
    assert isinstance(ratio, dict)
    per_side = "  ".join(
        f"{side} {values['epoch']['median']:.3f} s" for side, values in sides.items()
    )
    against = "  ".join(
        f"{pair} {values['evaluation']['median']:.2f}" for pair, values in ratio.items()
    )
    processor = "  ".join(
        f"{values['evaluation processor']['median']:.2f}" for values in ratio.values()
    )
    return (
        f"{case['network']:9} IPC {case['ipc']:2}  epoch: {per_side}   {against}  (processor"
        f" {processor})"
    )


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--official", type=Path, help="folder of a checkout of the authors' release"
    )
    parser.add_argument(
        "--networks", nargs="+", default=["ConvNet", "ResNet18", "AlexNet", "VGG11"]
    )
    parser.add_argument("--ipc", nargs="+", type=int, default=[1, 10, 50])
    parser.add_argument(
        "--epochs", type=int, default=3, help="epochs per round, extrapolated to 1,001"
    )
    parser.add_argument(
        "--test-images",
        type=int,
        default=2_000,
        help="test images per round, extrapolated to 10,000",
    )
    parser.add_argument(
        "--sides",
        nargs="+",
        choices=("ours", "plain loop", "graphs", "compiled"),
        help="only these of our sides, where the device has them (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument(
        "--accuracy", type=int, default=0, help="networks to train per mode on digits"
    )
    parser.add_argument("--bf16", action="store_true", help="also ours with precision: bf16")
    parser.add_argument(
        "--give-memory-back", action="store_true", help="our sides run without keep_memory()"
    )
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    """Run the benchmark."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    kept = not arguments.give_memory_back and keep_memory()
    result: dict[str, object] = {
        "our memory is kept": kept,
        "machine": describe_machine(arguments.device),
        "date": datetime.now(UTC).date().isoformat(),
        "cases": (cases := []),
    }
    try:
        for name in arguments.networks:
            for ipc in arguments.ipc:
                cases.append(measure(name, ipc, arguments))
                print(format_case(cases[-1]), flush=True)
                write(result, arguments.out)
    except OfficialError as error:
        raise SystemExit(str(error)) from error
    if arguments.accuracy:
        result["accuracy"] = compare_accuracies(arguments.accuracy)
        print(json.dumps(result["accuracy"]))
        write(result, arguments.out)


def write(result: dict[str, object], out: Path | None) -> None:
    """Write the results so far, if a file is given."""
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
