"""Distill one cell at full length without Ray, evaluate it, and compare with published figures.

    python benchmarks/full_length.py --data DIR --work DIR [--dataset cifar10-jpeg]
    [--method DM+IID] [--ipc 10] [--iterations 20000] [--extractors 5] [--extractor-epochs 20]
    [--networks 5] [--precision tf32] [--graphs] [--device cuda] [--minutes 7.5]

The folder `--work` keeps all results: extractors, checkpoints, the set, accuracies, `result.json`.
The same command continues from there, so a machine that is available for minutes can do the work in
several calls. Each call ends when `--minutes` are over, after the current epoch, iteration or
evaluated network. Settings are those of `search_spaces/data/published_settings.yaml`, except for
the pool, which is as requested, and the number of evaluated networks. `--graphs` replays CUDA
graphs.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import torch
from cases import run_in_mode
from clock import describe_machine
from published_cell import build_settings, find_published
from safetensors.torch import load_file

from distill_core.api import build_synthetic_set
from distill_core.datasets.load import Dataset, load_dataset
from distill_core.distillation.loop import start_cohort
from distill_core.distillation.run import Hooks, SetRun
from distill_core.distillation.state import DistillationState
from distill_core.evaluation.evaluate import TrainingSet, evaluate_network
from distill_core.runtime.device import keep_memory
from distill_core.runtime.execution import captured_mode
from distill_core.runtime.precision import use_precision
from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    Precision,
)
from distill_core.synthetic_set import SyntheticSet
from distill_core.tensor_files import write_tensors
from distill_core.training.extractors import ExtractorPool, save_parameters, train_extractor
from distill_core.training.trainer import Checkpoints, TrainingState

SECONDS_PER_CHECKPOINT = 60.0
METHODS = ("DM", "DM+IID", "IDM", "IDM+IID")


class OutOfTime(Exception):
    """The minutes are over; the results so far are in the folder."""


@dataclass
class Watch:
    """Knows when a call must end and a checkpoint is due, and sums up seconds over all calls."""

    minutes: float
    seconds: dict[str, float]
    record: Callable[[], None]
    """Writes the results so far."""
    began: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether the minutes are over."""
        return time.monotonic() - self.began > 60 * self.minutes

    def due(self) -> bool:
        """Return whether a checkpoint is due."""
        return self.over or time.monotonic() - self.saved > SECONDS_PER_CHECKPOINT

    def check(self) -> None:
        """Record that something was saved, and raise OutOfTime if the minutes are over."""
        self.record()
        self.saved = time.monotonic()
        if self.over:
            raise OutOfTime

    @contextmanager
    def adding(self, part: str) -> Iterator[None]:
        """Add the time of a block to a part, even if the block is interrupted."""
        since = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.monotonic() - since


def train_pool(
    data: Dataset, settings: ExtractorSettings, count: int, work: Path, watch: Watch
) -> ExtractorPool:
    """Train the extractors that are missing in the folder, each from its checkpoint on."""
    files = [work / f"extractor-{index}.safetensors" for index in range(count)]
    checkpoint = work / "extractor-checkpoint.safetensors"

    def save(state: TrainingState) -> None:
        write_tensors(state, checkpoint)
        watch.check()

    for index, file in enumerate(files):
        if not file.exists():
            resume = load_file(checkpoint) if checkpoint.exists() else None
            with watch.adding("extractors"):
                network, fitted = train_extractor(
                    data,
                    settings,
                    index=index,
                    checkpoints=Checkpoints(resume=resume, due=watch.due, save=save),
                )
            save_parameters(network, file)
            checkpoint.unlink(missing_ok=True)
            print(
                f"extractor {index}: {100 * fitted.accuracy:.1f} % of the training images",
                flush=True,
            )
            watch.check()
    return ExtractorPool.load(files, settings.network, data.info, data.train.device)


def distill_set(
    data: Dataset,
    settings: DistillationSettings,
    ipc: int,
    pool: ExtractorPool | None,
    work: Path,
    watch: Watch,
    *,
    graphs: bool,
) -> SyntheticSet:
    """Load the set from the folder, or distill it, from its checkpoint on."""
    file, checkpoint = work / "set.safetensors", work / "checkpoint.safetensors"
    device = data.train.device
    if file.exists():
        return SyntheticSet.load(file)

    def save(state: DistillationState) -> None:
        state.save(checkpoint)
        watch.seconds["distillation"] = state.seconds
        print(f"iteration {state.iteration}: {state.seconds:.0f} s", flush=True)
        watch.check()

    resume = DistillationState.load(checkpoint, device) if checkpoint.exists() else None
    hooks = Hooks(checkpoint_due=watch.due, checkpoint=save)
    set_run = SetRun(settings=settings, resume=resume, hooks=hooks)
    cohort = start_cohort(data, [set_run], ipc=ipc, seed=0, extractors=pool)
    if graphs:
        run_in_mode(cohort, captured_mode())
    with use_precision(settings.precision):
        while cohort.advance():
            pass
    (run,) = cohort.runs
    if run.error is not None:
        raise run.error
    watch.seconds["distillation"] = run.state.seconds
    synthetic = build_synthetic_set(
        run.state.images, data.info, method=settings.method, partition=settings.partition
    )
    synthetic.save(file)
    return synthetic


