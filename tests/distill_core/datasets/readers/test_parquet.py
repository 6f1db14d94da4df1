import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

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
        (list("abcabc"), None, "labels are string"),
        ([1, 0, None, 1, 0, 2], None, "1 labels are empty"),
        ([1.0, 0.0, 2.0, 1.0, 0.0, 2.0], None, "labels are double"),
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
    write("train.parquet", images[1], LABELS, label="target")
    with pytest.raises(
        DatasetError, match="no column 'label' or 'fine_label'; there are image, target"
    ):
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
    with pytest.raises(DatasetError, match="class 2 has one image"):
        load_dataset(REF, tmp_path)


def test_registered_parquet_must_have_the_recorded_size(tmp_path, write, images, shrink):
    shrink("cifar10-jpeg", classes=tuple("abc"), train_images=6, test_images=6)
    for split in ("train", "test"):
        write(f"../cifar10/{split}.parquet", images[1], LABELS)
    with pytest.raises(
        DatasetError, match=r"train\.parquet, row 0: the image is 8×8 pixels, not 32×32"
    ):
        load_dataset(DatasetRef(name="cifar10-jpeg"), tmp_path)
    shrink("cifar10-jpeg", image_size=8)
    data = load_dataset(DatasetRef(name="cifar10-jpeg"), tmp_path)
    assert torch.equal(data.train.images, in_order(images[0], LABELS))
    assert data.info.classes == tuple("abc")


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
