"""Extractors come from ordinary training checkpoints, and no message advises to load unsafely."""

import argparse

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from distill_core.networks import build_network
from distill_core.training.extractors import ExtractorError, import_parameters


@pytest.fixture(scope="module")
def network():
    return build_network("MLP", channels=1, classes=3, image_size=16)


def prefix(network, text):
    return {f"{text}{name}": value for name, value in network.state_dict().items()}


FORMS = {
    "state_dict": lambda n: {"state_dict": n.state_dict(), "epoch": 3, "best": 0.5},
    "net": lambda n: {"net": n.state_dict(), "acc": np.float64(0.9), "epoch": 199},
    "model": lambda n: {"model": n.state_dict(), "optimizer": {"lr": 0.1}, "args": [1]},
    "namespace": lambda n: {"model": n.state_dict(), "args": argparse.Namespace(lr=0.1)},
    "nested": lambda n: {"checkpoint": 1, "model": {"state_dict": n.state_dict()}},
    "compiled": lambda n: {"model": prefix(n, "_orig_mod.")},
    "compiled on several GPUs": lambda n: prefix(n, "module._orig_mod."),
    "Lightning": lambda n: {"state_dict": prefix(n, "model."), "hyper_parameters": {}},
}


@pytest.mark.parametrize("form", FORMS)
def test_checkpoints_of_training_scripts(form, network, tmp_path, tiny_dataset):
    torch.save(FORMS[form](network), tmp_path / "net.pth")
    imported = import_parameters(tmp_path / "net.pth", "MLP", tiny_dataset.info, "cpu")
    for name, value in network.state_dict().items():
        assert torch.equal(imported.state_dict()[name], value)


def test_a_file_of_safetensors(network, tmp_path, tiny_dataset):
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    imported = import_parameters(tmp_path / "net.safetensors", "MLP", tiny_dataset.info, "cpu")
    assert all(map(torch.equal, imported.state_dict().values(), network.state_dict().values()))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"optimizer": {"lr": 1}}, "not a state_dict"),
        ([1, 2], "not a state_dict"),
    ],
)
def test_what_is_refused_and_how(content, says, tmp_path, tiny_dataset):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ExtractorError, match=r"net\.pth") as refusal:
        import_parameters(tmp_path / "net.pth", "MLP", tiny_dataset.info, "cpu")
    said = str(refusal.value)
    assert says in said and "state_dict()" in said and "\n" not in said
    assert "weights_only" not in said and "\x1b" not in said and len(said) < 500
