"""Distill one cell at full length without Ray and evaluate it: by the clock, beside the published
figure, if any.

    python benchmarks/full_length.py --data DIR --work DIR [--dataset cifar10-jpeg] [--method
    DM+IID] [--ipc 10]
                                     [--iterations 20000] [--extractors 5] [--extractor-epochs 20]
                                     [--networks 5] [--precision tf32] [--graphs] [--device cuda]
                                     [--minutes 7.5]

What is done lies in the folder `--work`: extractors, checkpoints, the set, accuracies,
`result.json`. The same command goes on from there, so that a machine that is lent for minutes can
do it in several calls: each ends when `--minutes` are over, after the epoch, the iteration or the
evaluated network that it is at. Settings are those of `search_spaces/data/published_settings.yaml`,
but for the pool, which is what is asked for, and the number of evaluated networks. `--graphs`
replays CUDA graphs.
"""

import argparse
import csv
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
import yaml
from cases import run_by
from clock import machine
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
    QueueSettings,
)
from distill_core.synthetic_set import SyntheticSet
from distill_core.tensor_files import write_tensors
from distill_core.training.extractors import ExtractorPool, save_parameters, train_extractor
from distill_core.training.trainer import Checkpoints, TrainingState
from search_spaces.rules import Case, Rule

SPACES = Path(__file__).parents[1] / "search_spaces" / "data"
SECONDS_A_CHECKPOINT = 60.0
METHODS = ("DM", "DM+IID", "IDM", "IDM+IID")


class OutOfTime(Exception):
    """The minutes are over; what was done so far is in the folder."""


@dataclass
class Watch:
    """Tells when a call has to end and when a checkpoint is due, and adds up seconds by part over
    all calls.
    """

    minutes: float
    seconds: dict[str, float]
    record: Callable[[], None]
    """Writes down what is known so far."""
    began: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        return time.monotonic() - self.began > 60 * self.minutes

    def due(self) -> bool:
        return self.over or time.monotonic() - self.saved > SECONDS_A_CHECKPOINT

    def check(self) -> None:
        """Follow what was saved just now."""
        self.record()
        self.saved = time.monotonic()
        if self.over:
            raise OutOfTime

    @contextmanager
    def adding(self, part: str) -> Iterator[None]:
        """Count the time of a block, whether it ends or is broken off."""
        since = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.monotonic() - since


def published_settings(dataset: str, method: str, ipc: int) -> dict[str, Any]:
    """Return what the papers and their code use where it differs from the defaults, by path."""
    case, values = Case(dataset=dataset, method=method, ipc=ipc, protocol="paper"), {}
    for rule in yaml.safe_load((SPACES / "published_settings.yaml").read_text())["rules"]:
        conditions = {
            name: tuple(of) if isinstance(of, list) else (of,) for name, of in rule["when"].items()
        }
        if Rule(set=rule["set"], **conditions).matches(case):
            values |= rule["set"]
    return values


