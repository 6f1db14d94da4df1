"""One pass through custom networks and bases before anything starts."""

from dataclasses import replace

import pytest
import torch

from distill_core.api import build_synthetic_set, distill_set, evaluate_set
from distill_core.distillation.check_parts import check_network
from distill_core.distillation.loop import distill, distill_cohort
from distill_core.distillation.run import SetRun
from distill_core.evaluation.evaluate import TrainingSet, evaluate_network
from distill_core.networks import network_for
from distill_core.settings import DistillationSettings, EvaluationSettings, SettingsError

NET = """
import torch
from torch import nn
from torch.nn import functional as F
from distill_core.networks import Network

class Net(Network):
    def __init__(self, *, channels, classes, image_size):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.drop = {drop}
        self.classifier = nn.Linear(4 * image_size**2, classes)

    def feature_map(self, x):
        {feature_map}

    def head_input(self, maps):
        {head_input}
"""
FLAT = "return maps.flatten(1)"


@pytest.fixture
def network(plug_in):
    def network(feature_map="return F.relu(self.conv(x))", head_input=FLAT, drop="None"):
        parts = {"feature_map": feature_map, "head_input": head_input, "drop": drop}
        plug_in("own_net", NET.format(**parts))
        return "own_net:Net"

    return network


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"feature_map": "return self.conv(x).flatten(1)"}, r"feature_map gives shape \(16, "),
        ({"feature_map": "return self.conv(x), 1"}, "feature_map gives a tuple of shape"),
        ({"feature_map": "return self.conv(x.mean(0, keepdim=True))"}, r"feature_map gives .*\(1,"),
        ({"head_input": "return maps"}, "head_input gives shape"),
        (
            {"head_input": "return maps.mean((2, 3))"},
            r"failed on images \(\d+, 1, 16, 16\): Runtime",
        ),
        ({"feature_map": "return self.cov(x)"}, "AttributeError: .*cov"),
        ({"feature_map": "return self.conv(x.mul_(2))"}, "changes its input in place"),
        ({"feature_map": "return self.conv(x.detach())"}, "do not depend on the images"),
        (
            {"feature_map": "x = self.conv(x); return x - x.mean(0)"},
            "depend on the other images of a pass",
        ),
        ({"feature_map": "return F.dropout(self.conv(x))"}, "or are random"),
    ],
)
def test_what_a_network_does_wrong_is_said_with_shapes(network, tiny_dataset, parts, message):
    if "head_input" in message:
        message = f"network 'own_net:Net': {message}"
    settings = DistillationSettings(network=network(**parts), iterations=1, batch_real=4)
    with pytest.raises(SettingsError, match=message):
        distill(tiny_dataset, settings, ipc=1, seed=0)


def test_views_of_activations_work_everywhere(network, tiny_dataset):
    """One-channel images have ambiguous strides, in which convolutions answer out of order."""
    name = network(
        "x = self.conv(x); return x.view(len(x), -1).view(x.shape)",
        "return maps.view(len(maps), -1)",
    )
    settings = DistillationSettings(network=name, iterations=1, batch_real=4, partition=2)
    distilled = distill_set(tiny_dataset, settings, ipc=1)
    evaluated = evaluate_set(
        distilled, tiny_dataset, EvaluationSettings(num_eval=1, epoch_eval_train=2), network=name
    )
    assert len(evaluated) == 1
    strided = torch.rand(6, 16, 16, 1).permute(0, 3, 1, 2)
    training = TrainingSet.from_tensors(strided, torch.arange(6) % 3, "cpu")
    evaluate_network(
        training,
        tiny_dataset.test,
        tiny_dataset.info,
        EvaluationSettings(num_eval=1, epoch_eval_train=1, dsa_strategy="none"),
        network=name,
        seed=0,
        index=0,
    )


def test_dropout_is_seeded_in_the_library_as_in_units(network, tiny_dataset):
    name = network("return self.drop(F.relu(self.conv(x)))", drop="nn.Dropout(0.5)")
    settings = DistillationSettings(network=name, iterations=3, batch_real=4)
    sets, accuracies = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        sets.append(distill_set(tiny_dataset, settings, ipc=1).images)
        distilled = build_synthetic_set(
            torch.randn(3, 1, 1, 16, 16, generator=torch.Generator().manual_seed(0)),
            tiny_dataset.info,
            method="x",
        )
        budget = EvaluationSettings(num_eval=2, epoch_eval_train=5)
        networks = evaluate_set(distilled, tiny_dataset, budget, network=name)
        accuracies.append([each.fit.loss for each in networks])
    assert torch.equal(*sets) and accuracies[0] == accuracies[1]
    assert accuracies[0][0] != accuracies[0][1]


def test_dropout_and_global_draws_are_the_same_alone_in_a_cohort_and_resumed(
    network, tiny_dataset, plug_in
):
    plug_in("own_loss", "import torch\ndef f(r, s):\n    return (s * torch.rand_like(s)).sum()\n")
    name = network("return self.drop(F.relu(self.conv(x)))", drop="nn.Dropout(0.5)")
    base = DistillationSettings(network=name, iterations=4, batch_real=4, lr_img=0.01)
    cells = [
        replace(base, loss="own_loss:f"),
        base,
        replace(base, loss="own_loss:f", lambda_cm=1e-3),
    ]
    alone = [distill(tiny_dataset, cell, ipc=2, seed=0) for cell in cells]
    together = distill_cohort(tiny_dataset, [SetRun(settings=c) for c in cells], ipc=2, seed=0)
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.images, other.images)
    half = distill(tiny_dataset, replace(cells[0], iterations=2), ipc=2, seed=0)
    resumed = distill(tiny_dataset, cells[0], ipc=2, seed=0, resume=half)
    assert torch.equal(resumed.images, alone[0].images)
    chunked = distill(tiny_dataset, cells[1], ipc=2, seed=0, class_chunk=1)
    assert torch.equal(chunked.images, alone[1].images), "dropout: one pass for all classes"


@pytest.mark.parametrize(
    ("draw", "update", "message"),
    [
        ("return self.network", "return images, velocity", "draw returned .* ConvNet; .*Matching"),
        ("return M(self.network)", "return images", r"update returned shape \(3, 1, 1, 16, 16\)"),
        ("return M(self.network)", "return images[0], velocity", ".*both of shape"),
    ],
)
def test_what_a_base_does_wrong_is_said(plug_in, tiny_dataset, draw, update, message):
    plug_in(
        "own_base",
        f"""
from distill_core.distillation.base import MatchingNetwork as M
from distill_core.networks import network_for

class Base:
    def __init__(self, dataset, settings, seed):
        self.network = network_for(dataset.info, settings.network, "cpu").requires_grad_(False)
    def draw(self, iteration):
        {draw}
    def update(self, images, velocity, gradient, *, last):
        {update}
    def after(self, iteration): pass
    def tensors(self): return {{}}
    def restore(self, tensors, iteration): pass
""",
    )
    settings = DistillationSettings(
        network="ConvNetW8D1", base="own_base:Base", iterations=1, batch_real=4
    )
    with pytest.raises(SettingsError, match=f"base 'own_base:Base': {message}"):
        distill(tiny_dataset, settings, ipc=1, seed=0)


@pytest.mark.parametrize("name", ["ConvNetW8D1", "ConvNetW8D1BN", "ResNet18W16", "MLP"])
def test_shipped_networks_pass_the_check(name, tiny_dataset):
    check_network(name, network_for(tiny_dataset.info, name, "cpu"), tiny_dataset)
