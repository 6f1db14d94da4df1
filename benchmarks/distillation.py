"""Time one iteration of DM+IID and IDM+IID, ours against a plain loop and against the authors'
release, and its parts.

    python benchmarks/distillation.py [--official IID] [--methods DM+IID IDM+IID] [--ipc 1 10 50]
    [--rounds 5]
                                      [--device cpu] [--threads 2] [--bf16] [--out
                                      benchmarks/results/NAME.json]

CIFAR-10's shapes, noise, 256 real images a class, a ResNet18 as extractor. A call of a side is one
whole iteration: draws, augmentation, passes, update of the pixels, IDM's queue training. The sides
alternate, and the first round is not counted. "ours" is what `distill` does. "whole batches" is the
same without parts: all classes and all real images in one pass, and the queue's batches in one
piece; it stands for the readable path. "loop" is a plain reading of DM+IID's formulas, one class
after the other, and within a class one image after the other where a sum over images stands.
"graphs" and "compiled" (GPU only) are ours replayed as CUDA graphs and compiled, "release" is the
checkout's own iteration. With `--bf16` each of ours is also timed with `precision: bf16`. On one
thread of a busy machine look at the processor's seconds.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from cases import noise, pool, run_by, settings_for
from ceiling import ceiling
from clock import interleaved, machine, spread, timed
from floors_distillation import floor
from official import OfficialError, distillation_side
from torch import Tensor

from distill_core.augmentation import Draw, augment, draw_augmentation
from distill_core.datasets.load import Dataset
from distill_core.distillation.execution_modes import Embedding
from distill_core.distillation.idm import IDM
from distill_core.distillation.loop import Cohort, start_cohort
from distill_core.distillation.losses import class_centralization
from distill_core.distillation.objective import (
    PLAIN_MODE,
    Objective,
    compute_gradients,
    decode_canvases,
)
from distill_core.distillation.run import SetRun
from distill_core.networks import initialize
from distill_core.runtime import chunk_sizes
from distill_core.runtime.device import keep_memory
from distill_core.runtime.execution import captured_mode, compiled_mode
from distill_core.runtime.precision import autocast
from distill_core.seeds import generator
from distill_core.settings import DistillationSettings, Precision
from distill_core.training.extractors import ExtractorPool

Side = Callable[[], dict[str, float]]
ITERATIONS = 10**6
UNTIL_CAPTURED = 12
"""Iterations after which every kind of them has been recorded, nearly always."""
OURS = "ours"
REAL_FORWARD = "real images through φ, statistics"
SUFFIXES: dict[str, Precision] = {"": "tf32", " in bf16": "bf16"}


def looped_gradient(objective: Objective, images: Tensor, real: Tensor, draw: Draw) -> Tensor:
    """Gradient on images (K, M, C, H, W) by the formulas as they stand, class by class and image by
    image.
    """
    gradients = []
    for c in range(len(images)):
        leaf = images[c].detach().requires_grad_()
        part = draw.select(slice(c, c + 1))
        synthetic, batch = augment(leaf[None], part)[0], augment(real[c][None], part)[0]
        maps = objective.network.feature_map(synthetic)
        with torch.no_grad():
            real_maps = objective.network.feature_map(batch)
        mean = (real_maps.flatten(1).mean(0) - maps.flatten(1).mean(0)).square().sum()
        features = objective.extractor.embed(synthetic)
        center = features.mean(0)
        centralization = sum((feature - center).square().sum() for feature in features)
        covariance = (looped_covariance(real_maps) - looped_covariance(maps)).square().sum()
        total = (
            mean
            + objective.settings.lambda_cc * centralization
            + objective.settings.lambda_cm * covariance
        )
        gradients.append(torch.autograd.grad(total, leaf)[0])
    return torch.stack(gradients)


def looped_covariance(maps: Tensor) -> Tensor:
    """Covariance (C, C) of maps (N, C, H, W), one image after the other."""
    centered = (maps - maps.mean(0)).flatten(2)
    return sum(image @ image.T for image in centered) / len(maps)


def loop_iteration(
    data: Dataset, extractors: ExtractorPool, cohort: Cohort, settings: DistillationSettings
) -> None:
    """Do what `Cohort.advance` does for DM+IID, with the looped gradient."""
    (run,) = cohort.runs
    iteration = run.state.iteration
    indices = data.train.draw(generator("real batch", iteration), settings.batch_real)
    draw = drawn_augmentation(data, settings, iteration)
    objective = objective_of(cohort, extractors, iteration, settings)
    run.update(looped_gradient(objective, run.state.images, data.train.normalized(indices), draw))


def objective_of(
    cohort: Cohort,
    extractors: ExtractorPool,
    iteration: int,
    settings: DistillationSettings,
    *,
    whole: bool = False,
) -> Objective:
    matching = cohort.source.draw(iteration)
    images = cohort.dataset.train
    return Objective(
        network=matching.network,
        extractor=extractors.networks[0],
        settings=settings,
        ce_weight=matching.ce_weight,
        forward_images=None
        if whole
        else chunk_sizes.choose_forward_images(images.device.type, images.image_size),
        mode=PLAIN_MODE if whole else cohort.mode,
        extractor_mode=PLAIN_MODE if whole else cohort.extractor_mode,
    )


def drawn_augmentation(data: Dataset, settings: DistillationSettings, iteration: int) -> Draw:
    draws = generator("augmentation", iteration)
    size, groups = data.info.image_size, len(data.info.classes)
    draw = draw_augmentation(settings.dsa_strategy, groups, size, draws, device=data.train.device)
    assert draw is not None
    return draw


@contextmanager
def without_parts() -> Iterator[None]:
    """Have real images and the queue's batches in one pass."""
    before = dict(chunk_sizes.FORWARD_PIXELS)
    chunk_sizes.FORWARD_PIXELS.update(dict.fromkeys(before, 2**60))
    try:
        yield
    finally:
        chunk_sizes.FORWARD_PIXELS.update(before)


