"""Time a launch of units that compute nothing, with the real plan, Ray Tune, leases and store.

    python benchmarks/orchestrator.py [--units 2000] [--cpus 2] [--repeats 1]
    [--out benchmarks/results/NAME.json]

Every unit has a lease, artifacts, rows and DONE like any other, and Ray Tune requests it when its
parents are done. The overhead per unit is the wall time between the first and the last finished
unit, divided by their number; the start of Ray is reported separately. On a busy machine compare
the processor time per unit, of the launch, Ray and its workers together. Memory is the resident
memory of the launching process while units finish.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    # This file has the name of the package; without this, `import orchestrator` would find it.
    sys.path[0] = str(ROOT)

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from distill_core.settings import (  # noqa: E402
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
)
from orchestrator.execution.context import Outcome, UnitContext  # noqa: E402
from orchestrator.launch.launch import launch  # noqa: E402
from orchestrator.launch.options import RunOptions  # noqa: E402
from orchestrator.planning.plan import Cell, Plan  # noqa: E402
from orchestrator.planning.planned_work import find_pending  # noqa: E402
from orchestrator.store import provenance  # noqa: E402
from orchestrator.store.open import open_store  # noqa: E402
from orchestrator.store.store import Store  # noqa: E402
from orchestrator.units import Distill, Evaluate, TrainExtractor, Unit  # noqa: E402

DIGITS = DatasetRef(name="digits")
POOL, EVALUATIONS = 5, 4
SAMPLE_SECONDS = 1.0


def no_op(unit: Unit, context: UnitContext) -> Outcome:
    """Write one small artifact and one row."""
    (context.workdir / "nothing.txt").write_text(unit.key)
    return Outcome(rows=[{"seconds": 0.0, "peak_memory": 0}], fingerprint="no images")


def make_plan(units: int) -> Plan:
    """Plan a pool of extractors, sets that need all of it, and four evaluations of each set."""
    pool = []
    for index in range(POOL):
        unit = TrainExtractor(
            dataset=DIGITS, protocol="paper", settings=ExtractorSettings(), index=index
        )
        pool.append(unit)
    planned: dict[str, Unit] = {unit.key: unit for unit in pool}
    cells = []
    settings, parents = DistillationSettings(lambda_cc=0.1), tuple(unit.key for unit in pool)
    for seed in range((units - POOL) // (EVALUATIONS + 1)):
        made = Distill(
            dataset=DIGITS, protocol="paper", ipc=1, settings=settings, seed=seed, parents=parents
        )
        planned[made.key] = made
        for depth in range(1, EVALUATIONS + 1):
            evaluation = Evaluate(
                dataset=DIGITS,
                protocol="paper",
                split="test",
                network=f"ConvNetD{depth}",
                settings=EvaluationSettings(),
                seed=seed,
                parents=(made.key,),
            )
            planned[evaluation.key] = evaluation
            cell = Cell(
                experiment="no-op",
                dataset="digits",
                protocol="paper",
                method="DM+CC",
                ipc=1,
                seed=seed,
                network=evaluation.network,
                set_key=made.key,
                evaluation_key=evaluation.key,
            )
            cells.append(cell)
    return Plan(units=planned, cells=tuple(cells))


class Sample(NamedTuple):
    """One reading during a launch."""

    time: float
    done: int
    """Units that are done."""
    megabytes: float
    """Resident memory of this process."""
    processor_seconds: float
    """Of this process and its descendants."""


class ProgressSampler:
    """Reads in a thread how many units are done and how much memory this process uses."""

    def __init__(self, store: Store) -> None:
        self.samples: list[Sample] = []
        self._folder = store.tables
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "ProgressSampler":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        done = 0
        while not self._over.wait(SAMPLE_SECONDS):
            # Folders of tables appear with their first rows.
            with suppress(FileNotFoundError):
                done = sum(len(os.listdir(folder)) for folder in os.scandir(self._folder))  # noqa: PTH208 (no memory)
            self.samples.append(
                Sample(time.monotonic(), done, read_memory(), read_processor_seconds())
            )


def read_memory() -> float:
    """Read the resident memory of this process in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def read_processor_seconds() -> float:
    """Read the processor seconds of this process and its descendants so far."""
    parents, spent = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # Processes may end while they are listed.
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            pid = int(stat.parent.name)
            parents[pid], spent[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= grown
    return sum(spent.get(pid, 0) for pid in ours) / os.sysconf("SC_CLK_TCK")


def measure(units: int, cpus: int, folder: Path) -> dict[str, float]:
    """Launch a plan on an empty store, and again when everything is done."""
    import ray

    ray.init(
        "local", num_cpus=cpus, include_dashboard=False, logging_level="error", log_to_driver=False
    )
    plan, store = make_plan(units), open_store(folder / "store")
    options = RunOptions(
        data_root=folder, runner="benchmarks.orchestrator:no_op", tensorboard=False
    )

    def run() -> float:
        began = time.monotonic()
        work = find_pending(plan, store.find_done_keys())
        console = Console(file=(folder / "progress").open("a"))
        summary = launch(work, store, options, space="no-op", console=console)
        if summary.exit_code:
            raise SystemExit(f"not everything was computed: {summary}")
        return time.monotonic() - began

    try:
        with ProgressSampler(store) as sampler:
            wall = run()
        return {
            "units": units,
            "cpus": cpus,
            "wall s": wall,
            **compute_figures(sampler.samples),
            "rerun s": time_seconds(run),
        }
    finally:
        ray.shutdown()


def compute_figures(samples: list[Sample]) -> dict[str, float]:
    """Compute the overhead per unit, and the memory at several shares of finished units."""
    busy = [sample for sample in samples if sample.done]
    total = busy[-1].done

    def find_sample(share: float) -> Sample:
        return next(sample for sample in busy if sample.done >= share * total)

    def milliseconds_per_unit(begin: float, end: float, field: str) -> float:
        first, last = find_sample(begin), find_sample(end)
        seconds = getattr(last, field) - getattr(first, field)
        return 1000 * seconds / (last.done - first.done)

    result = {
        "ms a unit": milliseconds_per_unit(0, 1, "time"),
        "ms a unit, second quarter": milliseconds_per_unit(0.25, 0.5, "time"),
        "ms a unit, last quarter": milliseconds_per_unit(0.75, 1, "time"),
        "processor ms a unit": milliseconds_per_unit(0.1, 1, "processor_seconds"),
        "start s": busy[0].time - samples[0].time,
    }
    for share in (0.1, 0.25, 0.5, 0.75, 1):
        result[f"MB at {share:.0%}"] = find_sample(share).megabytes
    return result


def time_seconds(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def spread(values: list[float]) -> dict[str, float]:
    """Return median, minimum, maximum and number of values."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=2000)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    runs = []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory(prefix="iid-benchmark-") as folder:
            runs.append(measure(arguments.units, arguments.cpus, Path(folder)))
    result: dict[str, object] = {
        "case": f"{arguments.units} units without work, {arguments.cpus} at a time",
        "machine": {"device": provenance.name_device("cpu"), **provenance.read_versions()},
        "load": os.getloadavg()[1],
        "date": datetime.now(UTC).date().isoformat(),
    }
    for name in runs[0]:
        if name not in ("units", "cpus"):
            result[name] = spread([run[name] for run in runs])
    table = Table("", "median", "min", "max", box=None, pad_edge=False)
    for name, value in result.items():
        if isinstance(value, dict) and "median" in value:
            table.add_row(name, *(f"{value[column]:.1f}" for column in ("median", "min", "max")))
    Console().print(result["case"], table, sep="\n")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
