"""Parquet tables: the only thing a report reads about results.

Long format, one file per unit (`<store>/tables/<table>/<key>.parquet`), accuracies as fractions in
float64. The schemas here are the contract: files are written and read through them, so a column
that another version added can neither break a reader nor be dropped in silence.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.errors import TableError
from orchestrator.store.atomic_files import write as write_file

SCHEMA_VERSION = 1

Row = Mapping[str, Any]

_PROVENANCE = [
    ("key", pa.string()),
    ("kind", pa.string()),
    ("run", pa.string()),  # the launch that computed the unit
    ("spec", pa.string()),  # the unit's full identity and locations as JSON
    ("dataset", pa.string()),
    ("dataset_version", pa.int64()),
    ("fingerprint", pa.string()),  # of the images that were read
    ("protocol", pa.string()),
    ("seed", pa.int64()),
    ("dtype", pa.string()),  # arithmetic of the networks: float32, tf32 or bf16
    ("device", pa.string()),
    ("versions", pa.string()),  # library versions as JSON
    ("git_commit", pa.string()),
    ("finished", pa.timestamp("us", tz="UTC")),
    ("seconds", pa.float64()),  # this row's work alone
    ("peak_memory", pa.int64()),  # bytes: of the device, or of the process on a CPU
    ("sources", pa.string()),  # hash of the source of each custom object, by name, as JSON
]

PROVENANCE = tuple(name for name, _ in _PROVENANCE)
"""Columns that every table of units has."""

_CURVE = pa.list_(pa.float64())

_SETTINGS = [  # what the cells of a space may differ in; null in files of version 0.1.0
    ("matching_network", pa.string()),  # null for sets that were not distilled here
    ("iterations", pa.int64()),
    ("lambda_cc", pa.float64()),
    ("lambda_cm", pa.float64()),
    ("lambda_loss", pa.float64()),  # weight of a custom loss; null without one
    ("lr_img", pa.float64()),
    ("extractors", pa.int64()),
    ("num_eval", pa.int64()),
    ("epoch_eval_train", pa.int64()),
    ("lr_net", pa.float64()),
    ("settings_hash", pa.string()),  # equal where nothing but seed and network differs
]

SCHEMAS: dict[str, pa.Schema] = {
    "evaluations": pa.schema(
        [
            *_PROVENANCE,
            ("set_key", pa.string()),  # null for the whole training set
            ("method", pa.string()),
            ("ipc", pa.int64()),  # null for the whole training set
            ("set_spec", pa.string()),  # JSON
            ("split", pa.string()),
            ("network", pa.string()),
            ("network_index", pa.int64()),
            ("network_seed", pa.int64()),
            ("accuracy", pa.float64()),
            ("class_accuracies", _CURVE),
            ("tested_images", pa.int64()),  # images that `accuracy` is over
            ("chance", pa.float64()),  # accuracy of naming the most frequent class
            ("train_accuracy", pa.float64()),  # of the last epoch, on the augmented set
            ("train_loss", pa.float64()),
            ("passes", pa.string()),  # how training ran: compiled, or eager and why
            *_SETTINGS,
        ]
    ),
    "distillations": pa.schema(
        [
            *_PROVENANCE,
            ("method", pa.string()),
            ("ipc", pa.int64()),
            ("partition", pa.int64()),
            ("images", pa.int64()),
            ("network", pa.string()),
            ("iterations", pa.int64()),
            ("lambda_cc", pa.float64()),
            ("lambda_cm", pa.float64()),
            ("lr_img", pa.float64()),
            ("extractors", pa.int64()),
            ("cohort", pa.int64()),  # sets distilled together; `seconds` is an equal share
            ("seconds_per_iteration", pa.float64()),
            ("loss", pa.float64()),  # of the last iteration, summed over classes, unweighted
            ("loss_mean", pa.float64()),
            ("loss_cc", pa.float64()),
            ("loss_cm", pa.float64()),
            ("loss_ce", pa.float64()),
            ("loss_own", pa.float64()),  # a custom loss
            ("curve_iteration", pa.list_(pa.int64())),
            ("curve_loss", _CURVE),
            ("curve_loss_mean", _CURVE),
            ("curve_loss_cc", _CURVE),
            ("curve_loss_cm", _CURVE),
            ("curve_loss_ce", _CURVE),
            ("curve_loss_own", _CURVE),
            ("curve_gradient_norm", _CURVE),
            ("lambda_mean", pa.float64()),
            ("curves_more", pa.string()),  # of further custom losses, by object, as JSON
            ("passes", pa.string()),  # how networks ran: compiled, or eager and why
            ("class_chunk", pa.int64()),  # classes in memory at once; null if `passes` has several
        ]
    ),
    "continual": pa.schema(  # one row per step and network
        [
            *_PROVENANCE,
            ("method", pa.string()),
            ("ipc", pa.int64()),
            ("split", pa.string()),
            ("steps", pa.int64()),  # of the whole sequence
            ("step", pa.int64()),  # counted from 1
            ("classes", pa.list_(pa.int64())),  # those seen so far, in the order in which they came
            ("network", pa.string()),
            ("network_index", pa.int64()),
            ("network_seed", pa.int64()),
            ("accuracy", pa.float64()),  # over the images of the classes seen
            ("class_accuracies", _CURVE),  # of `classes`, in their order
            ("train_accuracy", pa.float64()),
            ("train_loss", pa.float64()),
            ("passes", pa.string()),  # how training ran: compiled, or eager and why
            *_SETTINGS,
        ]
    ),
    "features": pa.schema(  # one row per class and origin of its images
        [
            *_PROVENANCE,
            ("set_key", pa.string()),
            ("method", pa.string()),
            ("ipc", pa.int64()),
            ("network", pa.string()),  # whose features these are
            ("label", pa.int64()),
            ("class_name", pa.string()),
            ("origin", pa.string()),  # real, initial or synthetic
            ("images", pa.int64()),
            (
                "spread",
                pa.float64(),
            ),  # squared distances to the class mean / (n − 1); null if n = 1
            (
                "covariance_distance",
                pa.float64(),
            ),  # to that of real images, Frobenius; null for those
            ("pca_x", _CURVE),
            ("pca_y", _CURVE),
            ("tsne_x", _CURVE),
            ("tsne_y", _CURVE),
        ]
    ),
    "extractors": pa.schema(
        [
            *_PROVENANCE,
            ("network", pa.string()),
            ("index", pa.int64()),
            ("epochs", pa.int64()),
            ("train_accuracy", pa.float64()),
            ("train_loss", pa.float64()),
            ("passes", pa.string()),  # how training ran: compiled, or eager and why
        ]
    ),
    "trials": pa.schema(  # one row per trial and rung; the key names the trial
        [
            ("key", pa.string()),
            ("study", pa.string()),
            ("space", pa.string()),
            ("experiment", pa.string()),
            ("dataset", pa.string()),
            ("dataset_version", pa.int64()),
            ("protocol", pa.string()),
            ("split", pa.string()),
            ("method", pa.string()),
            ("ipc", pa.int64()),
            ("trial", pa.int64()),  # number in its study
            ("origin", pa.string()),  # published, or the sampler that suggested it
            ("parameters", pa.string()),  # searched settings by path, as JSON
            ("rung", pa.int64()),
            ("iterations", pa.int64()),  # of the rung
            ("state", pa.string()),  # running, passed, stopped, complete, diverged or failed
            ("value", pa.float64()),  # validation accuracy, mean over seeds; null while it runs
            ("seeds", pa.list_(pa.int64())),
            ("values", _CURVE),  # of each seed
            ("order", pa.int64()),  # place among all values of the study, as they came
            ("units", pa.list_(pa.string())),  # keys of the rung's sets and evaluations
            ("reason", pa.string()),  # why it failed
            ("seconds", pa.float64()),  # the rung's work, over all seeds
            ("run", pa.string()),  # the launch that wrote the row
            ("versions", pa.string()),
            ("git_commit", pa.string()),
            ("finished", pa.timestamp("us", tz="UTC")),
        ]
    ),
    "failures": pa.schema(
        [
            ("key", pa.string()),
            ("kind", pa.string()),
            ("run", pa.string()),
            ("spec", pa.string()),
            ("error", pa.string()),  # class of the exception
            ("reason", pa.string()),  # its message
            ("traceback", pa.string()),
            ("device", pa.string()),
            ("host", pa.string()),
            ("versions", pa.string()),
            ("finished", pa.timestamp("us", tz="UTC")),
        ]
    ),
}

_COLUMNS = "iid_columns"
"""Metadata of a file that repeats the names of its columns: Parquet's checksums cover no names."""


