"""Units that make sets: the picture that TensorBoard shows."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torchvision.utils import make_grid

from orchestrator.execution.unit_functions.sets import arrange_in_grid


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 2), (2, 10)])
def test_the_picture_is_that_of_torchvision(channels, rows, columns):
    images = torch.rand(rows, columns, channels, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = make_grid(images.flatten(0, 1), nrow=columns, padding=1)
    if rows * columns == 1:  # make_grid gives a single image no frame
        expected = torch.nn.functional.pad(expected, (1, 1, 1, 1))
    expected = (expected.permute(1, 2, 0) * 255).round().byte().numpy()
    assert np.array_equal(arrange_in_grid(images), expected)


def test_workers_import_neither_torchvision_nor_scikit_learn():
    code = (
        "import sys; import orchestrator.execution.unit_functions.sets;"
        "from distill_core.datasets.load import load_dataset;"
        "from distill_core.settings import DatasetRef; from pathlib import Path;"
        "load_dataset(DatasetRef(name='digits'), Path('.'));"
        "assert not {'torchvision', 'sklearn', 'torch._dynamo'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
