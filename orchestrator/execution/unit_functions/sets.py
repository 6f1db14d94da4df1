"""Units that make sets: real images chosen, or synthetic images distilled."""

import json
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill_core.api import build_synthetic_set
from distill_core.datasets.load import Dataset
from distill_core.distillation.coresets import select_coreset
from distill_core.distillation.loop import distill_cohort
from distill_core.distillation.run import Hooks, SetRun
from distill_core.distillation.state import DistillationState, Way
from orchestrator.execution.context import UnitContext
from orchestrator.execution.unit_functions.inputs import (
    SET_FILE,
    get_training_data,
    load_extractors,
)
from orchestrator.store.tables import Row
from orchestrator.units import (
    Distill,
    Select,
    to_json,
)

MAX_PICTURE_COLUMNS = 10


def select_images(unit: Select, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Choose real images; the set is the artifact."""
    began = time.monotonic()
    data = get_training_data(dataset, unit)
    extractor = None
    if unit.parents:
        (extractor,) = load_extractors(unit.parents, data, context).networks
    indices = select_coreset(data, unit.method, ipc=unit.ipc, seed=unit.seed, extractor=extractor)
    method = unit.method_name
    images = data.train.normalized(indices)
    _save_set(images, data, context, unit, method=method, partition=1)
    row = {"method": method, "ipc": unit.ipc, "partition": 1, "images": indices.numel()}
    return [{**row, "seconds": time.monotonic() - began}]


def distill_set(unit: Distill, dataset: Dataset, context: UnitContext) -> list[Row]:
    """Distill one synthetic set from its last checkpoint; the set is the artifact."""
    (rows,) = distill_sets([unit], dataset, [context])
    if isinstance(rows, Exception):
        raise rows
    return rows


def distill_sets(
    units: Sequence[Distill], dataset: Dataset, contexts: Sequence[UnitContext]
) -> list[list[Row] | Exception]:
    """Distill a set or a cohort of them, each from its last checkpoint; the sets are the artifacts.

    Returns:
        For each unit its rows, or what ended it.
    """
    first, context = units[0], contexts[0]
    data = get_training_data(dataset, first)
    parents = next((unit.parents for unit in units if unit.parents), ())
    sources: dict[int, dict[str, Tensor]] = {}
    runs = []
    for unit, unit_context in zip(units, contexts, strict=True):
        runs.append(_resume_set_run(unit, unit_context, sources))
    pool = load_extractors(parents, data, context) if parents else None
    ended = distill_cohort(
        data, runs, ipc=first.ipc, seed=first.seed, extractors=pool, chunk_share=context.chunk_share
    )
    rows: list[list[Row] | Exception] = []
    for unit, unit_context, state in zip(units, contexts, ended, strict=True):
        # What goes wrong with one set, or with saving it, must not end the others.
        try:
            rows.append([_finish_set(unit, data, unit_context, state, together=len(units))])
        except Exception as error:
            rows.append(error)
    return rows


def _resume_set_run(
    unit: Distill, context: UnitContext, sources: dict[int, dict[str, Tensor]]
) -> SetRun:
    """Return what the distillation loop needs of a unit, from its last checkpoint.

    The source of networks after an iteration is the same for all sets of a cohort, so one of it is
    kept in memory.
    """
    checkpoint = context.load_checkpoint()
    state = None if checkpoint is None else DistillationState.load(checkpoint, context.device)
    if state is not None:
        state.source = sources.setdefault(state.iteration, state.source)

    def progress(step: int, total: int, values: dict[str, float]) -> None:
        named = {LOSS_NAMES.get(name, name): value for name, value in values.items()}
        context.report_progress(step, total, named)

    return SetRun(
        settings=unit.settings,
        resume=state,
        hooks=Hooks(
            progress=progress,
            checkpoint_due=context.is_checkpoint_due,
            checkpoint=lambda state: context.save_checkpoint(state.save),
        ),
    )


def _finish_set(
    unit: Distill,
    dataset: Dataset,
    context: UnitContext,
    state: DistillationState | Exception,
    *,
    together: int,
) -> Row:
    """Save the set and return its row; raise what ended it early."""
    if isinstance(state, Exception):
        raise state
    settings, method = unit.settings, unit.method_name
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
        "lambda_mean": settings.lambda_mean,
        "lr_img": settings.lr_img,
        "extractors": len(unit.parents),
        "cohort": together,
        "seconds": state.seconds,
        "seconds_per_iteration": state.seconds / settings.iterations,
    }
    return row | describe_ways(state.ways) | _build_curve_columns(state)


def describe_ways(ways: Sequence[Way]) -> dict[str, Any]:
    """Return the columns that say how the networks of a set were run."""
    if len(ways) == 1 and ways[0].iteration == 0:
        return {"passes": ways[0].passes, "class_chunk": ways[0].class_chunk}
    parts = []
    for way in ways:
        since = f"from iteration {way.iteration} on " if way.iteration else ""
        parts.append(f"{since}{way.passes}, {way.class_chunk} classes at once")
    return {"passes": " | ".join(parts) or None, "class_chunk": None}


LOSS_NAMES = {
    "total": "loss",
    "mean": "loss_mean",
    "cc": "loss_cc",
    "cm": "loss_cm",
    "ce": "loss_ce",
    "own": "loss_own",
}


def _build_curve_columns(state: DistillationState) -> dict[str, Any]:
    columns: dict[str, Any] = {"curve_iteration": state.curve.iteration}
    further: dict[str, list[float | None]] = {}
    for name, values in state.curve.values.items():
        column = LOSS_NAMES.get(name, name)
        known = [None if math.isnan(value) else value for value in values]
        if name.startswith("own."):
            further[name.removeprefix("own.")] = known
            continue
        columns[f"curve_{column}"] = known
        if name in LOSS_NAMES:
            columns[column] = known[-1]
    if further:
        columns["curves_more"] = json.dumps(further)
    return columns


def _save_set(
    images: Tensor,
    dataset: Dataset,
    context: UnitContext,
    unit: Distill | Select,
    *,
    method: str,
    partition: int,
) -> None:
    """Save images as the unit's synthetic set, and show them in TensorBoard.

    Args:
        images: (K, ipc, C, H, W), normalized.
    """
    classes, ipc = images.shape[:2]
    spec = json.loads(to_json(unit))
    synthetic = build_synthetic_set(
        images, dataset.info, method=method, partition=partition, spec=spec, key=unit.key
    )
    synthetic.save(context.workdir / SET_FILE)
    by_class = synthetic.images.view(classes, ipc, *synthetic.images.shape[1:])
    shown = by_class[:, :MAX_PICTURE_COLUMNS].clamp(0, 1)
    context.log_image("synthetic images", arrange_in_grid(shown))


def arrange_in_grid(images: Tensor) -> NDArray[np.uint8]:
    """Arrange images (rows, columns, C, H, W) of [0, 1] in a picture (height, width, 3), uint8.

    Black lines of one pixel separate them. That is what torchvision's `make_grid` makes; to import
    it takes seconds, in each worker.
    """
    colored = images.expand(-1, -1, 3, -1, -1) if images.shape[2] == 1 else images
    framed = torch.nn.functional.pad(colored, (1, 0, 1, 0))
    rows, columns, channels, height, width = framed.shape
    grid = framed.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    grid = torch.nn.functional.pad(grid, (0, 0, 0, 1, 0, 1))
    picture: NDArray[np.uint8] = (grid * 255).round().byte().cpu().numpy()
    return picture
