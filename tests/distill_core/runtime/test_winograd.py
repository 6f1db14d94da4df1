"""Winograd's algorithm compared with the plain sum in float64, and where it is used."""

import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from distill_core.networks import build_network
from distill_core.runtime import winograd as module
from distill_core.runtime.winograd import (
    COMPILERS,
    WinogradConvolutions,
    build_transforms,
    winograd,
)

needs_compiler = pytest.mark.skipif(build_transforms() is None, reason="needs a C++ compiler")


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def gradients(
    convolve: Any, maps: torch.Tensor, weight: torch.Tensor, back: torch.Tensor
) -> list[torch.Tensor]:
    leaves = [one.clone().requires_grad_() for one in (maps, weight)]
    result = convolve(*leaves)
    return [result.detach(), *torch.autograd.grad(result, leaves, back)]


@needs_compiler
@pytest.mark.parametrize(
    "part", [1, 10_000, module.MAX_TILE_NUMBERS], ids=["image by image", "some at once", "at once"]
)
@pytest.mark.parametrize(
    "order", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"]
)
@pytest.mark.parametrize(
    ("images", "channels", "filters", "height", "width"),
    [
        (1, 16, 16, 4, 4),
        (3, 32, 48, 8, 8),
        (2, 128, 64, 16, 16),
        (5, 16, 32, 4, 12),
        (2, 512, 512, 4, 4),
    ],
)
def test_results_and_gradients_are_those_of_float64(
    monkeypatch, part, order, images, channels, filters, height, width
):
    monkeypatch.setattr(module, "MAX_TILE_NUMBERS", part)
    maps, weight = (
        drawn(images, channels, height, width),
        drawn(filters, channels, 3, 3) / (9 * channels) ** 0.5,
    )
    back = drawn(images, filters, height, width)
    maps, back = maps.to(memory_format=order), back.to(memory_format=order)
    found = gradients(winograd, maps, weight, back)
    exact = gradients(
        lambda m, w: F.conv2d(m, w, padding=1), maps.double(), weight.double(), back.double()
    )
    for one, other in zip(found, exact, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-5
        assert float((one - other).abs().max() / other.abs().max()) < 5e-5


@needs_compiler
def test_expanded_gradients_and_weights_in_any_order():
    maps, weight = drawn(2, 16, 8, 8), drawn(16, 32, 3, 3).transpose(0, 1)
    back = torch.ones(()).expand(2, 32, 8, 8)
    found = gradients(winograd, maps, weight, back)
    exact = gradients(
        lambda m, w: F.conv2d(m, w, padding=1), maps.double(), weight.double(), back.double()
    )
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@needs_compiler
def test_within_bf16_it_computes_in_float32():
    maps, weight, back = drawn(2, 16, 8, 8), drawn(16, 16, 3, 3), drawn(2, 16, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradients(winograd, maps, weight, back)
    for one, other in zip(found, gradients(winograd, maps, weight, back), strict=True):
        assert torch.equal(one, other)


@needs_compiler
@pytest.mark.parametrize(
    ("maps", "weight"),
    [
        (drawn(1, 3, 8, 8), drawn(16, 3, 3, 3)),
        (drawn(1, 16, 6, 8), drawn(16, 16, 3, 3)),
        (drawn(1, 16, 8, 8).double(), drawn(16, 16, 3, 3).double()),
    ],
    ids=["channels", "height", "float64"],
)
def test_what_does_not_fit_is_refused(maps, weight):
    with pytest.raises((ValueError, RuntimeError)):
        winograd(maps, weight)


@needs_compiler
def test_arguments_may_be_named():
    maps, weight = drawn(8, 16, 8, 8), drawn(16, 16, 3, 3)
    with WinogradConvolutions():
        found = F.conv2d(input=maps, weight=weight, padding=1)
    assert torch.equal(found, winograd(maps, weight))


@needs_compiler
def test_only_what_needs_a_gradient_is_computed(monkeypatch):
    calls = []
    transform = module._transform
    monkeypatch.setattr(
        module, "_transform", lambda name, *rest: (calls.append(name), transform(name, *rest))
    )
    maps, weight = drawn(1, 16, 4, 4).requires_grad_(), drawn(16, 16, 3, 3)
    winograd(maps, weight).sum().backward()
    assert calls == ["windows", "results"] * 2 and weight.grad is None


@needs_compiler
def test_threads_change_rounding_at_most():
    maps, weight = drawn(4, 16, 8, 8), drawn(16, 16, 3, 3)
    threads = torch.get_num_threads()
    try:
        results = [(torch.set_num_threads(count), winograd(maps, weight))[1] for count in (1, 2)]
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(*results, rtol=0, atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("tests", ["test_schema", "test_autograd_registration", "test_faketensor"])
def test_operators_keep_the_rules_of_their_library(tests):
    maps, weight, back = (
        drawn(2, 16, 8, 4).requires_grad_(),
        drawn(32, 16, 3, 3).requires_grad_(),
        drawn(2, 32, 8, 4),
    )
    torch.library.opcheck(winograd, (maps, weight), test_utils=tests)
    torch.library.opcheck(module.winograd_back, (back, weight.detach()), test_utils=tests)
    torch.library.opcheck(module.winograd_weight, (maps.detach(), back), test_utils=tests)


@dataclass(frozen=True)
class Convolution:
    """Arguments of a convolution with ones."""

    maps: tuple[int, ...] = (32, 16, 4, 4)
    filters: int = 16
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    dilation: int = 1
    groups: int = 1
    dtype: torch.dtype = torch.float32


@needs_compiler
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("convolution", "used"),
    [
        (Convolution(), True),
        (Convolution(maps=(8, 16, 4, 16)), True),
        (Convolution(maps=(31, 16, 4, 4)), False),
        (Convolution(maps=(32, 3, 4, 4)), False),
        (Convolution(filters=8), False),
        (Convolution(maps=(32, 16, 6, 4)), False),
        (Convolution(maps=(32, 16, 4, 6)), False),
        (Convolution(kernel=5, padding=2), False),
        (Convolution(stride=2), False),
        (Convolution(padding=0), False),
        (Convolution(dilation=2), False),
        (Convolution(groups=2), False),
        (Convolution(dtype=torch.float64), False),
    ],
    ids=str,
)
def test_convolutions_that_fit_are_replaced(monkeypatch, convolution, used, bias):
    calls = []
    monkeypatch.setattr(
        module, "winograd", lambda *arguments: (calls.append(1), winograd(*arguments))[1]
    )
    shape = {
        name: getattr(convolution, name)
        for name in ("stride", "padding", "dilation", "groups", "dtype")
    }
    layer = torch.nn.Conv2d(
        convolution.maps[1], convolution.filters, convolution.kernel, bias=bias, **shape
    )
    maps = drawn(*convolution.maps).to(convolution.dtype)
    with WinogradConvolutions():
        result = layer(maps)
    torch.testing.assert_close(result, layer(maps), rtol=0, atol=1e-4)
    assert len(calls) == used


@needs_compiler
@pytest.mark.parametrize("network", ["ConvNetW16", "ResNet18W16", "VGG11"])
def test_networks_are_the_plain_ones_within_rounding(network):
    built_network = build_network(
        network, channels=3, classes=10, image_size=32, generator=torch.Generator().manual_seed(0)
    )
    images = drawn(2, 3, 32, 32)
    with WinogradConvolutions():
        fast = built_network(images)
    plain = built_network(images)
    assert 0 < float((fast - plain).detach().norm() / plain.detach().norm()) < 1e-4


def test_without_a_compiler_there_is_none(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert build_transforms.__wrapped__() is None


def test_compilers_that_fail_leave_none(monkeypatch):
    tried = []

    def failing(command, **options):
        tried.append(command[0])
        raise subprocess.TimeoutExpired(command, 60)

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", failing)
    assert build_transforms.__wrapped__() is None
    assert tuple(tried) == COMPILERS


def test_a_library_that_cannot_be_loaded_leaves_none(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    assert build_transforms.__wrapped__() is None
