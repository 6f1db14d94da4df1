import os

import torch
from safetensors import safe_open

from distill_core.tensor_files import write_tensors


def test_files_are_readable_by_others_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        write_tensors(
            {"a": torch.arange(6.0).view(2, 3).T}, tmp_path / "t.safetensors", {"made": "here"}
        )
    finally:
        os.umask(before)
    assert (tmp_path / "t.safetensors").stat().st_mode & 0o777 == 0o644
    with safe_open(tmp_path / "t.safetensors", framework="pt") as file:
        assert file.metadata() == {"made": "here"}
        assert torch.equal(file.get_tensor("a"), torch.arange(6.0).view(2, 3).T)
