"""Time a 5 × 5 grid of weights λ distilled as one cohort against 25 single runs, by the iteration,
in this process.

    python benchmarks/cohort.py [--ipc 10] [--rounds 3] [--threads 2] [--device cpu] [--out
    NAME.json]

DM+IID on noise as large as CIFAR-10. Both weights take 0 and four values above. A cell with λ_CC =
0 needs no pass through an extractor, and one with λ_CM = 0 no covariance, alone as in a cohort.
What a single run takes depends on which weights are 0, not on their values: one of each of the four
sorts is measured, and counted as often as the grid has it (1 with neither, 4 with either alone, 16
with both). In `iid run` the cells with λ_CC = 0 start before the extractors are done, and are then
a cohort of their own; `--apart` measures the grid so, as cohorts of 5 and 20.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from cases import noise, pool, settings_for
from clock import interleaved, machine, spread, timed

from distill_core.distillation.loop import start_cohort
from distill_core.distillation.run import SetRun
from distill_core.runtime.device import keep_memory
from distill_core.settings import DistillationSettings

WEIGHTS = {"lambda_cc": (0.0, 0.005, 0.01, 0.05, 0.1), "lambda_cm": (0.0, 0.001, 0.01, 0.05, 0.1)}
TARGET = {"cpu": 0.6, "cuda": 0.5}
"""Time of the cohort over that of single runs, at most."""

Side = Callable[[], dict[str, float]]


def grid(base: DistillationSettings) -> list[DistillationSettings]:
    """Return the cells."""
    return [
        replace(base, lambda_cc=cc, lambda_cm=cm)
        for cc in WEIGHTS["lambda_cc"]
        for cm in WEIGHTS["lambda_cm"]
    ]


def sort_of(settings: DistillationSettings) -> str:
    """Name the sort of a single run by the losses that it has."""
    return settings.method


def measure(ipc: int, rounds: int, device: torch.device, *, apart: bool) -> dict[str, object]:
    """Return seconds an iteration of the single runs and of the cohort, and their ratio round by
    round.
    """
    data = noise("cifar10", device)
    extractors = pool(data)
    base = replace(
        settings_for("DM+IID", "cifar10", iterations=10_000), lambda_cc=0.0, lambda_cm=0.0
    )
    cells = grid(base)

    def side(chosen: Sequence[DistillationSettings]) -> Side:
        cohort = start_cohort(
            data, [SetRun(settings=own) for own in chosen], ipc=ipc, seed=0, extractors=extractors
        )
        return lambda: timed("iteration", cohort.advance, device)

    counts = {
        sort_of(cell): sum(sort_of(other) == sort_of(cell) for other in cells) for cell in cells
    }
    singles = {sort: next(cell for cell in cells if sort_of(cell) == sort) for sort in counts}
    groups = (
        [cells]
        if not apart
        else [[c for c in cells if bool(c.lambda_cc) == with_cc] for with_cc in (False, True)]
    )
    sides = {sort: side([cell]) for sort, cell in singles.items()}
    sides |= {f"cohort of {len(group)}": side(group) for group in groups}
    times = interleaved(sides, rounds)
    return {
        "case": f"DM+IID, CIFAR-10's shapes, IPC {ipc}, 5 × 5 weights of which 9 cells have a 0",
        "machine": machine(device),
        "date": datetime.now(UTC).date().isoformat(),
        "single runs in the grid": counts,
        **{
            f"{unit} an iteration": {
                name: spread([time[part] for time in ours]) for name, ours in times.items()
            }
            for unit, part in (
                ("seconds", "iteration"),
                ("processor seconds", "iteration processor"),
            )
        },
        **{
            f"cohort / 25 single runs, {unit}": spread(_ratios(times, counts, part))
            for unit, part in (("wall", "iteration"), ("processor", "iteration processor"))
        },
        "target": TARGET[device.type],
    }


def _ratios(
    times: dict[str, list[dict[str, float]]], counts: dict[str, int], part: str
) -> list[float]:
    rounds = len(next(iter(times.values())))
    return [
        sum(own[i][part] for name, own in times.items() if name not in counts)
        / sum(count * times[sort][i][part] for sort, count in counts.items())
        for i in range(rounds)
    ]


def show(result: dict[str, object]) -> None:
    """Print the table."""
    print(result["case"])
    print(result["machine"])
    for unit in ("seconds", "processor seconds"):
        for name, values in result[f"{unit} an iteration"].items():  # type: ignore[attr-defined]
            _row(f"{name}, {unit} an iteration", values)
    for name, values in result.items():
        if name.startswith("cohort /"):
            assert isinstance(values, dict)
            _row(name, values)


def _row(name: str, values: dict[str, float]) -> None:
    print(
        f"{name:44s} {values['median']:8.2f}  ({values['min']:.2f} … {values['max']:.2f}, n ="
        f" {values['n']})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="CPU threads (default: as PyTorch chooses)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument(
        "--apart", action="store_true", help="cells without extractors in a cohort of their own"
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    keep_memory()
    result = measure(arguments.ipc, arguments.rounds, arguments.device, apart=arguments.apart)
    show(result)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
