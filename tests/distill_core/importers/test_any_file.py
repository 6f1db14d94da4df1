"""Any file becomes a set that can be saved, or an `ImportSetError`; no code in it runs."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from distill_core.importers.convert import compute_content_digest, convert
from distill_core.importers.decide import decide_reading
from distill_core.importers.raw_set import ImportSetError
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize
from distill_core.synthetic_set import SyntheticSet, SyntheticSetError

MANY = settings(
    max_examples=int(os.environ.get("IID_CASES", "200")),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
IMAGES, LABELS = (
    torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0)),
    torch.arange(3).repeat(2),
)
OPTIONS = (
    ReadingOptions(),
    ReadingOptions(normalized=False, zca=False, partition=1, soft_labels="logits"),
    ReadingOptions(
        normalized=True, zca=False, partition=2, soft_labels="probabilities", check=False
    ),
)


def take(path, dataset):
    """Import with several options; every refusal must be an ImportSetError that names the file."""
    for options in OPTIONS:
        try:
            found = recognize(path, allow_pickle=True)
            assert len(compute_content_digest(found, path)) == 64
            for number, raw in enumerate(found.sets):
                reading = decide_reading(found, number, options)
                made = convert(raw, reading, dataset, method="any", spec={}, check=options.check)
                assert made.training_images()[0].isfinite().all()
                made.save(path.parent / "saved")
                SyntheticSet.load(path.parent / "saved")
        except ImportSetError as error:
            assert isinstance(error, SyntheticSetError) and path.name in str(error), str(error)


def native_bytes(folder, tiny_dataset):
    info = tiny_dataset.info
    metadata = {
        "dataset": info.name,
        "class_names": info.classes,
        "mean": info.mean,
        "std": info.std,
    }
    native = SyntheticSet(images=IMAGES, labels=LABELS, ipc=2, method="ours", **metadata)
    native.save(folder / "own")
    return (folder / "own").read_bytes()


def saved(folder, value, **options):
    torch.save(value, folder / "saved.pt", **options)
    return (folder / "saved.pt").read_bytes()


@pytest.fixture(scope="module")
def good_files(tmp_path_factory, tiny_dataset):
    """Bytes of valid files by name."""
    folder = tmp_path_factory.mktemp("good")
    dc = {"data": [[IMAGES, LABELS]], "accs_all_exps": {"ConvNet": [np.float64(0.5)]}}
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / "gray.png")
    return {
        "dc.pt": saved(folder, dc),
        "old.pt": saved(folder, dc, _use_new_zipfile_serialization=False),
        "idm.pkl": pickle.dumps((IMAGES, LABELS)),
        "arrays.pkl": pickle.dumps((IMAGES.numpy(), LABELS.numpy()), protocol=2),
        "data.pt": saved(folder, [IMAGES, LABELS]),
        "own.safetensors": native_bytes(folder, tiny_dataset),
        "gray.png": (folder / "gray.png").read_bytes(),
    }


@MANY
@given(
    name=st.sampled_from(
        ["dc.pt", "old.pt", "idm.pkl", "arrays.pkl", "data.pt", "own.safetensors", "gray.png"]
    ),
    end=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
)
def test_damaged_files(good_files, tmp_path, tiny_dataset, name, end, changes):
    content = bytearray(good_files[name])
    for place, value in changes:
        content[int(place * len(content))] = value
    if end < 0.5:
        del content[int(2 * end * len(content)) :]
    path = tmp_path / name
    if name == "gray.png":
        for label in "012":
            (tmp_path / "folder" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "folder" / label / name).write_bytes(content)
        path = tmp_path / "folder"
    else:
        path.write_bytes(content)
    take(path, tiny_dataset)


@MANY
@given(
    content=st.binary(max_size=200), name=st.sampled_from(["a.pt", "a.pkl", "a.safetensors", "a"])
)
def test_bytes(tmp_path, tiny_dataset, content, name):
    (tmp_path / name).write_bytes(content)
    take(tmp_path / name, tiny_dataset)


shapes = st.one_of(
    st.sampled_from(
        [(6, 1, 16, 16), (6,), (6, 3), (3, 1, 16, 16), (6, 16, 16, 1), (0, 1, 16, 16), (6, 1), ()]
    ),
    st.lists(st.integers(0, 4), max_size=5).map(tuple),
)
fills = st.sampled_from([0.0, 0.5, 1.0, -3.0, 200.0, float("nan"), float("inf"), 1e38])
dtypes = st.sampled_from(
    [
        torch.float32,
        torch.float16,
        torch.float64,
        torch.uint8,
        torch.int64,
        torch.bool,
        torch.complex64,
    ]
)


@st.composite
def tensors(draw):
    shape, fill, dtype = draw(shapes), draw(fills), draw(dtypes)
    if not dtype.is_floating_point:
        fill = 1 if fill != fill or abs(fill) > 200 else int(abs(fill))
    tensor = torch.full(shape, fill).to(dtype)
    return draw(
        st.sampled_from([tensor, tensor.to_sparse() if len(shape) else tensor, np.asarray(tensor)])
    )


leaves = st.one_of(
    tensors(),
    st.sampled_from(
        [
            IMAGES,
            LABELS,
            IMAGES.numpy(),
            LABELS.tolist(),
            IMAGES * 2 - 1,
            LABELS.float(),
            LABELS - 1,
        ]
    ),
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
)
objects = st.recursive(
    st.one_of(leaves, st.tuples(leaves, leaves), st.tuples(st.just(IMAGES), leaves).map(list)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["data", "images", "labels", "targets", "accs_all_exps", 3]),
            inner,
            max_size=3,
        ),
        st.fixed_dictionaries({"data": st.lists(st.tuples(st.just(IMAGES), inner), max_size=2)}),
    ),
    max_leaves=5,
)


@MANY
@given(value=objects, companion=st.one_of(st.none(), leaves), pickled=st.booleans())
def test_objects_of_other_shapes(tmp_path, tiny_dataset, value, companion, pickled):
    for old in tmp_path.glob("*"):
        old.unlink()
    path = tmp_path / ("images_x.pkl" if pickled else "images_x.pt")
    if pickled:
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path)
    if companion is not None:
        torch.save(companion, tmp_path / "labels_x.pt")
        torch.save(companion, tmp_path / "lr_x.pt")
    try:
        take(path, tiny_dataset)
    except AssertionError as error:  # the error may be in neighboring files
        assert "labels_x.pt" in str(error) or "lr_x.pt" in str(error)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@MANY
@given(
    field=st.sampled_from(
        [
            "format",
            "dataset",
            "class_names",
            "mean",
            "std",
            "ipc",
            "partition",
            "method",
            "spec",
            "key",
            "other",
        ]
    ),
    value=json_values,
)
def test_headers_of_our_format(good_files, tmp_path, tiny_dataset, field, value):
    info = tiny_dataset.info
    header = {
        "format": 1,
        "dataset": "tiny",
        "class_names": list(info.classes),
        "mean": [0.4],
        "std": [0.25],
    }
    header |= {"ipc": 2, "method": "ours", "spec": {}, field: value}
    save_file(
        {"images": IMAGES, "labels": LABELS},
        tmp_path / "a.safetensors",
        metadata={"iid": json.dumps(header)},
    )
    take(tmp_path / "a.safetensors", tiny_dataset)


class Payload:
    """Makes a folder when it is unpickled by the standard unpickler."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("allow_pickle", [False, True])
