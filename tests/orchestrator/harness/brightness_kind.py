"""A kind of unit that the orchestrator does not have: all of it is in this one module."""

import time
from dataclasses import dataclass
from typing import ClassVar

from distill_core.settings import Protocol
from orchestrator.planning.unit_loads import Load
from orchestrator.units import Unit, UnitKind


@dataclass(frozen=True, kw_only=True)
class MeasureBrightness(Unit):
    """Measure how bright the training images of each class are."""

    kind: ClassVar[str] = "brightness"
    protocol: Protocol
    seed: int = 0


def compute(unit, dataset, context):
    began = time.monotonic()
    rows = []
    for label, name in enumerate(dataset.info.classes):
        images = dataset.train.subset((dataset.train.labels == label).nonzero().flatten())
        row = {"label": label, "class_name": name, "origin": "real", "images": len(images)}
        rows.append({**row, "spread": float(images.images.float().mean())})
        context.report_progress(label + 1, len(dataset.info.classes))
    (context.workdir / "test_images.txt").write_text(str(len(dataset.test)))
    return [{**row, "seconds": (time.monotonic() - began) / len(rows)} for row in rows]


def count(unit, parent, shape, device):
    return Load(flops=shape.train_images * shape.channels * shape.image_size**2)


KIND = UnitKind(
    unit=MeasureBrightness,
    version=1,
    action="measure brightness",
    label="brightnesses measured",
    table="features",
    compute="brightness_kind:compute",
    load="brightness_kind:count",
    describe=lambda unit: (f"seed {unit.seed}",),
    needs_gpu=lambda unit: False,
)
