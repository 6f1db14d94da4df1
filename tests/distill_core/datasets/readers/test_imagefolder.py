import os
import unicodedata
from dataclasses import replace

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


def ref(**fields):
    return DatasetRef(name="mine", format="imagefolder", path="mine", **fields)


@pytest.fixture
def classes(write, pixels):
    """Write five images of each of two classes into a split, or into the root."""

    def files(split, names=("cat", "dog"), count=5):
        for seed, name in enumerate(names):
            write(f"{split}/{name}".strip("/"), pixels(count, 4, seed=seed))

    return files


@pytest.mark.parametrize("inside", ["", "EuroSAT/2750"])
def test_class_folders_may_lie_at_the_root(tmp_path, classes, inside):
    classes(inside)
    (tmp_path / "mine" / "ReadMe.txt").touch()
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == ("cat", "dog")
    assert (data.train.counts, data.test.counts) == ((4, 4), (1, 1))
    notes = " ".join(data.record.notes)
    assert "a fifth of the images of each class is held out" in notes
    assert ("the only folder in mine" if inside else "no folder train") in notes


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("TRAIN", "VAL"), ("training", "testing"), ("Training", "Validation")],
)
def test_splits_are_found_in_any_case(tmp_path, classes, train, test):
    classes(train)
    classes(test, count=2)
    data = load_dataset(REF, tmp_path)
    assert (data.train.counts, data.test.counts) == ((5, 5), (2, 2))


@pytest.mark.parametrize("inside", ["", "images", "unknown"])
def test_a_test_split_without_labels_gives_way_to_the_validation_split(
    tmp_path, classes, write, pixels, inside
):
    classes("train")
    classes("val", count=2)
    write(f"test/{inside}".rstrip("/"), pixels(3, 4))
    data = load_dataset(REF, tmp_path)
    assert data.test.counts == (2, 2)
    assert data.record.notes == ("test has no labels and is not used", "val is the test split")
    with pytest.raises(DatasetError, match=r"has no labels \(test_split: test\)"):
        load_dataset(ref(test_split="test"), tmp_path)


def test_without_any_labeled_test_split_a_fifth_is_held_out(tmp_path, classes, write, pixels):
    classes("train")
    write("test", pixels(3, 4))
    data = load_dataset(REF, tmp_path)
    assert data.test.counts == (1, 1)
    assert "test has no labels and is not used" in data.record.notes


def test_a_search_space_chooses_among_splits(tmp_path, classes):
    classes("train")
    classes("test", count=1)
    classes("val", count=2)
    classes("extra", count=3)
    data = load_dataset(REF, tmp_path)
    assert data.test.counts == (1, 1)
    assert "test is the test split; val not used (test_split chooses)" in data.record.notes
    assert "not used, as train is there: extra" in data.record.notes
    assert load_dataset(ref(test_split="Val"), tmp_path).test.counts == (2, 2)
    assert load_dataset(ref(test_split="extra"), tmp_path).test.counts == (3, 3)
    with pytest.raises(DatasetError, match=r"no split 'dev' to test on .* are test, val, extra"):
        load_dataset(ref(test_split="dev"), tmp_path)


