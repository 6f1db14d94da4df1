import pytest
import torch
from safetensors.torch import save_file

from distill_core.partition import partition
from distill_core.synthetic_set import SyntheticSet, SyntheticSetError


def make(**changes):
    values = {
        "images": torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 3 - 1,
        "labels": torch.tensor([0, 0, 1, 1]),
        "dataset": "digits",
        "class_names": ("zero", "one"),
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
        "ipc": 2,
        "method": "DM+IID",
        "spec": {"lambda_cc": 0.05},
        "key": "0123456789abcdef",
    }
    return SyntheticSet(**{**values, **changes})


def test_saving_keeps_values_outside_0_1(tmp_path):
    original = make()
    original.save(tmp_path / "set.safetensors")
    loaded = SyntheticSet.load(tmp_path / "set.safetensors")
    assert torch.equal(loaded.images, original.images) and torch.equal(
        loaded.labels, original.labels
    )
    assert (
        loaded.spec == original.spec
        and loaded.class_names == original.class_names
        and loaded.key == original.key
    )
    assert original.images.min() < 0 and original.images.max() > 1


def test_training_images_are_normalized():
    images, labels = make().training_images()
    expected = (make().images[0, 2] - 0.3) / 0.6
    torch.testing.assert_close(images[0, 2], expected)
    assert labels.tolist() == [0, 0, 1, 1]


def test_training_images_are_decoded():
    whole, cut = make(), make(partition=2)
    images, labels = cut.training_images()
    torch.testing.assert_close(images, partition(whole.training_images()[0], 2))
    assert labels.tolist() == [0, 0, 1, 1] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.tensor([0, 0, 1])}, "labels"),
        ({"labels": torch.tensor([0, 0, 1, 2])}, "0…1"),
        ({"mean": (0.1,)}, "1 means"),
        ({"partition": 3}, "partition 3"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(SyntheticSetError, match=message):
        make(**changes)


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "text").write_text("no set")
    save_file({"images": torch.zeros(1)}, tmp_path / "other.safetensors")
    make().save(tmp_path / "cut.safetensors")
    cut = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(cut[: len(cut) // 2])
    for name in ("text", "other.safetensors", "cut.safetensors", "absent"):
        with pytest.raises(SyntheticSetError, match=name):
            SyntheticSet.load(tmp_path / name)


def test_soft_labels_are_kept_and_follow_the_cells(tmp_path):
    soft = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.0, 1.0]])
    make(soft_labels=soft, partition=2).save(tmp_path / "set.safetensors")
    loaded = SyntheticSet.load(tmp_path / "set.safetensors")
    assert torch.equal(loaded.soft_labels, soft)
    images, labels = loaded.training_images()
    assert images.shape[0] == 16 and torch.equal(labels, torch.cat([soft] * 4))
    with pytest.raises(SyntheticSetError, match="a probability of each class"):
        make(soft_labels=soft[:, :1])


def test_sets_without_soft_labels_are_written_for_older_programs(tmp_path):
    import json

    from safetensors import safe_open

    formats = {}
    for name, soft in (("hard", None), ("soft", torch.full((4, 2), 0.5))):
        make(soft_labels=soft).save(tmp_path / name)
        with safe_open(tmp_path / name, framework="pt") as file:
            formats[name] = json.loads(file.metadata()["iid"])["format"]
    assert formats == {"hard": 1, "soft": 2}
