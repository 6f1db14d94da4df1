"""Tables as CSV."""

import csv

import numpy as np
import pandas as pd
import pytest


def test_csv_files_hold_the_tables_and_the_unrounded_statistics(small, tmp_path, write):
    files, _ = write(small, tmp_path / "report")
    with (tmp_path / "report/tables/main-digits-convnet.csv").open(encoding="utf-8") as stream:
        assert list(csv.reader(stream))[2] == ["DM", "31.0 ± 1.0", "57.0 ± 5.4"]
    everything = pd.read_csv(tmp_path / "report/tables/results.csv").set_index(["method", "ipc"])
    dm = everything.loc[("DM", 10)]
    assert dm["mean"] == pytest.approx(0.57)
    assert dm["std"] == pytest.approx(np.sqrt(29) / 100)
    assert (dm["sets"], dm["sets_planned"], dm["networks"]) == (2, 2, 4)
    assert set(dm["keys"].split()) == {
        c.evaluation_key for c in small.cells if (c.method, c.ipc) == ("DM", 10)
    }
    assert all(path.exists() for path in files.tables)
