import numpy as np
import pytest
from matplotlib.patches import Rectangle

from orchestrator.report.figures import sensitivity

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"


@pytest.fixture
def grid(maker):
    """The published setting of DM+IID on CIFAR-10 at IPC 10 is λ_CC 0.05 and λ_CM 0.01; the last
    square is missing.
    """
    for i, cc in enumerate([0.2, 0, 0.05]):
        for j, cm in enumerate([0, 0.01, 0.002]):
            sets = [None] if (cc, cm) == (0.2, 0.01) else [[0.3 + 0.1 * i + 0.01 * j] * 2]
            maker.measure("DM+IID", 10, *sets, sweep=((CC, cc), (CM, cm)))
    return maker


def _texts(ax):
    """Texts of the squares, from the top left."""
    shown = {text.get_position(): text for text in ax.texts}
    columns, rows = (sorted({p[i] for p in shown}) for i in (0, 1))
    return [[shown[x, y].get_text() for x in columns] for y in reversed(rows)]


def test_a_map_shows_every_square_in_rising_order(grid):
    (chart,) = sensitivity.draw_charts(grid.results)
    ax = chart.figure.axes[0]
    assert _texts(ax) == [["30.0", "32.0", "–"], ["50.0", "52.0", "51.0"], ["40.0", "42.0", "41.0"]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.002", "0.01"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "0.05", "0.2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        r"$\lambda_\mathrm{CM}$",
        r"$\lambda_\mathrm{CC}$",
    )


def test_the_best_square_and_the_published_setting_are_marked(grid):
    (chart,) = sensitivity.draw_charts(grid.results)
    ax = chart.figure.axes[0]
    assert [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"] == ["52.0"]
    (frame,) = (patch for patch in ax.patches if isinstance(patch, Rectangle))
    assert np.allclose(
        [frame.get_x() + frame.get_width() / 2, frame.get_y() + frame.get_height() / 2], [2, 1]
    )
    assert [text.get_text() for text in chart.figure.legends[0].get_texts()] == [
        "best",
        "published",
    ]
    assert "frame: the published setting" in chart.caption


def test_a_setting_off_the_grid_has_no_frame(maker):
    for cc in (0, 0.1):
        maker.measure("DM+IID", 10, [0.5], sweep=((CC, cc), (CM, 0.0)))
    (chart,) = sensitivity.draw_charts(maker.results)
    assert not chart.figure.axes[0].patches
    assert "frame" not in chart.caption


def test_one_setting_is_a_line_a_method_with_its_interval(maker):
    for value, numbers in ((1.0, [0.54, 0.56]), (0.1, [0.34, 0.36])):
        maker.measure("DM", 10, numbers, sweep=(("distillation.lr_img", value),))
    (chart,) = sensitivity.draw_charts(maker.results)
    ax = chart.figure.axes[0]
    (line,) = ax.lines
    assert line.get_xydata() == pytest.approx(np.array([[0.1, 35], [1, 55]]))
    low, high = ax.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == pytest.approx((35 - 12.706, 55 + 12.706), abs=0.01)
    assert ax.get_xscale() == "linear"


@pytest.mark.parametrize(
    ("values", "scale"), [([0.01, 0.1, 1], "log"), ([0, 0.01, 1], "symlog"), ([-1, 0, 1], "linear")]
)
def test_the_axis_follows_the_values(maker, values, scale):
    for value in values:
        maker.measure("DM", 10, [0.5], sweep=(("distillation.lr_img", value),))
    (chart,) = sensitivity.draw_charts(maker.results)
    ax = chart.figure.axes[0]
    assert ax.get_xscale() == scale
    assert list(ax.get_xticks()) == values
    assert ("place for 0" in chart.caption) == (scale == "symlog")


def test_words_are_categories_in_the_order_of_the_plan(maker):
    for form in ("local", "global"):
        for method, shift in (("DM+IID", 0), ("IDM+IID", 0.1)):
            maker.measure(
                method, 10, [0.5 + shift, 0.52 + shift], sweep=(("distillation.covariance", form),)
            )
    (chart,) = sensitivity.draw_charts(maker.results)
    ax = chart.figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["local", "global"]
    places = np.array([line.get_xdata() for line in ax.lines])
    assert np.allclose(places.mean(0), [0, 1])
    assert (places[0] < places[1]).all()


def test_what_needs_no_figure_has_none(maker):
    maker.measure("DM", 10, [0.5])
    maker.measure("DM", 10, [0.5], sweep=(("distillation.lr_img", 1.0),))
    maker.measure("DM", 1, None, sweep=((CC, 0.0), (CM, 0.0)))
    for network in ("ConvNet", "MLP"):
        maker.measure("DM", 10, [0.5], sweep=(("distillation.network", network),))
    assert list(sensitivity.draw_charts(maker.results)) == []
