"""Formats are told apart by their bytes, and what cannot be read says what to do."""

import io
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from distill_core.importers.convert import convert
from distill_core.importers.decide import decide_reading
from distill_core.importers.raw_set import ImportSetError
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize


def take(path, dataset, **options):
    found = recognize(path)
    reading = decide_reading(found, 0, ReadingOptions(**options), dataset)
    return convert(found.sets[0], reading, dataset, method="theirs", spec={})


def write_zip(path):
    image = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(image, format="PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for label in range(10):
            archive.writestr(f"{label}/0.png", image.getvalue())


def write_tar(path):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (write_zip, "a zip archive of 10 files .*python -m zipfile -e"),
        (write_tar, "a tar archive; unpack it: tar -xf"),
        (lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(20)), "a gzip archive"),
        (lambda path: path.write_bytes(b"\x85\xa4step\x01\xa6params"), "msgpack.*numpy.savez"),
        (lambda path: path.write_bytes(b"\xde\x00\x12\xa6params"), "msgpack"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(8)), "an HDF5 file"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec"), "git lfs pull"),
        (lambda path: path.write_bytes(b"<!DOCTYPE html><html>"), "a web page"),
    ],
)
def test_nothing_else_is_called_damaged(tmp_path, write, says):
    write(tmp_path / "set.pt")
    with pytest.raises(ImportSetError, match=says) as refusal:
        recognize(tmp_path / "set.pt")
    assert "damaged" not in str(refusal.value)


def test_the_command_that_unpacks_a_zip_works(tmp_path):
    write_zip(tmp_path / "IPC1.zip")
    with pytest.raises(ImportSetError) as refusal:
        recognize(tmp_path / "IPC1.zip")
    command = str(refusal.value).rpartition("python ")[2].split()
    subprocess.run([sys.executable, *command], check=True)
    assert recognize(tmp_path / "IPC1").layout == "imagefolder"


def test_kip_keeps_channels_last_and_labels_centered(tmp_path, digits, native_set):
    arrays = {
        "images": native_set.images.permute(0, 2, 3, 1).numpy(),
        "labels": np.eye(10)[native_set.labels] - 0.1,
    }
    np.savez(tmp_path / "kip.npz", **arrays)
    with pytest.raises(ImportSetError, match=r"pass --normalised no --factor 1$"):
        take(tmp_path / "kip.npz", digits)
    made = take(tmp_path / "kip.npz", digits, normalized=False, partition=1)
    assert torch.equal(made.images, native_set.images)
    assert torch.equal(made.labels, native_set.labels) and made.soft_labels is None
    assert "centered one-hot labels were read as classes" in made.spec["import_notes"]


FORMS = {
    "TensorDataset": lambda s: TensorDataset(s.images, s.labels),
    "image_syn": lambda s: {"image_syn": s.images, "label_syn": s.labels, "lr": torch.tensor(0.1)},
    "compressed": lambda s: s,
    "with a rate": lambda s: [s.images, s.labels, torch.tensor(0.1)],
    "one step": lambda s: [(s.images, s.labels, torch.tensor(0.1))],
}


@pytest.mark.parametrize("form", FORMS)
def test_published_sets_of_other_families(tmp_path, digits, native_set, form):
    path = tmp_path / "set.pt"
    if form == "compressed":
        path = tmp_path / "set.npz"
        np.savez_compressed(path, x=native_set.images.numpy(), y=native_set.labels.numpy())
    else:
        torch.save(FORMS[form](native_set), path)
    made = take(path, digits, normalized=False, zca=False, partition=1)
    assert torch.equal(made.images, native_set.images)
    assert torch.equal(made.labels, native_set.labels)
    if form not in ("TensorDataset", "compressed"):
        assert recognize(path).sets[0].lr_net == pytest.approx(0.1)


def save_header(path, shape, compressed=0):
    """An array whose header claims a shape, with some bytes behind it."""
    content = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    if path.suffix == ".npy":
        path.write_bytes(content.getvalue() + bytes(100))
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content.getvalue() + bytes(compressed))


@pytest.mark.parametrize(
    ("name", "compressed", "says"),
    [
        ("images.npy", 0, "cannot be read safely"),
        ("set.npz", 1000, "claims more numbers than the file holds"),
        ("set.npz", 10**8, "claim 100,000,128 bytes"),
    ],
)
def test_arrays_that_claim_too_much_are_refused_before_they_are_made(
    tmp_path, name, compressed, says
):
    save_header(tmp_path / name, (10, 1, 10**5, 10**5), compressed)
    with pytest.raises(ImportSetError, match=says):
        recognize(tmp_path / name)


def test_objects_in_arrays_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "set.npz", images=np.array([{}], dtype=object))
    with pytest.raises(ImportSetError, match="Python objects, not numbers"):
        recognize(tmp_path / "set.npz")
