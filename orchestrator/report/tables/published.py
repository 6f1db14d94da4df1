"""Figures that others published, from `search_spaces/data/published.csv`; what nobody published is
not in it.
"""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass

from search_spaces import DATA

JPEG = "-jpeg"
"""Suffix of data sets whose images were encoded anew as JPEG; they are compared with the original
images' figures.
"""

GAINS = (
    "The abstract of the IID paper (CVPR 2024, arXiv 2404.00563) states gains of up to 6.6 points"
    " on CIFAR-10, 2.9 on SVHN, 2.5 on CIFAR-100 and 2.5 on TinyImageNet."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published test accuracy, as fractions."""

    dataset: str
    ipc: int | None
    """None for the whole training set."""
    method: str
    accuracy: float
    std: float | None
    """As published; None where only a mean was."""
    source: str


PublishedKey = tuple[str, int | None, str]


@functools.cache
def read_published_figures() -> Mapping[PublishedKey, Published]:
    """Return all figures by data set, IPC and method."""
    with (DATA / "published.csv").open(encoding="utf-8", newline="") as stream:
        figures = [_parse_figure(line) for line in csv.DictReader(stream)]
    return {(f.dataset, f.ipc, f.method): f for f in figures}


def find_published(dataset: str, ipc: int | None, method: str) -> Published | None:
    """Return the figure of a cell, for a JPEG version that of the original images; None where there
    is none.
    """
    return read_published_figures().get((dataset.removesuffix(JPEG), ipc, method))


def list_published_sizes(dataset: str) -> frozenset[int | None]:
    """Return the IPCs at which somebody published a figure of a data set, None for the whole
    training set.
    """
    return frozenset(
        ipc for name, ipc, _ in read_published_figures() if name == dataset.removesuffix(JPEG)
    )


def _parse_figure(line: Mapping[str, str]) -> Published:
    return Published(
        dataset=line["dataset"],
        ipc=int(line["ipc"]) if line["ipc"] else None,
        method=line["method"],
        accuracy=float(line["accuracy"]) / 100,
        std=float(line["std"]) / 100 if line["std"] else None,
        source=line["source"],
    )
