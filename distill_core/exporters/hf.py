"""Hugging Face: one Parquet file with columns image (PNG) and label for `datasets.load_dataset`."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from distill_core.exporters.content import ExportContent, ExportError, Format
from distill_core.exporters.png import encode_png
from distill_core.synthetic_set import SyntheticSet, to_normalized

FILE = "data/train-00000-of-00001.parquet"


def _write(content: ExportContent, folder: Path) -> None:
    (folder / FILE).parent.mkdir()
    names = list(content.source.class_names)
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    images = [{"bytes": encode_png(pixels), "path": None} for pixels in content.to_bytes()]
    columns = {
        "image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array(content.labels.tolist(), pa.int64()),
    }
    if content.soft_labels is not None:
        features["soft_label"] = {
            "feature": {"dtype": "float32", "_type": "Value"},
            "_type": "List",
        }
        columns["soft_label"] = pa.array(content.soft_labels.tolist(), pa.list_(pa.float32()))
    schema = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table(columns).replace_schema_metadata(schema), folder / FILE)


def build_dataset_info(content: ExportContent, folder: Path) -> dict[str, Any]:
    """Build the `dataset_info` of a Hugging Face dataset card for written files."""
    names = dict(enumerate(content.source.class_names))
    features: list[dict[str, Any]] = [
        {"name": "image", "dtype": "image"},
        {
            "name": "label",
            "dtype": {
                "class_label": {"names": {str(label): name for label, name in names.items()}}
            },
        },
    ]
    if content.soft_labels is not None:
        features.append({"name": "soft_label", "list": "float32"})
    size = (folder / FILE).stat().st_size
    split = {
        "name": "train",
        "num_bytes": pq.read_table(folder / FILE).nbytes,
        "num_examples": len(content.labels),
    }
    return {
        "features": features,
        "splits": [split],
        "download_size": size,
        "dataset_size": split["num_bytes"],
    }


def _read(folder: Path, source: SyntheticSet) -> tuple[Tensor, Tensor]:
    try:
        import datasets
    except ImportError as error:
        raise ExportError(
            "reading a Hugging Face export back needs the library datasets: pip install"
            ' "iid-orchestrator[hf]"'
        ) from error
    from torchvision.transforms.functional import to_tensor

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        # A temporary cache, so nothing is left in the user's cache.
        with tempfile.TemporaryDirectory() as cache:
            rows = list(
                datasets.load_dataset(str(folder.resolve()), split="train", cache_dir=cache)
            )
    finally:
        if shown:
            datasets.enable_progress_bars()
    images = torch.stack([to_tensor(row["image"]) for row in rows])
    column = "label" if source.soft_labels is None else "soft_label"
    labels = torch.tensor([row[column] for row in rows])
    return to_normalized(images, source.mean, source.std), labels


def _build_loading_code(content: ExportContent) -> str:
    source = content.source
    column = "label" if source.soft_labels is None else "soft_label"
    return "\n".join(
        [
            "from datasets import load_dataset",
            "",
            (
                f"transform = Compose([ToTensor(), Normalize({list(source.mean)},"
                f" {list(source.std)})])"
            ),
            'rows = load_dataset("parquet", data_files="data/*.parquet", split="train")',
            'images = torch.stack([transform(row["image"]) for row in rows])',
            f'labels = torch.tensor(rows["{column}"][:])',
        ]
    )


HF = Format(
    name="hf",
    about=(
        'A data set as `datasets.load_dataset("<this folder>")` reads it: Parquet with `image`'
        " (PNG, not normalized) and `label`."
    ),
    write=_write,
    read=_read,
    build_loading_code=_build_loading_code,
    eight_bits=True,
)
