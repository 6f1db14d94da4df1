import struct
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.errors import TableError
from orchestrator.store import tables
from orchestrator.store.tables import SCHEMAS

ROW = {
    "key": "00000000000000aa",
    "kind": "evaluate",
    "accuracy": 0.5,
    "class_accuracies": [0.4, 0.6],
    "finished": datetime(2026, 1, 2, tzinfo=UTC),
}


def write(folder, key, **changes):
    tables.write(
        folder / "evaluations" / f"{key}.parquet", "evaluations", [{**ROW, "key": key, **changes}]
    )


def test_rows_come_back_in_the_order_of_keys(tmp_path):
    for key in ("00000000000000bb", "00000000000000aa"):
        write(tmp_path, key)
    table = tables.read(tmp_path, "evaluations")
    assert table.schema.equals(SCHEMAS["evaluations"])
    assert table["key"].to_pylist() == ["00000000000000aa", "00000000000000bb"]
    assert table["accuracy"].to_pylist() == [0.5, 0.5]
    assert table["ipc"].to_pylist() == [None, None]


def test_only_the_keys_asked_for(tmp_path):
    for key in ("00000000000000aa", "00000000000000bb"):
        write(tmp_path, key)
    read = tables.read(tmp_path, "evaluations", ["00000000000000bb", "00000000000000cc"])
    assert read["key"].to_pylist() == ["00000000000000bb"]


@pytest.mark.parametrize("table", SCHEMAS)
def test_a_table_without_files_is_empty(tmp_path, table):
    assert tables.read(tmp_path, table).num_rows == 0


@pytest.mark.parametrize(
    ("changes", "message"), [({"acuracy": 0.5}, "acuracy"), ({"ipc": "ten"}, "does not fit")]
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_left(tmp_path, changes, message):
    with pytest.raises(TableError, match=message):
        write(tmp_path, "00000000000000aa", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named(tmp_path):
    write(tmp_path, "00000000000000aa")
    write(tmp_path, "00000000000000bb")
    file = tmp_path / "evaluations" / "00000000000000bb.parquet"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(TableError, match=r"00000000000000bb\.parquet"):
        tables.read(tmp_path, "evaluations")


def test_a_file_of_another_version_is_read_through_our_schema(tmp_path):
    write(tmp_path, "00000000000000aa")
    other = tables.build("evaluations", [{**ROW, "key": "00000000000000bb"}])
    other = other.append_column("mood", pa.array(["good"])).drop_columns(["train_loss"])
    other = other.replace_schema_metadata({"iid_columns": ",".join(other.schema.names)})
    pq.write_table(other, tmp_path / "evaluations" / "00000000000000bb.parquet")
    read = tables.read(tmp_path, "evaluations")
    assert read.schema.equals(SCHEMAS["evaluations"])
    assert read.num_rows == 2


def test_half_written_files_are_not_seen(tmp_path):
    write(tmp_path, "00000000000000aa")
    (tmp_path / "evaluations" / ".00000000000000bb.parquet.1234").write_bytes(b"PAR1")
    assert tables.read(tmp_path, "evaluations").num_rows == 1


def test_other_libraries_read_the_files(tmp_path):
    duckdb, pandas, polars = (pytest.importorskip(name) for name in ("duckdb", "pandas", "polars"))
    for key in ("00000000000000aa", "00000000000000bb"):
        write(tmp_path, key)
    pattern = str(tmp_path / "evaluations" / "*.parquet")
    assert duckdb.sql(f"select avg(accuracy), count(*) from '{pattern}'").fetchall() == [(0.5, 2)]
    assert pandas.read_parquet(tmp_path / "evaluations")["accuracy"].mean() == 0.5
    assert polars.read_parquet(pattern)["accuracy"].mean() == 0.5


def test_columns_that_damage_renamed_are_not_read_as_missing(tmp_path):
    write(tmp_path, "00000000000000aa")
    path = tmp_path / "evaluations" / "00000000000000aa.parquet"
    path.write_bytes(path.read_bytes().replace(b"accuracy", b"accurady"))
    with pytest.raises(
        TableError, match=r"00000000000000aa\.parquet.*iid verify --repair sets it aside"
    ):
        tables.read(tmp_path, "evaluations")


def test_a_flipped_value_is_not_read(tmp_path):
    write(tmp_path, "00000000000000aa")
    path = tmp_path / "evaluations" / "00000000000000aa.parquet"
    content, value = path.read_bytes(), struct.pack("<d", ROW["accuracy"])
    assert value in content[: len(content) // 2]
    path.write_bytes(content.replace(value, struct.pack("<d", 0.999), 1))
    with pytest.raises(
        TableError, match=r"00000000000000aa\.parquet.*iid verify --repair sets it aside"
    ):
        tables.read(tmp_path, "evaluations")