def own_sides(
    method: str, ipc: int, data: Dataset, extractors: ExtractorPool
) -> tuple[dict[str, Side], dict[str, Cohort]]:
    """Return our sides by name, and the cohorts behind them."""
    settings, device = (
        settings_for(method, data.info.name, iterations=ITERATIONS),
        data.train.device,
    )

    def fresh(class_chunk: int | None = None, precision: Precision = "tf32") -> Cohort:
        cell = SetRun(settings=replace(settings, precision=precision))
        return start_cohort(
            data, [cell], ipc=ipc, seed=0, extractors=extractors, class_chunk=class_chunk
        )

    def made_ready(cohort: Cohort) -> Side:
        """Return a side that captures or compiles in the round that is not counted, if the side is
        wanted at all.
        """

        def side() -> dict[str, float]:
            while cohort.source_iteration < UNTIL_CAPTURED:
                cohort.advance()
            return timed("iteration", cohort.advance, device)

        return side

    def plain() -> dict[str, float]:
        with without_parts():
            return timed("iteration", cohorts["whole batches"].advance, device)

    cohorts = {
        f"{OURS}{suffix}": fresh(precision=precision) for suffix, precision in SUFFIXES.items()
    }
    sides = {
        name: partial(timed, "iteration", cohort.advance, device)
        for name, cohort in cohorts.items()
    }
    cohorts["whole batches"], sides["whole batches"] = (
        run_by(fresh(len(data.info.classes)), PLAIN_MODE),
        plain,
    )
    if device.type == "cuda":
        for suffix, precision in SUFFIXES.items():
            for name, mode in (
                ("graphs", captured_mode()),
                ("compiled", compiled_mode(winograd=False)),
            ):
                cohorts[f"{name}{suffix}"] = run_by(fresh(precision=precision), mode)
                sides[f"{name}{suffix}"] = made_ready(cohorts[f"{name}{suffix}"])
    if settings.queue is None:
        looped = cohorts["loop"] = fresh()
        sides["loop"] = lambda: timed(
            "iteration", lambda: loop_iteration(data, extractors, looped, settings), device
        )
    return sides, cohorts


def how(cohort: Cohort) -> dict[str, object]:
    """Return how a cohort's networks were run, and what could not be compiled all the same."""
    of_queue = [cohort.source.mode] if isinstance(cohort.source, IDM) else []
    failed = {
        why
        for mode in (cohort.mode, cohort.extractor_mode, *of_queue)
        for why in mode.failed.values()
    }
    return {
        "φ": cohort.mode.reason,
        "ψ": cohort.extractor_mode.reason,
        "failed": sorted(failed),
    }


