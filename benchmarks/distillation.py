"""Time one iteration of DM+IID and IDM+IID: ours and its parts, a plain loop, and the release.

    python benchmarks/distillation.py [--official IID] [--methods DM+IID IDM+IID] [--ipc 1 10 50]
    [--rounds 5] [--device cpu] [--threads 2] [--bf16] [--out benchmarks/results/NAME.json]

The cases have CIFAR-10's shapes, noise, 256 real images per class, and a ResNet18 as extractor. A
call of a side is one whole iteration: draws, augmentation, networks, update of the pixels, training
of IDM's queue. The sides alternate, and the first round is not counted.

"ours" is what `distill` does. "whole batches" is the same without parts: all classes and all real
images in one pass, and each batch of the queue in one piece. "loop" computes DM+IID's formulas
class by class, and within a class image by image where there is a sum over images. "graphs" and
"compiled" (GPU only) are ours replayed as CUDA graphs and compiled. "release" is the iteration of
the checkout. With `--bf16` each of ours is also timed with `precision: bf16`. On a busy machine use
one thread and compare processor seconds.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from cases import build_noise, build_pool, run_in_mode, settings_for
from clock import (
    Side,
    Spreads,
    Times,
    describe_machine,
    interleave,
    spread,
    spread_parts,
    time_work,
)
from iteration_parts import ITERATIONS, REAL_FORWARD, compute_share, time_parts
from official import OfficialError, start_distillation
from plain_loop import build_objective, draw_for_iteration, loop_iteration, looped_gradient
from torch import Tensor

from distill_core.datasets.load import Dataset
from distill_core.distillation.idm import IDM
from distill_core.distillation.loop import Cohort, start_cohort
from distill_core.distillation.objective import PLAIN_MODE, compute_gradients
from distill_core.distillation.run import SetRun
from distill_core.runtime import chunk_sizes
from distill_core.runtime.device import keep_memory
from distill_core.runtime.execution import captured_mode, compiled_mode
from distill_core.seeds import generator
from distill_core.settings import Precision
from distill_core.training.extractors import ExtractorPool

CAPTURE_ITERATIONS = 12
"""Iterations after which nearly always every kind of iteration has been captured."""
OURS = "ours"
BF16 = " in bf16"
SUFFIXES: dict[str, Precision] = {"": "tf32", BF16: "bf16"}


@contextmanager
def without_parts() -> Iterator[None]:
    """Pass all real images, and whole batches of the queue, through a network at once."""
    before = dict(chunk_sizes.FORWARD_PIXELS)
    chunk_sizes.FORWARD_PIXELS.update(dict.fromkeys(before, 2**60))
    try:
        yield
    finally:
        chunk_sizes.FORWARD_PIXELS.update(before)


class OurSides:
    """Our sides of one case by name, and the cohorts that they advance."""

    def __init__(self, method: str, ipc: int, data: Dataset, extractors: ExtractorPool) -> None:
        self.settings = settings_for(method, data.info.name, iterations=ITERATIONS)
        self.ipc, self.data, self.extractors = ipc, data, extractors
        self.device = data.train.device
        self.cohorts: dict[str, Cohort] = {}
        self.sides: dict[str, Side] = {}
        for suffix, precision in SUFFIXES.items():
            name = f"{OURS}{suffix}"
            self.cohorts[name] = self._start(precision=precision)
            self.sides[name] = partial(self._time, self.cohorts[name])
        self._add_whole_batches()
        if self.device.type == "cuda":
            for suffix, precision in SUFFIXES.items():
                self._add_gpu_modes(suffix, precision)
        if self.settings.queue is None:
            self._add_loop()

    def _start(self, class_chunk: int | None = None, precision: Precision = "tf32") -> Cohort:
        return start_cohort(
            self.data,
            [SetRun(settings=replace(self.settings, precision=precision))],
            ipc=self.ipc,
            seed=0,
            extractors=self.extractors,
            class_chunk=class_chunk,
        )

    def _time(self, cohort: Cohort) -> dict[str, float]:
        return time_work("iteration", cohort.advance, self.device)

    def _add_whole_batches(self) -> None:
        cohort = run_in_mode(self._start(len(self.data.info.classes)), PLAIN_MODE)

        def side() -> dict[str, float]:
            with without_parts():
                return self._time(cohort)

        self.cohorts["whole batches"], self.sides["whole batches"] = cohort, side

    def _add_gpu_modes(self, suffix: str, precision: Precision) -> None:
        modes = {"graphs": captured_mode(), "compiled": compiled_mode(winograd=False)}
        for kind, mode in modes.items():
            name = f"{kind}{suffix}"
            self.cohorts[name] = run_in_mode(self._start(precision=precision), mode)
            self.sides[name] = partial(self._time_warmed_up, self.cohorts[name])

    def _time_warmed_up(self, cohort: Cohort) -> dict[str, float]:
        """Time an iteration after all captures and compilations.

        These are done in the first round, which is not counted, and only if the side is used.
        """
        while cohort.source_iteration < CAPTURE_ITERATIONS:
            cohort.advance()
        return self._time(cohort)

    def _add_loop(self) -> None:
        cohort = self.cohorts["loop"] = self._start()
        work = partial(loop_iteration, self.data, self.extractors, cohort, self.settings)
        self.sides["loop"] = partial(time_work, "iteration", work, self.device)


def describe_modes(cohort: Cohort) -> dict[str, object]:
    """Return how a cohort's networks were run, and why some could not be compiled."""
    modes = [cohort.mode, cohort.extractor_mode]
    if isinstance(cohort.source, IDM):
        modes.append(cohort.source.mode)
    failed: set[str] = set()
    for mode in modes:
        failed.update(mode.failed.values())
    return {
        "φ": cohort.mode.reason,
        "ψ": cohort.extractor_mode.reason,
        "failed": sorted(failed),
    }


