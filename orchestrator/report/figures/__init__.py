"""Figures of a report, one module a kind: each draws what has results, and this package writes it
as SVG and PNG.
"""

from pathlib import Path

from orchestrator.report.figures import (
    architectures,
    compression,
    continual,
    features,
    losses,
    sensitivity,
)
from orchestrator.report.figures.drawing import write_chart
from orchestrator.report.figures.style import house_style
from orchestrator.report.model import Picture
from orchestrator.report.results import Results

_KINDS = (compression, architectures, sensitivity, continual, features, losses)


def write_figures(results: Results, out: Path) -> tuple[Picture, ...]:
    """Write every figure that has data into `figures` in the report's folder; equal rows give equal
    files.

    Raises:
        OSError: a file cannot be written.
    """
    with house_style():
        return tuple(write_chart(chart, out) for kind in _KINDS for chart in kind.charts(results))
