"""Units that train networks on sets and test them, once or while classes arrive step by step."""

import itertools
import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.load import Dataset
from distill_core.evaluation.continual import build_memory, evaluate_step
from distill_core.evaluation.evaluate import EvaluatedNetwork, TrainingSet, evaluate_network
from distill_core.synthetic_set import SyntheticSet
from distill_core.training.trainer import Fit
from orchestrator.execution.context import UnitContext
from orchestrator.execution.unit_functions.inputs import (
    SET_FILE,
    get_evaluation_images,
    get_training_data,
    make_progress_callback,
)
from orchestrator.store.tables import Row
from orchestrator.units import (
    Continual,
    Distill,
    Evaluate,
    Unit,
    hash_settings,
)


def evaluate(unit: Evaluate, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Train fresh networks on a set, or on the whole training set, and test each.

    Returns:
        A row per network.
    """
    training, columns = _load_training_set(unit, dataset, context)
    test = get_evaluation_images(dataset, unit.protocol, unit.split)
    networks, num_eval = _read_finished(context), unit.settings.num_eval
    epochs = unit.settings.epoch_eval_train + 1
    for index in range(len(networks), num_eval):
        began = time.monotonic()
        network = evaluate_network(
            training,
            test,
            dataset.info,
            unit.settings,
            network=unit.network,
            seed=unit.seed,
            index=index,
            progress=make_progress_callback(
                context, before=index * epochs, total=num_eval * epochs
            ),
        )
        networks.append(_TimedNetwork(network, time.monotonic() - began))
        # Training a network takes seconds to minutes: a checkpoint after each one is enough.
        if len(networks) < num_eval:
            context.save_checkpoint(partial(_write_finished, networks))
    shared = {**columns, "split": unit.split, "network": unit.network}
    shared |= describe_settings(unit, context) | _describe_test(test)
    return [{**shared, **timed.columns()} for timed in networks]


def evaluate_steps(unit: Continual, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Train fresh networks on the memory after each step, and test them on the classes seen.

    Returns:
        A row per step and network.
    """
    test = get_evaluation_images(dataset, unit.protocol, unit.split)
    sets = [SyntheticSet.load(context.parent_folder(key) / SET_FILE) for key in unit.parents]
    arrived = [context.load_parent_unit(key).dataset.classes for key in unit.parents]
    images, labels = build_memory([part.training_images() for part in sets], arrived)
    seen = list(itertools.accumulate(arrived))
    sizes = [int(torch.isin(labels, torch.tensor(classes)).sum()) for classes in seen]
    networks, num_eval = _read_finished(context), unit.settings.num_eval
    epochs, total = unit.settings.epoch_eval_train + 1, len(seen) * num_eval
    for done in range(len(networks), total):
        step, index = divmod(done, num_eval)
        began = time.monotonic()
        network = evaluate_step(
            images[: sizes[step]],
            labels[: sizes[step]],
            test,
            dataset.info,
            unit.settings,
            seen=seen[step],
            network=unit.network,
            seed=unit.seed,
            index=index,
            step=step + 1,
            steps=len(seen),
            progress=make_progress_callback(context, before=done * epochs, total=total * epochs),
        )
        networks.append(_TimedNetwork(network, time.monotonic() - began))
        if len(networks) < total:
            context.save_checkpoint(partial(_write_finished, networks))
    shared = {
        "method": sets[0].method,
        "ipc": sets[0].ipc,
        "split": unit.split,
        "network": unit.network,
        "steps": len(seen),
        **describe_settings(unit, context),
    }
    rows: list[Row] = []
    for done, timed in enumerate(networks):
        step = done // num_eval
        place = {"step": step + 1, "classes": list(seen[step])}
        rows.append({**shared, **place, **timed.columns()})
    return rows


def _describe_test(test: ImageSet) -> dict[str, Any]:
    """Return the columns that say what an accuracy is over, and what guessing reaches there."""
    counts = torch.bincount(test.labels)
    images = int(counts.sum())
    return {"tested_images": images, "chance": int(counts.max()) / images}


def describe_settings(unit: Evaluate | Continual, context: UnitContext) -> dict[str, Any]:
    """Return the columns that tell a row from those of other settings.

    Rows with equal `settings_hash` are repetitions of one experiment.
    """
    before: list[Unit] = [context.load_parent_unit(key) for key in unit.parents]
    made = before[0] if before else None
    if made is not None and made.parents:
        # The networks of a pool share their settings, so the first one stands for all.
        before.append(context.load_parent_unit(made.parents[0]))
    columns: dict[str, Any] = {
        "num_eval": unit.settings.num_eval,
        "epoch_eval_train": unit.settings.epoch_eval_train,
        "lr_net": unit.settings.lr_net,
        "settings_hash": hash_settings(unit, *before),
    }
    if isinstance(made, Distill):
        settings = made.settings
        columns |= {
            "matching_network": settings.network,
            "iterations": settings.iterations,
            "lambda_cc": settings.lambda_cc,
            "lambda_cm": settings.lambda_cm,
            "lambda_loss": settings.lambda_loss if settings.loss else None,
            "lr_img": settings.lr_img,
            "extractors": len(made.parents),
        }
    return columns


@dataclass(frozen=True)
class _TimedNetwork:
    network: EvaluatedNetwork
    seconds: float

    def columns(self) -> dict[str, Any]:
        return {
            "network_index": self.network.index,
            "network_seed": self.network.seed,
            "accuracy": self.network.accuracy,
            "class_accuracies": list(self.network.class_accuracies),
            "train_accuracy": self.network.fit.accuracy,
            "train_loss": self.network.fit.loss,
            "passes": self.network.fit.mode,
            "seconds": self.seconds,
        }


def _write_finished(networks: list[_TimedNetwork], path: Path) -> None:
    path.write_text(json.dumps([asdict(timed) for timed in networks]))


def _read_finished(context: UnitContext) -> list[_TimedNetwork]:
    """Return the networks that an interrupted attempt had finished."""
    checkpoint = context.load_checkpoint()
    if checkpoint is None:
        return []
    networks = []
    for record in json.loads(checkpoint.read_text()):
        fields = record["network"]
        network = EvaluatedNetwork(**{**fields, "fit": Fit(**fields["fit"])})
        networks.append(_TimedNetwork(network, record["seconds"]))
    return networks


def _load_training_set(
    unit: Evaluate, dataset: Dataset, context: UnitContext
) -> tuple[TrainingSet, dict[str, Any]]:
    """Return what the networks train on, and the columns that describe it."""
    if not unit.parents:
        return TrainingSet.from_images(get_training_data(dataset, unit).train), {"method": "Whole"}
    (key,) = unit.parents
    synthetic = SyntheticSet.load(context.parent_folder(key) / SET_FILE)
    columns = {
        "set_key": key,
        "method": synthetic.method,
        "ipc": synthetic.ipc,
        "set_spec": json.dumps(synthetic.spec),
    }
    return TrainingSet.from_tensors(*synthetic.training_images(), context.device), columns
