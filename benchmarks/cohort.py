"""Time a 5 × 5 grid of weights λ, distilled as one cohort and as 25 single runs, per iteration.

    python benchmarks/cohort.py [--ipc 10] [--rounds 3] [--threads 2] [--device cpu]
    [--out NAME.json]

The method is DM+IID on noise as large as CIFAR-10. Both weights take 0 and four positive values. A
cell with λ_CC = 0 needs no pass through an extractor, and one with λ_CM = 0 no covariance, both in
a single run and in a cohort. The time of a single run depends on which weights are 0, not on their
values. So one run of each of the four kinds is measured and counted as often as the grid has it: 1
with neither loss, 4 with either alone, 16 with both. In `iid run` the cells with λ_CC = 0 start
before the extractors are trained and form a cohort by themselves. `--apart` measures the grid that
way, as cohorts of 5 and 20.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from cases import build_noise, build_pool, settings_for
from clock import Side, Spread, Times, describe_machine, interleave, spread, time_work

from distill_core.distillation.loop import start_cohort
from distill_core.distillation.run import SetRun
from distill_core.runtime.device import keep_memory
from distill_core.settings import DistillationSettings

WEIGHTS = {"lambda_cc": (0.0, 0.005, 0.01, 0.05, 0.1), "lambda_cm": (0.0, 0.001, 0.01, 0.05, 0.1)}
TARGET = {"cpu": 0.6, "cuda": 0.5}
"""Maximum ratio of the time of the cohort to that of single runs."""


PARTS = {"seconds": "iteration", "processor seconds": "iteration processor"}
"""Parts of the measured times by unit."""


def build_grid(base: DistillationSettings) -> list[DistillationSettings]:
    """Return the settings of all cells."""
    cells = []
    for cc in WEIGHTS["lambda_cc"]:
        for cm in WEIGHTS["lambda_cm"]:
            cells.append(replace(base, lambda_cc=cc, lambda_cm=cm))
    return cells


def group_cells(
    cells: Sequence[DistillationSettings], *, apart: bool
) -> list[list[DistillationSettings]]:
    """Return one cohort of all cells, or one without and one with extractors."""
    if not apart:
        return [list(cells)]
    without = [cell for cell in cells if not cell.lambda_cc]
    return [without, [cell for cell in cells if cell.lambda_cc]]


def measure(ipc: int, rounds: int, device: torch.device, *, apart: bool) -> dict[str, object]:
    """Time iterations of single runs and of the cohort, and their ratio round by round."""
    data = build_noise("cifar10", device)
    extractors = build_pool(data)
    base = settings_for("DM+IID", "cifar10", iterations=10_000)
    cells = build_grid(replace(base, lambda_cc=0.0, lambda_cm=0.0))

    def build_side(chosen: Sequence[DistillationSettings]) -> Side:
        set_runs = [SetRun(settings=settings) for settings in chosen]
        cohort = start_cohort(data, set_runs, ipc=ipc, seed=0, extractors=extractors)
        return lambda: time_work("iteration", cohort.advance, device)

    # The name of the method says which losses a cell has, and so what a single run costs.
    counts = Counter(cell.method for cell in cells)
    singles = {cell.method: cell for cell in cells}
    sides = {method: build_side([cell]) for method, cell in singles.items()}
    for group in group_cells(cells, apart=apart):
        sides[f"cohort of {len(group)}"] = build_side(group)
    times = interleave(sides, rounds)
    result: dict[str, object] = {
        "case": f"DM+IID, CIFAR-10's shapes, IPC {ipc}, 5 × 5 weights of which 9 cells have a 0",
        "machine": describe_machine(device),
        "date": datetime.now(UTC).date().isoformat(),
        "single runs in the grid": dict(counts),
    }
    for unit, part in PARTS.items():
        result[f"{unit} an iteration"] = _spread_sides(times, part)
    for unit, part in (("wall", "iteration"), ("processor", "iteration processor")):
        ratios = spread(_compute_ratios(times, counts, part))
        result[f"cohort / 25 single runs, {unit}"] = ratios
    return result | {"target": TARGET[device.type]}


def _spread_sides(times: Mapping[str, Times], part: str) -> dict[str, Spread]:
    spreads = {}
    for name, of_side in times.items():
        spreads[name] = spread([time[part] for time in of_side])
    return spreads


def _compute_ratios(
    times: Mapping[str, Times], counts: Mapping[str, int], part: str
) -> list[float]:
    """Return the time of all cohorts over that of all single runs, for each round."""
    ratios = []
    for number in range(len(next(iter(times.values())))):
        cohorts = singles = 0.0
        for name, of_side in times.items():
            seconds = of_side[number][part]
            if name in counts:
                singles += counts[name] * seconds
            else:
                cohorts += seconds
        ratios.append(cohorts / singles)
    return ratios


def show(result: dict[str, object]) -> None:
    """Print the table."""
    print(result["case"])
    print(result["machine"])
    for unit in ("seconds", "processor seconds"):
        for name, values in result[f"{unit} an iteration"].items():  # type: ignore[attr-defined]
            _print_row(f"{name}, {unit} an iteration", values)
    for name, values in result.items():
        if name.startswith("cohort /"):
            assert isinstance(values, dict)
            _print_row(name, values)


def _print_row(name: str, values: dict[str, float]) -> None:
    print(
        f"{name:44s} {values['median']:8.2f}  ({values['min']:.2f} … {values['max']:.2f}, n ="
        f" {values['n']})"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="CPU threads (default: as PyTorch chooses)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument(
        "--apart", action="store_true", help="put cells without extractors into a separate cohort"
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
