import json
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from distill_core.datasets.info import DatasetError
from distill_core.datasets.load import load_dataset
from distill_core.settings import DatasetRef

REF = DatasetRef(name="mine", format="parquet", path="mine")
LABELS = [1, 0, 2, 1, 0, 2]


def names_metadata(names, column="label"):
    feature = {"names": names, "_type": "ClassLabel"}
    return {
        "huggingface": json.dumps(
            {"info": {"features": {"image": {"_type": "Image"}, column: feature}}}
        )
    }


@pytest.fixture
def write(tmp_path):
    """Write encoded images and labels as one Parquet file in the Hugging Face layout."""

    def file(name, contents, labels, *, struct=True, image="image", label="label", metadata=None):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images = [{"bytes": content, "path": None} for content in contents] if struct else contents
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()}) if struct else pa.binary()
        table = pa.table(
            {
                image: pa.array(images, kind),
                label: labels if isinstance(labels, pa.Array) else pa.array(labels),
            }
        )
        pq.write_table(table.replace_schema_metadata(metadata), path)
        return path

    return file


@pytest.fixture
def images(pixels, encode):
    """Six images as pixels and as PNG."""
    decoded = pixels(6, 8)
    return decoded, [encode(image) for image in decoded]


def in_order(decoded, labels):
    order = sorted(range(len(labels)), key=labels.__getitem__)
    return torch.from_numpy(decoded[order].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"struct": False},
        {
            "image": "img",
            "label": "fine_label",
            "metadata": names_metadata(["a", "b", "c"], "fine_label"),
        },
        {"metadata": names_metadata(["cat", "dog", "emu"])},
        {"metadata": {"huggingface": "no json"}},
        {"metadata": {"pandas": "{}"}},
    ],
    ids=str,
)
def test_reads_the_columns_and_class_names_of_the_layout(tmp_path, write, images, layout):
    write("train.parquet", images[1], LABELS, **layout)
    write("test.parquet", images[1][:2], LABELS[:2], **layout)
    data = load_dataset(REF, tmp_path)
    assert torch.equal(data.train.images, in_order(images[0], LABELS))
    assert torch.equal(data.test.images, in_order(images[0][:2], LABELS[:2]))
    expected = (
        ("cat", "dog", "emu")
        if "emu" in str(layout)
        else tuple("abc")
        if "img" in str(layout)
        else tuple("012")
    )
    assert data.info.classes == expected


@pytest.mark.parametrize("test", ["test", "validation", "valid", "val"])
def test_reads_shards_in_order_and_every_name_of_a_test_split(tmp_path, write, images, test):
    for shard in range(2):
        part = slice(3 * shard, 3 * shard + 3)
        write(f"data/train-0000{shard}-of-00002.parquet", images[1][part], LABELS[part])
    write(f"data/{test}-00000-of-00001.parquet", images[1], LABELS)
    data = load_dataset(REF, tmp_path)
    assert torch.equal(data.train.images, in_order(images[0], LABELS))
    assert data.train.fingerprint == data.test.fingerprint


def test_record_of_custom_data_is_computed(tmp_path, write, images):
    write("train.parquet", images[1], LABELS)
    write("test.parquet", images[1][:2], LABELS[:2])
    info = load_dataset(REF, tmp_path).info
    scaled = images[0] / 255
    assert info.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)), abs=1e-12)
    assert info.std == pytest.approx(scaled.std(axis=(0, 1, 2)), abs=1e-12)
    assert (info.name, info.channels, info.image_size) == ("mine", 3, 8)
    assert (info.train_images, info.test_images) == (6, 2)


def test_a_fifth_becomes_the_test_set_where_there_is_none(tmp_path, write, pixels, encode):
    decoded = pixels(30, 4)
    write(
        "train.parquet",
        [encode(image) for image in decoded],
        [c for c in range(3) for _ in range(10)],
    )
    data = load_dataset(REF, tmp_path)
    assert (data.train.counts, data.test.counts) == ((8, 8, 8), (2, 2, 2))
    seen = {
        image.tobytes()
        for part in (data.train, data.test)
        for image in part.images.permute(0, 2, 3, 1).numpy()
    }
    assert seen == {image.tobytes() for image in decoded}
    assert data.info.mean == pytest.approx(
        (data.train.images.double() / 255).mean(dim=(0, 2, 3)).tolist()
    )
    assert data.fingerprint == load_dataset(REF, tmp_path).fingerprint
    renamed = load_dataset(DatasetRef(name="other", format="parquet", path="mine"), tmp_path)
    assert renamed.fingerprint != data.fingerprint


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_truncated_file_is_named(tmp_path, write, images, keep):
    path = write("train.parquet", images[1], LABELS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=f"{path}: damaged, or not Parquet"):
        load_dataset(REF, tmp_path)


def test_overwritten_pages_are_noticed(tmp_path, write, images):
    path = write("train.parquet", images[1], LABELS)
    content = bytearray(path.read_bytes())
    content[4:600] = bytes(596)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=str(path)):
        load_dataset(REF, tmp_path)


