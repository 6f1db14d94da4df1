import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from distill_core.networks import (
    Network,
    build_network,
    initialize,
    list_network_names,
    parse_network_name,
    uses_batch_statistics,
)
from distill_core.settings import SettingsError

FAMILIES = ["ConvNet", "AlexNet", "VGG11", "ResNet18W16", "ResNet18W16AP", "MLP", "LeNet", "ViT"]


def build(name, *, channels=3, classes=10, image_size=32, **options):
    return build_network(name, channels=channels, classes=classes, image_size=image_size, **options)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def parameters_of(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def golden_case(key):
    """Split net/<name>_<channels>x<size>_<classes>."""
    name, shape, classes = key.removeprefix("net/").rsplit("_", 2)
    channels, size = shape.split("x")
    return name, {"channels": int(channels), "classes": int(classes), "image_size": int(size)}


def assert_golden(actual, expected, key):
    tolerance = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(
        actual, expected, rtol=1e-4, atol=tolerance, msg=lambda text: f"{key}: {text}"
    )


def test_golden(golden, golden_parameters, fill_parameters, image):
    assert len(golden_parameters) == 23
    for key, entries in golden_parameters.items():
        name, shape = golden_case(key)
        network = build(name, **shape)
        state = {
            n: v
            for n, v in network.state_dict().items()
            if v.is_floating_point() and "running_" not in n
        }
        assert [[n, list(v.shape)] for n, v in state.items()] == entries, key

        fill_parameters(network).eval()
        images = image(2, shape["channels"], shape["image_size"], shape["image_size"], 7)
        with torch.no_grad():
            logits, embedding = network(images), network.embed(images)
        assert_golden(logits, golden[f"{key}/logits"], key)
        if f"{key}/embed_norm" in golden:
            norm, width = golden[f"{key}/embed_norm"].tolist()
            assert embedding.shape == (2, width), key
            assert embedding.norm().item() == pytest.approx(norm, rel=1e-4), key
            assert_golden(embedding[:, :16], golden[f"{key}/embed_head"], key)


@pytest.mark.parametrize("name", list_network_names())
def test_every_name_learns_and_its_parts_agree(name):
    network = build(name)
    images = torch.randn(2, 3, 32, 32, generator=seeded(0), requires_grad=True)
    nn.functional.cross_entropy(network(images), torch.tensor([0, 1])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert images.grad.abs().sum() > 0

    network.eval()
    with torch.no_grad():
        feature_map = network.feature_map(images)
        embedding = network.embed(images)
        assert isinstance(network, Network)
        assert feature_map.dim() == 4
        assert embedding.shape == (2, network.head.in_features)
        torch.testing.assert_close(network.head_input(feature_map), embedding)
        torch.testing.assert_close(network.logits(feature_map), network(images))
        torch.testing.assert_close(network.head(embedding), network(images))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("channels", "image_size"), [(1, 28), (3, 64), (3, 36)])
def test_other_image_sizes(name, channels, image_size):
    network = build(name, channels=channels, image_size=image_size, classes=7)
    images = torch.randn(2, channels, image_size, image_size, generator=seeded(0))
    with torch.no_grad():
        assert network(images).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "image_size", "shape"),
    [
        ("ConvNet", 32, (128, 4, 4)),
        ("ConvNetW16D2", 32, (16, 8, 8)),
        ("ConvNetNP", 32, (128, 32, 32)),
        ("AlexNet", 32, (192, 4, 4)),
        ("VGG11", 64, (512, 2, 2)),
        ("ResNet18", 32, (512, 4, 4)),
        ("ResNet50AP", 32, (2048, 4, 4)),
        ("MLP", 32, (128, 1, 1)),
        ("LeNet", 28, (16, 5, 5)),
        ("ViT", 32, (192, 8, 8)),
    ],
)
def test_feature_map_is_the_last_one_before_the_head(name, image_size, shape):
    network = build(name, image_size=image_size)
    with torch.no_grad():
        assert network.feature_map(torch.zeros(1, 3, image_size, image_size)).shape == (1, *shape)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("ConvNetAS", nn.Sigmoid),
        ("ConvNetAR", nn.ReLU),
        ("ConvNetAL", nn.LeakyReLU),
        ("ConvNetASwish", nn.SiLU),
        ("ConvNetBN", nn.BatchNorm2d),
        ("ConvNetLN", nn.LayerNorm),
        ("ConvNetIN", nn.GroupNorm),
        ("ConvNetMP", nn.MaxPool2d),
        ("ConvNetAP", nn.AvgPool2d),
        ("VGG16", nn.GroupNorm),
        ("VGG16BN", nn.BatchNorm2d),
    ],
)
def test_variations_have_their_layer(name, layer):
    assert any(isinstance(module, layer) for module in build(name).modules())


def test_variations_combine():
    network = build("ConvNetW16D2ASwishBNMP")
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.SiLU, nn.MaxPool2d]
    assert [type(layer) for layer in network.features] == kinds * 2
    assert network.head.in_features == 16 * 8 * 8
    assert build("ConvNetAL").features[2].negative_slope == 0.01
    assert build("ResNet18W16").head.in_features == 128


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [
        ("VGG11", 8),
        ("VGG13", 10),
        ("VGG16", 13),
        ("VGG19", 16),
        ("ResNet18", 17),
        ("ResNet34", 33),
        ("ResNet50", 49),
        ("ResNet50BN_AP", 49),
        ("ConvNetD4", 4),
        ("AlexNet", 5),
    ],
)
def test_depth(name, convolutions):
    found = [
        n
        for n, module in build(name).named_modules()
        if isinstance(module, nn.Conv2d) and "shortcut" not in n
    ]
    assert len(found) == convolutions


