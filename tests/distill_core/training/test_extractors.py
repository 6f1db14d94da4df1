import pytest
import torch

from distill_core.networks import build_network
from distill_core.settings import ExtractorSettings
from distill_core.training.extractors import (
    ExtractorError,
    ExtractorPool,
    import_parameters,
    save_parameters,
    train_extractor,
)

SETTINGS = ExtractorSettings(network="ConvNetW8D2", epochs=20, batch_train=16, lr_net=0.02)


def test_training_learns_and_repeats(tiny_dataset):
    network, fit = train_extractor(tiny_dataset, SETTINGS, index=0)
    again, _ = train_extractor(tiny_dataset, SETTINGS, index=0)
    other, _ = train_extractor(tiny_dataset, SETTINGS, index=1)
    assert fit.accuracy > 0.5
    assert torch.equal(network.head.weight, again.head.weight)
    assert not torch.equal(network.head.weight, other.head.weight)


def test_a_pool_gives_back_what_was_saved(tmp_path, tiny_dataset):
    networks = [build_network("ResNet18W8", channels=1, classes=3, image_size=16) for _ in range(2)]
    files = [tmp_path / f"{i}.safetensors" for i in range(2)]
    for network, file in zip(networks, files, strict=True):
        save_parameters(network, file)
    pool = ExtractorPool.load(files, "ResNet18W8", tiny_dataset.info, "cpu")
    assert len(pool) == 2
    images = tiny_dataset.train.normalized(torch.arange(4))
    assert torch.equal(pool.networks[0].embed(images), networks[0].eval().embed(images))
    assert not any(p.requires_grad for n in pool.networks for p in n.parameters())


def test_every_network_is_drawn(tiny_dataset):
    pool = ExtractorPool(
        [build_network("MLP", channels=1, classes=3, image_size=16) for _ in range(3)]
    )
    draws = torch.Generator().manual_seed(0)
    assert {id(pool.draw(draws)) for _ in range(50)} == {id(n) for n in pool.networks}


def test_a_users_state_dict_is_imported(tmp_path, tiny_dataset):
    network = build_network("ResNet18W8", channels=1, classes=3, image_size=16)
    torch.save(
        {f"module.{name}": value for name, value in network.state_dict().items()},
        tmp_path / "net.pt",
    )
    imported = import_parameters(tmp_path / "net.pt", "ResNet18W8", tiny_dataset.info, "cpu")
    assert torch.equal(imported.conv1.weight, network.conv1.weight)


class Trap:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    "content",
    [
        b"no pickle",
        b"hello world",
        b".",
        b"",
        {"conv1.weight": torch.zeros(1)},
        {1: torch.zeros(1)},
        [1, 2],
        Trap(),
        "missing",
    ],
    ids=str,
)
def test_other_files_are_refused_and_never_executed(tmp_path, tiny_dataset, capsys, content):
    file = tmp_path / "net.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content != "missing":
        torch.save(content, file)
    with pytest.raises(ExtractorError, match=r"net\.pt"):
        import_parameters(file, "ResNet18W8", tiny_dataset.info, "cpu")
    assert "executed" not in capsys.readouterr().out
