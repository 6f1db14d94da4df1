"""The README of an export: facts, accuracies, and a training script in plain PyTorch."""

import json
from collections.abc import Mapping
from typing import Any

from distill_core.exporters.content import Accuracy, ExportContent, Format
from distill_core.exporters.metadata import build_metadata

_TRANSFORMS = "Normalize, Resize, ToTensor"
LICENSE = {"license": "other", "license_name": "that-of-the-source-images"}
"""For Hugging Face: distilled images derive from a data set, whose terms hold for them."""


def build_card(content: ExportContent, kind: Format, files: dict[str, Any] | None = None) -> str:
    """Build the README in Markdown.

    Args:
        content: the set.
        kind: the format it was written in.
        files: Hugging Face's `dataset_info` of the files, which goes into the YAML head.
    """
    source, known = content.source, build_metadata(content, kind)
    parts = [
        *([_build_head(source.dataset, known, files)] if files is not None else []),
        f"# {source.method} on {source.dataset}, {_format_count(source.ipc, 'image')} per class",
        (
            f"A distilled training set: {len(content.labels)} training images of"
            f" {len(source.class_names)} classes."
        ),
        kind.about,
        _build_facts(known),
        _build_accuracy_table(content.accuracies),
        *([_describe_loss(content)] if kind.eight_bits else []),
        "## Train on this set",
        (
            "Run this in this folder. It prints the accuracy on the set, and on test images where"
            " there are any: put them into `test/<class>/`, with the names of the classes above and"
            " _ for /."
        ),
        f"```python\n{build_example(content, kind)}\n```",
        "## How it was made",
        f"```json\n{json.dumps(source.spec, indent=1, ensure_ascii=False)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def build_example(content: ExportContent, kind: Format) -> str:
    """Build a script that trains the published ConvNet on the files in the current folder."""
    side = content.images.shape[-1]
    # Gray sets are read as gray: ImageFolder turns every file into RGB.
    channels = f"Grayscale({content.images.shape[1]}), " if content.images.shape[1] == 1 else ""
    source = content.source
    normalize = f"Normalize({list(source.mean)}, {list(source.std)})"
    blocks = 4 if side >= 64 else max(1, min(3, side.bit_length() - 2))
    width = 128
    return f"""from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import {"Compose, Grayscale" if channels else "Compose"}, {_TRANSFORMS}

{kind.build_loading_code(content)}
layers = []
for _ in range({blocks}):
    layers += [nn.LazyConv2d({width}, 3, padding=1), nn.GroupNorm({width}, {width})]
    layers += [nn.ReLU(), nn.AvgPool2d(2)]
network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear({len(content.source.class_names)}))
network(images[:1])
optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
for epoch in range(300):
    for batch in torch.randperm(len(images)).split(256):
        loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def measure_accuracy(batches):
    right = [(network(x).argmax(1) == y).float() for x, y in batches]
    return torch.cat(right).mean().item()


network.eval()
with torch.no_grad():
    classes = labels if labels.dim() == 1 else labels.argmax(1)
    print(f"accuracy on this set: {{measure_accuracy([(images, classes)]):.1%}}")
    if Path("test").is_dir():
        names = {[name.replace("/", "_") for name in source.class_names]!r}
        prepare = Compose([{channels}Resize(({side}, {side})), ToTensor(), {normalize}])
        test = ImageFolder("test", prepare)
        test.samples = [(file, names.index(test.classes[label])) for file, label in test.samples]
        print(f"test accuracy: {{measure_accuracy(DataLoader(test, 256)):.1%}}")
    else:
        print("no test images: put them into test/<class>/")"""


def _build_head(dataset: str, known: dict[str, Any], files: dict[str, Any]) -> str:
    """Build the YAML head of the README of one set."""
    head = {
        "pretty_name": f"{known['method']} on {dataset}, IPC {known['ipc']}",
        "task_categories": ["image-classification"],
        **LICENSE,
        "tags": ["dataset-distillation"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            },
        ],
        "dataset_info": files,
        "distillation": known,
    }
    return _write_head(head)


COLLECTION = "Distilled training sets, one configuration each:"
"""Sentence by which the README of a collection is known."""


def build_collection_card(name: str, folders: Mapping[str, str]) -> str:
    """Build the README over several Hugging Face exports: a configuration for each set.

    Without it `datasets.load_dataset` would join the sets of all methods and seeds.

    Args:
        name: of the collection.
        folders: of the sets, relative to the README, by the name of their configuration.
    """
    configs = []
    for config, folder in folders.items():
        files = [{"split": "train", "path": f"{folder}/data/train-*.parquet"}]
        configs.append({"config_name": config, "data_files": files})
    head = {
        "pretty_name": name,
        "task_categories": ["image-classification"],
        **LICENSE,
        "tags": ["dataset-distillation"],
        "configs": configs,
    }
    example = next(iter(folders))
    parts = [
        _write_head(head),
        f"# {name}",
        COLLECTION,
        "\n".join(f"- `{config}`: [{folder}]({folder})" for config, folder in folders.items()),
        f'```python\nload_dataset("<this folder>", {json.dumps(example)})\n```',
    ]
    return "\n\n".join(parts) + "\n"


def _write_head(head: Mapping[str, Any]) -> str:
    """Write the YAML head of a README; JSON values are valid YAML."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
    return "\n".join(["---", *lines, "---"])


def _build_facts(known: dict[str, Any]) -> str:
    rows = {
        "data set": f"{known['dataset']} (version {known['dataset_version']})",
        "method": known["method"],
        "protocol": known["protocol"] or "not recorded",
        "IPC": known["ipc"],
        "partition factor": known["factor"],
        "images": f"{' × '.join(map(str, known['images']))}: {known['images_hold']}",
        "labels": known["labels"],
        "mean": ", ".join(map(str, known["mean"])),
        "standard deviation": ", ".join(map(str, known["std"])),
        "classes": ", ".join(f"{label} {name}" for label, name in enumerate(known["class_names"])),
        "key": known["key"] or "none",
    }
    lines = ["| | |", "| :-- | :-- |"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(lines)


def _build_accuracy_table(accuracies: tuple[Accuracy, ...]) -> str:
    if not accuracies:
        return "No network was trained on this set yet."
    lines = [
        (
            "| network | protocol | images | epochs | lr_net | networks | accuracy in % | 95 %"
            " interval |"
        ),
        "| :-- | :-- | :-- | --: | --: | --: | --: | :-- |",
    ]
    for a in accuracies:
        interval = "–"
        if a.interval is not None:
            interval = f"{100 * a.interval[0]:.2f} to {100 * a.interval[1]:.2f}"
        spread = f" ± {100 * a.std:.2f}" if len(a.accuracies) > 1 else ""
        schedule = f"{a.settings.get('epoch_eval_train', '–')} | {a.settings.get('lr_net', '–')}"
        lines.append(
            f"| {a.network} | {a.protocol} | {a.split} | {schedule} | {len(a.accuracies)} "
            f"| {100 * a.mean:.2f}{spread} | {interval} |"
        )
    return "\n".join(lines)


def _describe_loss(content: ExportContent) -> str:
    loss = content.measure_pixel_loss()
    return (
        "PNG stores 8 bits per channel and no values outside 0 to 1. This changes the optimized"
        f" pixels by at most {loss.largest:.2g}, on average by {loss.mean:.2g}, and clips"
        f" {100 * loss.clipped:.2g} % of the values."
    )


def _format_count(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
