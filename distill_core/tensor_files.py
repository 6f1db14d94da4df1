"""Files of tensors."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name as one safetensors file with the permissions that the umask allows."""
    # `save_file` of safetensors creates files that only their owner can read, which would break a
    # store shared by several users.
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(on_cpu, None if metadata is None else dict(metadata)))
