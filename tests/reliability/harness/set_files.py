"""Files of distilled sets as projects write them, drawn by Hypothesis, with what they hold."""

import json
import os
import pickle
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image

from distill_core.synthetic_set import to_normalized

LAYOUTS = ("dc", "idm", "mtt", "pair", "ddranking", "npz", "npy", "folders", "snapshots")
FOLDERS = ("names", "numbers", "new000", "unknown")
FORMS = {
    "npz": ("bytes", "channels last", "three channels"),
    "npy": ("bytes", "channels last"),
    "pair": ("three channels",),
    "mtt": ("three channels",),
    "dc": ("three channels",),
}
CLUTTER = ("ds_store", "readme", "pipe", "link to itself", "log", "empty folder")


@dataclass(frozen=True)
class SetCase:
    """How a set is stored."""

    layout: str
    normalized: bool
    factor: int
    labels: str
    order: str
    per_class: int
    folders: str
    clutter: frozenset[str]
    form: str = "plain"
    """Of the array: floats, bytes, channels last, or gray as three equal channels."""


@st.composite
def set_cases(draw):
    layout = draw(st.sampled_from(LAYOUTS))
    is_image = layout == "folders"
    return SetCase(
        layout=layout,
        normalized=not is_image and draw(st.booleans()),
        factor=draw(st.sampled_from((1, 1, 2))) if layout in ("dc", "idm", "pair", "mtt") else 1,
        labels=draw(st.sampled_from(("int64", "int32", "one-hot"))),
        order=draw(st.sampled_from(("sorted", "shuffled"))),
        per_class=draw(st.sampled_from((1, 2, 3))),
        folders=draw(st.sampled_from(FOLDERS)),
        clutter=frozenset(draw(st.lists(st.sampled_from(CLUTTER), max_size=2))),
        form=draw(st.sampled_from(("plain", *FORMS.get(layout, ())))),
    )


@dataclass(frozen=True)
class Written:
    """A set on disk, and the truth about it."""

    path: Path
    images: torch.Tensor
    """In pixel space, [0, 1]."""
    labels: torch.Tensor
    case: SetCase


def write_set(case, root, dataset):
    images, labels = _choose_images(case, dataset)
    stored = to_normalized(images, dataset.info.mean, dataset.info.std)
    stored = stored if case.normalized else images
    if case.form == "bytes":
        stored = (images * 255).round().byte()
    elif case.form == "three channels":
        stored = stored.expand(-1, 3, -1, -1).contiguous()
    elif case.form == "channels last":
        stored = stored.permute(0, 2, 3, 1).contiguous()
    root.mkdir()
    path = _WRITERS[case.layout](case, root, stored, labels, dataset.info)
    if path.is_dir():
        _add_clutter(path, case.clutter)
    return Written(path, images, labels, case)


def write_gray_again(written, dataset):
    """Write a set whose channels were equal with one channel."""
    root = written.path if written.path.is_dir() else written.path.parent
    shutil.rmtree(root)
    return write_set(replace(written.case, form="plain"), root, dataset)


def _choose_images(case, dataset):
    train = dataset.train
    tiles = case.factor**2
    chosen, labels = [], []
    for label in range(len(dataset.info.classes)):
        start = train.offsets[label]
        real = train.images[start : start + case.per_class * tiles].float() / 255
        if case.factor > 1:
            side = real.shape[-1] // case.factor
            small = torch.nn.functional.interpolate(real, side, mode="bilinear", antialias=True)
            rows = small.view(case.per_class, case.factor, case.factor, *small.shape[1:])
            real = rows.permute(0, 3, 1, 4, 2, 5).reshape(
                case.per_class, small.shape[1], side * case.factor, side * case.factor
            )
        chosen.append((real * 255).round() / 255)
        labels += [label] * case.per_class
    images, labels = torch.cat(chosen), torch.tensor(labels)
    if case.order == "shuffled" and case.layout != "ddranking":
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
        images, labels = images[order], labels[order]
    return images.contiguous(), labels


def _store_labels(case, labels):
    if case.labels == "one-hot":
        return torch.nn.functional.one_hot(labels, 10).float()
    return labels.to(torch.int32 if case.labels == "int32" else torch.int64)


