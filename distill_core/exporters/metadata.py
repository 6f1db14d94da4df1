"""The metadata of an export, the same in every format: JSON next to the files."""

import dataclasses
from typing import Any

from distill_core.exporters.content import ExportContent, Format

VERSION = 1


def build_metadata(content: ExportContent, kind: Format) -> dict[str, Any]:
    """Build the metadata of an exported set from JSON values."""
    source = content.source
    stored = source.images if not kind.decoded else content.images
    return {
        "export": VERSION,
        "format": kind.name,
        "dataset": source.dataset,
        "dataset_version": source.dataset_version,
        "class_names": list(source.class_names),
        "mean": list(source.mean),
        "std": list(source.std),
        "method": source.method,
        "protocol": source.spec.get("protocol"),
        "ipc": source.ipc,
        "factor": source.partition,
        "images": list(stored.shape),
        "images_hold": describe_images(content, kind),
        "labels": "classes" if source.soft_labels is None else "probabilities of the classes",
        "pixel_loss": dataclasses.asdict(content.measure_pixel_loss()) if kind.eight_bits else None,
        "accuracies": [dataclasses.asdict(accuracy) for accuracy in content.accuracies],
        "key": source.key,
        "spec": source.spec,
    }


def describe_images(content: ExportContent, kind: Format) -> str:
    """Describe in one phrase what the files contain.

    The wording is part of files of version 1.
    """
    source = content.source
    space = (
        "pixels from 0 to 1"
        if kind.eight_bits or not kind.decoded
        else "normalised images, (pixel − mean) / std"
    )
    if source.partition == 1:
        return space
    tiles, side = source.partition**2, source.partition
    if not kind.decoded:
        return (
            f"{space}; each is a canvas of {side} × {side} training images (cut into cells,"
            " upsampled bilinearly)"
        )
    return (
        f"{space}; decoded: {source.ipc} canvases a class were cut into {side} × {side} cells each"
        f" and upsampled, so there are {source.ipc * tiles} images a class"
    )
