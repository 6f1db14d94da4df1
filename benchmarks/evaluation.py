"""Time the evaluation of one network, ours against the authors' release and against a plain loop.

    python benchmarks/evaluation.py [--official IID] [--networks ConvNet ResNet18] [--ipc 1 10 50]
    [--rounds 5]
                                    [--device cpu] [--threads 2] [--epochs 3] [--accuracy 0]
                                    [--sides ours] [--bf16] [--give-memory-back] [--out NAME.json]

CIFAR-10's shapes: 10 classes of 32 × 32 pixels, noise, batches of 256. A round trains one fresh
network on every side for a few epochs and tests it once on some images. An epoch costs the same
whenever it comes, and so does a test image: a whole evaluation is taken to be 1,001 epochs and
10,000 test images. Compilation falls into the round that is not counted and is given apart.
`--accuracy N` also trains N networks a way on digits, to the end of a short schedule, and gives
their accuracies. With `--out`, what is measured is written after every case.

Our sides keep the memory they free, as units of a launch do, unless told not to; the release's
process is as Python starts it. Sides: "ours" is the way that a whole evaluation of 20 networks
takes, "plain loop" the same training without compilation, graphs or a data loader, "graphs" and
"compiled" (GPU only) CUDA graphs and compiled passes, "release" the checkout's `evaluate_synset`.
With `--bf16` ours are also timed with `precision: bf16`.
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
from clock import interleaved, machine, spread, timed
from official import OfficialError, evaluation_side

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

PUBLISHED_EPOCHS, PUBLISHED_TEST_IMAGES, NETWORKS_A_SET, CLASSES = 1001, 10_000, 20, 10
OURS = "ours"
SUFFIXES: dict[str, Precision] = {"": "tf32", " in bf16": "bf16"}
Side = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Way:
    """How one of our sides runs a network."""

    mode: ExecutionMode
    precision: Precision = "tf32"


def ways(
    network: Network, ipc: int, device: torch.device, *, asked: list[str] | None, bf16: bool
) -> dict[str, Way]:
    """Return our sides by name: those that are asked for, or all."""
    images = NETWORKS_A_SET * (3 * PUBLISHED_EPOCHS * CLASSES * ipc + PUBLISHED_TEST_IMAGES)
    image = torch.zeros(1, 3, 32, 32, device=device)

    sides = {"plain loop": Way(eager_mode("asked for"))}
    for suffix, precision in SUFFIXES.items():
        sides[f"{OURS}{suffix}"] = Way(
            choose_execution_mode(network, lambda: image, images, precision), precision
        )
        if device.type == "cuda":
            sides |= {
                f"graphs{suffix}": Way(captured_mode(), precision),
                f"compiled{suffix}": Way(compiled_mode(winograd=False), precision),
            }
    wanted = {OURS, *(asked or sides)}
    return {
        name: way
        for name, way in sides.items()
        if name.removesuffix(" in bf16") in wanted and (bf16 or way.precision != "bf16")
    }


def own_side(
    name: str,
    way: Way,
    ipc: int,
    epochs: int,
    test: ImageSet,
    device: torch.device,
    describe: Callable[[str], None],
) -> Side:
    """Return what trains and tests one fresh network: {"train": s, "test": s}, and their processor
    seconds.

    `describe` is called with how the network was run.
    """
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(CLASSES * ipc, 3, 32, 32, generator=draws)
    training = TrainingSet.from_tensors(
        images, torch.arange(CLASSES).repeat_interleave(ipc), device
    )
    schedule = replace(
        build_schedule(EvaluationSettings(precision=way.precision)),
        epochs=epochs,
        drop_after=epochs // 2 + 1,
    )

    def side() -> dict[str, float]:
        network = build_network(
            name, channels=3, classes=CLASSES, image_size=32, generator=draws
        ).to(device)
        mode, precision = way.mode, way.precision
        train = timed(
            "train",
            lambda: fit(network, training.images, training.labels, schedule, draws, mode=mode),
            device,
        )
        test_pass = timed(
            "test", lambda: count_correct_by_class(network, test, CLASSES, precision, mode), device
        )
        describe(mode.describe(network))
        return train | test_pass

    return side


def noise(count: int, device: torch.device) -> ImageSet:
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
    device, test = arguments.device, noise(arguments.test_images, arguments.device)
    scale = Scale(arguments.epochs, arguments.test_images)
    probe = build_network(name, channels=3, classes=CLASSES, image_size=32).to(device)
    own = ways(probe, ipc, device, asked=arguments.sides, bf16=arguments.bf16)
    describe: dict[str, str] = {}
    with ExitStack() as open_sides:
        sides: dict[str, Side] = {
            side: own_side(
                name, way, ipc, arguments.epochs, test, device, partial(describe.__setitem__, side)
            )
            for side, way in own.items()
        }
        if arguments.official:
            theirs = evaluation_side(
                arguments.official,
                name,
                ipc,
                device,
                epochs=arguments.epochs,
                test_images=arguments.test_images,
            )
            sides["release"] = open_sides.enter_context(theirs)
        warm_up = {side: run() for side, run in sides.items()}
        times = interleaved(sides, arguments.rounds, warm_up=0)
    return {
        "network": name,
        "ipc": ipc,
        "epochs": arguments.epochs,
        "test images": arguments.test_images,
        "how they ran": describe,
        "first round": warm_up,
        "sides": {side: summary(rounds, scale) for side, rounds in times.items()},
        "ratios": {
            f"{side} / {ours}": ratios(times[ours], times[side], scale)
            for ours in times
            for side in times
            if side != ours and ours.startswith(OURS)
        },
    }


@dataclass(frozen=True)
class Scale:
    """What a round stands for: seconds of a whole evaluation follow from those of few epochs and
    few test images.
    """

    epochs: int
    test_images: int

    def epoch(self, measured: dict[str, float], suffix: str = "") -> float:
        return measured[f"train{suffix}"] / self.epochs

    def test(self, measured: dict[str, float], suffix: str = "") -> float:
        return measured[f"test{suffix}"] / self.test_images * PUBLISHED_TEST_IMAGES

    def whole(self, measured: dict[str, float], suffix: str = "") -> float:
        return PUBLISHED_EPOCHS * self.epoch(measured, suffix) + self.test(measured, suffix)


def summary(rounds: list[dict[str, float]], scale: Scale) -> dict[str, object]:
    """Return the spread of an epoch, of the test pass, and of whole evaluations a second."""
    result: dict[str, object] = {}
    for suffix in ("", " processor"):
        result[f"epoch{suffix}"] = spread([scale.epoch(one, suffix) for one in rounds])
        result[f"test{suffix}"] = spread([scale.test(one, suffix) for one in rounds])
        result[f"networks a second{suffix}"] = spread(
            [1 / scale.whole(one, suffix) for one in rounds]
        )
    return result


def ratios(
    ours: list[dict[str, float]], others: list[dict[str, float]], scale: Scale
) -> dict[str, object]:
    """Return how many times longer the other side takes, round by round: a whole evaluation, and
    the training alone.
    """
    pairs = list(zip(ours, others, strict=True))
    return {
        f"{part}{suffix}": spread([seconds(b, suffix) / seconds(a, suffix) for a, b in pairs])
        for suffix in ("", " processor")
        for part, seconds in (
            ("evaluation", scale.whole),
            ("training", scale.epoch),
            ("test", scale.test),
        )
    }


def accuracies(networks: int) -> dict[str, object]:
    """Train ConvNets on ten real digits a class; the networks of two ways share parameters, order
    and augmentation.
    """
    digits = load_dataset(DatasetRef(name="digits"), Path())
    train = digits.train
    chosen = torch.cat([(train.labels == c).nonzero().flatten()[:10] for c in range(CLASSES)])
    training = TrainingSet.from_tensors(train.normalized(chosen), train.labels[chosen], "cpu")
    settings = EvaluationSettings(epoch_eval_train=100)
    result: dict[str, list[float]] = {}
    for side, huge in (("compiled", 10**9), ("plain loop", 1)):
        shared = replace(settings, num_eval=huge)  # what decides whether compilation pays
        result[side] = [
            evaluate_network(
                training,
                digits.test,
                digits.info,
                shared,
                network="ConvNetW32",
                seed=0,
                index=index,
            ).accuracy
            for index in range(networks)
        ]
    return {"case": "digits, 10 real images a class, ConvNetW32, 101 epochs", **result}


def row(case: dict[str, object]) -> str:
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


def main() -> None:
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
        "--epochs", type=int, default=3, help="epochs a round, which stand for 1,001"
    )
    parser.add_argument(
        "--test-images", type=int, default=2_000, help="test images a round, which stand for 10,000"
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
    parser.add_argument("--accuracy", type=int, default=0, help="networks to train a way on digits")
    parser.add_argument("--bf16", action="store_true", help="also ours with precision: bf16")
    parser.add_argument(
        "--give-memory-back", action="store_true", help="our sides run without keep_memory()"
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    kept = not arguments.give_memory_back and keep_memory()
    result: dict[str, object] = {
        "our memory is kept": kept,
        "machine": machine(arguments.device),
        "date": datetime.now(UTC).date().isoformat(),
        "cases": (cases := []),
    }
    try:
        for name in arguments.networks:
            for ipc in arguments.ipc:
                cases.append(measure(name, ipc, arguments))
                print(row(cases[-1]), flush=True)
                write(result, arguments.out)
    except OfficialError as error:
        raise SystemExit(str(error)) from error
    if arguments.accuracy:
        result["accuracy"] = accuracies(arguments.accuracy)
        print(json.dumps(result["accuracy"]))
        write(result, arguments.out)


def write(result: dict[str, object], out: Path | None) -> None:
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
