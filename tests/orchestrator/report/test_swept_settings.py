"""Names, values and usual values of swept settings."""

import pytest

from orchestrator.report.results import read_results
from orchestrator.report.swept_settings import (
    find_usual_values,
    format_point,
    format_value,
    name_swept_method,
)

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.002, "0.002"),
        (20000, "20000"),
        (True, "true"),
        (None, "none"),
        ("local", "local"),
    ],
)
def test_values_are_written_as_people_write_them(value, text):
    assert format_value(value) == text


def test_names():
    assert format_point(((CC, 0.05), ("distillation.network", "VGG11"))) == (
        "λ_CC 0.05",
        "matching network VGG11",
    )
    assert name_swept_method("DM", ((CM, 0.0),)) == "DM (λ_CM 0)"
    assert name_swept_method("DM", ()) == "DM"


def test_values_that_nobody_published_are_only_usual(grid):
    sweep = ((CC, 0.0), (CM, 0.01))
    grid.cell("DM+IID", 10, 0, sweep=sweep, dataset="svhn")
    grid.cell("IDM+IID", 10, 0, sweep=sweep, dataset="cifar10")
    grid.cell("Random", 10, 0, sweep=(("lr_img", 1.0),))
    svhn, cifar, unknown = read_results(grid.plan, grid.store).measurements
    assert find_usual_values(svhn) == ((0.05, 0.01), "usual")
    assert find_usual_values(cifar) == ((0.01, 0.03), "published")
    assert find_usual_values(unknown) == (None, "")