def _write_dc(case, root, images, labels, info):
    path = root / "res_DC_digits_ConvNet.pt"
    torch.save({"data": [[images, labels]], "accs_all_exps": {"ConvNet": [0.5]}}, path)
    return path


def _write_snapshots(case, root, images, labels, info):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    kept = [[images + 0.03 * step * noise, labels] for step in (2, 1, 0)]
    path = root / "res_DC_digits_ConvNet.pt"
    torch.save({"data": kept, "accs_all_exps": {"ConvNet": [0.5]}}, path)
    return path


def _write_idm(case, root, images, labels, info):
    path = root / "best_set.pkl"
    with path.open("wb") as stream:
        pickle.dump((images, labels), stream)
    return path


def _write_mtt(case, root, images, labels, info):
    torch.save(images, root / "images_best.pt")
    torch.save(_store_labels(case, labels), root / "labels_best.pt")
    return root


def _write_pair(case, root, images, labels, info):
    torch.save(images, root / "DIGITS_IPC_images.pt")
    torch.save(_store_labels(case, labels), root / "DIGITS_IPC_labels.pt")
    return root / "DIGITS_IPC_images.pt"


def _write_ddranking(case, root, images, labels, info):
    path = root / "set.pt"
    torch.save(images, path)
    return path


def _write_npz(case, root, images, labels, info):
    path = root / "set.npz"
    np.savez(path, images=images.numpy(), labels=_store_labels(case, labels).numpy())
    return path


def _write_npy(case, root, images, labels, info):
    np.save(root / "images.npy", images.numpy())
    np.save(root / "labels.npy", _store_labels(case, labels).numpy())
    return root


def _write_folders(case, root, images, labels, info):
    named = {
        "names": list(info.classes),
        "numbers": [str(label) for label in range(10)],
        "new000": [f"new{label:03}" for label in range(10)],
        "unknown": [f"n{7 * label % 10}123" for label in range(10)],
    }[case.folders]
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        folder = root / named[label]
        folder.mkdir(exist_ok=True)
        pixels = (image[0] * 255).round().byte().numpy()
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return root


_WRITERS = {
    "dc": _write_dc,
    "idm": _write_idm,
    "mtt": _write_mtt,
    "pair": _write_pair,
    "ddranking": _write_ddranking,
    "npz": _write_npz,
    "npy": _write_npy,
    "folders": _write_folders,
    "snapshots": _write_snapshots,
}


def _add_clutter(folder, clutter):
    if "ds_store" in clutter:
        (folder / ".DS_Store").write_bytes(b"\0")
    if "readme" in clutter:
        (folder / "README.md").write_text("a set\n")
    if "pipe" in clutter:
        os.mkfifo(folder / "pipe")
    if "link to itself" in clutter:
        (folder / "round").symlink_to("round")
    if "log" in clutter:
        (folder / "log.json").write_text(json.dumps({"accuracy": 0.5}))
    if "empty folder" in clutter:
        (folder / "checkpoints").mkdir()


def find_commands(message):
    """Return the command lines that a message offers, as words."""
    lines = [line.split("    # ")[0].strip() for line in message.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("iid ")]


def is_true(words, case):
    """Whether the options of a command line are true of a set."""
    given = dict(zip(words, [*words[1:], ""], strict=True))
    normalised = "yes" if case.normalized and case.form != "bytes" else "no"
    return (
        given.get("--factor", str(case.factor)) == str(case.factor)
        and given.get("--normalised", normalised) == normalised
        and given.get("--zca", "no") == "no"
        and "…" not in " ".join(words)
        and given.get("--classes", "") != "order"
    )


def answer_by_name(message, words, case):
    """Answer with the options that a message names, where it offers no command."""
    answers = {
        "--zca": "no",
        "--normalised": "yes" if case.normalized and case.form != "bytes" else "no",
        "--factor": str(case.factor),
    }
    added = []
    for option, value in answers.items():
        if option in message and option not in words:
            added += [option, value]
    if "--allow-pickle" in message and "--allow-pickle" not in words:
        added.append("--allow-pickle")
    if "--classes FOLDER=CLASS" in message and "--classes" not in words:
        pairs = [f"n{7 * label % 10}123={label}" for label in range(10)]
        added += ["--classes", ",".join(pairs)]
    return added
