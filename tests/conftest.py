"""Inputs that a closed formula defines, and the values the published method gives on them (see golden/README.md)."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"


def _wave(shape, k):
    i = np.arange(math.prod(shape), dtype=np.float64)
    values = 0.6 * np.sin(0.7 * i + 1.3 * k) + 0.4 * np.sin(0.013 * i * (1 + 0.1 * k))
    return torch.from_numpy(values).reshape(shape)


def _image(n, c, h, w, k):
    return (1.5 * _wave((n, c, h, w), k)).float()


def _fill_parameters(network):
    """Give a network the golden parameters, in place."""
    entries = [(n, v) for n, v in network.state_dict().items() if v.is_floating_point() and "running_" not in n]
    with torch.no_grad():
        for k, (name, value) in enumerate(entries):
            wave = _wave(tuple(value.shape), k)
            if value.dim() >= 2:
                wave = wave * math.sqrt(2 / math.prod(value.shape[1:]))
            else:
                wave = 1 + 0.1 * wave if name.endswith("weight") else 0.1 * wave
            value.copy_(wave)
    return network


@pytest.fixture(scope="session")
def wave():
    return _wave


@pytest.fixture(scope="session")
def image():
    return _image


@pytest.fixture(scope="session")
def fill_parameters():
    return _fill_parameters


@pytest.fixture(scope="session")
def golden():
    """All golden arrays by name."""
    values = {}
    for name in ("steps", "idm"):
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            values.update({key: torch.from_numpy(arrays[key]) for key in arrays.files})
    return values


@pytest.fixture(scope="session")
def golden_parameters():
    """For every network `net/<name>_<channels>x<size>_<classes>` the names and shapes of its parameters, in order."""
    return json.loads((GOLDEN / "parameters.json").read_text())


@pytest.fixture(scope="session")
def cifar10_parquet():
    """Folder with CIFAR-10 (JPEG) as Parquet; the test is skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "cifar10"
    if not (folder / "train.parquet").exists():
        pytest.skip(f"needs CIFAR-10 as Parquet in {folder}")
    return folder
