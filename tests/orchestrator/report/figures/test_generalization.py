import numpy as np
import pytest

from orchestrator.report.figures import generalization


def test_slopes_go_from_the_matching_network_to_each_other_one(maker):
    for network, accuracies in {
        "ConvNet": [[0.50], [0.52]],
        "VGG11": [[0.40], [0.42]],
        "AlexNet": [[0.30], [0.32]],
    }.items():
        maker.measure("DM", 10, *accuracies, network=network)
        maker.measure("Random", 10, [0.2], [0.21], network=network)
    (chart,) = generalization.draw_charts(maker.results)
    first, second = chart.figure.axes
    assert first.lines[0].get_ydata() == pytest.approx(np.array([51, 41]))
    assert second.lines[0].get_ydata() == pytest.approx(np.array([51, 31]))
    assert [label.get_text() for label in second.get_xticklabels()] == ["ConvNet", "AlexNet"]
    assert [each.get_text() for each in chart.figure.legends[0].get_texts()] == ["DM", "Random"]
    (low, high), _ = (line[:, 1] for line in first.collections[0].get_segments())
    assert (low, high) == pytest.approx((51 - 12.706, 51 + 12.706), abs=0.01)
    assert chart.group == "generalization"


def test_one_network_is_not_drawn(maker):
    maker.measure("DM", 10, [0.5])
    assert list(generalization.draw_charts(maker.results)) == []
