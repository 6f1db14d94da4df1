"""Results that others published, from `search_spaces/data/published.csv`.

A result that nobody published is not in the file. Where sources disagree, all of them are in it,
and the first is the one that a verdict uses.
"""

import csv
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from distill_core.settings import DatasetRef
from orchestrator.report.entries import format_percent
from orchestrator.report.model import TableEntry
from orchestrator.report.tables.settings_differences import resolve_published_settings
from search_spaces import DATA

JPEG = "-jpeg"
"""Suffix of data sets whose images were encoded again as JPEG. They are compared with the published
results of the original images.
"""
MATCHING = "ConvNet"
"""How papers call the network of a protocol, whatever its depth: three blocks, or four for images
of 64 × 64 pixels.
"""

QUOTED = "(quoted)"
"""Mark of a method whose published results are shown, because it was not run here."""

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
    architecture: str
    """The network that was trained on the set."""
    accuracy: float
    std: float | None
    """As published; None where only a mean was."""
    source: str


class PublishedKey(NamedTuple):
    """What a published result is of."""

    dataset: str
    ipc: int | None
    method: str
    architecture: str = MATCHING


class Place(NamedTuple):
    """What a column of a table of methods is about."""

    ipc: int | None
    network: str


class QuotedRows(NamedTuple):
    """Rows of published results, and the footnotes with their sources."""

    rows: tuple[tuple[TableEntry, ...], ...]
    notes: tuple[str, ...]


@functools.cache
def read_published() -> Mapping[PublishedKey, tuple[Published, ...]]:
    """Return all published results; several where sources disagree, the first preferred."""
    with (DATA / "published.csv").open(encoding="utf-8", newline="") as stream:
        lines = [_parse_line(line) for line in csv.DictReader(stream)]
    found: dict[PublishedKey, tuple[Published, ...]] = {}
    for each in lines:
        key = PublishedKey(each.dataset, each.ipc, each.method, each.architecture)
        found[key] = (*found.get(key, ()), each)
    return found


def find_published(
    dataset: str, ipc: int | None, method: str, architecture: str = MATCHING
) -> Published | None:
    """Return the preferred published result, for a JPEG version that of the original images."""
    return next(iter(find_all_published(dataset, ipc, method, architecture)), None)


def find_all_published(
    dataset: str, ipc: int | None, method: str, architecture: str = MATCHING
) -> tuple[Published, ...]:
    """Return every published result of a cell, the preferred one first."""
    key = PublishedKey(dataset.removesuffix(JPEG), ipc, method, architecture)
    return read_published().get(key, ())


def list_published_sizes(dataset: str) -> frozenset[int | None]:
    """Return the IPCs at which a result of a data set was published.

    None stands for the whole training set.
    """
    name = dataset.removesuffix(JPEG)
    return frozenset(key.ipc for key in read_published() if key.dataset == name)


def list_published_methods(dataset: str) -> tuple[str, ...]:
    """Return the methods of which a result on a data set was published, in the file's order."""
    name = dataset.removesuffix(JPEG)
    return tuple(dict.fromkeys(key.method for key in read_published() if key.dataset == name))


def describe_sources(found: tuple[Published, ...]) -> str:
    """Return the source that is used, and what other sources say where they disagree."""
    if not found:
        return ""
    used, *others = found
    differing = [each for each in others if each.accuracy != used.accuracy]
    texts = [f"{_format_digits(each.accuracy)} in {each.source}" for each in differing]
    return used.source + (f" (used; not used: {'; '.join(texts)})" if texts else "")


def name_architecture(dataset: str, network: str) -> str:
    """Return what papers call a network that is trained on a set of some data set."""
    published = resolve_published_settings(DatasetRef(name=dataset), "DM", 10).distillation.network
    return MATCHING if network == published else network


def build_quoted_rows(
    dataset: str, measured: Collection[str], places: Sequence[Place], first_note: int
) -> QuotedRows:
    """Return a row for each published method that was not measured.

    Args:
        dataset: where the results are from.
        measured: methods that have a row already.
        places: size and network of each column after the first.
        first_note: number of the first footnote.
    """
    name = dataset.removesuffix(JPEG)
    names = [name_architecture(name, place.network) for place in places]
    sources: dict[str, int] = {}
    rows = []
    for method in list_published_methods(dataset):
        if method in measured:
            continue
        row = [TableEntry(text=f"{method} {QUOTED}")]
        for place, architecture in zip(places, names, strict=True):
            found = find_all_published(name, place.ipc, method, architecture)
            source = describe_sources(found)
            notes = (sources.setdefault(source, first_note + len(sources)),) if found else ()
            row.append(TableEntry(text=format_published(found[0] if found else None), notes=notes))
        if any(entry.text for entry in row[1:]):
            rows.append(tuple(row))
    return QuotedRows(rows=tuple(rows), notes=tuple(sources))


def format_published(published: Published | None) -> str:
    """Return a published result as "mean ± std" in percent; empty without one."""
    if published is None:
        return ""
    mean = format_percent(published.accuracy)
    return mean if published.std is None else f"{mean} ± {format_percent(published.std)}"


def _format_digits(accuracy: float) -> str:
    """Return an accuracy in percent with the decimals that sources give, one or two."""
    return f"{100 * accuracy:.2f}".removesuffix("0")


def _parse_line(line: Mapping[str, str]) -> Published:
    return Published(
        dataset=line["dataset"],
        ipc=int(line["ipc"]) if line["ipc"] else None,
        method=line["method"],
        architecture=line["architecture"],
        accuracy=float(line["accuracy"]) / 100,
        std=float(line["std"]) / 100 if line["std"] else None,
        source=line["source"],
    )