def build(table: str, rows: Sequence[Row]) -> pa.Table:
    """Build the Arrow table of some rows; columns that a row lacks are null.

    Raises:
        TableError: a row has a column that the schema does not know, or a value of the wrong type.
    """
    schema = SCHEMAS[table]
    unknown = sorted({column for row in rows for column in row} - set(schema.names))
    if unknown:
        raise TableError(
            f"table {table} has no column {unknown[0]!r}; it has {', '.join(schema.names)}"
        )
    try:
        data = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"a row does not fit table {table}: {error}") from error
    metadata = {
        "iid_table": table,
        "iid_schema_version": str(SCHEMA_VERSION),
        _COLUMNS: _names(schema),
    }
    return data.replace_schema_metadata(metadata)


def write(path: Path, table: str, rows: Sequence[Row]) -> None:
    """Write one unit's rows to `path`; the file appears complete or not at all.

    Raises:
        TableError: a row does not fit the table.
        StoreError: the file cannot be written.
    """
    write_file(path, encode(table, rows))


def encode(table: str, rows: Sequence[Row]) -> bytes:
    """Return the file of one unit's rows; TableError if a row does not fit the table."""
    sink = pa.BufferOutputStream()
    pq.write_table(build(table, rows), sink, write_page_checksum=True)
    return bytes(sink.getvalue().to_pybytes())


