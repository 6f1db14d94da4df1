"""Figures of features in the plane."""

from orchestrator.report.figures import features
from orchestrator.report.figures.style import CLASS_COLORS


def _rows(labels=(0, 1), shift=0.0, real=3):
    for label in labels:
        yield label, "real", 4.0, None, [(label, i) for i in range(real)]
        yield label, "initial", 2.0 + label, 1.5, [(label + shift, 5), (label + shift, 6)]
        yield label, "synthetic", 1.0, 0.5 + label, [(label - shift, 7)]


def _charts(maker):
    return {chart.name[-1]: chart for chart in features.draw_charts(maker.results)}


def test_methods_share_the_plane_of_the_pca(maker):
    maker.view("DM", _rows())
    maker.view("DM+IID", _rows(shift=20))
    chart = _charts(maker)["features"]
    titles = [ax.get_title(loc="left") for ax in chart.figure.axes]
    assert titles == ["DM: PCA", "DM+IID: PCA", "DM: t-SNE", "DM+IID: t-SNE"]
    first, second, tsne, _ = chart.figure.axes
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    assert second.get_xlim()[1] > 20
    assert tsne.get_xlim()[1] < 10


def test_every_image_is_drawn_in_the_color_of_its_class(maker):
    maker.view("DM", _rows())
    pca, tsne = _charts(maker)["features"].figure.axes
    for ax in (pca, tsne):
        real, *marks = ax.collections
        assert len(real.get_offsets()) == 6
        assert [mark.get_offsets().tolist() for mark in marks] == [
            [[0, 5], [0, 6]],
            [[0, 7]],
            [[1, 5], [1, 6]],
            [[1, 7]],
        ]
        assert [len(mark.get_facecolor()) for mark in marks] == [
            0,
            1,
            0,
            1,
        ]  # initial images are rings


def test_many_classes_have_ten_colors_and_the_others_gray_real_images(maker):
    maker.view("DM", _rows(range(100)))
    chart = _charts(maker)["features"]
    ax = chart.figure.axes[0]
    assert len(ax.collections[0].get_offsets()) == 300
    assert len(ax.collections) == 1 + 2 * len(CLASS_COLORS)
    legend = [text.get_text() for text in chart.figure.legends[0].get_texts()]
    assert legend == ["real", "initial", "synthetic", *(f"class {i}" for i in range(0, 100, 11))]
    assert "10 of 100 classes have a color" in chart.caption


def test_only_some_of_many_real_images_are_drawn_and_the_caption_says_so(maker):
    maker.view("DM", _rows(real=150))
    chart = _charts(maker)["features"]
    assert len(chart.figure.axes[0].collections[0].get_offsets()) == 200
    assert "At most 100 real images per class" in chart.caption


def test_the_seed_with_most_methods_is_shown(maker):
    maker.view("DM", _rows(), seed=0)
    maker.view("DM", _rows(), seed=1)
    maker.view("DM+IID", _rows(), seed=1)
    chart = _charts(maker)["features"]
    assert len(chart.figure.axes) == 4
    assert "seed 1" in chart.caption


def test_sets_without_features_are_left_out(maker):
    maker.view("DM", [(0, "real", 1.0, None, [(0, 0)])])
    maker.views[0] = type(maker.views[0])(
        scope=maker.views[0].scope, cell=maker.views[0].cell, rows=maker.views[0].rows.iloc[:0]
    )
    assert _charts(maker) == {}