def test_batch_statistics():
    with_batch_norm = {name for name in list_network_names() if uses_batch_statistics(build(name))}
    assert with_batch_norm == {name for name in list_network_names() if "BN" in name}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("convnet", "ConvNet"),
        ("Resnet18", "ResNet18"),
        ("ResNet18_BN", "ResNet18BN"),
        ("VGG12", "VGG1"),
        ("vit", "ViT"),
        ("ConvNetW0", "ConvNet"),
        ("ConvNetD3W32", "ConvNet"),
        ("ConvNet ", "ConvNet"),
    ],
)
def test_unknown_name_gives_the_nearest(name, nearest):
    with pytest.raises(SettingsError, match=f"unknown network '{name}': did you mean {nearest}"):
        build(name)


def test_hopeless_name_gives_all_names():
    with pytest.raises(SettingsError, match=r"'qqq': known are ConvNet, .*ViT"):
        parse_network_name("qqq")


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        ("ConvNetD6", 32),
        ("VGG11", 16),
        ("ResNet18", 8),
        ("LeNet", 8),
        ("ViT", 30),
        ("ConvNetW6GN", 32),
    ],
)
def test_network_that_does_not_fit_is_an_error(name, image_size):
    with pytest.raises(SettingsError, match=f"network '{name}': "):
        build(name, image_size=image_size)


def test_names_are_checked_without_torch():
    code = (
        "import sys, distill_core.networks as n; n.parse_network_name('ConvNetW16');"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["ConvNetBN", "ResNet18W16", "LeNet", "ViT"])
def test_initialize_depends_on_the_generator_alone(name):
    network = build(name, generator=seeded(1))
    first = parameters_of(network)
    before = torch.random.get_rng_state()
    network.train()(torch.randn(2, 3, 32, 32, generator=seeded(0)))
    identities = [id(parameter) for parameter in network.parameters()]

    initialize(network, seeded(2))
    assert not torch.equal(parameters_of(network), first)
    initialize(network, seeded(1))
    assert torch.equal(parameters_of(network), first)
    assert torch.equal(parameters_of(build(name, generator=seeded(1))), first)
    assert all(
        torch.equal(a, b) for a, b in zip(network.buffers(), build(name).buffers(), strict=True)
    )
    assert [id(parameter) for parameter in network.parameters()] == identities
    assert torch.equal(torch.random.get_rng_state(), before)


def test_building_is_reproducible_and_leaves_the_global_random_state():
    before = torch.random.get_rng_state()
    networks = [build("ConvNetW16"), build("ConvNetW16")]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(*map(parameters_of, networks))
    assert not torch.equal(
        parameters_of(build("ConvNetW16D2"))[:100], parameters_of(networks[0])[:100]
    )
    assert all(p.device.type == "cpu" and p.requires_grad for p in networks[0].parameters())


@pytest.mark.parametrize("name", ["ConvNet", "AlexNetBN", "ResNet18W16AP", "LeNet", "MLP", "ViT"])
def test_initialize_follows_pytorch_defaults(name):
    """Every large tensor has the bounds and the spread of PyTorch's default initialization."""
    network = build(name, generator=seeded(3))
    reference = copy.deepcopy(network)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        for module in reference.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    for (key, ours), theirs in zip(network.named_parameters(), reference.parameters(), strict=True):
        if key == "position":
            assert ours.std().item() == pytest.approx(0.02, rel=0.05)
        elif theirs.std() == 0:
            assert torch.equal(ours, theirs), key
        elif ours.numel() > 2000:
            assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05), key
            assert ours.mean().item() == pytest.approx(0, abs=0.1 * ours.std().item()), key
            assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.01), (
                key
            )
        else:
            fan_in = network.get_submodule(key.rpartition(".")[0]).weight[0].numel()
            assert 0 < ours.abs().max() <= fan_in**-0.5, key


@pytest.mark.parametrize("name", ["ConvNetW16", "VGG11BN", "ResNet18W16AP", "ViT"])
def test_networks_compile_and_call_functionally(name):
    network = build(name).eval()
    images = torch.randn(2, 3, 32, 32, generator=seeded(0))
    with torch.no_grad():
        expected = network(images)
        compiled = torch.compile(network, backend="eager", fullgraph=True)(images)
        parameters = {n: p + 0 for n, p in network.named_parameters()}
        called = torch.func.functional_call(network, parameters, (images,))
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(called, expected)


def test_several_networks_train_at_once():
    networks = [build("ConvNetW16", generator=seeded(seed)) for seed in range(3)]
    stacked, _ = torch.func.stack_module_state(networks)
    images = torch.randn(2, 3, 32, 32, generator=seeded(0))
    skeleton = copy.deepcopy(networks[0])

    def loss(parameters):
        return torch.func.functional_call(skeleton, parameters, (images,)).square().sum()

    gradients = torch.func.vmap(torch.func.grad(loss))(stacked)
    for i, network in enumerate(networks):
        network(images).square().sum().backward()
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(gradients[key][i], parameter.grad, rtol=1e-4, atol=1e-5)
