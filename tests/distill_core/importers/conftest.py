"""One small set of digits, and writers of the layouts of published sets."""

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill_core.datasets.load import load_dataset
from distill_core.importers.whitening import compute_real_whitening
from distill_core.settings import DatasetRef
from distill_core.synthetic_set import SyntheticSet, to_normalized, to_pixels


@dataclass(frozen=True)
class Example:
    """A file in some layout, the options that it needs, and the same images in our format."""

    path: Path
    native: SyntheticSet
    options: dict


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    return load_dataset(DatasetRef(name="digits"), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def native_set(digits):
    """Two digits per class in our format, stored in pixel space, in whole steps of 1/255."""
    indices = torch.cat([torch.arange(offset, offset + 2) for offset in digits.train.offsets])
    return SyntheticSet(
        images=digits.train.images[indices].float() / 255,
        labels=digits.train.labels[indices],
        dataset="digits",
        class_names=digits.info.classes,
        mean=digits.info.mean,
        std=digits.info.std,
        ipc=2,
        method="ours",
    )


@pytest.fixture(scope="session")
def normalized_set(native_set):
    """The same set as read from normalized images, equal up to rounding."""
    return replace(
        native_set,
        images=to_pixels(
            to_normalized(native_set.images, native_set.mean, native_set.std), *_norm(native_set)
        ),
    )


def _norm(native):
    return native.mean, native.std


def _normalized(native):
    return to_normalized(native.images, native.mean, native.std)


def _soft(native):
    generator = torch.Generator().manual_seed(5)
    return 3 * torch.nn.functional.one_hot(native.labels, 10) + torch.randn(
        len(native.labels), 10, generator=generator
    )


def write_dc(folder, native, normalized, digits):
    path = folder / "res_DM_digits_ConvNet_2ipc.pt"
    accuracies = {"ConvNet": [np.float64(0.5), np.float64(0.6)]}
    torch.save({"data": [[_normalized(native), native.labels]], "accs_all_exps": accuracies}, path)
    return Example(path, normalized, {})


def write_idm(folder, native, normalized, digits):
    path = folder / "acc_0.5.pkl"
    path.write_bytes(pickle.dumps((_normalized(native), native.labels)))
    return Example(path, replace(normalized, partition=2), {})


def write_mtt(folder, native, normalized, digits):
    logits = _soft(native)
    torch.save(_normalized(native), folder / "images_best.pt")
    torch.save(logits, folder / "labels_best.pt")
    torch.save(torch.tensor(0.02), folder / "lr_best.pt")
    soft = logits.softmax(1)
    options = {"normalized": True, "zca": False, "soft_labels": "logits"}
    return Example(folder, replace(normalized, soft_labels=soft, labels=soft.argmax(1)), options)


def write_mtt_hard(folder, native, normalized, digits):
    torch.save(_normalized(native), folder / "images_best.pt")
    torch.save(native.labels, folder / "labels_best.pt")
    return Example(folder / "images_best.pt", normalized, {"normalized": True, "zca": False})


def write_mtt_whitened(folder, native, normalized, digits):
    whitening = compute_real_whitening(digits.train)
    whitened = whitening.whiten(native.images)
    torch.save(whitened, folder / "images_best.pt")
    torch.save(native.labels, folder / "labels_best.pt")
    return Example(folder, replace(native, images=whitening.unwhiten(whitened)), {"zca": True})


def write_mtt_whitened_with_statistics(folder, native, normalized, digits):
    whitening = compute_real_whitening(digits.train)
    statistics = folder / "zca.pt"
    torch.save(
        {"mean_vector": whitening.mean[None], "transform_inv": whitening.inverse}, statistics
    )
    example = write_mtt_whitened(folder, native, normalized, digits)
    return replace(example, options={"zca": True, "zca_path": str(statistics)})


def write_idc(folder, native, normalized, digits):
    torch.save([native.images, native.labels], folder / "data.pt")
    return Example(folder / "data.pt", replace(native, partition=2), {"partition": 2})


def write_ncfm(folder, native, normalized, digits):
    path = folder / "data_20000.pt"
    torch.save({"data": native.images, "targets": native.labels}, path)
    return Example(path, native, {"partition": 1, "normalized": False})


def write_imagefolder(folder, native, normalized, digits):
    for number, (image, label) in enumerate(zip(native.images, native.labels, strict=True)):
        place = folder / f"new{int(label):03d}"
        place.mkdir(exist_ok=True)
        gray = (image[0] * 255).round().byte().numpy()
        Image.fromarray(gray).convert("RGB").save(
            place / f"class{int(label):03d}_id{number:03d}.png"
        )
    return Example(folder, native, {})


def write_ddranking(folder, native, normalized, digits):
    torch.save(_normalized(native), folder / "images.pt")
    return Example(folder / "images.pt", normalized, {"normalized": True, "zca": False})


def write_native(folder, native, normalized, digits):
    native.save(folder / "a.safetensors")
    return Example(folder / "a.safetensors", native, {})


def write_native_folder(folder, native, normalized, digits):
    native.save(folder / "a.safetensors")
    return Example(folder, native, {})


WRITERS = {
    name.removeprefix("write_"): writer
    for name, writer in list(globals().items())
    if name.startswith("write_")
}


@pytest.fixture(params=WRITERS)
def example(request, tmp_path, native_set, normalized_set, digits):
    """A file of each layout."""
    folder = tmp_path / request.param
    folder.mkdir()
    return WRITERS[request.param](folder, native_set, normalized_set, digits)


@pytest.fixture
def write(tmp_path, native_set, normalized_set, digits):
    """Write a layout by name."""

    def write(layout):
        folder = tmp_path / f"some {layout}"
        folder.mkdir()
        return WRITERS[layout](folder, native_set, normalized_set, digits)

    return write
