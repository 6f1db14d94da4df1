"""Pictures of synthetic images: a sheet per set, and the methods side by side.

A sheet shows classes × images. Pixels are drawn as whole squares, values outside [0, 1] are clipped
for display only, and canvases of partitioned sets are shown as stored. The sets are those behind
measurements and feature views without swept settings.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from orchestrator.errors import ReportError
from orchestrator.planning.plan import Cell, Plan
from orchestrator.report.figures.canvas import Canvas, Image, measure_text
from orchestrator.report.figures.drawing import format_headline
from orchestrator.report.figures.style import MUTED, save_figure, use_style
from orchestrator.report.model import Picture, make_slug
from orchestrator.report.results import Results, Scope
from orchestrator.store.store import Store

ARTIFACT = "synthetic_set.safetensors"
MAX_COLUMNS = 10
"""Images per class on a sheet."""
COMPARED_ROWS = 2
COMPARED_CLASSES = 10
_CLIPPED = "values outside [0, 1] are clipped for display only."
_SHEET = f"Each class's synthetic images as stored; {_CLIPPED}"
_COMPARISON = f"The first synthetic images of each class, of the first finished seed; {_CLIPPED}"
_GAP = 3
_MARGIN = 18
_TITLE_HEIGHT = 30
_HEADING_HEIGHT = 26
_METHOD_GAP = 14
_MAX_WIDTH = 1500
"""Screen pixels that a picture's images should fit into."""
_MAX_PIXELS = 4_000_000
"""Image pixels that a sheet shows."""


@dataclass(frozen=True, kw_only=True)
class StoredSet:
    """The parts of a synthetic set that a picture needs."""

    images: Image
    """(N, H, W, 3), clipped for display."""
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def select_class(self, label: int, limit: int) -> Image:
        """Return the first images (at most limit, H, W, 3) of a class."""
        return np.asarray(self.images[self.labels == label][:limit])


class _ShownSet(NamedTuple):
    """The set that stands for a method at one IPC of a scope: the first seed's that is done."""

    scope: Scope
    method: str
    ipc: int
    seed: int
    file: Path


class _ComparedSets(NamedTuple):
    """The sets of a comparison."""

    ipc: int
    files: dict[str, Path]
    """By method."""


