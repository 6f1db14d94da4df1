"""Networks of one's own: every parameter is drawn as its module says, or refused by name."""

import pytest
import torch

from distill_core.networks import build_network, initialize, uses_batch_statistics
from distill_core.settings import SettingsError

HEAD = """
import torch
from torch import nn
from distill_core.networks import Network

class Net(Network):
    def __init__(self, *, channels, classes, image_size):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.extra = make()
        self.classifier = nn.Linear(4 * image_size**2, classes)

    def feature_map(self, x):
        return self.extra(self.conv(x))
"""
SCALE = """
class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x):
        return self.scale * x
"""
RESET = """
    def reset_parameters(self):
        nn.init.ones_(self.scale)
"""


@pytest.fixture
def build(plug_in):
    def build(extra, classes=3, **options):
        plug_in("own_net", HEAD + extra)
        return build_network("own_net:Net", channels=1, classes=classes, image_size=8, **options)

    return build


@pytest.mark.parametrize(
    "norm",
    [
        "nn.InstanceNorm2d(4, affine=True)",
        "nn.BatchNorm2d(4)",
        "nn.PReLU(4, init=1.0)",
        "Scale()",
        "nn.Sequential(Scale(), nn.Sequential(Scale()))",
    ],
)
def test_modules_draw_their_own_parameters(build, norm):
    network = build(f"{SCALE}{RESET}\ndef make():\n    return {norm}\n")
    weights = [v for n, v in network.extra.named_parameters() if "bias" not in n]
    assert weights and all(torch.equal(value, torch.ones_like(value)) for value in weights)
    assert all(not v.any() for n, v in network.extra.named_parameters() if "bias" in n)


def test_random_resets_follow_the_generator_alone(build):
    text = SCALE + RESET.replace("ones_", "normal_") + "\ndef make():\n    return Scale()\n"
    seeds = (1, 2, 1)
    scales = []
    for seed in seeds:
        torch.manual_seed(len(scales))
        before = torch.get_rng_state()
        network = build(text, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(before, torch.get_rng_state())
        scales.append(network.extra.scale.detach().clone())
    assert torch.equal(scales[0], scales[2]) and not torch.equal(scales[0], scales[1])
    parameter = network.extra.scale
    initialize(network, torch.Generator().manual_seed(2))
    assert network.extra.scale is parameter and torch.equal(parameter, scales[1])


def test_attention_and_other_layers_of_torch_are_drawn(build):
    make = (
        "def make():\n    return nn.ModuleList([nn.MultiheadAttention(8, 2), nn.Conv1d(3, 2, 3)])"
    )
    for parameter in build(make).extra.parameters():
        assert parameter.isfinite().all() and parameter.abs().max() < 2


def test_buffers_of_the_constructor_stay(build):
    text = """
class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.0, 2.0, 3.0]))
def make():
    return Fixed()
"""
    assert build(text).extra.mean.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (f"{SCALE}\ndef make():\n    return Scale()", r"extra.scale \(Scale\).*reset_parameters"),
        (
            f"{SCALE}{RESET.replace('ones_(self.scale)', 'ones_(torch.empty(1))')}\n"
            "def make():\n    return Scale()",
            "does not set extra.scale",
        ),
        (
            f"{SCALE}\n    def reset_parameters(self):\n"
            "        self.scale = nn.Parameter(torch.ones(4, 1, 1))\n"
            "def make():\n    return Scale()",
            "does not set extra.scale .* in place",
        ),
        ("def make():\n    return nn.LazyConv2d(4, 1)", "extra.weight is of a lazy module"),
        (
            "def make():\n    return nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1))",
            "without parametrizations",
        ),
        (
            "import warnings\ndef make():\n    warnings.simplefilter('ignore')\n"
            "    return nn.utils.weight_norm(nn.Conv2d(4, 4, 1))",
            "extra.weight_g",
        ),
        ("def make():\n    return nn.ParameterList([torch.ones(2)])", "extra.0"),
        ("def make():\n    raise SystemExit", "SystemExit"),
    ],
)
def test_what_cannot_be_drawn_again_is_refused_by_name(build, make, message):
    with pytest.raises(SettingsError, match=f"'own_net:Net': .*{message}"):
        build(make)


def test_a_missing_head_is_said(plug_in, build):
    text = HEAD.replace("self.classifier", "self.fc")
    plug_in("own_net", text + "\ndef make():\n    return nn.Identity()\n")
    with pytest.raises(SettingsError, match=r"nn.Linear called 'classifier', and Net has none"):
        build_network("own_net:Net", channels=1, classes=3, image_size=8)
    plug_in(
        "own_net", HEAD.replace(", classes)", ", 5)") + "\ndef make():\n    return nn.Identity()"
    )
    with pytest.raises(SettingsError, match="classifier has 5 outputs for 3 classes"):
        build_network("own_net:Net", channels=1, classes=3, image_size=8)


def test_embeddings_are_normal(plug_in, build):
    text = HEAD.replace(
        "        self.extra",
        "        self.token = nn.Parameter(torch.zeros(500))\n        self.extra",
    ).replace("    def __init__", "    embeddings = ('token',)\n    def __init__", 1)
    plug_in("own_net", text + "\ndef make():\n    return nn.Identity()\n")
    network = build_network("own_net:Net", channels=1, classes=3, image_size=8)
    assert 0.015 < network.token.std() < 0.025


@pytest.mark.parametrize("layer", ["BatchNorm1d(4)", "BatchNorm3d(4)", "Dropout(0.5)", "RReLU()"])
def test_layers_that_mix_a_pass_are_known(build, layer):
    assert uses_batch_statistics(build(f"def make():\n    return nn.{layer}\n"))
    assert not uses_batch_statistics(build("def make():\n    return nn.ReLU()\n"))
