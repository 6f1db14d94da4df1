"""Parameters of networks that other programs trained, from their checkpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distill_core.importers.files.file_kinds import detect_file_kind
from distill_core.importers.files.safe_loading import load_objects
from distill_core.importers.raw_set import ImportSetError

ENTRIES = (
    "state_dict", "model_state_dict", "model_state", "net", "model", "network", "module", "params",
    "parameters", "weights", "net_state_dict", "student", "backbone",
)  # fmt: skip
"""Names that training scripts give the parameters in a checkpoint, likely ones first."""
PREFIXES = ("module.", "_orig_mod.")
"""What multi-GPU training and torch.compile put before every name."""
WRAPPERS = ("model.", "net.", "network.", "backbone.", "encoder.")
"""Attributes of wrappers, such as those of Lightning, if all names begin with one."""


class CheckpointError(ValueError):
    """A file holds no parameters that can be read; the message names it and says what to do."""


def read_parameters(file: Path, expected: Sequence[str]) -> dict[str, Tensor]:
    """Read parameters by name from a checkpoint; nothing in it is executed.

    Args:
        file: of torch.save or safetensors: a `state_dict`, or a dictionary with one in it.
        expected: names of the parameters that the network has.

    Raises:
        CheckpointError: it is damaged, or holds objects, or no parameters.
    """
    try:
        if detect_file_kind(file) == "safetensors":
            content: object = load_file(file)
        else:
            content = load_objects(file, allow_pickle=False).value
    except ImportSetError as error:
        reason = str(error).replace(", which is not part of a set of images", "")
        raise CheckpointError(
            f"{reason}; save the parameters alone: torch.save(network.state_dict(), …)"
        ) from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    found = _find_parameters(content)
    if found is None:
        raise CheckpointError(
            f"{file} holds no tensors by name, not even under {', '.join(ENTRIES[:5])}, so it is"
            " not a state_dict; save one: torch.save(network.state_dict(), …)"
        )
    return _strip(found, expected)


def _find_parameters(content: object, depth: int = 0) -> Mapping[str, Tensor] | None:
    """Return tensors by name, in a dictionary or in its entries."""
    if not isinstance(content, Mapping) or not content:
        return None
    if all(isinstance(n, str) and isinstance(v, Tensor) for n, v in content.items()):
        return content
    if depth < 3:
        for name in ENTRIES:
            if (found := _find_parameters(content.get(name), depth + 1)) is not None:
                return found
    return None


def _strip(parameters: Mapping[str, Tensor], expected: Sequence[str]) -> dict[str, Tensor]:
    """Return parameters without what wrappers put before their names."""
    stripped = {}
    for name, value in parameters.items():
        short = name
        while short.startswith(PREFIXES):
            short = short.removeprefix("module.").removeprefix("_orig_mod.")
        stripped[short] = value
    for wrapper in WRAPPERS:
        is_wrapped = all(name.startswith(wrapper) for name in stripped)
        if is_wrapped and not any(name.startswith(wrapper) for name in expected):
            return {name.removeprefix(wrapper): value for name, value in stripped.items()}
    return stripped
