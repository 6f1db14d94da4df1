import pytest
import torch

from distill_core.datasets.info import DatasetError
from distill_core.datasets.load import load_dataset
from distill_core.settings import DatasetRef

REF = DatasetRef(name="mine", format="imagefolder", path="mine")


@pytest.fixture
def write(tmp_path, encode):
    """Write images (N, H, W, C) as PNG files of one class."""

    def files(folder, images, format="PNG", suffix=".png"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
        for index, image in enumerate(images):
            (tmp_path / "mine" / folder / f"{index:02}{suffix}").write_bytes(encode(image, format))

    return files


def chw(images):
    return torch.from_numpy(images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("test", ["test", "val"])
def test_classes_are_the_folders(tmp_path, write, pixels, test):
    cats, dogs = pixels(3, 6), pixels(2, 6, seed=1)
    write("train/dog", dogs)
    write("train/cat", cats, suffix=".PNG")
    write(f"{test}/dog", dogs[:1])
    (tmp_path / "mine" / "train" / ".cache").mkdir()
    (tmp_path / "mine" / "train" / "cat" / "notes.txt").write_text("no image")
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == ("cat", "dog")
    assert torch.equal(data.train.images, torch.cat((chw(cats), chw(dogs))))
    assert (data.train.counts, data.test.counts) == ((3, 2), (0, 1))
    assert torch.equal(data.test.images, chw(dogs[:1]))


def test_a_fifth_becomes_the_test_set_where_there_is_none(tmp_path, write, pixels):
    write("train/a", pixels(10, 4))
    write("train/b", pixels(5, 4, seed=1))
    data = load_dataset(REF, tmp_path)
    assert (data.train.counts, data.test.counts) == ((8, 4), (2, 1))


def test_first_image_gives_the_size_and_others_are_fitted(tmp_path, write, pixels):
    write("train/a", pixels(2, 8, 10))
    write("train/b", pixels(2, 20, 16, seed=1))
    write("test/a", pixels(1, 3, seed=2))
    data = load_dataset(REF, tmp_path)
    assert data.info.image_size == 8
    assert data.train.images.shape == (4, 3, 8, 8)
    assert torch.equal(data.train.images_of_class(0), chw(pixels(2, 8, 10)[:, :, 1:9]))


def test_reference_gives_the_size(tmp_path, write, pixels):
    write("train/a", pixels(5, 8, channels=1))
    write("train/b", pixels(5, 8, channels=1, seed=1))
    sized = DatasetRef(name="mine", format="imagefolder", path="mine", image_size=16)
    data = load_dataset(sized, tmp_path)
    assert data.train.images.shape[1:] == (1, 16, 16)
    with pytest.raises(DatasetError, match="image_size is 0"):
        load_dataset(
            DatasetRef(name="mine", format="imagefolder", path="mine", image_size=0), tmp_path
        )


def test_color_anywhere_makes_all_images_rgb(tmp_path, write, pixels):
    gray = pixels(2, 8, channels=1)
    write("train/a", gray)
    write("test/a", pixels(1, 8))
    data = load_dataset(REF, tmp_path)
    assert (data.info.channels, len(data.info.mean)) == (3, 3)
    assert torch.equal(data.train.images, chw(gray).expand(-1, 3, -1, -1))


def test_damaged_file_is_named(tmp_path, write, pixels):
    write("train/a", pixels(2, 8))
    path = tmp_path / "mine" / "train" / "a" / "01.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match=f"{path}: not a readable image"):
        load_dataset(REF, tmp_path)


def test_unreadable_folders_are_named(tmp_path, write, pixels):
    with pytest.raises(DatasetError, match=f"no train/<class>/<images> in {tmp_path / 'mine'}"):
        load_dataset(REF, tmp_path)
    (tmp_path / "mine" / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="train: no images in its class folders"):
        load_dataset(REF, tmp_path)
    write("train/a", pixels(2, 8))
    write("train/b", [])
    write("test/a", pixels(1, 8))
    with pytest.raises(DatasetError, match="class 'b' has no training images"):
        load_dataset(REF, tmp_path)
    write("test/c", pixels(1, 8))
    with pytest.raises(DatasetError, match=r"test/c: .*train has no class of that name"):
        load_dataset(REF, tmp_path)


def test_images_without_any_contrast_are_refused(tmp_path, write, pixels):
    write("train/a", pixels(4, 8) * 0)
    with pytest.raises(DatasetError, match="channel 0 has the same value in every training image"):
        load_dataset(REF, tmp_path)
