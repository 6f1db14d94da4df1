import numpy as np
import pytest

from orchestrator.report.figures import compression


def _lines(ax):
    return [line.get_xydata() for line in ax.lines]


def test_a_line_a_method_and_the_ratio_above(maker):
    for ipc, accuracy in ((10, 0.4), (1, 0.2), (50, 0.5)):
        maker.measure("DM", ipc, [accuracy, accuracy + 0.02], [accuracy])
    maker.measure("Random", 10, [0.1])
    (chart,) = compression.draw_charts(maker.results)
    ax, top = chart.figure.axes[0], chart.figure.axes[0].child_axes[0]
    dm, random = _lines(ax)
    assert dm == pytest.approx(np.array([[1, 20.66667], [10, 40.66667], [50, 50.66667]]))
    assert random == pytest.approx(np.array([[10, 10]]))
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "10", "50"]
    assert [label.get_text() for label in top.get_xticklabels()] == [
        "0.02",
        "0.2",
        "1",
    ]  # of 50,000 images
    assert chart.caption.startswith("Mean over 1–2 sets × 1–2 networks; bands: 95 % interval")


def test_the_whole_training_set_of_another_experiment_is_a_horizontal_line(maker):
    for ipc in (1, 10):
        maker.measure("DM", ipc, [0.4])
    maker.measure("Whole", None, [0.84], experiment="whole")
    maker.measure("Whole", None, [0.7], experiment="whole", protocol="strict")
    maker.measure("Whole", None, [0.8], experiment="whole", network="MLP")
    (chart,) = compression.draw_charts(maker.results)
    whole = chart.figure.axes[0].lines[0]
    assert list(whole.get_ydata()) == [84, 84]
    assert [text.get_text() for text in chart.figure.legends[0].get_texts()] == ["Whole", "DM"]


def test_a_data_set_of_unknown_size_has_no_ratio(maker):
    for ipc in (1, 10):
        maker.measure("DM", ipc, [0.4], dataset="my own")
    (chart,) = compression.draw_charts(maker.results)
    assert not chart.figure.axes[0].child_axes


def test_close_sizes_leave_labels_out(maker):
    for ipc in (1, 49, 50, 100):
        maker.measure("DM", ipc, [0.4])
    (chart,) = compression.draw_charts(maker.results)
    assert [label.get_text() for label in chart.figure.axes[0].get_xticklabels()] == [
        "1",
        "49",
        "100",
    ]


def test_one_size_alone_is_no_figure(maker):
    maker.measure("DM", 10, [0.4])
    maker.measure("Whole", None, [0.8])
    maker.measure("DM", 1, None)
    assert list(compression.draw_charts(maker.results)) == []
