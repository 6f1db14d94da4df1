from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distill_core.datasets.decode import decode_custom
from distill_core.datasets.info import DatasetError
from distill_core.datasets.raw import EncodedData, EncodedImage, EncodedSplit


def data(*contents):
    split = EncodedSplit(
        [EncodedImage(content, f"image {index}") for index, content in enumerate(contents)],
        np.zeros(len(contents), dtype=np.int64),
    )
    return EncodedData(split, split, ("a",))


def saved(image, format="PNG"):
    buffer = BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)]
)
def test_gray_images_stay_gray_and_all_others_become_rgb(mode, channels):
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).convert(mode)
    decoded = decode_custom(data(saved(image)), None).train.images
    assert decoded.shape == (1, channels, 8, 8)
    assert np.array_equal(decoded[0, 0], np.asarray(image.convert("L")))


@pytest.mark.parametrize(
    "array", [np.full((8, 8), 40_000, np.uint16), np.full((8, 8), 70_000, np.int32)], ids=str
)
def test_deep_images_are_refused_rather_than_cut(array):
    image = Image.fromarray(array)
    with pytest.raises(
        DatasetError, match=r"image 0: the image has pixels of mode I.*; convert it to 8 bits"
    ):
        decode_custom(data(saved(image, "TIFF")), None)


def test_size_of_the_first_image_is_its_shorter_side():
    wide, tall = Image.new("RGB", (12, 9)), Image.new("RGB", (5, 7))
    assert decode_custom(data(saved(wide), saved(tall)), None).train.images.shape == (2, 3, 9, 9)


def test_other_images_are_resized_and_cropped_at_the_center():
    """Of an image that is twice as wide as high, the middle half remains, at half its size."""
    columns = np.repeat([0, 0, 100, 100, 200, 200, 0, 0], 4).astype(np.uint8)
    picture = Image.fromarray(np.tile(columns, (16, 1)))
    decoded = decode_custom(data(saved(picture)), 8).train.images[0, 0]
    assert decoded.shape == (8, 8)
    assert (decoded[:, 1:3] == 100).all() and (decoded[:, 5:7] == 200).all()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
@settings(deadline=None, max_examples=200)
def test_damaged_bytes_are_decoded_or_named(format, draws):
    content = bytearray(
        saved(Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)), format)
    )
    for _ in range(draws.draw(st.integers(1, 4))):
        content[draws.draw(st.integers(0, len(content) - 1))] = draws.draw(st.integers(0, 255))
    del content[draws.draw(st.integers(0, len(content))) :]
    try:
        decoded = decode_custom(data(bytes(content)), 8)
    except DatasetError as error:
        assert "image 0" in str(error)
    else:
        assert decoded.train.images.shape[2:] == (8, 8)


def test_what_changes_images_is_counted():
    turned = Image.new("RGB", (8, 8), "red")
    turned.getexif()[0x0112] = 6
    clear, frames = Image.new("RGBA", (8, 8), (0, 0, 0, 0)), BytesIO()
    turned.save(frames, "JPEG", exif=turned.getexif())
    animation = BytesIO()
    Image.new("L", (8, 8)).save(
        animation, "WEBP", save_all=True, append_images=[Image.new("L", (8, 8), 9)]
    )
    wide = saved(Image.new("RGB", (12, 8)))
    large = saved(Image.new("RGB", (16, 16)), "BMP")
    encoded = data(saved(clear), frames.getvalue(), animation.getvalue(), wide, large)
    traits = decode_custom(encoded, 8).record.train
    assert traits.formats == {"PNG": 2, "JPEG": 1, "WEBP": 1, "BMP": 1}
    assert traits.modes == {"RGBA": 1, "RGB": 4}
    assert traits.sizes == {(8, 8): 3, (12, 8): 1, (16, 16): 1}
    counts = (traits.resized, traits.cropped, traits.transparent, traits.rotated, traits.animated)
    assert counts == (1, 1, 1, 1, 1)
    assert len(traits.list_lines()) == 5


def test_images_of_too_many_pixels_are_refused_by_their_header(monkeypatch):
    small = saved(Image.new("L", (8, 8)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    for side in (120, 200):  # Pillow warns above its limit, and refuses twice as many
        bomb = saved(Image.new("L", (side, side)))
        with pytest.raises(DatasetError, match=r"image 1: not a readable image .*bomb"):
            decode_custom(data(small, bomb), 8)


def test_sizes_that_no_memory_holds_are_refused_before_anything_is_made(monkeypatch):
    huge = saved(Image.new("1", (5000, 5000)))
    with pytest.raises(DatasetError, match=r"the first image, image 0, has 5000 pixels per side"):
        decode_custom(data(huge), None)
    monkeypatch.setattr("os.sysconf", lambda name: 1000)
    with pytest.raises(DatasetError, match=r"2 images of 4096×4096×1 take .* smaller image_size"):
        decode_custom(data(saved(Image.new("L", (4096, 4096)))), None)


def test_the_first_readable_image_gives_the_size_and_the_damaged_ones_are_named():
    with pytest.raises(
        DatasetError, match=r"image 0: not a readable image .its bytes are no known"
    ):
        decode_custom(data(b"<html>", saved(Image.new("RGB", (5, 7)))), None)
