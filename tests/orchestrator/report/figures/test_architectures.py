import numpy as np
import pytest

from orchestrator.report.figures import architectures


def _matching(network):
    return (("distillation.network", network),)


def test_bars_a_network_and_method(maker):
    for i, network in enumerate(("ConvNet", "ResNet18")):
        for j, method in enumerate(("Random", "DM")):
            maker.measure(method, 10, [0.4 + 0.1 * j - 0.2 * i], network=network)
    (chart,) = architectures.draw_charts(maker.results)
    ax = chart.figure.axes[0]
    heights = sorted(
        (round(bar.get_x() + bar.get_width() / 2, 2), bar.get_height()) for bar in ax.patches
    )
    assert heights == [
        (-0.2, pytest.approx(40)),
        (0.2, pytest.approx(50)),
        (0.8, pytest.approx(20)),
        (1.2, pytest.approx(30)),
    ]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["ConvNet", "ResNet18"]
    assert ax.get_ylim()[0] == 0
    assert "no intervals" in chart.caption


def test_intervals_are_lines_on_the_bars(maker):
    for network in ("ConvNet", "MLP"):
        maker.measure("DM", 10, [0.47, 0.49], [0.48, 0.50], [0.51, 0.53], network=network)
    (chart,) = architectures.draw_charts(maker.results)
    for segment in chart.figure.axes[0].collections[0].get_segments():
        # Means 48, 49, 52: deviation 2.0817, t = 4.3027, so ± 5.17.
        assert segment[:, 1] == pytest.approx([49.667 - 5.171, 49.667 + 5.171], abs=0.01)


def test_matching_and_evaluation_networks_are_a_map_a_method(maker):
    for method in ("DM", "DM+IID"):
        for i, matching in enumerate(("AlexNet", "VGG11")):
            for j, network in enumerate(("ConvNet", "AlexNet", "VGG11")):
                accuracy = [0.3 + 0.1 * (i == j - 1) + 0.05 * (method == "DM+IID")]
                maker.measure(
                    method,
                    10,
                    None if j == 0 and i else accuracy,
                    network=network,
                    sweep=_matching(matching),
                )
    (chart,) = architectures.draw_charts(maker.results)
    first, second = chart.figure.axes
    assert [ax.get_title(loc="left") for ax in (first, second)] == ["DM", "DM+IID"]
    assert [label.get_text() for label in first.get_yticklabels()] == [
        "VGG11",
        "AlexNet",
    ]  # from below
    assert np.array([text.get_text() for text in first.texts]).reshape(2, 3).tolist() == [
        ["–", "30.0", "40.0"],
        ["30.0", "40.0", "30.0"],
    ]
    assert [t.get_text() for t in second.texts if t.get_fontweight() == "bold"] == [
        "45.0",
        "45.0",
    ]  # not where alone
    assert first.images[0].get_clim() == second.images[0].get_clim()


def test_matching_networks_evaluated_on_one_network_each_are_bars(maker):
    for matching in ("AlexNet", "VGG11"):
        maker.measure("DM", 10, [0.4], network=matching, sweep=_matching(matching))
    (chart,) = architectures.draw_charts(maker.results)
    ax = chart.figure.axes[0]
    assert len(ax.patches) == 2
    assert ax.get_xlabel() == "matching network"


def test_one_network_is_no_figure(maker):
    maker.measure("DM", 10, [0.4])
    maker.measure("DM", 10, None, network="MLP")
    maker.measure("DM", 10, [0.4], sweep=_matching("VGG11"))
    assert list(architectures.draw_charts(maker.results)) == []
