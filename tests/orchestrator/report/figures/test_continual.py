import numpy as np
import pytest

from orchestrator.report.figures import continual


def test_a_panel_a_number_of_steps_over_the_classes_seen(maker):
    maker.follow("DM", [[0.9], [0.7], [0.5], [0.4], [0.3]], [[0.7], [0.5], [0.3], [0.2], [0.1]])
    maker.follow("Random", [[0.8], [0.2]])
    (chart,) = continual.draw_charts(maker.results)
    two, five = chart.figure.axes
    assert two.lines[0].get_xydata() == pytest.approx(np.array([[5, 80], [10, 20]]))
    assert five.lines[0].get_xydata() == pytest.approx(
        np.array([[2, 80], [4, 60], [6, 40], [8, 30], [10, 20]])
    )
    assert two.get_ylim() == five.get_ylim()
    assert [text.get_text() for text in chart.figure.legends[0].get_texts()] == ["Random", "DM"]
    assert "Mean over 1–2 class orders × 1 network" in chart.caption


def test_a_band_covers_the_orders(maker):
    maker.follow("DM", [[0.71], [0.51]], [[0.69], [0.49]])
    (chart,) = continual.draw_charts(maker.results)
    band = chart.figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert band.intervaly == pytest.approx([50 - 12.706, 70 + 12.706], abs=0.01)


def test_unfinished_runs_are_not_drawn(maker):
    assert list(continual.draw_charts(maker.results)) == []