@pytest.mark.parametrize(("train", "test"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_compared_composed(tmp_path, classes, train, test):
    names = {form: unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")}
    classes("train", ("bar", names[train]))
    classes("test", ("bar", names[test]), count=1)
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == ("bar", names["NFC"])
    assert data.test.counts == (1, 1)
    classes("train", (names[test],))
    with pytest.raises(DatasetError, match="is there twice, in two encodings"):
        load_dataset(REF, tmp_path)


def test_a_class_in_another_case_is_matched_and_told(tmp_path, classes):
    classes("train", ("Cat", "Dog"))
    classes("test", ("cat", "dog"), count=1)
    data = load_dataset(REF, tmp_path)
    assert (data.info.classes, data.test.counts) == (("Cat", "Dog"), (1, 1))


def test_all_damaged_files_are_named_at_once(tmp_path, classes):
    classes("train", count=20)
    classes("test", count=1)
    damaged = sorted((tmp_path / "mine" / "train" / "cat").iterdir())[:12]
    for path in damaged:
        path.write_bytes(b"<html>")
    with pytest.raises(DatasetError, match="mine: 12 images cannot be read:") as error:
        load_dataset(REF, tmp_path)
    assert [str(path) in str(error.value) for path in damaged] == [True] * 10 + [False] * 2
    assert "and 2 more" in str(error.value)
    assert len(error.value.problems) == 12


def test_what_is_passed_over_is_counted(tmp_path, classes):
    classes("train")
    cat = tmp_path / "mine" / "train" / "cat"
    for name in ("a.gif", "b.GIF", "notes.txt", ".DS_Store", "._0.png", "Thumbs.db", "README"):
        (cat / name).write_bytes(b"")
    (cat / ".ipynb_checkpoints").mkdir()
    (cat / ".ipynb_checkpoints" / "0-checkpoint.png").write_bytes((cat / "00.png").read_bytes())
    (tmp_path / "mine" / "train" / "__MACOSX").mkdir()
    data = load_dataset(REF, tmp_path)
    assert len(data.train) + len(data.test) == 10
    assert {each.reason: each.count for each in data.record.skipped} == {
        "that are hidden": 3,
        "of type .db": 1,
        "of type .gif": 2,
        "of type .txt": 1,
        "without a type": 1,
    }


def test_a_class_of_other_files_says_what_is_in_it(tmp_path, classes):
    classes("train")
    (tmp_path / "mine" / "train" / "emu").mkdir()
    (tmp_path / "mine" / "train" / "emu" / "0.gif").touch()
    with pytest.raises(DatasetError, match=r"class 'emu' has no training .*1 file of type \.gif"):
        load_dataset(REF, tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path, classes):
    classes("../elsewhere")
    train = tmp_path / "mine" / "train"
    train.mkdir(parents=True)
    (train / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    (train / "dog").mkdir()
    (train / "dog" / "more").symlink_to(tmp_path / "elsewhere" / "dog")
    (train / "dog" / "loop").symlink_to(train)
    (train / "dog" / "self").symlink_to(train / "dog" / "self")
    data = load_dataset(REF, tmp_path)
    assert len(data.train) + len(data.test) == 10


def test_a_link_to_the_data_set_itself_is_no_class(tmp_path, classes):
    classes("")
    (tmp_path / "mine" / "again").symlink_to(".")
    (tmp_path / "mine" / "above").symlink_to("..")
    assert load_dataset(REF, tmp_path).info.classes == ("cat", "dog")


def test_a_fifo_or_a_broken_link_named_like_an_image_is_refused_at_once(tmp_path, classes):
    classes("train")
    cat = tmp_path / "mine" / "train" / "cat"
    os.mkfifo(cat / "a.png")
    (cat / "b.png").symlink_to(cat / "nowhere.png")
    (cat / "c.png").symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match="3 images cannot be read") as error:
        load_dataset(REF, tmp_path)
    assert str(error.value).count("is not a regular file") == 2


@pytest.mark.parametrize("name", ["²", "Ⅷ", "a\tb", os.fsdecode(b"\xff"), "[x]*", "-"])
def test_any_name_of_a_class_is_read(tmp_path, classes, name):
    classes("train", ("cat", name))
    data = load_dataset(REF, tmp_path)
    (shown,) = set(data.info.classes) - {"cat"}
    assert shown.isprintable() and shown.encode()
    assert data.train.counts == (4, 4)


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_test_split_alone_is_no_data_set(tmp_path, classes, split):
    classes(split)
    with pytest.raises(DatasetError, match=f"has {split}, but no folder train; rename"):
        load_dataset(REF, tmp_path)


def test_images_without_labels_say_what_to_do(tmp_path, write, pixels):
    write("train", pixels(3, 4))
    with pytest.raises(DatasetError, match=r"images lie directly in it, .* put labels\.csv beside"):
        load_dataset(REF, tmp_path)


@pytest.mark.parametrize("names", [("seg_train", "seg_test"), ("2020", "2021"), ("fold1", "x")])
def test_folders_that_look_like_splits_are_no_classes(tmp_path, classes, names):
    for name in names:
        classes(name)
    with pytest.raises(DatasetError, match=f"{min(names)} and {max(names)} both have folders cat,"):
        load_dataset(REF, tmp_path)
    # Each of the remedies works.
    assert load_dataset(
        DatasetRef(name="mine", format="imagefolder", path=f"mine/{names[0]}"), tmp_path
    )
    mine = tmp_path / "mine"
    (mine / names[0]).rename(mine / "train")
    (mine / names[1]).rename(mine / "test")
    assert load_dataset(REF, tmp_path).test.counts == (5, 5)
    (mine / "train").rename(tmp_path / names[0])
    (mine / "test").rename(tmp_path / names[1])
    (mine / "train").mkdir()
    for name in names:
        (tmp_path / name).rename(mine / "train" / name)
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == tuple(sorted(names))
    assert "folders within a class belong to it" in " ".join(data.record.notes)


def test_classes_that_differ_in_case_only_are_matched_exactly(tmp_path, classes):
    classes("train", ("cat", "Cat", "dog"))
    classes("test", ("Cat", "DOG"), count=1)
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == ("Cat", "cat", "dog")
    assert data.test.counts == (1, 0, 1)
    assert "class folder test/DOG is class dog" in data.record.notes
    classes("test", ("CAT",), count=1)
    with pytest.raises(DatasetError, match=r"test/CAT: .* has no class of that name"):
        load_dataset(REF, tmp_path)


@pytest.mark.parametrize(
    ("file", "remedy"), [("mine.zip", "unpack it, and name"), ("mine.parquet", "name its folder")]
)
def test_a_file_in_place_of_a_folder_says_what_to_do(tmp_path, file, remedy):
    (tmp_path / file).touch()
    with pytest.raises(DatasetError, match=f"is a file; {remedy}"):
        load_dataset(DatasetRef(name="mine", format="imagefolder", path=file), tmp_path)


def write_labels(path, rows):
    path.write_text("".join(f"{','.join(row)}\n" for row in rows), encoding="utf-8")


def test_a_file_of_other_labels_beside_class_folders_is_never_ignored(tmp_path, write, pixels):
    write("train/part0", pixels(4, 4))
    write("train/part1", pixels(4, 4, seed=1))
    names = [f"part{part}/{number:02}.png" for part in (0, 1) for number in range(4)]
    rows = [("file", "label"), *((name, "cat" if name[-6:-4] > "00" else "dog") for name in names)]
    write_labels(tmp_path / "mine" / "labels.csv", rows)
    with pytest.raises(DatasetError, match=r"says other labels .*; give label_column: label to"):
        load_dataset(REF, tmp_path)
    by_file = load_dataset(replace(REF, label_column="label"), tmp_path)
    assert by_file.info.classes == ("cat", "dog")
    (tmp_path / "mine" / "labels.csv").rename(tmp_path / "elsewhere.csv")
    assert load_dataset(REF, tmp_path).info.classes == ("part0", "part1")


def test_a_file_that_says_what_the_class_folders_say_changes_nothing(tmp_path, write, pixels):
    write("train/cat", pixels(4, 4))
    write("train/dog", pixels(4, 4, seed=1))
    before = load_dataset(REF, tmp_path).fingerprint
    rows = [(f"{name}/{number:02}.png", name) for name in ("cat", "dog") for number in range(4)]
    write_labels(tmp_path / "mine" / "labels.csv", [("file", "label"), *rows])
    assert load_dataset(REF, tmp_path).fingerprint == before


def test_splits_of_unknown_names_are_not_read_as_classes(tmp_path, write, pixels):
    for split in ("pictures", "holdout"):
        write(f"{split}/cat", pixels(4, 4))
        write(f"{split}/Dog", pixels(4, 4, seed=1))
    with pytest.raises(DatasetError, match="holdout and pictures both have folders"):
        load_dataset(REF, tmp_path)
    (tmp_path / "mine" / "pictures").rename(tmp_path / "mine" / "train")
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == ("Dog", "cat")
    assert any("holdout" in line for line in data.record.list_lines())


def test_a_link_back_from_a_linked_class_adds_no_images_of_others(tmp_path, write, pixels):
    write("train/dog", pixels(4, 4))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine" / "train" / "dog" / "00.png").rename(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "mine" / "train" / "dog" / "01.png").rename(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "mine" / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "mine")
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == ("cat", "dog")
    assert len(data.train) + len(data.test) == 4


def test_images_beside_the_splits_are_counted(tmp_path, write, pixels):
    write("train/cat", pixels(4, 4))
    write("train/dog", pixels(4, 4, seed=1))
    write("test/cat", pixels(1, 4))
    (tmp_path / "mine" / "train" / "cat" / "00.png").rename(tmp_path / "mine" / "x.png")
    lines = load_dataset(REF, tmp_path).record.list_lines()
    assert any(line.startswith("1 file outside the splits passed over") for line in lines)


def test_labels_that_are_spelled_like_images_are_labels(tmp_path, write, pixels):
    write("images", pixels(12, 4))
    rows = [(f"{number:02}.png", f"0{number % 2}") for number in range(12)]
    write_labels(tmp_path / "mine" / "trainLabels.csv", [("file", "label"), *rows])
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == ("00", "01") and len(data.train) + len(data.test) == 12


def test_a_split_without_class_folders_is_not_read_as_a_class(tmp_path, write, pixels):
    write("pictures/cat", pixels(4, 4))
    write("pictures/dog", pixels(4, 4, seed=1))
    write("holdout", pixels(4, 4, seed=2))
    with pytest.raises(DatasetError, match="pictures has folders cat, dog and holdout has none"):
        load_dataset(REF, tmp_path)
    (tmp_path / "mine" / "pictures").rename(tmp_path / "mine" / "train")
    (tmp_path / "mine" / "holdout").rename(tmp_path / "mine" / "test")
    assert load_dataset(REF, tmp_path).info.classes == ("cat", "dog")
