"""Figures of a report, one module per kind.

Each module draws the results it has; this package writes the drawings as SVG and PNG.
"""

from pathlib import Path

from orchestrator.report.figures import (
    architectures,
    compression,
    continual,
    features,
    generalization,
    losses,
    sensitivity,
)
from orchestrator.report.figures.drawing import write_chart
from orchestrator.report.figures.style import use_style
from orchestrator.report.model import Picture
from orchestrator.report.results import Results

_DRAWERS = (
    compression.draw_charts,
    architectures.draw_charts,
    generalization.draw_charts,
    sensitivity.draw_charts,
    continual.draw_charts,
    features.draw_charts,
    losses.draw_charts,
)


def write_figures(results: Results, out: Path) -> tuple[Picture, ...]:
    """Write every figure that has data into the report's folder `figures`.

    Equal rows give equal files.

    Raises:
        OSError: a file cannot be written.
    """
    written = []
    with use_style():
        for draw_charts in _DRAWERS:
            written += [write_chart(chart, out) for chart in draw_charts(results)]
    return tuple(written)
