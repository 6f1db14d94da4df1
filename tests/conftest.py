"""Inputs that a closed formula defines, and the values the published method gives on them (see
golden/README.md).
"""

import importlib
import json
import logging
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset

GOLDEN = Path(__file__).parent / "golden"


def _wave(shape, k):
    i = np.arange(math.prod(shape), dtype=np.float64)
    values = 0.6 * np.sin(0.7 * i + 1.3 * k) + 0.4 * np.sin(0.013 * i * (1 + 0.1 * k))
    return torch.from_numpy(values).reshape(shape)


def _image(n, c, h, w, k):
    return (1.5 * _wave((n, c, h, w), k)).float()


def _fill_parameters(network):
    """Give a network the golden parameters, in place."""
    entries = [
        (n, v)
        for n, v in network.state_dict().items()
        if v.is_floating_point() and "running_" not in n
    ]
    with torch.no_grad():
        for k, (name, value) in enumerate(entries):
            wave = _wave(tuple(value.shape), k)
            if value.dim() >= 2:
                wave = wave * math.sqrt(2 / math.prod(value.shape[1:]))
            else:
                wave = 1 + 0.1 * wave if name.endswith("weight") else 0.1 * wave
            value.copy_(wave)
    return network


def pytest_collection_modifyitems(items):
    for item in items:
        if "nightly" in item.keywords and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(2 * 3600))


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory):
    """Keep what is remembered of data sets out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """A function that writes a module which can be imported here and in processes started here."""
    folder = tmp_path / "plug_ins"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    inherited = [path for path in [os.environ.get("PYTHONPATH", "")] if path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *inherited]))
    written = []

    def write(name, text):
        (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        written.append(name)
        return folder / f"{name}.py"

    yield write
    for name in written:
        sys.modules.pop(name, None)


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
    """For every network `net/<name>_<channels>x<size>_<classes>` the names and shapes of its
    parameters, in order.
    """
    return json.loads((GOLDEN / "parameters.json").read_text())


@pytest.fixture(scope="session")
def cifar10_parquet():
    """Folder with CIFAR-10 (JPEG) as Parquet; the test is skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "cifar10"
    if not (folder / "train.parquet").exists():
        pytest.skip(f"needs CIFAR-10 as Parquet in {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_dataset():
    """Three classes of 16×16 gray images that differ in brightness and noise: 20 training and 10
    test images each.
    """
    generator = torch.Generator().manual_seed(0)

    def images(count):
        labels = torch.arange(3).repeat_interleave(count)
        level = 60.0 + 50 * labels.float().view(-1, 1, 1, 1)
        noise = 40 * torch.randn(len(labels), 1, 16, 16, generator=generator)
        return (level + noise).clamp(0, 255).to(torch.uint8), labels

    statistics = {"name": "tiny", "mean": (0.4,), "std": (0.25,)}
    train, test = (ImageSet.build(*images(count), classes=3, **statistics) for count in (20, 10))
    info = DatasetInfo(
        **statistics,
        title="Tiny",
        channels=1,
        image_size=16,
        classes=("dark", "gray", "light"),
        train_images=60,
        test_images=30,
        source="made by the tests",
    )
    return Dataset(info=info, train=train, test=test, fingerprint="0" * 16)


@pytest.fixture(autouse=True)
def log_handlers():
    """Remove the handlers that a command of this test added: other tests look at the terminal."""
    loggers = [logging.getLogger(name) for name in ("orchestrator", "distill_core")]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture(scope="module")
def no_ray():
    """Stop the Ray that earlier modules share, for tests that start or join another."""
    import ray

    ray.shutdown()


VISIBLE_GPUS = os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Show each test the GPUs that the first one saw: a unit computed in this process hides
    them.
    """
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if VISIBLE_GPUS is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = VISIBLE_GPUS