def measure(method: str, ipc: int, arguments: argparse.Namespace) -> dict[str, object]:
    """Time one case: all sides, their ratios round by round, and the parts of ours."""
    device = arguments.device
    data = build_noise("cifar10", device)
    extractors = build_pool(data)
    ours = OurSides(method, ipc, data, extractors)
    precisions = {}
    for suffix, precision in SUFFIXES.items():
        if arguments.bf16 or precision != "bf16":
            precisions[f"{OURS}{suffix}"] = precision
    with ExitStack() as open_sides:
        sides = select_sides(ours.sides, arguments.sides, bf16=arguments.bf16)
        if arguments.official:
            release = start_distillation(arguments.official, method, ipc, device)
            sides["release"] = open_sides.enter_context(release)
        times = interleave(sides, arguments.rounds)
    parts, shares, modes = {}, {}, {}
    for name, precision in precisions.items():
        parts[name] = time_parts(method, ipc, data, extractors, arguments.rounds, precision)
        seconds = parts[name][REAL_FORWARD]["part"]["median"]
        shares[name] = compute_share(method, ipc, seconds, precision, device)
    for name, cohort in ours.cohorts.items():
        if name in times and name != "loop":
            modes[name] = describe_modes(cohort)
    return {
        "method": method,
        "ipc": ipc,
        "sides": {name: spread_parts(of_side) for name, of_side in times.items()},
        "how they ran": modes,
        "ratios": compute_ratios(times),
        "parts": parts,
        "share of the matrix ceiling in the real forward": shares,
    }


def select_sides(
    sides: Mapping[str, Side], requested: list[str] | None, *, bf16: bool
) -> dict[str, Side]:
    """Return ours and the requested sides, or all if none is requested."""
    selected = {}
    for name, side in sides.items():
        kind = name.removesuffix(BF16)
        is_requested = kind == OURS or not requested or kind in requested
        if is_requested and (bf16 or not name.endswith(BF16)):
            selected[name] = side
    return selected


def compute_ratios(times: Mapping[str, Times]) -> dict[str, Spreads]:
    """Return how many times longer every side takes than each of ours, round by round."""
    ratios = {}
    for ours in times:
        if ours.removesuffix(BF16) not in (OURS, "graphs", "compiled"):
            continue
        for other in times:
            if other == ours:
                continue
            ratios[f"{other} / {ours}"] = {}
            for part in ("iteration", "iteration processor"):
                pairs = zip(times[ours], times[other], strict=True)
                values = [theirs[part] / mine[part] for mine, theirs in pairs]
                ratios[f"{other} / {ours}"][part] = spread(values)
    return ratios


def compare_gradients() -> dict[str, float]:
    """Return the largest difference of two sides' gradients from ours, relative to the largest."""
    data = build_noise("cifar10", "cpu", images_per_class=64)
    extractors, settings = (
        build_pool(data),
        settings_for("DM+IID", "cifar10", iterations=ITERATIONS),
    )
    cohort = start_cohort(data, [SetRun(settings=settings)], ipc=4, seed=0, extractors=extractors)
    images, draw = cohort.runs[0].state.images, draw_for_iteration(data, settings, 0)
    real = data.train.normalized(data.train.draw(generator("real batch", 0), 32))

    def compute(*, whole: bool) -> Tensor:
        objective = build_objective(cohort, extractors, 0, settings, whole=whole)
        (result,) = compute_gradients(
            [objective], [images], real.__getitem__, draw, class_chunk=10 if whole else 2
        )
        return result.gradient

    ours = compute(whole=False)
    looped = looped_gradient(build_objective(cohort, extractors, 0, settings), images, real, draw)
    differences = {}
    for name, other in {"whole batches": compute(whole=True), "loop": looped}.items():
        differences[name] = float((other - ours).abs().max() / ours.abs().max())
    return differences


def show(case: dict[str, object]) -> None:
    """Print a case."""
    sides, ratios, our_parts = case["sides"], case["ratios"], case["parts"]
    assert isinstance(sides, dict) and isinstance(ratios, dict) and isinstance(our_parts, dict)
    print(f"{case['method']} IPC {case['ipc']}: median of seconds (and of processor seconds)")
    for name, values in sides.items():
        print(f"  {name:46s} {_format_medians(values, 'iteration')}")
        for part, seconds in our_parts.get(name, {}).items():
            print(f"    {part:44s} {_format_medians(seconds, 'part')}")
    for name, ratio in ratios.items():
        print(f"  {name:46s} {_format_medians(ratio, 'iteration')}")
    shares = case["share of the matrix ceiling in the real forward"]
    assert isinstance(shares, dict)
    for name, found in shares.items():
        print(
            f"  {name}: {found['share']:.0%} of the matrix ceiling in the real forward", flush=True
        )


def _format_medians(values: Spreads, part: str) -> str:
    return f"{values[part]['median']:8.3f} ({values[f'{part} processor']['median']:.3f})"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
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
    return parser.parse_args()


def main() -> None:
    """Run the benchmark."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    kept = not arguments.give_memory_back and keep_memory()
    result: dict[str, object] = {
        "machine": describe_machine(arguments.device),
        "our process keeps its memory, as a worker does": kept,
        "date": datetime.now(UTC).date().isoformat(),
        "relative difference of the gradients": compare_gradients(),
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
