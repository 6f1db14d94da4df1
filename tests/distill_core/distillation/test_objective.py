"""The objective against golden values: three steps of DM+IID, IDM and IDM+IID."""

from dataclasses import replace

import pytest
import torch

from distill_core.distillation.dm import DM
from distill_core.distillation.idm import take_class_steps
from distill_core.distillation.losses import (
    class_centralization,
    covariance_matching,
    global_covariance_matching,
    mean_matching,
)
from distill_core.distillation.objective import Objective, compute_gradients, decode_canvases
from distill_core.networks import build_network
from distill_core.settings import DistillationSettings


@pytest.fixture(scope="module")
def networks(fill_parameters):
    """ConvNet and ResNet18 for three classes, with golden parameters."""
    built = [
        build_network(name, channels=3, classes=3, image_size=32)
        for name in ("ConvNet", "ResNet18")
    ]
    return [fill_parameters(network).requires_grad_(False) for network in built]


def by_class(images, classes=3):
    return images.unflatten(0, (classes, -1))


def objective(networks, *, cc, cm, partition=1, ce_weight=0.0):
    settings = DistillationSettings(lambda_cc=cc, lambda_cm=cm, partition=partition)
    return Objective(
        network=networks[0], extractor=networks[1], settings=settings, ce_weight=ce_weight
    )


def gradient_of(matching, images, real, draw, *, class_chunk):
    """The gradient of one set."""
    return compute_gradients([matching], [images], real, draw, class_chunk=class_chunk)[0]


def losses_of(matching, real, synthetic, labels):
    return matching.compute_losses(matching.compute_real_features(real), synthetic, labels)


def test_losses_of_a_step(networks, image, golden):
    real, synthetic = by_class(image(24, 3, 32, 32, 21)), by_class(image(12, 3, 32, 32, 22))
    losses = losses_of(objective(networks, cc=0.05, cm=0.01), real, synthetic, torch.arange(3))
    values = torch.stack([losses[name] for name in ("mean", "cc", "cm")])
    torch.testing.assert_close(values, golden["step/plain/losses"].float(), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("name", "cc", "cm"), [("total", 0.05, 0.01)])
def test_total_gradient(networks, image, golden, name, cc, cm):
    real, synthetic = by_class(image(24, 3, 32, 32, 21)), by_class(image(12, 3, 32, 32, 22))
    gradient, _ = gradient_of(
        objective(networks, cc=cc, cm=cm), synthetic, lambda s: real[s], None, class_chunk=3
    )
    close(gradient, golden[f"step/plain/grad_{name}"])


@pytest.mark.parametrize("name", ["mean", "cc", "cm"])
def test_gradient_of_each_loss(networks, image, golden, name):
    convnet, resnet = networks
    real, leaf = image(24, 3, 32, 32, 21), image(12, 3, 32, 32, 22).requires_grad_()
    real_map, synthetic_map = (
        by_class(convnet.feature_map(real)),
        by_class(convnet.feature_map(leaf)),
    )
    loss = {
        "mean": lambda: mean_matching(real_map.flatten(2), synthetic_map.flatten(2)),
        "cc": lambda: class_centralization(by_class(resnet.embed(leaf))),
        "cm": lambda: covariance_matching(real_map.flatten(3), synthetic_map.flatten(3)),
    }[name]()
    (gradient,) = torch.autograd.grad(loss, leaf)
    close(by_class(gradient), golden[f"step/plain/grad_{name}"])


def test_three_steps(networks, image, golden, tiny_dataset):
    real, images = by_class(image(24, 3, 32, 32, 21)), by_class(image(12, 3, 32, 32, 22))
    velocity = torch.zeros_like(images)
    base = DM(
        tiny_dataset,
        DistillationSettings(network="ConvNetW8D2", lr_img=1.0, momentum_img=0.5),
        seed=0,
    )
    for step in range(3):
        gradient, _ = gradient_of(
            objective(networks, cc=0.05, cm=0.01), images, lambda s: real[s], None, class_chunk=2
        )
        images, velocity = base.update(images, velocity, gradient, last=step == 2)
    close(images, golden["step/plain/syn_after_3"])


