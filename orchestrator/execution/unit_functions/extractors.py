"""Units that make networks of the extractor pool."""

import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from distill_core.datasets.load import Dataset
from distill_core.importers.files.safe_loading import compute_digest
from distill_core.paths import check_path
from distill_core.settings import SettingsError
from distill_core.tensor_files import write_tensors
from distill_core.training.extractors import import_parameters, save_parameters, train_extractor
from distill_core.training.trainer import Checkpoints, TrainingState
from orchestrator.execution.context import UnitContext
from orchestrator.execution.unit_functions.inputs import PARAMETERS_FILE, get_training_data
from orchestrator.store.tables import Row
from orchestrator.units import (
    ImportExtractor,
    TrainExtractor,
)


def train(unit: TrainExtractor, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Train one network of the pool from its last checkpoint; its parameters are the artifact."""
    file = context.load_checkpoint()
    resume = None if file is None else load_file(file)
    began = time.monotonic() - (float(resume["seconds"]) if resume else 0.0)

    def save(state: TrainingState) -> None:
        spent = {"seconds": torch.tensor(time.monotonic() - began, dtype=torch.float64)}
        context.save_checkpoint(lambda path: write_tensors(state | spent, path))

    network, fit = train_extractor(
        get_training_data(dataset, unit),
        unit.settings,
        index=unit.index,
        progress=context.report_progress,
        checkpoints=Checkpoints(resume=resume, due=context.is_checkpoint_due, save=save),
    )
    save_parameters(network, context.workdir / PARAMETERS_FILE)
    row = {
        "network": unit.settings.network,
        "index": unit.index,
        "epochs": unit.settings.epochs,
        "train_accuracy": fit.accuracy,
        "train_loss": fit.loss,
        "passes": fit.mode,
        "seconds": time.monotonic() - began,
    }
    return [row]


def import_extractor(unit: ImportExtractor, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Read one network of a custom pool; its parameters are the artifact."""
    began = time.monotonic()
    folder = check_path(context.data_root / Path(unit.folder).expanduser(), kind="folder")
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file())
    if unit.index >= len(files):
        raise SettingsError(
            f"pool {unit.pool}: network {unit.index} is asked for, but {folder} has {len(files)}"
            " files; lower extractors.count or add files"
        )
    file = files[unit.index]
    network = import_parameters(
        file, unit.network, get_training_data(dataset, unit).info, context.device
    )
    place = (unit.dataset.name, str(unit.dataset.version), unit.network, unit.pool)
    context.claim_extractor(place, unit.index, file.name, compute_digest([file], file.parent))
    save_parameters(network, context.workdir / PARAMETERS_FILE)
    return [{"network": unit.network, "index": unit.index, "seconds": time.monotonic() - began}]
