import io

import matplotlib.image
import numpy as np
import pytest

from orchestrator.errors import ReportError
from orchestrator.report import write_report
from orchestrator.report.figures.image_sheets import draw_comparison, draw_sheet, read_set
from orchestrator.store.open import open_store

CLASSES = ("cat", "dog")


def _images(classes, ipc, channels=3, side=8):
    """Every image has one gray level, different from all others."""
    count = classes * ipc
    levels = (np.arange(count) + 1) / (2 * count)
    images = np.broadcast_to(levels[:, None, None, None], (count, channels, side, side))
    return images, np.repeat(np.arange(classes), ipc)


def _pixels(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    stream.seek(0)
    return np.rint(255 * matplotlib.image.imread(stream)[..., :3]).astype(np.uint8)


def _levels(pixels, least):
    """Gray levels that fill at least so many pixels, line by line and from the left; white is the
    ground.
    """
    found = []
    for level in range(255):
        rows, columns = np.nonzero((pixels == level).all(-1))
        if len(rows) >= least:
            found.append((round(np.median(rows) / 50), np.median(columns), level))
    return [level for *_, level in sorted(found)]


@pytest.fixture
def stored(grid):
    def make(ipc=3, classes=CLASSES, images=None, **options):
        cell = grid.cell("DM", ipc, 0, [0.5])
        pixels, labels = _images(len(classes), ipc, **options)
        return read_set(
            grid.synthetic_set(cell, pixels if images is None else images, labels, classes)
        )

    return make


def test_values_outside_the_range_are_clipped_for_display_only(stored):
    images = np.zeros((6, 3, 8, 8))
    images[0], images[1], images[2] = 1.7, -0.3, np.nan
    shown = stored(images=images).images
    assert [int(image.max()) for image in shown[:3]] == [255, 0, 0]


def test_a_sheet_shows_every_image_in_whole_pixels_in_order(stored):
    shown = stored()
    pixels = _pixels(draw_sheet(shown, "title"))
    side = 8 * round(100 / 8)
    expected = [int(image[0, 0, 0]) for image in shown.images]
    assert _levels(pixels, side * side) == expected
    for level in expected:
        assert (pixels == level).all(-1).sum() >= side * side  # antialiased text may add a few


def test_a_sheet_has_at_most_ten_images_a_class(stored):
    shown = stored(ipc=12)
    kept = [
        int(image[0, 0, 0]) for image in np.concatenate([shown.images[:10], shown.images[12:22]])
    ]
    assert _levels(_pixels(draw_sheet(shown, "title")), 1000) == kept


def test_grey_images_and_a_hundred_classes(stored):
    shown = stored(ipc=1, classes=[f"class {i}" for i in range(100)], channels=1)
    assert shown.images.shape == (100, 8, 8, 3)
    height, width = _pixels(draw_sheet(shown, "title")).shape[:2]
    assert 0.8 < width / height < 2
    assert width < 2500


def test_a_comparison_shows_the_same_classes_of_each_method(stored):
    first, second = stored(ipc=3), stored(ipc=1)
    levels = _levels(_pixels(draw_comparison({"DM": first, "IDM": second})), 1000)
    of = (
        [int(image[0, 0, 0]) for image in first.images],
        [int(image[0, 0, 0]) for image in second.images],
    )
    assert set(levels) == {of[0][0], of[0][1], of[0][3], of[0][4], *of[1]}


def test_pictures_of_a_report(grid, tmp_path):
    for method in ("Random", "DM", "DM+IID"):
        for ipc in (1, 2):
            for seed in (0, 1):
                same = "DM" if (method, ipc) == ("DM+IID", 1) else None
                cell = grid.cell(method, ipc, seed, [0.5], same_as=same)
                if (method, seed) != ("Random", 0):
                    grid.synthetic_set(cell, *_images(2, ipc), CLASSES)
    files = write_report(grid.plan, "space", open_store(grid.store), tmp_path / "report")
    assert [picture.title for picture in files.select_pictures("sheet")] == [
        "Random, digits, IPC 1, seed 1",  # seed 0 is not there yet
        "Random, digits, IPC 2, seed 1",
        "DM, digits, IPC 1, seed 0",  # shared with DM+IID
        "DM, digits, IPC 2, seed 0",
        "DM+IID, digits, IPC 2, seed 0",
    ]
    assert [picture.path.name for picture in files.select_pictures("comparison")] == [
        "main-digits-methods-ipc2.png"
    ]
    text = files.markdown.read_text()
    for picture in files.select_pictures("sheet", "comparison"):
        assert (files.folder / picture.path).read_bytes()[:4] == b"\x89PNG"
        assert f"({picture.path.as_posix()})" in text


def test_sets_whose_features_are_shown_are_pictured_too(grid, tmp_path):
    for method in ("Random", "Herding"):
        grid.synthetic_set(grid.view(method, 0), *_images(2, 2), CLASSES)
    files = write_report(grid.plan, "space", open_store(grid.store), tmp_path / "report")
    assert [picture.title for picture in files.select_pictures("sheet")] == [
        "Random, digits, IPC 2, seed 0",
        "Herding, digits, IPC 2, seed 0",
    ]
    assert len(files.select_pictures("comparison")) == 1


def test_a_damaged_set_is_named(grid, tmp_path):
    cell = grid.cell("DM", 1, 0, [0.5])
    path = grid.synthetic_set(cell, *_images(2, 1), CLASSES)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ReportError, match=f"{path}.*run again"):
        write_report(grid.plan, "space", open_store(grid.store), tmp_path / "report")
