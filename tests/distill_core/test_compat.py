"""Private names of torch are used where they exist; fallbacks replace missing ones."""

import importlib
import io
import pickle
import shutil

import pytest
import torch
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from distill_core import _compat
from distill_core.networks import build_network
from distill_core.runtime.execution import compiled_mode
from distill_core.runtime.winograd import COMPILERS


@pytest.fixture
def without_private_names(monkeypatch):
    """Make all private names of torch unavailable."""

    def refuse(name):
        if name.startswith("torch._"):
            raise ImportError(name)
        return importlib.import_module(name)

    monkeypatch.setattr(_compat, "import_module", refuse)
    monkeypatch.delattr(torch, "_foreach_copy_")


def test_the_installed_torch_has_all_of_the_names():
    for name in (
        "torch._dynamo.exc.FailOnRecompileLimitHit",
        "torch._dynamo.exc.TorchDynamoException",
        "torch._foreach_copy_",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
    ):
        assert _compat.find_private(name, None) is not None, name


@pytest.mark.parametrize("name", ["torch._no_such_module.name", "torch.no_such_name"])
def test_a_missing_name_gives_the_fallback(name):
    assert _compat.find_private(name, "fallback") == "fallback"


def test_the_compilers_errors_are_found():
    assert _compat.find_compile_errors() == (FailOnRecompileLimitHit, TorchDynamoException)


def test_without_its_errors_any_runtime_error_is_a_failure(without_private_names):
    errors = _compat.find_compile_errors()
    assert issubclass(TorchDynamoException, errors.failure)
    assert not issubclass(RuntimeError, errors.limit)


def test_options_of_the_compiler_are_set_within_the_context_each_time():
    config = torch._dynamo.config
    before = config.recompile_limit
    context = _compat.patch_config("torch._dynamo.config", recompile_limit=before + 3)
    for _ in range(2):
        with context:
            assert config.recompile_limit == before + 3
        assert config.recompile_limit == before


def test_unknown_options_of_the_compiler_are_left_out():
    config = torch._dynamo.config
    limit = config.recompile_limit + 3
    with _compat.patch_config("torch._dynamo.config", recompile_limit=limit, no_such_option=1):
        assert config.recompile_limit == limit
        assert not hasattr(config, "no_such_option")


def test_without_a_compiler_configuration_nothing_is_set(without_private_names):
    context = _compat.patch_config("torch._dynamo.config", recompile_limit=1)
    for _ in range(2):
        with context:
            assert torch._dynamo.config.recompile_limit != 1


@pytest.mark.parametrize("fallback", [False, True])
def test_tensors_are_copied(fallback, request):
    if fallback:
        request.getfixturevalue("without_private_names")
    sources = [torch.arange(3.0), torch.ones(2, 2)]
    targets = [torch.zeros(3), torch.zeros(2, 2)]
    places = [target.data_ptr() for target in targets]
    _compat.copy_tensors(targets, sources)
    assert all(map(torch.equal, targets, sources))
    assert [target.data_ptr() for target in targets] == places


class _Unpickler(pickle.Unpickler):
    """Rebuilds tensors by the functions under test."""

    def find_class(self, module, name):
        replaced = {
            "_rebuild_tensor_v2": _compat.rebuild_tensor,
            "_rebuild_parameter": _compat.rebuild_parameter,
        }
        return replaced.get(name) or super().find_class(module, name)


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).view(3, 4)[:, 1:3],
        torch.arange(4, dtype=torch.int64),
        torch.ones(2, requires_grad=True),
        torch.nn.Parameter(torch.arange(6.0).view(2, 3).t()),
        torch.nn.Parameter(torch.ones(2), requires_grad=False),
    ],
    ids=["view", "integers", "leaf", "parameter", "frozen"],
)
def test_pickled_tensors_are_rebuilt(tensor, fallback, request):
    content = pickle.dumps(tensor)
    if fallback:
        request.getfixturevalue("without_private_names")
    rebuilt = _Unpickler(io.BytesIO(content)).load()
    assert type(rebuilt) is type(tensor)
    assert rebuilt.dtype == tensor.dtype
    assert rebuilt.requires_grad == tensor.requires_grad
    assert rebuilt.stride() == tensor.stride()
    assert torch.equal(rebuilt, tensor)


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="needs a C++ compiler")
def test_networks_are_compiled_without_private_names(without_private_names):
    torch._dynamo.reset()
    mode = compiled_mode.__wrapped__(winograd=False)
    network = build_network("MLP", channels=1, classes=2, image_size=4)
    images = torch.randn(3, 1, 4, 4)
    torch.testing.assert_close(mode.run(network, images), network(images))
    assert mode.describe(network) == "compiled"