def evaluate_networks(
    synthetic: SyntheticSet,
    data: Dataset,
    settings: EvaluationSettings,
    network: str,
    known: list[float],
    watch: Watch,
) -> list[float]:
    """Train and test the networks whose accuracies are not known yet."""
    training = TrainingSet.from_tensors(*synthetic.training_images(), data.test.device)
    for index in range(len(known), settings.num_eval):
        with watch.adding("evaluation"):
            found = evaluate_network(
                training, data.test, data.info, settings, network=network, seed=0, index=index
            )
        known.append(found.accuracy)
        print(f"network {index}: {100 * found.accuracy:.2f} %", flush=True)
        watch.check()
    return known


def summarize(result: dict[str, object]) -> str:
    """Summarize a run in some lines."""
    known, seconds = result["accuracies"], result["seconds"]
    assert isinstance(known, list) and isinstance(seconds, dict)
    lines = [", ".join(f"{part} {spent:.0f} s" for part, spent in seconds.items())]
    if known:
        spread = f" ± {100 * statistics.pstdev(known):.2f}" if len(known) > 1 else ""
        lines.append(
            f"accuracy {100 * statistics.fmean(known):.2f}{spread} % of {len(known)} networks on"
            " one set"
        )
    if row := result["published"]:
        assert isinstance(row, dict)
        lines.append(
            f"published, original images, {row['source']}: {row['accuracy']} ± {row['std']} %"
        )
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(), help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of all results")
    parser.add_argument("--dataset", default="cifar10-jpeg")
    parser.add_argument("--method", default="DM+IID", choices=METHODS)
    parser.add_argument(
        "--network", help="matching network, also evaluated (default: the published one)"
    )
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument(
        "--batch-real", type=int, help="real images per class (default: as published)"
    )
    parser.add_argument("--extractors", type=int, default=5)
    parser.add_argument(
        "--extractor", default=ExtractorSettings().network, help="architecture of the pool"
    )
    parser.add_argument("--extractor-epochs", type=int, default=20)
    parser.add_argument("--networks", type=int, default=5, help="networks to evaluate")
    parser.add_argument(
        "--epoch-eval-train", type=int, default=EvaluationSettings().epoch_eval_train
    )
    parser.add_argument("--precision", default="tf32", choices=get_args(Precision))
    parser.add_argument("--graphs", action="store_true", help="replay iterations as CUDA graphs")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument(
        "--minutes", type=float, default=7.5, help="time after which this call ends"
    )
    return parser.parse_args()


def main() -> None:
    """Run the benchmark."""
    arguments = parse_arguments()
    keep_memory()
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.work / "result.json"
    requested = {}
    for name, value in vars(arguments).items():
        if name not in ("data", "work", "minutes"):
            requested[name] = str(value)
    before = {"asked": requested, "accuracies": [], "seconds": {}}
    if file.exists():
        before = json.loads(file.read_text())
    if before["asked"] != requested:
        raise SystemExit(
            f"{arguments.work} has results of other options, {before['asked']}; give another --work"
        )
    result = before | {
        "machine": describe_machine(arguments.device),
        "published": find_published(arguments.dataset, arguments.ipc, arguments.method),
    }

    def record() -> None:
        file.write_text(json.dumps(result, indent=1) + "\n")

    watch = Watch(arguments.minutes, seconds=result["seconds"], record=record)
    record()
    try:
        compute(arguments, result["accuracies"], watch)
    except OutOfTime:
        print("out of time; the same command continues from here")
    finally:
        record()
    print(summarize(result))


def compute(arguments: argparse.Namespace, known: list[float], watch: Watch) -> None:
    """Compute the results that are missing in the folder."""
    data = load_dataset(DatasetRef(name=arguments.dataset), arguments.data, device=arguments.device)
    settings, evaluation = build_settings(arguments)
    pool_settings = ExtractorSettings(
        network=arguments.extractor,
        epochs=arguments.extractor_epochs,
        precision=arguments.precision,
    )
    pool = None
    if settings.lambda_cc:
        pool = train_pool(data, pool_settings, arguments.extractors, arguments.work, watch)
    synthetic = distill_set(
        data, settings, arguments.ipc, pool, arguments.work, watch, graphs=arguments.graphs
    )
    evaluate_networks(synthetic, data, evaluation, settings.network, known, watch)


if __name__ == "__main__":
    main()