def test_global_covariance_is_that_of_the_flattened_feature_map(networks, image):
    real, images = by_class(image(24, 3, 32, 32, 21)), by_class(image(12, 3, 32, 32, 22))
    matching = with_covariance(objective(networks, cc=0, cm=0.01), "global")
    losses = losses_of(matching, real, images, torch.arange(3))
    real_map, synthetic_map = (
        by_class(networks[0].feature_map(x.flatten(0, 1)).flatten(1)) for x in (real, images)
    )
    assert set(losses) == {"mean", "cm"}
    torch.testing.assert_close(
        losses["cm"], global_covariance_matching(real_map, synthetic_map), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize(
    ("name", "cc", "cm", "ce_weight"), [("plain", 0, 0, 0), ("iid", 0.01, 0.03, 0.5 * 30)]
)
def test_idm_iterations(networks, image, golden, name, cc, cm, ce_weight):
    real, images = by_class(image(24, 3, 32, 32, 41)), by_class(image(6, 3, 32, 32, 42))
    matching = objective(networks, cc=cc, cm=cm, partition=2, ce_weight=ce_weight)
    velocity = torch.zeros_like(images)
    for iteration in range(3):
        gradient, _ = gradient_of(matching, images, lambda s: real[s], None, class_chunk=3)
        images, velocity = take_class_steps(
            images, velocity, gradient, lr=0.2, momentum=0.5, last=iteration == 2
        )
    close(images, golden[f"idm/{name}/syn_after_3"])


def test_idm_first_losses(networks, image, golden):
    real, images = by_class(image(24, 3, 32, 32, 41)), by_class(image(6, 3, 32, 32, 42))
    matching = objective(networks, cc=0.01, cm=0.03, partition=2, ce_weight=1.0)
    for c, expected in enumerate(golden["idm/iid/first_losses"]):
        losses = losses_of(
            matching, real[c : c + 1], decode_canvases(images[c : c + 1], 2), torch.tensor([c])
        )
        values = torch.stack([losses[name] for name in ("mean", "cc", "cm", "ce")])
        torch.testing.assert_close(values, expected.float(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("alpha", [None, 0.001])
def test_one_image_a_class_has_no_spread_in_any_features(networks, image, monkeypatch, alpha):
    real, images = by_class(image(24, 3, 32, 32, 21)), by_class(image(3, 3, 32, 32, 22))
    matching = objective(networks, cc=0.05, cm=0.01)
    matching = replace(matching, settings=replace(matching.settings, cc_alpha=alpha, cc_beta=0.25))
    (skipped, losses) = gradient_of(matching, images, lambda s: real[s], None, class_chunk=3)
    monkeypatch.setattr(
        Objective, "_embed", lambda self, s: self._compute_features(self.extractor.embed, s)
    )
    (through, expected) = gradient_of(matching, images, lambda s: real[s], None, class_chunk=3)
    assert torch.equal(skipped, through) and losses == expected


@pytest.mark.parametrize(
    ("chunk", "covariance"), [(1, "local"), (2, "local"), (1, "global"), (2, "global")]
)
def test_chunks_of_classes_change_only_rounding(networks, image, chunk, covariance):
    real, images = by_class(image(24, 3, 32, 32, 21)), by_class(image(12, 3, 32, 32, 22))
    matching = with_covariance(objective(networks, cc=0.05, cm=0.01, ce_weight=2.0), covariance)
    whole, losses = gradient_of(matching, images, lambda s: real[s], None, class_chunk=3)
    parts, part_losses = gradient_of(matching, images, lambda s: real[s], None, class_chunk=chunk)
    close(parts, whole)
    for name, loss in losses.items():
        torch.testing.assert_close(part_losses[name], loss, rtol=1e-4, atol=0)


def test_parts_of_the_forward_pass_change_only_rounding(networks, image):
    real, images = by_class(image(24, 3, 32, 32, 21)), by_class(image(12, 3, 32, 32, 22))
    whole = objective(networks, cc=0.0, cm=0.01)
    parts = replace(whole, forward_images=5)
    expected, _ = gradient_of(whole, images, lambda s: real[s], None, class_chunk=3)
    close(gradient_of(parts, images, lambda s: real[s], None, class_chunk=3)[0], expected)


def test_bfloat16_is_close(networks, image):
    real, images = by_class(image(24, 3, 32, 32, 21)), by_class(image(12, 3, 32, 32, 22))
    exact = objective(networks, cc=0.05, cm=0.01)
    rounded = replace(exact, settings=replace(exact.settings, precision="bf16"))
    expected, _ = gradient_of(exact, images, lambda s: real[s], None, class_chunk=3)
    gradient, losses = gradient_of(rounded, images, lambda s: real[s], None, class_chunk=3)
    assert losses["mean"].dtype == torch.float32
    assert (
        torch.nn.functional.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0) > 0.98
    )
    assert not torch.equal(gradient, expected)


@pytest.mark.parametrize("name", ["ConvNetBN", "ResNet18BN", "AlexNet", "VGG11", "MLP", "ViT"])
def test_every_backbone_gets_both_losses(name, image):
    network = build_network(name, channels=3, classes=3, image_size=32).requires_grad_(False)
    real, images = by_class(image(12, 3, 32, 32, 21)), by_class(image(6, 3, 32, 32, 22))
    matching = objective([network, network], cc=1.0, cm=1.0)
    losses = losses_of(matching, real, images.requires_grad_(), torch.arange(3))
    assert set(losses) == {"mean", "cc", "cm"}
    for loss in losses.values():
        (gradient,) = torch.autograd.grad(loss, images, retain_graph=True)
        assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_class_steps_equal_one_optimizer_step_per_class():
    """Compare with `torch.optim.SGD`, one step per class, on losses that depend on the images."""
    start = torch.randn(
        4, 2, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    scale = torch.arange(1.0, 5.0, dtype=torch.float64)
    reference = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([reference], lr=0.2, momentum=0.5)
    for _ in range(3):
        for c in range(4):
            optimizer.zero_grad()
            (scale[c] * reference[c].square().sum() / 2).backward()
            optimizer.step()
    images, velocity = start.clone(), torch.zeros_like(start)
    for iteration in range(3):
        gradient = scale.view(-1, 1, 1, 1, 1) * images
        images, velocity = take_class_steps(
            images, velocity, gradient, lr=0.2, momentum=0.5, last=iteration == 2
        )
    torch.testing.assert_close(images, reference.detach())


def with_covariance(matching, covariance):
    return replace(matching, settings=replace(matching.settings, covariance=covariance))


def close(actual, expected):
    """Compare with tolerance 1e-3 of the largest entry, as specified for golden gradients."""
    actual, expected = actual.flatten(), expected.flatten().float()
    torch.testing.assert_close(
        actual, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item() * 0.1
    )
