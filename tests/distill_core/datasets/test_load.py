import pytest
import torch

from distill_core.datasets.info import REGISTRY, DatasetError
from distill_core.datasets.load import READERS, load_dataset
from distill_core.settings import DatasetRef


def test_every_registered_data_set_has_a_reader():
    assert READERS.keys() == REGISTRY.keys()


def test_sets_carry_the_record(tmp_path):
    data = load_dataset(DatasetRef(name="digits"), tmp_path)
    for images in (data.train, data.test):
        assert (images.name, images.mean, images.std) == ("digits", data.info.mean, data.info.std)
        assert images.classes == len(data.info.classes)
    assert len({data.fingerprint, data.train.fingerprint, data.test.fingerprint}) == 3


def test_normalised_training_images_have_mean_0_and_deviation_1(tmp_path):
    train = load_dataset(DatasetRef(name="digits"), tmp_path).train
    normalised = train.normalise(train.images)
    assert normalised.mean().abs() < 1e-3
    assert (normalised.std() - 1).abs() < 1e-3


def test_unknown_name_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="did you mean 'digits'"):
        load_dataset(DatasetRef(name="digit"), tmp_path)


def test_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(folder, info):
        raise PermissionError(13, "Permission denied", str(tmp_path / "file"))

    monkeypatch.setitem(READERS, "digits", refuse)
    with pytest.raises(DatasetError, match=f"digits: cannot read {tmp_path / 'file'} \\(Permission denied\\)"):
        load_dataset(DatasetRef(name="digits"), tmp_path)


@pytest.mark.gpu
def test_images_live_on_the_device(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    cpu, gpu = (load_dataset(DatasetRef(name="digits"), tmp_path, device=device) for device in ("cpu", "cuda"))
    assert gpu.train.device.type == gpu.test.device.type == "cuda"
    assert cpu.fingerprint == gpu.fingerprint