def test_overwritten_column_names_are_noticed(tmp_path, write, images):
    path = write("train.parquet", images[1], LABELS)
    path.write_bytes(path.read_bytes().replace(b"label", b"\xfeabel"))
    with pytest.raises(DatasetError, match=str(path)):
        load_dataset(REF, tmp_path)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"not an image", "not a readable image"),
        (b"", "not a readable image"),
        (None, "has no image bytes"),
    ],
)
def test_image_that_cannot_be_decoded_is_named_by_file_and_row(
    tmp_path, write, images, contents, message
):
    path = write("train.parquet", [*images[1][:3], contents, *images[1][4:]], LABELS)
    write("test.parquet", images[1], LABELS)
    with pytest.raises(DatasetError, match=f"{path}, row 3: {message}"):
        load_dataset(REF, tmp_path)


@pytest.mark.parametrize(
    ("labels", "metadata", "message"),
    [
        ([1, 0, 2, 3, 0, 2], names_metadata(["a", "b", "c"]), "row 3: label 3 is not one of 0 … 2"),
        ([1, 0, 2, -1, 0, 2], None, "row 3: label -1 is not one of 0 … 2"),
        (
            [1, 0, 2, 10**12, 0, 2],
            None,
            "row 3: label 1000000000000, but there are only 6 training images",
        ),
        ([1, 0, 3, 1, 0, 3], None, "class '2' has no training images"),
        ([1, 0, 0, 1, 0, 1], names_metadata(["a", "b", "c"]), "class 'c' has no training images"),
        ([1, 0, None, 1, 0, 2], None, "1 row has no label"),
        ([1.0, 0.5, 2.0, 1.0, 0.0, 2.0], None, "labels are double, and not all are whole"),
        ([[1], [0], [2], [1], [0], [2]], None, "labels are list<element: int64>; expected"),
    ],
)
def test_labels_that_make_no_sense_are_refused(tmp_path, write, images, labels, metadata, message):
    write("train.parquet", images[1], labels, metadata=metadata)
    write("test.parquet", images[1], LABELS)
    with pytest.raises(DatasetError, match=message):
        load_dataset(REF, tmp_path)


def test_test_label_unknown_to_the_training_images_is_refused(tmp_path, write, images):
    write("train.parquet", images[1], LABELS)
    path = write("test.parquet", images[1][:2], [0, 3])
    with pytest.raises(DatasetError, match=f"{path}, row 1: label 3"):
        load_dataset(REF, tmp_path)


def test_other_columns_are_named(tmp_path, write, images):
    write("train.parquet", images[1], LABELS, label="species")
    with pytest.raises(
        DatasetError,
        match="no column 'label' or 'fine_label'; there are image, species; name one with label_",
    ):
        load_dataset(REF, tmp_path)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["dog", "cat", "emu", "dog", "cat", "emu"], ("cat", "dog", "emu")),
        (["10", "9", "9", "10", "9", "10"], ("9", "10")),
        ([True, False, False, True, False, True], ("False", "True")),
        ([1.0, 0.0, 2.0, 1.0, 0.0, 2.0], tuple("012")),
        (pa.array(["b", "a", "b", "a", "b", "a"]).dictionary_encode(), ("a", "b")),
        (pa.array([1, 0, 1, 0, 1, 0], pa.uint8()).dictionary_encode(), ("0", "1")),
    ],
    ids=str,
)
@pytest.mark.parametrize("column", ["labels", "target", "Class"])
def test_labels_of_every_kind_are_read(tmp_path, write, images, labels, classes, column):
    write("train.parquet", images[1], labels, label=column)
    write("test.parquet", images[1], labels, label=column)
    data = load_dataset(REF, tmp_path)
    assert data.info.classes == classes
    values = labels.to_pylist() if isinstance(labels, pa.Array) else labels
    names = [str(int(v)) if isinstance(v, float) else str(v) for v in values]
    assert torch.equal(data.train.images, in_order(images[0], [classes.index(n) for n in names]))
    assert data.record.notes == (f"images are column 'image', labels are column {column!r}",)


def test_a_search_space_chooses_columns(tmp_path, images):
    folder = tmp_path / "mine"
    folder.mkdir()
    columns = {"photo": images[1], "fine_label": LABELS, "coarse_label": [0, 0, 1, 1, 0, 1]}
    for split in ("train", "test"):
        pq.write_table(pa.table({**columns, "crop": images[1][::-1]}), folder / f"{split}.parquet")
    data = load_dataset(REF, tmp_path)
    assert len(data.info.classes) == 3
    assert "there is also coarse_label (label_column chooses)" in data.record.notes
    chosen = DatasetRef(
        name="mine",
        format="parquet",
        path="mine",
        image_column="crop",
        label_column="coarse_label",
    )
    data = load_dataset(chosen, tmp_path)
    assert data.train.counts == (3, 3)
    assert torch.equal(data.train.images, in_order(images[0][::-1], columns["coarse_label"]))
    other = DatasetRef(name="mine", format="parquet", path="mine", label_column="species")
    with pytest.raises(DatasetError, match=r"no column 'species' \(label_column\); there are pho"):
        load_dataset(other, tmp_path)


