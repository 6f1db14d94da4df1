"""Streamed pools return the networks of their files, in any order of requests and prefetches."""

from dataclasses import replace

import pytest
import torch

from distill_core.distillation.loop import distill
from distill_core.networks import build_network
from distill_core.settings import DistillationSettings
from distill_core.training import extractors as pools
from distill_core.training.extractor_streaming import StreamedNetworks, fits_in_memory
from distill_core.training.extractors import ExtractorError, ExtractorPool, save_parameters

NETWORK = "ConvNetW4D1"


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for place, path in enumerate(paths):
        draws = torch.Generator().manual_seed(place)
        save_parameters(
            build_network(NETWORK, channels=1, classes=3, image_size=16, generator=draws), path
        )
    return paths


@pytest.fixture
def streamed(files, tiny_dataset, monkeypatch):
    """The pool on a device without memory for it."""
    monkeypatch.setattr(pools, "get_free_memory", lambda device: 1)
    pool = ExtractorPool.load(files, NETWORK, tiny_dataset.info, "cpu")
    monkeypatch.undo()
    assert isinstance(pool.networks, StreamedNetworks)
    return pool


def test_every_place_has_different_parameters(files, streamed, tiny_dataset):
    resident = ExtractorPool.load(files, NETWORK, tiny_dataset.info, "cpu")
    assert (
        not isinstance(resident.networks, StreamedNetworks) and len(streamed) == len(resident) == 4
    )
    images = tiny_dataset.train.normalized(torch.arange(4))
    for place, ahead in (
        (0, 1),
        (1, 3),
        (3, 3),
        (3, 0),
        (2, 2),
        (0, 0),
        (-1, 1),
    ):  # as announced, and not
        assert torch.equal(
            streamed.networks[place].embed(images), resident.networks[place].embed(images)
        )
        streamed.networks.prefetch(ahead)
    assert torch.equal(streamed.networks[1:][1].embed(images), resident.networks[2].embed(images))
    assert not streamed.networks[0].training
    with pytest.raises(IndexError):
        streamed.networks[4]


def test_a_set_is_the_same_from_a_streamed_pool(files, streamed, tiny_dataset):
    settings = DistillationSettings(
        network=NETWORK, iterations=5, batch_real=8, lambda_cc=0.05, lambda_cm=0.01
    )
    resident = ExtractorPool.load(files, NETWORK, tiny_dataset.info, "cpu")
    one, other, without = (
        distill(tiny_dataset, chosen, ipc=2, seed=0, extractors=pool)
        for chosen, pool in (
            (settings, resident),
            (settings, streamed),
            (replace(settings, lambda_cc=0.0), resident),
        )
    )
    assert torch.equal(one.images, other.images) and not torch.equal(one.images, without.images)


def test_a_damaged_file_is_named_when_it_is_reached(files, streamed):
    files[2].write_bytes(b"damaged")
    streamed.networks[1]
    streamed.networks.prefetch(2)
    with pytest.raises(ExtractorError, match=r"2\.safetensors cannot be read"):
        streamed.networks[2]
    assert streamed.networks[0] is streamed.networks[1]


def test_a_missing_file_is_named(files, tiny_dataset, monkeypatch):
    monkeypatch.setattr(pools, "get_free_memory", lambda device: 10**9)
    with pytest.raises(ExtractorError, match=r"gone\.safetensors cannot be read"):
        ExtractorPool.load(
            [*files, files[0].with_name("gone.safetensors")], NETWORK, tiny_dataset.info, "cpu"
        )


def test_a_quarter_of_the_free_memory_is_the_bound(files):
    size = sum(file.stat().st_size for file in files)
    assert (
        fits_in_memory(files, None)
        and fits_in_memory(files, 4 * size)
        and not fits_in_memory(files, 4 * size - 1)
    )
