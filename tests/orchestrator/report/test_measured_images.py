"""What accuracies are over, and which of them guessing explains."""

import pytest

from orchestrator.report.entries import rank_clearly
from orchestrator.report.measured_images import MeasuredImages
from orchestrator.report.results import read_results
from orchestrator.report.tables.accuracy import build_accuracy_sections


def test_few_test_images_are_told_with_what_one_is_worth():
    few = MeasuredImages(chance=1 / 6, classes=6, images=30, split="test")
    assert few.describe() == (
        "30 test images of 6 classes; chance is 16.7 %; one image is 3.3 points"
    )
    many = MeasuredImages(chance=0.1, classes=10, images=10_000, split="validation")
    assert many.describe() == "10,000 validation images of 10 classes; chance is 10.0 %"
    unknown = MeasuredImages(chance=0.5, classes=2, images=None, split="test")
    assert unknown.describe() == "test images of 2 classes; chance is 50.0 %"


@pytest.mark.parametrize(
    ("images", "accuracy", "expected"),
    [(30, 5 / 30, True), (30, 0.25, True), (30, 0.3, False), (10_000, 0.18, False), (None, 0.2, 0)],
)
def test_guessing_explains_what_its_luck_on_so_few_images_reaches(images, accuracy, expected):
    six = MeasuredImages(chance=1 / 6, classes=6, images=images, split="test")
    assert six.is_chance(accuracy) == bool(expected)


def test_chance_is_noted_and_never_marked(grid):
    over = {"class_accuracies": [0.5] * 6, "tested_images": 30, "chance": 1 / 6}
    for seed in (0, 1):
        grid.evaluate(grid.cell("Random", 10, seed), [0.10, 0.10], **over)
        grid.evaluate(grid.cell("DM", 10, seed), [5 / 30, 5 / 30], **over)
        grid.evaluate(grid.cell("DM+IID", 10, seed), [0.6, 0.6 + 0.01 * seed], **over)
    (section,) = build_accuracy_sections(read_results(grid.plan, grid.store))
    assert section.facts == (
        "Accuracy is over 30 test images of 6 classes; chance is 16.7 %; one image is 3.3 points."
    )
    (table,) = section.tables
    assert [line[1].emphasis for line in table.rows] == [None, None, "best"]
    assert table.notes == ("not above chance",)
    assert [line[1].notes for line in table.rows] == [(1,), (1,), ()]


def test_rows_of_an_earlier_version_know_the_registered_data_set(grid):
    for seed in (0, 1):
        grid.evaluate(grid.cell("DM", 10, seed), [0.5], class_accuracies=[0.5] * 10)
    (section,) = build_accuracy_sections(read_results(grid.plan, grid.store))
    assert "359 test images of 10 classes; chance is 10.0 %" in section.facts


@pytest.mark.parametrize(
    ("worse", "expected"),
    [
        ("", ""),  # nothing differs
        ("ab ac", "a1"),  # b and c are alike, so none of them is second
        ("ac bc", "a1 b1 c2"),
        ("ab ac bc", "a1 b2"),
        ("ab", "a1 c1 b2"),
    ],
)
def test_marks_are_where_differences_are_clear(worse, expected):
    clear = {(pair[1], pair[0]) for pair in worse.split()}
    ranks = rank_clearly("abc", lambda low, high: (low, high) in clear)
    names = {"best": "1", "second": "2"}
    found = {f"{name}{names[rank]}" for name, rank in ranks.items()}
    assert found == set(expected.split())
