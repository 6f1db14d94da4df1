"""All private names of torch that this project uses, each with a fallback.

Private names may disappear with any release of torch. The fallbacks give the same results; their
docstrings say what they cost. Names are looked up when they are needed, because torch's compiler
takes seconds to import.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class _NeverRaised(Exception):
    """Replaces an exception that the installed torch does not have."""


class CompileErrors(NamedTuple):
    """Exceptions that a compiled function raises when it is called."""

    limit: type[Exception]
    """The limit of compiled shapes is reached."""
    failure: type[Exception]
    """The function cannot be compiled."""


def find_private(path: str, fallback: Any) -> Any:
    """Return the object with a dotted name, such as `torch._utils._rebuild_parameter`.

    Args:
        path: module and name.
        fallback: returned where the installed torch has no such module or name.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return fallback


def find_compile_errors() -> CompileErrors:
    """Return the exceptions of the compiler.

    As a fallback, any RuntimeError in a compiled function counts as a failed compilation. An error
    of the network itself is then raised again by the eager call that follows.
    """
    return CompileErrors(
        limit=find_private("torch._dynamo.exc.FailOnRecompileLimitHit", _NeverRaised),
        failure=find_private("torch._dynamo.exc.TorchDynamoException", RuntimeError),
    )


def patch_config(module: str, **options: object) -> AbstractContextManager[Any]:
    """Return a reusable context in which options of the compiler have other values.

    Options that the installed torch does not know are left out. Then torch's default limit of
    recompilations applies, or backward passes are compiled at their first call.

    Args:
        module: such as `torch._dynamo.config`.
        options: values by name.
    """
    try:
        config = import_module(module)
    except ImportError:
        return nullcontext()
    known = {option: value for option, value in options.items() if hasattr(config, option)}
    if not hasattr(config, "patch"):
        return nullcontext()
    context: AbstractContextManager[Any] = config.patch(**known)
    return context


def copy_tensors(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy tensors of one type into others of their shapes.

    `torch._foreach_copy_` needs few kernel launches; the fallback launches one copy per tensor.
    """
    copy = find_private("torch._foreach_copy_", None)
    if copy is not None:
        copy(list(targets), list(sources), non_blocking=True)
        return
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source, non_blocking=True)


def rebuild_tensor(
    storage: Any,
    offset: int,
    size: Sequence[int],
    stride: Sequence[int],
    requires_grad: bool,
    hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """Build a tensor over a storage, as `torch._utils._rebuild_tensor_v2` in pickles does.

    The fallback drops hooks and metadata, which sets of images do not have.
    """
    rebuild = find_private("torch._utils._rebuild_tensor_v2", None)
    if rebuild is not None:
        tensor: Tensor = rebuild(storage, offset, size, stride, requires_grad, hooks, metadata)
        return tensor
    plain = torch.empty(0, dtype=storage.dtype, device=storage.device)
    plain = plain.set_(storage.untyped(), offset, torch.Size(size), tuple(stride))
    return plain.requires_grad_(requires_grad)


def rebuild_parameter(data: Tensor, requires_grad: bool, hooks: Any) -> nn.Parameter:
    """Build a parameter, as `torch._utils._rebuild_parameter` in pickles does."""
    rebuild = find_private("torch._utils._rebuild_parameter", None)
    if rebuild is not None:
        parameter: nn.Parameter = rebuild(data, requires_grad, hooks)
        return parameter
    return nn.Parameter(data, requires_grad)