def decode(table: str, data: bytes) -> pa.Table:
    """Return the rows in a file's content.

    Raises:
        pa.ArrowException, OSError, ValueError: it is damaged.
    """
    source = pa.BufferReader(data)
    return pq.read_table(source, schema=SCHEMAS[table], page_checksum_verification=True)


def read(tables: Path, table: str, keys: Iterable[str] | None = None) -> pa.Table:
    """Read a table, of all units or of the given ones, in the order of keys.

    Args:
        tables: the store's `tables` folder; a table that has no files yet is empty.
        table: one of `SCHEMAS`.
        keys: units to read; those without a file are left out.

    Raises:
        TableError: a file cannot be read, is not what was written, or a newer version of this
            program wrote it.
    """
    folder = tables / table
    files = sorted(folder.glob("[0-9a-f]*.parquet"))
    if keys is not None:
        wanted = set(keys)
        files = [file for file in files if file.stem in wanted]
    if not files:
        return SCHEMAS[table].empty_table()
    # It imports pandas, for which commands that read no table should not wait.
    import pyarrow.dataset as ds

    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    form = ds.ParquetFileFormat(default_fragment_scan_options=options)
    try:
        data = ds.dataset(files, schema=SCHEMAS[table], format=form)
        if any(_is_garbled(fragment.physical_schema) for fragment in data.get_fragments()):
            raise TableError(_damaged(files, table, "the names of columns are damaged"))
        return data.to_table()
    except _DAMAGE as error:
        raise TableError(_damaged(files, table, _line(error))) from error


_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
_REMEDY = "iid verify --repair sets it aside and publishes the rows again"


def _is_garbled(schema: pa.Schema) -> bool:
    """Whether a file has other columns than it was written with, if it says what it had."""
    written = (schema.metadata or {}).get(_COLUMNS.encode())
    return written is not None and written != _names(schema).encode()


def _names(schema: pa.Schema) -> str:
    return ",".join(schema.names)


def _damaged(files: Sequence[Path], table: str, reason: str) -> str:
    for file in files:
        try:
            schema = pq.read_schema(file)
            version = int((schema.metadata or {}).get(b"iid_schema_version", b"0"))
            if version > SCHEMA_VERSION:
                return (
                    f"{file} was written by a newer version (schema {version}, this version reads"
                    f" {SCHEMA_VERSION}); update"
                )
            pq.read_table(file, schema=SCHEMAS[table], page_checksum_verification=True)
        except (*_DAMAGE, ValueError) as damage:
            return f"{file} cannot be read ({_line(damage)}); {_REMEDY}"
        if _is_garbled(schema):
            return f"{file} is damaged ({reason}); {_REMEDY}"
    return f"table {files[0].parent} cannot be read: {reason}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
