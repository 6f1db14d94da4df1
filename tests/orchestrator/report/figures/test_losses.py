import numpy as np
import pytest

from orchestrator.report import write_report
from orchestrator.report.figures.losses import build_loss_curves, draw_charts
from orchestrator.report.figures.style import assign_colors
from orchestrator.report.results import read_results
from orchestrator.store.open import open_store
from search_spaces.method_names import METHODS


@pytest.fixture
def curves(grid):
    for seed in (0, 1):
        dm = grid.cell("DM", 10, seed, [0.5])
        iid = grid.cell("DM+IID", 10, seed, [0.5])
        grid.distillation(
            dm,
            curve_iteration=[0, 1, 2],
            curve_loss_mean=[3.0, 2.0, 1.0 + seed],
            curve_loss_cc=[0, 0, 0],
        )
        short = {
            "curve_iteration": [0, 1],
            "curve_loss_mean": [3.0, 2.0],
            "curve_loss_cm": [9.0, 8.0],
        }
        grid.distillation(iid, **short)
    return grid


def test_a_loss_has_the_methods_that_have_it(curves):
    found = build_loss_curves(read_results(curves.plan, curves.store).rows["distillations"])
    assert {name: set(panel) for name, panel in found.items()} == {
        "Mean matching": {"DM", "DM+IID"},
        "Covariance matching": {"DM+IID"},
    }
    dm = found["Mean matching"]["DM"]
    assert dm.iterations.tolist() == [0, 1, 2]
    assert np.sort(dm.values, axis=0).tolist() == [[3, 2, 1], [3, 2, 2]]


def test_figures_are_written_as_svg_and_png_and_linked(curves, tmp_path):
    files = write_report(curves.plan, "space", open_store(curves.store), tmp_path)
    assert [picture.path.as_posix() for picture in files.select_pictures("losses")] == [
        "figures/main-digits-losses-ipc10.png"
    ]
    assert (tmp_path / "figures/main-digits-losses-ipc10.png").read_bytes()[:4] == b"\x89PNG"
    svg = (tmp_path / "figures/main-digits-losses-ipc10.svg").read_text()
    assert svg.rstrip().endswith("</svg>")
    assert "(figures/main-digits-losses-ipc10.png)" in files.markdown.read_text()


def test_a_second_experiment_with_the_same_sets_draws_nothing_twice(curves, tmp_path):
    for seed in (0, 1):
        curves.cell("DM", 10, seed, [0.4], experiment="other", network="AlexNet")
    files = write_report(curves.plan, "space", open_store(curves.store), tmp_path)
    assert len(files.select_pictures("losses")) == 1


def test_a_failed_run_with_infinite_losses_can_still_be_drawn(grid, tmp_path):
    cell = grid.cell("DM", 10, 0, [0.1])
    grid.distillation(
        cell, curve_iteration=[0, 1, 2], curve_loss_mean=[1.0, float("inf"), float("nan")]
    )
    files = write_report(grid.plan, "space", open_store(grid.store), tmp_path)
    assert len(files.select_pictures("losses")) == 1


def test_a_panel_starts_at_zero_with_room_above(curves, tmp_path):
    results = read_results(curves.plan, curves.store)
    (chart,) = draw_charts(results)
    matching, covariance = chart.figure.axes
    assert matching.get_ylim() == pytest.approx((0, 3 * 1.06))
    assert covariance.get_ylim() == pytest.approx((0, 9 * 1.06))
    assert "Mean over 2 sets" in chart.caption


def test_every_method_has_its_color_whatever_else_is_drawn():
    every = assign_colors(METHODS)
    assert len(set(every.values())) == len(METHODS)
    assert assign_colors(["IDM"])["IDM"] == every["IDM"]
    assert len(set(assign_colors(["new", "newer", "DM"]).values())) == 3


def test_a_custom_loss_has_its_curve(grid):
    cell = grid.cell("DM+my_losses:spread", 10, 0, [0.5])
    grid.distillation(cell, curve_iteration=[0, 1], curve_loss_own=[2.0, 1.0])
    found = build_loss_curves(read_results(grid.plan, grid.store).rows["distillations"])
    assert set(found) == {"Custom loss"}