def read_set(path: Path) -> StoredSet:
    """Read a synthetic set for display, without torch.

    Raises:
        ReportError: the file is damaged or not a synthetic set.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["iid"])
            images, labels = file.get_tensor("images"), file.get_tensor("labels")
        names = tuple(str(name) for name in header["class_names"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ReportError(
            f"{path} is not a synthetic set ({error}); delete its unit's folder and run again"
        ) from error
    # Distillation may leave the range of pixels, or diverge to NaN; both still have to be shown.
    clipped = np.clip(np.nan_to_num(images), 0, 1)
    shown = np.rint(255 * clipped).astype(np.uint8).transpose(0, 2, 3, 1)
    # Gray images have one channel, which is repeated.
    shown = np.broadcast_to(shown, (*shown.shape[:3], 3))
    return StoredSet(images=shown, labels=labels, class_names=names)


def write_sheets(results: Results, store: Store, out: Path) -> tuple[Picture, ...]:
    """Write a sheet per data set, method and IPC, of the first seed that is done."""
    pictures: dict[Path, Picture] = {}
    for shown in _list_shown_sets(results, store):
        if shown.file in pictures:
            continue
        title = f"{shown.method}, {shown.scope.dataset}, IPC {shown.ipc}, seed {shown.seed}"
        name = make_slug(*shown.scope.name, shown.method, f"ipc{shown.ipc}")
        path = Path("pictures") / f"{name}.png"
        with use_style():
            save_figure(draw_sheet(read_set(shown.file), title), out / path)
        pictures[shown.file] = Picture(title=title, path=path, group="sheet", caption=_SHEET)
    return tuple(pictures.values())


def write_comparisons(results: Results, store: Store, out: Path) -> tuple[Picture, ...]:
    """Write the methods side by side, one picture per experiment and data set.

    It shows the IPC at which most methods have a set, the largest of several.
    """
    return tuple(_write_comparisons(results, store, out))


def draw_sheet(stored: StoredSet, title: str) -> Figure:
    """Draw a set: a row per class, with at most `MAX_COLUMNS` images.

    Many classes continue in blocks side by side. Of many classes of large images fewer are shown,
    so that the picture stays within `_MAX_PIXELS`.
    """
    side, most = stored.images.shape[1], int(np.bincount(stored.labels, minlength=1).max())
    count = len(stored.class_names)
    columns = max(1, min(most, MAX_COLUMNS, _MAX_PIXELS // (count * side**2)))
    if columns < most:  # a reader must not take the sheet for the whole set
        title = f"{title} ({columns} of {most} images per class)"
    blocks = _count_blocks(count, columns)
    scale = _choose_scale(side, blocks * (columns + 2))
    step = side * scale + _GAP
    label_width = measure_text(stored.class_names)
    block_width = label_width + columns * step + _MARGIN
    height = math.ceil(count / blocks)
    canvas = Canvas(
        width=2 * _MARGIN + max(blocks * block_width - _MARGIN, measure_text([title], 14)),
        height=2 * _MARGIN + _TITLE_HEIGHT + height * step,
    )
    canvas.write(_MARGIN, _MARGIN + 8, title, size=13, weight="bold")
    for label, name in enumerate(stored.class_names):
        block, row = divmod(label, height)
        left = _MARGIN + block * block_width + label_width
        top = _MARGIN + _TITLE_HEIGHT + row * step
        canvas.write(left - 10, top + (step - _GAP) / 2, name, align="right")
        for i, image in enumerate(stored.select_class(label, columns)):
            canvas.paste(left + i * step, top, image, scale)
    return canvas.build_figure()


def draw_comparison(sets: Mapping[str, StoredSet]) -> Figure:
    """Draw methods one below the other: a column per class, at most `COMPARED_ROWS` images each."""
    first = next(iter(sets.values()))
    labels = _choose_labels(len(first.class_names))
    rows = {method: _count_rows(stored, labels) for method, stored in sets.items()}
    side = max(stored.images.shape[1] for stored in sets.values())
    scale = _choose_scale(side, len(labels) + 2)
    step, label_width = side * scale + _GAP, measure_text(sets, size=13)
    top = _MARGIN + _HEADING_HEIGHT
    gaps = (len(sets) - 1) * _METHOD_GAP
    canvas = Canvas(
        width=2 * _MARGIN + label_width + len(labels) * step,
        height=top + sum(rows.values()) * step + gaps + _MARGIN,
    )
    lefts = {label: _MARGIN + label_width + i * step for i, label in enumerate(labels)}
    for label, left in lefts.items():
        x = left + (step - _GAP) / 2
        canvas.write(x, _MARGIN + 8, first.class_names[label], align="center", color=MUTED)
    for method, stored in sets.items():
        middle = top + (rows[method] * step - _GAP) / 2
        canvas.write(_MARGIN, middle, method, size=13, weight="bold")
        for label, left in lefts.items():
            for row, image in enumerate(stored.select_class(label, COMPARED_ROWS)):
                canvas.paste(left, top + row * step, image, scale)
        top += rows[method] * step + _METHOD_GAP
    return canvas.build_figure()


def _write_comparisons(results: Results, store: Store, out: Path) -> Iterator[Picture]:
    shown, drawn = _list_shown_sets(results, store), set[Path]()
    for scope in dict.fromkeys(each.scope for each in shown):
        compared = _select_compared([each for each in shown if each.scope == scope])
        # Experiments may share their sets; one picture of them is enough.
        if len(compared.files) < 2 or drawn.issuperset(compared.files.values()):
            continue
        drawn.update(compared.files.values())
        title = format_headline(scope, f"IPC {compared.ipc}", "the same classes for each method")
        name = make_slug(*scope.name, "methods", f"ipc{compared.ipc}")
        path = Path("pictures") / f"{name}.png"
        sets = {method: read_set(file) for method, file in compared.files.items()}
        with use_style():
            save_figure(draw_comparison(sets), out / path)
        yield Picture(title=title, path=path, group="comparison", caption=_COMPARISON)


def _select_compared(shown: Iterable[_ShownSet]) -> _ComparedSets:
    """Return the sets at the IPC at which most methods have one, the largest of several."""
    found: dict[int, dict[str, Path]] = {}
    for each in shown:
        found.setdefault(each.ipc, {}).setdefault(each.method, each.file)
    ipc = max(found, key=lambda n: (len(found[n]), n), default=0)
    return _ComparedSets(ipc=ipc, files=found.get(ipc, {}))


def _choose_labels(count: int) -> list[int]:
    """Return at most `COMPARED_CLASSES` evenly spaced classes."""
    spaced = np.linspace(0, count - 1, min(count, COMPARED_CLASSES))
    return sorted({round(label) for label in spaced})


def _count_rows(stored: StoredSet, labels: Iterable[int]) -> int:
    return max(len(stored.select_class(label, COMPARED_ROWS)) for label in labels)


def _count_blocks(rows: int, columns: int) -> int:
    """Return the number of blocks side by side that brings a sheet closest to 4 : 3."""

    def distance(blocks: int) -> float:
        aspect = blocks * (columns + 2) / math.ceil(rows / blocks)
        return abs(math.log(aspect / (4 / 3)))

    return min(range(1, rows + 1), key=distance, default=1)


def _choose_scale(side: int, across: int) -> int:
    """Return how many screen pixels a pixel gets, as a whole number.

    Images are about 100 pixels wide, and as many as there are across fit into `_MAX_WIDTH`.
    """
    return max(1, min(_MAX_WIDTH // (across * side), round(100 / side)))


def _list_shown_sets(results: Results, store: Store) -> list[_ShownSet]:
    """Return the sets behind measurements and features, without swept settings."""
    groups: list[tuple[Scope, Sequence[Cell]]] = []
    groups += [(m.scope, m.cells) for m in results.measurements if not m.sweep]
    groups += [(view.scope, [view.cell]) for view in results.views if not view.cell.sweep]
    found = [_find_stored(results.plan, store, scope, cells) for scope, cells in groups]
    return [shown for shown in found if shown is not None]


def _find_stored(plan: Plan, store: Store, scope: Scope, cells: Sequence[Cell]) -> _ShownSet | None:
    for cell in cells:
        if cell.set_key is None or cell.ipc is None:
            continue
        file = store.find_artifact(plan.units[cell.set_key], ARTIFACT)
        if file is not None:
            return _ShownSet(
                scope=scope, method=cell.method, ipc=cell.ipc, seed=cell.seed, file=file
            )
    return None
