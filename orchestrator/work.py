"""The unit functions: what each kind of unit computes, with `distill_core` doing the work.

This is the one module in which planning's records meet torch; it runs in workers only.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.utils import make_grid

from distill_core.baselines import select
from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.load import Dataset, load_dataset
from distill_core.datasets.splits import hold_out
from distill_core.device import peak_memory, reset_peak_memory
from distill_core.evaluation import EvaluatedNetwork, TrainingSet, evaluate_network
from distill_core.extractors import ExtractorPool, import_parameters, save_parameters, train_extractor
from distill_core.matching.loop import Hooks, distill
from distill_core.matching.state import DistillationState
from distill_core.settings import DatasetRef, Protocol, SettingsError, Split
from distill_core.synthetic_set import SyntheticSet, to_pixels
from distill_core.training import Fit
from orchestrator.context import Outcome, UnitContext
from orchestrator.methods import unit_method
from orchestrator.tables import Row
from orchestrator.units import Distill, Evaluate, ImportExtractor, Select, TrainExtractor, Unit, to_json

PARAMETERS_FILE = "parameters.safetensors"
SET_FILE = "synthetic_set.safetensors"

PICTURE_COLUMNS = 10


def run_unit(unit: Unit, context: UnitContext) -> Outcome:
    """Compute one unit: artefacts go to `context.workdir`, rows are returned.

    Raises:
        DatasetError, DistillationError, ExtractorError, SyntheticSetError: what the kernels say is wrong.
    """
    dataset = _load(unit.dataset, context.data_root, context.device)
    context.check_fingerprint(dataset.fingerprint)
    reset_peak_memory(context.device)
    rows = _compute(unit, dataset, context)
    peak = peak_memory(context.device)
    return Outcome(rows=[{"peak_memory": peak, **row} for row in rows], fingerprint=dataset.fingerprint)


def _compute(unit: Unit, dataset: Dataset, context: UnitContext) -> list[Row]:
    match unit:
        case TrainExtractor():
            return _train_extractor(unit, dataset, context)
        case ImportExtractor():
            return _import_extractor(unit, dataset, context)
        case Select():
            return _select(unit, dataset, context)
        case Distill():
            return _distill(unit, dataset, context)
        case Evaluate():
            return _evaluate(unit, dataset, context)


def _train_extractor(unit: TrainExtractor, dataset: Dataset, context: UnitContext) -> list[Row]:
    began = time.monotonic()
    network, fit = train_extractor(
        training_data(dataset, unit.protocol), unit.settings, index=unit.index, progress=_stoppable(context)
    )
    save_parameters(network, context.workdir / PARAMETERS_FILE)
    row = {
        "network": unit.settings.network,
        "index": unit.index,
        "epochs": unit.settings.epochs,
        "train_accuracy": fit.accuracy,
        "train_loss": fit.loss,
        "seconds": time.monotonic() - began,
    }
    return [row]


def _import_extractor(unit: ImportExtractor, dataset: Dataset, context: UnitContext) -> list[Row]:
    began = time.monotonic()
    folder = context.data_root / Path(unit.folder).expanduser()
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file())
    if unit.index >= len(files):
        raise SettingsError(
            f"pool {unit.pool}: network {unit.index} is asked for, but {folder} has {len(files)} files; "
            "lower extractors.count or add files"
        )
    network = import_parameters(files[unit.index], unit.network, dataset)
    save_parameters(network, context.workdir / PARAMETERS_FILE)
    return [{"network": unit.network, "index": unit.index, "seconds": time.monotonic() - began}]


def _select(unit: Select, dataset: Dataset, context: UnitContext) -> list[Row]:
    began = time.monotonic()
    data = training_data(dataset, unit.protocol)
    extractor = None
    if unit.parents:
        (extractor,) = _extractors(unit.parents, dataset, context).networks
    indices = select(data, unit.method, ipc=unit.ipc, seed=unit.seed, extractor=extractor)
    method = unit_method(unit)
    images = data.train.normalised(indices)
    _save_set(images, dataset, context, unit, method=method, partition=1)
    row = {"method": method, "ipc": unit.ipc, "partition": 1, "images": indices.numel()}
    return [{**row, "seconds": time.monotonic() - began}]


def _distill(unit: Distill, dataset: Dataset, context: UnitContext) -> list[Row]:
    settings = unit.settings
    pool = _extractors(unit.parents, dataset, context) if unit.parents else None
    checkpoint = context.load_checkpoint()

    def progress(step: int, total: int, values: dict[str, float]) -> None:
        context.progress(step, total, {LOSS_NAMES.get(name, name): value for name, value in values.items()})

    state = distill(
        training_data(dataset, unit.protocol),
        settings,
        ipc=unit.ipc,
        seed=unit.seed,
        extractors=pool,
        resume=None if checkpoint is None else DistillationState.load(checkpoint, context.device),
        hooks=Hooks(
            progress=progress,
            checkpoint_due=context.checkpoint_due,
            checkpoint=lambda state: context.save_checkpoint(state.save),
        ),
    )
    method = unit_method(unit)
    _save_set(state.images, dataset, context, unit, method=method, partition=settings.partition)
    row = {
        "method": method,
        "ipc": unit.ipc,
        "partition": settings.partition,
        "images": state.images.shape[:2].numel(),
        "network": settings.network,
        "iterations": settings.iterations,
        "lambda_cc": settings.lambda_cc,
        "lambda_cm": settings.lambda_cm,
        "lr_img": settings.lr_img,
        "extractors": len(unit.parents),
        "seconds": state.seconds,
        "seconds_per_iteration": state.seconds / settings.iterations,
    }
    return [row | _curve_columns(state)]


LOSS_NAMES = {"total": "loss", "mean": "loss_mean", "cc": "loss_cc", "cm": "loss_cm", "ce": "loss_ce"}


def _curve_columns(state: DistillationState) -> dict[str, Any]:
    columns: dict[str, Any] = {"curve_iteration": state.curve.iteration}
    for name, values in state.curve.values.items():
        column = LOSS_NAMES.get(name, name)
        known = [None if math.isnan(value) else value for value in values]
        columns[f"curve_{column}"] = known
        if name in LOSS_NAMES:
            columns[column] = known[-1]
    return columns


def _evaluate(unit: Evaluate, dataset: Dataset, context: UnitContext) -> list[Row]:
    training, columns = _training_set(unit, dataset, context)
    test = evaluation_images(dataset, unit.protocol, unit.split)
    networks = _evaluated_before(context)
    epochs = unit.settings.epoch_eval_train + 1
    for index in range(len(networks), unit.settings.num_eval):
        began = time.monotonic()

        def progress(epoch: int, of: int, values: dict[str, float], done: int = index * epochs) -> None:
            context.progress(done + epoch, unit.settings.num_eval * epochs, values)
            context.stop_if_asked()

        network = evaluate_network(
            training,
            test,
            dataset.info,
            unit.settings,
            network=unit.network,
            seed=unit.seed,
            index=index,
            progress=progress,
        )
        networks.append(_Timed(network, time.monotonic() - began))
        if len(networks) < unit.settings.num_eval:
            context.save_checkpoint(partial(_write_evaluated, networks))
    return [
        {
            **columns,
            "split": unit.split,
            "network": unit.network,
            "network_index": timed.network.index,
            "network_seed": timed.network.seed,
            "accuracy": timed.network.accuracy,
            "class_accuracies": list(timed.network.class_accuracies),
            "train_accuracy": timed.network.fit.accuracy,
            "train_loss": timed.network.fit.loss,
            "seconds": timed.seconds,
        }
        for timed in networks
    ]


@dataclass(frozen=True)
class _Timed:
    network: EvaluatedNetwork
    seconds: float


def _write_evaluated(networks: list[_Timed], path: Path) -> None:
    path.write_text(json.dumps([asdict(timed) for timed in networks]))


def _evaluated_before(context: UnitContext) -> list[_Timed]:
    """Return the networks that an interrupted attempt had finished."""
    checkpoint = context.load_checkpoint()
    if checkpoint is None:
        return []
    records = json.loads(checkpoint.read_text())
    return [
        _Timed(EvaluatedNetwork(**{**record["network"], "fit": Fit(**record["network"]["fit"])}), record["seconds"])
        for record in records
    ]


def _training_set(unit: Evaluate, dataset: Dataset, context: UnitContext) -> tuple[TrainingSet, dict[str, Any]]:
    """Return what the networks train on, and the columns that describe it."""
    if not unit.parents:
        return TrainingSet.of_images(training_data(dataset, unit.protocol).train), {"method": "Whole"}
    (key,) = unit.parents
    synthetic = SyntheticSet.load(context.parent(key) / SET_FILE)
    columns = {"set_key": key, "method": synthetic.method, "ipc": synthetic.ipc, "set_spec": json.dumps(synthetic.spec)}
    return TrainingSet.of_tensors(*synthetic.training_images(), context.device), columns


def training_data(dataset: Dataset, protocol: Protocol) -> Dataset:
    """Return the data set as a unit that trains may see it: the strict protocol holds a part of the images out."""
    return dataset if protocol == "paper" else replace(dataset, train=hold_out(dataset.train)[0])


def evaluation_images(dataset: Dataset, protocol: Protocol, split: Split) -> ImageSet:
    """Return the images that measure the accuracy."""
    if split == "test":
        return dataset.test
    if protocol == "paper":
        raise SettingsError("protocol paper has no validation images; use protocol strict")
    return hold_out(dataset.train)[1]


@lru_cache(maxsize=2)
def _load(ref: DatasetRef, root: Path, device: str) -> Dataset:
    """Keep the last data sets in memory: a worker computes many units on the same images."""
    return load_dataset(ref, root, device=device)


def _extractors(keys: tuple[str, ...], dataset: Dataset, context: UnitContext) -> ExtractorPool:
    files = tuple(context.parent(key) / PARAMETERS_FILE for key in keys)
    return _load_pool(files, _network_of(context.parent_unit(keys[0])), dataset)


@lru_cache(maxsize=1)
def _load_pool(files: tuple[Path, ...], network: str, dataset: Dataset) -> ExtractorPool:
    """Keep the last pool in memory: a worker distils many sets with the same one."""
    return ExtractorPool.load(files, network, dataset)


def _network_of(unit: Unit) -> str:
    match unit:
        case TrainExtractor():
            return unit.settings.network
        case ImportExtractor():
            return unit.network
        case _:
            raise SettingsError(f"unit {unit.key} is of kind {unit.kind}, which makes no extractor")


def _save_set(
    images: Tensor, dataset: Dataset, context: UnitContext, unit: Distill | Select, *, method: str, partition: int
) -> None:
    """Save images (K, ipc, C, H, W), normalised, as the unit's synthetic set, and show them in TensorBoard."""
    info = dataset.info
    classes, ipc = images.shape[:2]
    synthetic = SyntheticSet(
        images=to_pixels(images.flatten(0, 1), info.mean, info.std).cpu(),
        labels=torch.arange(classes).repeat_interleave(ipc),
        dataset=info.name,
        dataset_version=info.version,
        class_names=info.classes,
        mean=info.mean,
        std=info.std,
        ipc=ipc,
        partition=partition,
        method=method,
        spec=json.loads(to_json(unit)),
        key=unit.key,
    )
    synthetic.save(context.workdir / SET_FILE)
    shown = synthetic.images.view(classes, ipc, *synthetic.images.shape[1:])[:, :PICTURE_COLUMNS].flatten(0, 1)
    grid = make_grid(shown.clamp(0, 1), nrow=min(ipc, PICTURE_COLUMNS), padding=1)
    context.log_images("synthetic images", (grid.permute(1, 2, 0) * 255).round().byte().numpy())


def _stoppable(context: UnitContext) -> Callable[[int, int, dict[str, float]], None]:
    def progress(step: int, total: int, values: dict[str, float]) -> None:
        context.progress(step, total, values)
        context.stop_if_asked()

    return progress