def section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of a section, which are the paths "name.setting"."""
    below = {
        path.removeprefix(f"{name}."): value
        for path, value in values.items()
        if path.startswith(f"{name}.")
    }
    return {setting: value for setting, value in below.items() if "." not in setting}


def settings_of(arguments: argparse.Namespace) -> tuple[DistillationSettings, EvaluationSettings]:
    """Return how the cell is distilled and evaluated: as published, unless the command line says
    otherwise.
    """
    values = published_settings(arguments.dataset, arguments.method, arguments.ipc)
    given = {name: getattr(arguments, name) for name in ("network", "batch_real")}
    distillation = section(values, "distillation") | {
        name: value for name, value in given.items() if value is not None
    }
    if "IID" not in arguments.method:
        distillation |= {"lambda_cc": 0.0, "lambda_cm": 0.0}
    queue = (
        QueueSettings(**section(values, "distillation.queue"))
        if arguments.method.startswith("IDM")
        else None
    )
    shared = {"precision": arguments.precision}
    evaluation = section(values, "evaluation") | shared | {"num_eval": arguments.networks}
    return (
        DistillationSettings(
            **distillation | shared | {"iterations": arguments.iterations, "queue": queue}
        ),
        EvaluationSettings(**evaluation | {"epoch_eval_train": arguments.epoch_eval_train}),
    )


def extractors(
    data: Dataset, settings: ExtractorSettings, count: int, work: Path, watch: Watch
) -> ExtractorPool:
    """Train the networks that the folder lacks, one after the other, each from its checkpoint
    on.
    """
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


def distilled(
    data: Dataset,
    settings: DistillationSettings,
    ipc: int,
    pool: ExtractorPool | None,
    work: Path,
    watch: Watch,
    *,
    graphs: bool,
) -> SyntheticSet:
    """Distill the set that the folder lacks, from its checkpoint on."""
    file, checkpoint, device = (
        work / "set.safetensors",
        work / "checkpoint.safetensors",
        data.train.device,
    )
    if file.exists():
        return SyntheticSet.load(file)

    def save(state: DistillationState) -> None:
        state.save(checkpoint)
        watch.seconds["distillation"] = state.seconds
        print(f"iteration {state.iteration}: {state.seconds:.0f} s", flush=True)
        watch.check()

    resume = DistillationState.load(checkpoint, device) if checkpoint.exists() else None
    hooks = Hooks(checkpoint_due=watch.due, checkpoint=save)
    cells = [SetRun(settings=settings, resume=resume, hooks=hooks)]
    cohort = start_cohort(data, cells, ipc=ipc, seed=0, extractors=pool)
    if graphs:
        run_by(cohort, captured_mode())
    with use_precision(settings.precision):
        while cohort.advance():
            pass
    (run,) = cohort.runs
    if run.error is not None:
        raise run.error
    watch.seconds["distillation"] = run.state.seconds
    made = build_synthetic_set(
        run.state.images, data.info, method=settings.method, partition=settings.partition
    )
    made.save(file)
    return made


def accuracies(
    synthetic: SyntheticSet,
    data: Dataset,
    settings: EvaluationSettings,
    network: str,
    known: list[float],
    watch: Watch,
) -> list[float]:
    """Train and test the networks that are not known yet; those that are come first."""
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


def published(dataset: str, ipc: int, method: str) -> dict[str, str] | None:
    """Return the published row of a cell, on the original images; None where nobody published
    one.
    """
    with (SPACES / "published.csv").open(newline="") as file:
        asked = (dataset.removesuffix("-jpeg"), str(ipc), method)
        rows = (
            row
            for row in csv.DictReader(file)
            if (row["dataset"], row["ipc"], row["method"]) == asked
        )
        return next(rows, None)


def summary(result: dict[str, object]) -> str:
    """Return what a run has come to, in lines."""
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


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(), help="folder of the data sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is done")
    parser.add_argument("--dataset", default="cifar10-jpeg")
    parser.add_argument("--method", default="DM+IID", choices=METHODS)
    parser.add_argument(
        "--network", help="matching network, which is evaluated too (default: the published one)"
    )
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument(
        "--batch-real", type=int, help="real images a class (default: as published)"
    )
    parser.add_argument("--extractors", type=int, default=5)
    parser.add_argument(
        "--extractor", default=ExtractorSettings().network, help="architecture of the pool"
    )
    parser.add_argument("--extractor-epochs", type=int, default=20)
    parser.add_argument("--networks", type=int, default=5, help="networks that are evaluated")
    parser.add_argument(
        "--epoch-eval-train", type=int, default=EvaluationSettings().epoch_eval_train
    )
    parser.add_argument("--precision", default="tf32", choices=get_args(Precision))
    parser.add_argument("--graphs", action="store_true", help="replay iterations as CUDA graphs")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--minutes", type=float, default=7.5, help="after which this call ends")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    keep_memory()
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.work / "result.json"
    asked = {
        name: str(value)
        for name, value in vars(arguments).items()
        if name not in ("data", "work", "minutes")
    }
    before = (
        json.loads(file.read_text())
        if file.exists()
        else {"asked": asked, "accuracies": [], "seconds": {}}
    )
    if before["asked"] != asked:
        raise SystemExit(
            f"{arguments.work} has the work of other options, {before['asked']}; give another"
            " --work"
        )
    result = before | {
        "machine": machine(arguments.device),
        "published": published(arguments.dataset, arguments.ipc, arguments.method),
    }

    def record() -> None:
        file.write_text(json.dumps(result, indent=1) + "\n")

    watch = Watch(arguments.minutes, seconds=result["seconds"], record=record)
    record()
    try:
        compute(arguments, result["accuracies"], watch)
    except OutOfTime:
        print("out of time; the same command goes on from here")
    finally:
        record()
    print(summary(result))


def compute(arguments: argparse.Namespace, known: list[float], watch: Watch) -> None:
    """Do what the folder lacks, part by part."""
    data = load_dataset(DatasetRef(name=arguments.dataset), arguments.data, device=arguments.device)
    settings, evaluation = settings_of(arguments)
    of_pool = ExtractorSettings(
        network=arguments.extractor,
        epochs=arguments.extractor_epochs,
        precision=arguments.precision,
    )
    pool = None
    if settings.lambda_cc:
        pool = extractors(data, of_pool, arguments.extractors, arguments.work, watch)
    made = distilled(
        data, settings, arguments.ipc, pool, arguments.work, watch, graphs=arguments.graphs
    )
    accuracies(made, data, evaluation, settings.network, known, watch)


if __name__ == "__main__":
    main()
