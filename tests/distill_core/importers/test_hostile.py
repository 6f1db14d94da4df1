"""Files that claim too much, or hold what no set holds, are refused at once and by name."""

import json
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from distill_core.importers.convert import convert
from distill_core.importers.decide import decide_reading
from distill_core.importers.reading import ReadingOptions
from distill_core.importers.recognize import recognize
from distill_core.settings import SettingsError
from distill_core.synthetic_set import SyntheticSetError

IMAGES, LABELS = torch.rand(10, 1, 32, 32), torch.arange(10)


def take(path, dataset):
    found = recognize(path, allow_pickle=True)
    reading = decide_reading(found, 0, ReadingOptions(partition=1, normalized=False), dataset)
    return convert(found.sets[0], reading, dataset, method="any", spec={}, check=False)


def claim(*shape):
    """A sparse tensor of one number that claims to have many."""
    place = torch.zeros(len(shape), 1, dtype=torch.long)
    return torch.sparse_coo_tensor(place, torch.ones(1), shape)


def build_objects():
    nested = torch.nested.nested_tensor([torch.rand(1, 32, 32)] * 10, layout=torch.strided)
    objects = {
        "sparse images": ([claim(10**6, 1, 10**3, 10**3), LABELS], "not a plain tensor"),
        "sparse in DC": ({"data": [[claim(10**6, 1, 10**3, 10**3), LABELS]]}, "not a plain"),
        "sparse labels": ([IMAGES, claim(10, 10**11)], "not a plain tensor"),
        "expanded": ([torch.zeros(1).expand(10, 1, 10**5, 10**5), LABELS], "claim more numbers"),
        "expanded labels": ([IMAGES, torch.zeros(1).expand(10, 10**10)], "claim more numbers"),
        "nested": ([nested, LABELS], "no known layout"),
        "nested in DC": ({"data": [[nested, LABELS]]}, "not a plain tensor"),
        "no columns": ([IMAGES, torch.zeros(10, 0)], "are empty"),
        "no device": ([IMAGES.to("meta"), LABELS], "not a plain tensor"),
        "float8": ([IMAGES.to(torch.float8_e4m3fn), LABELS], "of type torch.float8"),
    }
    if hasattr(torch, "float4_e2m1fn_x2"):
        packed = torch.zeros(10, 1, 32, 32, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
        objects["float4"] = ([packed, LABELS], "of type torch.float4")
    return objects


OBJECTS = build_objects()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OBJECTS)
def test_objects(name, tmp_path, digits):
    content, says = OBJECTS[name]
    torch.save(content, tmp_path / "set.pt")
    with pytest.raises(SyntheticSetError, match=rf"set\.pt.*{says}"):
        take(tmp_path / "set.pt", digits)


GOOD = {"format": 1, "dataset": "digits", "class_names": list("0123456789"), "mean": [0.3]}
GOOD |= {"std": [0.3], "ipc": 1, "method": "ours", "spec": {}, "partition": 1}
HEADERS = {
    "null": "null",
    "a list": "[1]",
    "nested": "[" * 100_000 + "]" * 100_000,
    "nested spec": json.dumps(GOOD).replace("{}", '{"a":' * 5000 + "1" + "}" * 5000),
    "many tiles": json.dumps(GOOD | {"partition": 32}),
    "tiles of two pixels": json.dumps(GOOD | {"partition": 16}),
    "no number": json.dumps(GOOD | {"format": None}),
    "no text": json.dumps(GOOD | {"method": None}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_our_format(name, tmp_path, digits):
    tensors = {"images": IMAGES, "labels": LABELS}
    save_file(tensors, tmp_path / "a.safetensors", metadata={"iid": HEADERS[name]})
    with pytest.raises(SyntheticSetError, match=r"a\.safetensors"):
        take(tmp_path / "a.safetensors", digits)


def test_names_in_our_header_are_cleaned(tmp_path, digits):
    spec = {"note": "a\x1b[2Jb", "deep": [{"c\x00": "\x9b"}]}
    header = json.dumps(GOOD | {"method": "x\x1b[31m\x00" + "y" * 5000, "spec": spec})
    tensors = {"images": IMAGES, "labels": LABELS}
    save_file(tensors, tmp_path / "a.safetensors", metadata={"iid": header})
    found = recognize(tmp_path / "a.safetensors")
    reading = decide_reading(found, 0, ReadingOptions())
    name = found.sets[0].native.method
    made = convert(found.sets[0], reading, digits, method=name, spec={})
    assert made.method.startswith("x[31myy") and len(made.method) == 80
    assert made.spec["made"] == {"note": "a[2Jb", "deep": [{"c": ""}]}


def build_bomb():
    """A PNG that claims 50,000 × 50,000 pixels in a few kilobytes."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    size = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "a.png").write_bytes(build_bomb()), "12000 × 12000 pixels"),
        (lambda folder: os.mkfifo(folder / "b.png"), "not a regular file"),
        (lambda folder: (folder / "b.png").symlink_to(folder / "b.png"), "not a regular file"),
        (lambda folder: (folder / "b.png").symlink_to("/nowhere"), "not a regular file"),
        (lambda folder: (folder / "b.png").mkdir(), "not a regular file"),
        (lambda folder: (folder / "a.png").write_bytes(b""), "not an image"),
        (
            lambda folder: Image.fromarray(np.zeros((32, 32), np.uint16)).save(folder / "a.png"),
            "more than 8 bits",
        ),
    ],
)
def test_image_files(tmp_path, digits, spoil, says):
    for label in range(10):
        (tmp_path / "set" / str(label)).mkdir(parents=True)
        Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "set" / str(label) / "a.png")
    spoil(tmp_path / "set" / "3")
    with pytest.raises(SyntheticSetError, match=rf"set/3/[ab]\.png.*{says}"):
        take(tmp_path / "set", digits)


def test_a_pipe_is_refused_at_once(tmp_path, digits):
    os.mkfifo(tmp_path / "set.pt")
    with pytest.raises(SettingsError, match=r"set\.pt is a pipe"):
        take(tmp_path / "set.pt", digits)
