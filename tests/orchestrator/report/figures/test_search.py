"""Figures of a search."""

import math

import numpy as np

from orchestrator.report.figures.search import draw_figures, fit_surface
from orchestrator.report.figures.style import use_style


def test_the_map_marks_the_published_and_the_best_settings(search_result):
    with use_style():
        by_kind = {drawn.name: drawn.figure for drawn in draw_figures(search_result)}
    ax = by_kind["map"].axes[0]
    up, across = search_result.study.dimensions
    marks = {line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines}
    assert marks["s"] == (across.position(0.01), up.position(0.05))
    assert marks["*"] == (across.position(0.2), up.position(0.0))
    assert len(ax.collections[0].get_offsets()) == 7  # the trial that diverged has no value
    assert ax.get_xticklabels()[0].get_text() == "0"


def test_a_surface_follows_its_points():
    random = np.random.default_rng(0)
    points = random.random((40, 2))
    found = fit_surface(points, np.array([math.sin(3 * x) + y for x, y in points]))
    assert found.shape == (80, 80)
    middle = (np.arange(80) + 0.5) / 80
    expected = np.sin(3 * middle)[None, :] + middle[:, None]
    assert np.abs(found - expected)[8:-8, 8:-8].max() < 0.25
