"""Units that make sets: the picture that TensorBoard shows."""

import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torchvision.utils import make_grid

from distill_core.distillation.state import Way
from orchestrator.execution.unit_functions.sets import arrange_in_grid, describe_ways
from orchestrator.store import tables


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


@pytest.mark.parametrize(
    ("ways", "passes", "chunk"),
    [
        ([Way(0, "eager: short", 10)], "eager: short", 10),
        (
            [Way(0, "compiled", 10), Way(300, "eager: short", 5)],
            "compiled, 10 classes at once | from iteration 300 on eager: short, 5 classes at once",
            None,
        ),
        ([Way(7, "compiled", 3)], "from iteration 7 on compiled, 3 classes at once", None),
        ([], None, None),  # a finished checkpoint of an earlier version
    ],
)
def test_a_row_says_how_the_networks_of_a_set_were_run(ways, passes, chunk):
    columns = describe_ways(ways)
    assert columns == {"passes": passes, "class_chunk": chunk}
    assert tables.build("distillations", [columns]).num_rows == 1


def test_rows_of_sets_from_before_these_columns_are_read_with_nulls(tmp_path):
    old = tables.build("distillations", [{"key": "00000000000000aa", "method": "DM", "ipc": 3}])
    old = old.drop_columns(["passes", "class_chunk"])
    old = old.replace_schema_metadata({"iid_columns": ",".join(old.schema.names)})
    (tmp_path / "distillations").mkdir()
    pq.write_table(old, tmp_path / "distillations" / "00000000000000aa.parquet")
    (row,) = tables.read(tmp_path, "distillations").to_pylist()
    assert (row["method"], row["ipc"], row["passes"], row["class_chunk"]) == ("DM", 3, None, None)