def parts(
    method: str,
    ipc: int,
    data: Dataset,
    extractors: ExtractorPool,
    rounds: int,
    precision: Precision,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return seconds and processor seconds of the parts of our iteration, each timed by itself."""
    device = data.train.device
    settings, of_dm = (
        settings_for(name, data.info.name, iterations=ITERATIONS, precision=precision)
        for name in (method, "DM+IID")
    )
    cohort = start_cohort(data, [SetRun(settings=settings)], ipc=ipc, seed=0, extractors=extractors)
    classes, images = len(data.info.classes), cohort.runs[0].state.images
    objective = objective_of(cohort, extractors, 1, settings)
    draw = drawn_augmentation(data, settings, 1)
    indices = data.train.draw(generator("real batch", 1), settings.batch_real)
    slices = [
        slice(c, min(c + cohort.class_chunk, classes))
        for c in range(0, classes, cohort.class_chunk)
    ]
    real = [augment(data.train.normalized(indices[part]), draw.select(part)) for part in slices]
    features = [objective.compute_real_features(batch) for batch in real]
    base = objective_of(cohort, extractors, 1, of_dm)

    def through(work: Callable[[Tensor, int], Tensor]) -> None:
        for number, part in enumerate(slices):
            leaf = images[part].detach().requires_grad_()
            loss = work(
                augment(decode_canvases(leaf, settings.partition), draw.select(part)), number
            )
            torch.autograd.grad(loss, leaf)

    def matched(synthetic: Tensor, number: int) -> Tensor:
        losses = objective.compute_losses(
            features[number], synthetic, torch.arange(len(synthetic), device=device)
        )
        losses.pop("cc", None)
        return torch.stack(list(losses.values())).sum()

    def centralized(synthetic: Tensor, number: int) -> Tensor:
        with autocast(precision, device):
            features = cohort.extractor_mode.run(
                Embedding(extractors.networks[0]), synthetic.flatten(0, 1)
            )
        return class_centralization(features.float().unflatten(0, synthetic.shape[:2]))

    objective = replace(objective, network=base.network, extractor=None)
    work: dict[str, Callable[[], object]] = {
        "matching network": lambda: initialize(base.network, generator("matching network", 1)),
        "real images drawn, normalised, augmented": lambda: [
            augment(data.train.normalized(indices[part]), draw.select(part)) for part in slices
        ],
        REAL_FORWARD: lambda: [
            (found.mean, found.covariance) for found in map(base.real_features, real)
        ],
        "synthetic images through φ and back, losses": lambda: through(matched),
        "synthetic images through ψ and back": lambda: through(centralized),
    }
    if isinstance(cohort.source, IDM):
        work["queue's networks trained"] = lambda: cohort.source.after(1)
        del work["matching network"]
    sides = {name: (lambda do=do: timed("part", do, device)) for name, do in work.items()}
    times = interleaved(sides, rounds)
    return {name: _spreads(ours) for name, ours in times.items()}


def measure(method: str, ipc: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Return a case: seconds of every side, ratios to ours round by round, parts of ours."""
    device = arguments.device
    data = noise("cifar10", device)
    extractors = pool(data)
    with ExitStack() as open_sides:
        sides, cohorts = own_sides(method, ipc, data, extractors)
        asked = {OURS, *(arguments.sides or (name.removesuffix(" in bf16") for name in sides))}
        suffixes = [
            suffix
            for suffix, precision in SUFFIXES.items()
            if arguments.bf16 or precision != "bf16"
        ]
        wanted = {f"{of}{suffix}" for of in asked for suffix in suffixes}
        sides = {name: side for name, side in sides.items() if name in wanted}
        if arguments.official:
            sides["release"] = open_sides.enter_context(
                distillation_side(arguments.official, method, ipc, device)
            )
        times = interleaved(sides, arguments.rounds)
    ours = {f"{OURS}{suffix}": SUFFIXES[suffix] for suffix in suffixes}
    of_ours = {
        name: parts(method, ipc, data, extractors, arguments.rounds, precision)
        for name, precision in ours.items()
    }
    return {
        "method": method,
        "ipc": ipc,
        "sides": {name: _spreads(ours) for name, ours in times.items()},
        "how they ran": {
            name: how(cohort)
            for name, cohort in cohorts.items()
            if name in times and name != "loop"
        },
        "ratios": {
            f"{other} / {own}": {
                part: spread(
                    [b[part] / a[part] for a, b in zip(times[own], times[other], strict=True)]
                )
                for part in ("iteration", "iteration processor")
            }
            for own in times
            for other in times
            if other != own and own.removesuffix(" in bf16") in (OURS, "graphs", "compiled")
        },
        "parts": of_ours,
        "share of the matrix ceiling in the real forward": {
            name: share(
                method, ipc, of_ours[name][REAL_FORWARD]["part"]["median"], precision, device
            )
            for name, precision in ours.items()
        },
    }


def share(
    method: str, ipc: int, seconds: float, precision: Precision, device: torch.device
) -> dict[str, float]:
    """Return operations a second of real images through φ, those of a product of matrices, and
    their ratio.
    """
    reached = floor("cifar10", ipc, settings_for(method, "cifar10", iterations=1)).real / seconds
    most = ceiling(device, precision)
    return {
        "operations a second": reached,
        "of a product of matrices": most,
        "share": reached / most,
    }


def agreement() -> dict[str, float]:
    """Return the largest difference of the gradients of two sides from ours, relative to the
    largest entry.
    """
    data = noise("cifar10", "cpu", images_a_class=64)
    extractors, settings = pool(data), settings_for("DM+IID", "cifar10", iterations=ITERATIONS)
    cohort = start_cohort(data, [SetRun(settings=settings)], ipc=4, seed=0, extractors=extractors)
    images, draw = cohort.runs[0].state.images, drawn_augmentation(data, settings, 0)
    real = data.train.normalized(data.train.draw(generator("real batch", 0), 32))

    def gradient(*, whole: bool) -> Tensor:
        objective = objective_of(cohort, extractors, 0, settings, whole=whole)
        ((found, _),) = compute_gradients(
            [objective], [images], real.__getitem__, draw, class_chunk=10 if whole else 2
        )
        return found

    ours = gradient(whole=False)
    looped = looped_gradient(objective_of(cohort, extractors, 0, settings), images, real, draw)
    others = {"whole batches": gradient(whole=True), "loop": looped}
    return {
        name: float((other - ours).abs().max() / ours.abs().max()) for name, other in others.items()
    }


def _spreads(times: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {part: spread([time[part] for time in times]) for part in times[0]}


def show(case: dict[str, object]) -> None:
    """Print a case."""
    sides, ratios, own_parts = case["sides"], case["ratios"], case["parts"]
    assert isinstance(sides, dict) and isinstance(ratios, dict) and isinstance(own_parts, dict)
    print(f"{case['method']} IPC {case['ipc']}: seconds (and of the processor), median")
    for name, values in sides.items():
        print(f"  {name:46s} {_medians(values, 'iteration')}")
        for part, seconds in own_parts.get(name, {}).items():
            print(f"    {part:44s} {_medians(seconds, 'part')}")
    for name, ratio in ratios.items():
        print(f"  {name:46s} {_medians(ratio, 'iteration')}")
    shares = case["share of the matrix ceiling in the real forward"]
    assert isinstance(shares, dict)
    for name, found in shares.items():
        print(
            f"  {name}: {found['share']:.0%} of the matrix ceiling in the real forward", flush=True
        )


def _medians(values: dict[str, dict[str, float]], part: str) -> str:
    return f"{values[part]['median']:8.3f} ({values[f'{part} processor']['median']:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--official", type=Path, help="folder of a checkout of the authors' release"
    )
    parser.add_argument(
        "--methods", nargs="+", default=["DM+IID", "IDM+IID"], choices=["DM+IID", "IDM+IID"]
    )
    parser.add_argument("--ipc", nargs="+", type=int, default=[1, 10, 50])
    parser.add_argument(
        "--sides",
        nargs="+",
        choices=("ours", "whole batches", "loop", "graphs", "compiled"),
        help="only these of our sides, where the device has them (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--bf16", action="store_true", help="also ours with precision: bf16")
    parser.add_argument(
        "--give-memory-back", action="store_true", help="our sides run without keep_memory()"
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    kept = not arguments.give_memory_back and keep_memory()
    result: dict[str, object] = {
        "machine": machine(arguments.device),
        "our process keeps its memory, as a worker does": kept,
        "date": datetime.now(UTC).date().isoformat(),
        "relative difference of the gradients": agreement(),
        "cases": (cases := []),
    }
    try:
        for method in arguments.methods:
            for ipc in arguments.ipc:
                cases.append(measure(method, ipc, arguments))
                show(cases[-1])
                if arguments.out:
                    arguments.out.write_text(
                        json.dumps(result, indent=1, ensure_ascii=False) + "\n"
                    )
    except OfficialError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