@pytest.mark.parametrize("layout", ["pickle", "torch", "old torch", "nested"])
def test_nothing_in_a_file_runs(tmp_path, layout, allow_pickle):
    mark, path = str(tmp_path / "mark"), tmp_path / "file.pt"
    if layout == "pickle":
        path.write_bytes(pickle.dumps((IMAGES, Payload(mark))))
    elif layout == "nested":
        torch.save(Payload(mark), tmp_path / "inner")
        load_from_bytes = torch.storage._load_from_bytes

        class Storage:
            def __reduce__(self):
                return load_from_bytes, ((tmp_path / "inner").read_bytes(),)

        path.write_bytes(pickle.dumps((IMAGES, Storage())))
    else:
        torch.save([IMAGES, Payload(mark)], path, _use_new_zipfile_serialization=layout == "torch")
    with pytest.raises(ImportSetError, match=r"file\.pt") as refusal:
        recognize(path, allow_pickle=allow_pickle)
    assert not os.path.exists(mark)  # noqa: PTH110
    if allow_pickle and layout != "nested":
        assert "mkdir" in str(refusal.value)
    pickle.loads(pickle.dumps(Payload(mark)))
    assert os.path.exists(mark), "the payload does what it should not"  # noqa: PTH110


def test_a_pickle_is_not_opened_unasked(tmp_path):
    (tmp_path / "set.pkl").write_bytes(pickle.dumps((IMAGES, LABELS)))
    with pytest.raises(ImportSetError, match=r"can run any code on this machine.*--allow-pickle"):
        recognize(tmp_path / "set.pkl")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "there is no file or folder"),
        (lambda path: path.mkdir(), "no known layout.*it holds nothing"),
        (
            lambda path: path.write_text("hello, this is a text"),
            "neither a file of torch.save nor a pickle",
        ),
        (
            lambda path: torch.save({"state_dict": {}, "epoch": 3}, path),
            "a dictionary of 'state_dict', 'epoch'",
        ),
        (
            lambda path: torch.save([IMAGES, LABELS, 3, 4], path),
            r"a list of 4: images \(6, 1, 16, 16\), Tensor",
        ),
        (lambda path: torch.save({"data": []}, path), "an empty list"),
        (lambda path: torch.save({"data": [[IMAGES, LABELS], [IMAGES]]}, path), r"data\[1\]"),
        (lambda path: torch.save([IMAGES.permute(0, 2, 3, 1), LABELS], path), "channels last"),
        (
            lambda path: torch.save([IMAGES, LABELS[:4]], path),
            r"labels of shape \(4,\) for 6 images",
        ),
        (lambda path: torch.save([IMAGES / 0, LABELS], path), "NaN or infinity"),
        (lambda path: torch.save([IMAGES.double() * 1e300, LABELS], path), "NaN or infinity"),
        (lambda path: torch.save([IMAGES, [2**70] * 6], path), "labels hold a number beyond"),
    ],
)
def test_the_message_says_what_was_found_and_where(tmp_path, make, says):
    make(tmp_path / "set")
    with pytest.raises(ImportSetError, match=says) as refusal:
        recognize(tmp_path / "set")
    assert str(tmp_path / "set") in str(refusal.value)


def test_numbers_that_overflow_in_training_are_refused(tmp_path, tiny_dataset):
    path = tmp_path / "own.safetensors"
    info = tiny_dataset.info
    metadata = {
        "dataset": info.name,
        "class_names": info.classes,
        "mean": info.mean,
        "std": info.std,
    }
    images = torch.full((6, 1, 16, 16), 3e38)
    SyntheticSet(images=images, labels=LABELS, ipc=2, method="ours", **metadata).save(path)
    found = recognize(path)
    with pytest.raises(ImportSetError, match=r"own\.safetensors.*overflow"):
        convert(
            found.sets[0], decide_reading(found, 0, OPTIONS[0]), tiny_dataset, method="any", spec={}
        )


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_many_more_cases():
    """The four properties above, with three thousand cases each."""
    names = "damaged_files or bytes or objects_of_other_shapes or headers_of_our"
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=7200", __file__, "-k", names]
    ended = subprocess.run(
        command, env=os.environ | {"IID_CASES": "3000"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert "4 passed" in ended.stdout
