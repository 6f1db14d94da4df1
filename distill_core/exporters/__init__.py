"""Exporting distilled sets to layouts that other programs read.

An export has the files of the set, `metadata.json`, and a README with a training script.
"""

from distill_core.exporters.content import Accuracy, ExportContent, ExportError, Format, PixelLoss
from distill_core.exporters.export import FORMATS, export, find_format
from distill_core.exporters.metadata import build_metadata

__all__ = [
    "FORMATS",
    "Accuracy",
    "ExportContent",
    "ExportError",
    "Format",
    "PixelLoss",
    "build_metadata",
    "export",
    "find_format",
]
