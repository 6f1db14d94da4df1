"""Files of tensors."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name as one safetensors file that others may read as far as the umask
    allows.

    The library's own `save_file` makes files for their owner alone, which nobody else can read in a
    shared store.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(on_cpu, None if metadata is None else dict(metadata)))