@pytest.mark.parametrize(
    "unlabeled", [[-1, -1], pa.array([None, None], pa.int64()), pa.array([float("nan")] * 2), None]
)
def test_a_test_split_without_labels_gives_way_to_the_validation_split(
    tmp_path, write, images, unlabeled
):
    write("train.parquet", images[1], LABELS)
    column = "id" if unlabeled is None else "label"
    write("test.parquet", images[1][:2], unlabeled or [7, 8], label=column)
    assert "a fifth" in load_dataset(REF, tmp_path).record.notes[-1]
    write("validation.parquet", images[1][:3], LABELS[:3])
    data = load_dataset(REF, tmp_path)
    assert data.test.counts == (1, 1, 1)
    assert data.record.notes == (
        "test has no labels and is not used",
        "validation is the test split",
    )
    chosen = DatasetRef(name="mine", format="parquet", path="mine", test_split="test")
    with pytest.raises(DatasetError, match="has no labels"):
        load_dataset(chosen, tmp_path)


def test_training_images_without_labels_are_refused(tmp_path, write, images):
    write("train.parquet", images[1], [-1] * 6)
    with pytest.raises(DatasetError, match="the training images have none"):
        load_dataset(REF, tmp_path)


def test_text_labels_must_be_there_and_columns_once(tmp_path, write, images):
    write("train.parquet", images[1], ["a", "", "b", "a", "", "b"])
    with pytest.raises(DatasetError, match="2 rows have no label; write the file"):
        load_dataset(REF, tmp_path)
    arrays = [pa.array(images[1]), pa.array(LABELS), pa.array(LABELS)]
    table = pa.table(arrays, names=["image", "label", "label"])
    pq.write_table(table, tmp_path / "mine" / "train.parquet")
    with pytest.raises(DatasetError, match="has several columns 'label'; keep one"):
        load_dataset(REF, tmp_path)


def test_files_are_found_in_any_case_and_in_the_only_configuration(tmp_path, write, images):
    write("plain/Train.parquet", images[1], LABELS)
    write("plain/TEST.parquet", images[1], LABELS)
    data = load_dataset(REF, tmp_path)
    assert len(data.train) == len(data.test) == 6
    write("full/train.parquet", images[1], LABELS)
    with pytest.raises(DatasetError, match="several configurations, full, plain; name one"):
        load_dataset(REF, tmp_path)


def test_images_that_are_not_bytes_are_refused(tmp_path, images):
    (tmp_path / "mine").mkdir()
    table = pa.table({"image": [image.ravel().tolist() for image in images[0]], "label": LABELS})
    pq.write_table(table, tmp_path / "mine" / "train.parquet")
    with pytest.raises(DatasetError, match="does not hold encoded images"):
        load_dataset(REF, tmp_path)


@pytest.mark.parametrize("file", ["train.parquet", "test.parquet"])
def test_empty_split_is_refused(tmp_path, write, images, file):
    empty = pa.array([], pa.int64())
    for name in ("train.parquet", "test.parquet"):
        write(name, *(([], empty) if name == file else (images[1], LABELS)))
    with pytest.raises(DatasetError, match=f"{file}: has no rows"):
        load_dataset(REF, tmp_path)


def test_single_image_of_a_class_cannot_be_split(tmp_path, write, images):
    write("train.parquet", images[1], [0, 0, 0, 1, 1, 2])
    with pytest.raises(DatasetError, match="class '2' has one image"):
        load_dataset(REF, tmp_path)


def test_registered_parquet_must_have_the_recorded_size(tmp_path, write, pixels, encode, shrink):
    shrink("cifar10-jpeg", classes=tuple("012"), train_images=6, test_images=6)
    contents = [encode(image, "JPEG") for image in pixels(6, 8)]
    for split in ("train", "test"):
        write(f"../cifar10/{split}.parquet", contents, LABELS)
    with pytest.raises(
        DatasetError, match=r"train\.parquet, row 0: the image is 8×8 pixels, not 32×32"
    ):
        load_dataset(DatasetRef(name="cifar10-jpeg"), tmp_path)
    shrink("cifar10-jpeg", image_size=8)
    data = load_dataset(DatasetRef(name="cifar10-jpeg"), tmp_path)
    decoded = [np.asarray(Image.open(BytesIO(content))) for content in contents]
    assert torch.equal(data.train.images, in_order(np.stack(decoded), LABELS))
    assert data.info.classes == tuple("012")


@pytest.mark.slow
def test_cifar10_as_jpeg(cifar10_parquet):
    data = load_dataset(DatasetRef(name="cifar10-jpeg"), cifar10_parquet.parent)
    assert data.train.counts == (5000,) * 10
    assert data.test.counts == (1000,) * 10
    assert data.train.images.shape[1:] == (3, 32, 32)
    means = (data.train.images.double() / 255).mean(dim=(0, 2, 3))
    assert np.allclose(means, data.info.mean, atol=5e-4)
    assert data.info.title == "CIFAR-10 (JPEG)"
    assert data.info.classes[data.train.labels[-1]] == "truck"
