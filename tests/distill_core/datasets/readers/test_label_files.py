import pytest
import torch

from distill_core.datasets.info import DatasetError
from distill_core.datasets.load import load_dataset
from distill_core.settings import DatasetRef

NAMES = ("1", "2", "3", "10", "11", "12")
LABELS = ("cat", "dog", "cat", "dog", "cat", "dog")


def ref(**fields):
    return DatasetRef(name="mine", format="imagefolder", path="mine", **fields)


@pytest.fixture
def write(tmp_path, pixels, encode):
    """Write six images into a folder, and a file of labels."""

    def files(folder, file, content):
        place = tmp_path / "mine" / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, image in zip(NAMES, pixels(6, 4), strict=True):
            (place / f"{name}.png").write_bytes(encode(image))
        (tmp_path / "mine" / file).write_text(content)

    return files


def rows(head, form, names=NAMES, labels=LABELS):
    return "\n".join([head, *(form.format(*pair) for pair in zip(names, labels, strict=True))])


@pytest.mark.parametrize(
    ("folder", "file", "head", "form"),
    [
        ("train", "trainLabels.csv", "id,label", "{0},{1}"),
        ("train", "labels.csv", "id,breed", "{0}.png,{1}"),
        ("train", "train/metadata.csv", "file_name,label", "{0}.png,{1}"),
        ("train", "train.csv", "path;class;size", "train/{0}.png;{1};4"),
        ("images", "labels.tsv", "file\tcategory", "images/{0}.png\t{1}"),
        ("", "labels.csv", "\ufefffile,label", "{0}.png,{1}"),
    ],
)
def test_a_csv_file_says_the_labels(tmp_path, write, pixels, folder, file, head, form):
    write(folder, file, rows(head, form))
    data = load_dataset(ref(), tmp_path)
    assert data.info.classes == ("cat", "dog")
    assert (data.train.counts, data.test.counts) == ((2, 2), (1, 1))
    images = dict(zip(NAMES, pixels(6, 4), strict=True))
    cats = {images[name].tobytes() for name in ("1", "3", "11")}
    for image in data.train.images_of_class(0):
        assert image.permute(1, 2, 0).numpy().tobytes() in cats
    assert f"of {tmp_path / 'mine' / file}" in " ".join(data.record.notes)


def test_test_images_have_their_own_file_and_a_form_to_fill_in_is_none(tmp_path, write):
    write("train", "train_labels.csv", rows("id,label", "{0},{1}"))
    write("test", "sampleSubmission.csv", rows("id,label", "{0},cat"))
    data = load_dataset(ref(), tmp_path)
    assert "test has no labels and is not used" in data.record.notes
    write("test", "test_labels.csv", rows("id,label", "{0},{1}"))
    data = load_dataset(ref(), tmp_path)
    assert data.train.counts == data.test.counts == (3, 3)
    assert torch.equal(data.train.images, data.test.images)


def test_numbers_are_classes_in_their_order(tmp_path, write):
    write("train", "labels.csv", rows("id,label", "{0},{1}", labels=(9, 10, 9, 10, 9, 10)))
    assert load_dataset(ref(), tmp_path).info.classes == ("9", "10")


def test_images_without_a_row_and_rows_without_an_image_are_told(tmp_path, write):
    content = rows("id,label", "{0},{1}", NAMES[:5], LABELS[:5]) + "\n99,dog\n"
    write("train", "labels.csv", content)
    record = load_dataset(ref(), tmp_path).record
    assert [(each.reason, each.count) for each in record.skipped] == [
        ("without a label in labels.csv", 1)
    ]
    assert "1 rows of labels.csv name no image, such as 99" in record.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (rows("id,a,b", "{0},x,{1}"), "which column has the labels. There are a, b; name one"),
        (rows("id,label", "{0},{1}") + "\n1,dog\n", "1 has two labels, cat and dog"),
        (rows("id,label", "{0},{1}") + "\n1,\n", "1 has no label"),
        (rows("id,label", "{0},{1}") + "\n1,dog,x\n", "line 8: has other columns than the first"),
    ],
)
def test_files_that_leave_labels_open_are_refused(tmp_path, write, content, message):
    write("train", "labels.csv", content)
    with pytest.raises(DatasetError, match=message):
        load_dataset(ref(), tmp_path)
    if "which column" in message:
        assert load_dataset(ref(label_column="b"), tmp_path).info.classes == ("cat", "dog")
        with pytest.raises(DatasetError, match=r"no column 'c' \(label_column\); there are a, b"):
            load_dataset(ref(label_column="c"), tmp_path)


def test_two_files_that_name_the_images_are_ambiguous(tmp_path, write):
    write("train", "one.csv", rows("id,label", "{0},{1}"))
    write("train", "two.csv", rows("id,label", "{0},{1}"))
    with pytest.raises(DatasetError, match=r"one\.csv, two\.csv all name its images"):
        load_dataset(ref(), tmp_path)
