from dataclasses import replace

import pytest
import torch
from PIL import Image

from distill_core.datasets.files import locate
from distill_core.datasets.info import REGISTRY, DatasetError, resolve_registered
from distill_core.datasets.known_layouts import OTHER_LAYOUTS
from distill_core.datasets.load import READERS, load_dataset, restrict
from distill_core.settings import DatasetRef


def test_every_registered_data_set_has_a_reader():
    assert READERS.keys() | OTHER_LAYOUTS.keys() == REGISTRY.keys()


def test_sets_carry_the_record(tmp_path):
    data = load_dataset(DatasetRef(name="digits"), tmp_path)
    for images in (data.train, data.test):
        assert (images.name, images.mean, images.std) == ("digits", data.info.mean, data.info.std)
        assert images.classes == len(data.info.classes)
    assert len({data.fingerprint, data.train.fingerprint, data.test.fingerprint}) == 3


def test_normalized_training_images_have_mean_0_and_deviation_1(tmp_path):
    train = load_dataset(DatasetRef(name="digits"), tmp_path).train
    normalized = train.normalize(train.images)
    assert normalized.mean().abs() < 1e-3
    assert (normalized.std() - 1).abs() < 1e-3


def test_unknown_name_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="did you mean 'digits'"):
        load_dataset(DatasetRef(name="digit"), tmp_path)


def test_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(folder, info):
        raise PermissionError(13, "Permission denied", str(tmp_path / "file"))

    monkeypatch.setitem(READERS, "digits", refuse)
    with pytest.raises(
        DatasetError, match=f"digits: cannot read {tmp_path / 'file'} \\(Permission denied\\)"
    ):
        load_dataset(DatasetRef(name="digits"), tmp_path)


def test_reference_to_some_classes_gives_only_these_in_their_order(tmp_path):
    ref = DatasetRef(name="digits", classes=(7, 3))
    whole, part = load_dataset(DatasetRef(name="digits"), tmp_path), load_dataset(ref, tmp_path)
    assert part.info.classes == ("7", "3")
    assert (part.info.train_images, part.info.test_images) == (len(part.train), len(part.test))
    for of_part, of_whole in ((part.train, whole.train), (part.test, whole.test)):
        assert of_part.counts == (of_whole.counts[7], of_whole.counts[3])
        assert torch.equal(
            of_part.images, torch.cat([of_whole.images_of_class(7), of_whole.images_of_class(3)])
        )
    assert (part.fingerprint, part.info.name, part.info.mean) == (
        whole.fingerprint,
        "digits",
        whole.info.mean,
    )
    assert resolve_registered(ref) is REGISTRY["digits"]
    assert locate(ref, tmp_path) == locate("digits", tmp_path)


def test_restriction_to_no_class_in_particular_keeps_all(tiny_dataset):
    assert restrict(tiny_dataset, ()) is tiny_dataset


def test_class_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DatasetError, match="digits has no class 10; its classes are 0 … 9"):
        load_dataset(DatasetRef(name="digits", classes=(3, 10)), tmp_path)


def test_a_number_of_classes_that_is_not_theirs_is_refused(tmp_path):
    for split in ("train", "test"):
        for label, name in enumerate(("cat", "dog", "owl")):
            (tmp_path / "pets" / split / name).mkdir(parents=True)
            Image.new("L", (8, 8), 80 * label + 40).save(tmp_path / "pets" / split / name / "0.png")
    pets = DatasetRef(name="pets", format="imagefolder", path="pets", num_classes=3)
    assert load_dataset(pets, tmp_path).info.classes == ("cat", "dog", "owl")
    with pytest.raises(
        DatasetError, match=r"pets: .*pets has 3 classes, not 4; give num_classes: 3"
    ):
        load_dataset(replace(pets, num_classes=4, classes=(0, 3)), tmp_path)


@pytest.mark.gpu
def test_images_live_on_the_device(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    cpu, gpu = (
        load_dataset(DatasetRef(name="digits"), tmp_path, device=device)
        for device in ("cpu", "cuda")
    )
    assert gpu.train.device.type == gpu.test.device.type == "cuda"
    assert cpu.fingerprint == gpu.fingerprint
