"""Results that others published, from `search_spaces/data/published.csv`.

A result that nobody published is not in the file.
"""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from search_spaces import DATA

JPEG = "-jpeg"
"""Suffix of data sets whose images were encoded again as JPEG. They are compared with the published
results of the original images.
"""

GAINS = (
    "The abstract of the IID paper (CVPR 2024, arXiv 2404.00563) states gains of up to 6.6 points"
    " on CIFAR-10, 2.9 on SVHN, 2.5 on CIFAR-100 and 2.5 on TinyImageNet."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published test accuracy, as a fraction."""

    dataset: str
    ipc: int | None
    """None for the whole training set."""
    method: str
    accuracy: float
    std: float | None
    """As published; None where only a mean was."""
    source: str


class PublishedKey(NamedTuple):
    """What a published result is of."""

    dataset: str
    ipc: int | None
    method: str


@functools.cache
def read_published() -> Mapping[PublishedKey, Published]:
    """Return all published results."""
    with (DATA / "published.csv").open(encoding="utf-8", newline="") as stream:
        found = [_parse_line(line) for line in csv.DictReader(stream)]
    return {PublishedKey(each.dataset, each.ipc, each.method): each for each in found}


def find_published(dataset: str, ipc: int | None, method: str) -> Published | None:
    """Return a published result, for a JPEG version that of the original images."""
    return read_published().get(PublishedKey(dataset.removesuffix(JPEG), ipc, method))


def list_published_sizes(dataset: str) -> frozenset[int | None]:
    """Return the IPCs at which a result of a data set was published.

    None stands for the whole training set.
    """
    name = dataset.removesuffix(JPEG)
    return frozenset(key.ipc for key in read_published() if key.dataset == name)


def _parse_line(line: Mapping[str, str]) -> Published:
    return Published(
        dataset=line["dataset"],
        ipc=int(line["ipc"]) if line["ipc"] else None,
        method=line["method"],
        accuracy=float(line["accuracy"]) / 100,
        std=float(line["std"]) / 100 if line["std"] else None,
        source=line["source"],
    )
