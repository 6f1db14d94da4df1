"""Figures of how distillation changes features."""

import pytest

from orchestrator.report.figures import features
from orchestrator.report.figures.feature_changes import compute_class_means


def _rows(labels=(0, 1), shift=0.0, real=3):
    for label in labels:
        yield label, "real", 4.0, None, [(label, i) for i in range(real)]
        yield label, "initial", 2.0 + label, 1.5, [(label + shift, 5), (label + shift, 6)]
        yield label, "synthetic", 1.0, 0.5 + label, [(label - shift, 7)]


def _charts(maker):
    return {chart.name[-1]: chart for chart in features.draw_charts(maker.results)}


def test_measures_of_a_class_are_means_over_sets(maker):
    maker.view("DM", _rows())
    maker.view("DM", [(0, "synthetic", 3.0, 2.5, [(0, 0)])], seed=1)
    means = compute_class_means([view.rows for view in maker.views], "spread")
    assert means.loc[0, "synthetic"] == 2
    assert means.loc[1, "synthetic"] == 1
    spread, covariance = _charts(maker)["spread"].figure.axes
    ends = sorted(
        tuple(line.get_ydata()) for line in spread.lines if len(set(line.get_xdata())) == 2
    )
    assert ends == [(2, 2), (3, 1), (4, 4)]  # two classes, and the line of the real images
    ends = sorted(
        tuple(line.get_ydata()) for line in covariance.lines if len(set(line.get_xdata())) == 2
    )
    assert ends == [(1.5, 1.5), (1.5, 1.5)]


def test_a_baseline_without_initial_images_has_no_line(maker):
    maker.view("Random", [row for row in _rows() if row[1] != "initial"])
    charts = _charts(maker)
    covariance = charts["spread"].figure.axes[1]
    assert [line.get_ydata().tolist() for line in covariance.lines] == [pytest.approx([0.5, 1.5])]
    assert [text.get_text() for text in charts["features"].figure.legends[0].get_texts()][:2] == [
        "real",
        "synthetic",
    ]
