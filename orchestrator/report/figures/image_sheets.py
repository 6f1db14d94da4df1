"""Synthetic images as pictures: a sheet a set (classes × images), and the methods beside one
another.

Pixels are drawn as whole squares, values outside [0, 1] are clipped for display only, and canvases
of partitioned sets are shown as stored.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from orchestrator.errors import ReportError
from orchestrator.planning.plan import Cell, Plan
from orchestrator.report.figures.drawing import format_headline
from orchestrator.report.figures.style import INK, MUTED, create_figure, save_figure, use_style
from orchestrator.report.model import Picture, make_slug
from orchestrator.report.results import Results, Scope
from orchestrator.store.store import Store

Image = NDArray[np.uint8]

ARTIFACT = "synthetic_set.safetensors"
MAX_COLUMNS = 10
"""Images a class on a sheet."""
COMPARED_ROWS = 2
COMPARED_CLASSES = 10
_CLIPPED = "values outside [0, 1] are clipped for display only."
_SHEET = f"Each class's synthetic images as stored; {_CLIPPED}"
_COMPARISON = (
    f"The first synthetic images of each class, of the first seed that is done; {_CLIPPED}"
)
_DPI = 100
_GAP = 3
_MARGIN = 18
_WIDTH = 1500
"""Screen pixels across that a picture's images should fit into."""
_PIXELS = 4_000_000
"""Image pixels that a sheet shows at most."""


@dataclass(frozen=True, kw_only=True)
class StoredSet:
    """What a picture needs of a synthetic set."""

    images: Image
    """(N, H, W, 3), clipped for display."""
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def of_class(self, label: int, limit: int) -> Image:
        """Return the first images (at most limit, H, W, 3) of a class."""
        return np.asarray(self.images[self.labels == label][:limit])


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
    shown = (
        np.rint(255 * np.clip(np.nan_to_num(images), 0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    )
    return StoredSet(
        images=np.broadcast_to(shown, (*shown.shape[:3], 3)), labels=labels, class_names=names
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _ShownSet:
    """The set that stands for a method at one IPC of a scope: the first seed's that is done."""

    scope: Scope
    method: str
    ipc: int
    seed: int
    file: Path


def write_sheets(results: Results, store: Store, out: Path) -> tuple[Picture, ...]:
    """Write one sheet a data set, method and IPC, of the first seed that is done."""
    pictures: dict[Path, Picture] = {}
    for shown in _list_shown_sets(results, store):
        if shown.file in pictures:
            continue
        title = f"{shown.method}, {shown.scope.dataset}, IPC {shown.ipc}, seed {shown.seed}"
        path = (
            Path("pictures")
            / f"{make_slug(*shown.scope.name, shown.method, f'ipc{shown.ipc}')}.png"
        )
        with use_style():
            save_figure(draw_sheet(read_set(shown.file), title), out / path)
        pictures[shown.file] = Picture(title=title, path=path, group="sheet", caption=_SHEET)
    return tuple(pictures.values())


def write_comparisons(results: Results, store: Store, out: Path) -> tuple[Picture, ...]:
    """Write the methods beside one another, one picture an experiment and data set, at its largest
    IPC.
    """
    return tuple(_draw_comparisons(results, store, out))


def _draw_comparisons(results: Results, store: Store, out: Path) -> Iterator[Picture]:
    shown, drawn = _list_shown_sets(results, store), set[Path]()
    for scope in dict.fromkeys(each.scope for each in shown):
        ipc, paths = _select_largest_ipc([each for each in shown if each.scope == scope])
        if len(paths) > 1 and not drawn.issuperset(paths.values()):
            drawn.update(paths.values())
            title = format_headline(scope, f"IPC {ipc}", "the same classes by each method")
            path = Path("pictures") / f"{make_slug(*scope.name, 'methods', f'ipc{ipc}')}.png"
            with use_style():
                save_figure(
                    draw_comparison({method: read_set(file) for method, file in paths.items()}),
                    out / path,
                )
            yield Picture(title=title, path=path, group="comparison", caption=_COMPARISON)


def _select_largest_ipc(shown: Iterable[_ShownSet]) -> tuple[int, dict[str, Path]]:
    """Return the IPC at which most methods have a set, the largest of several, and their files by
    method.
    """
    found: dict[int, dict[str, Path]] = {}
    for each in shown:
        found.setdefault(each.ipc, {}).setdefault(each.method, each.file)
    ipc = max(found, key=lambda n: (len(found[n]), n), default=0)
    return ipc, found.get(ipc, {})


def draw_sheet(stored: StoredSet, title: str) -> Figure:
    """Draw a set: a row a class, at most `MAX_COLUMNS` images each; many classes flow into blocks
    side by side.

    Of many classes of large images fewer are shown, so that the picture stays within `_PIXELS`.
    """
    side, most = stored.images.shape[1], int(np.bincount(stored.labels, minlength=1).max())
    columns = max(1, min(most, MAX_COLUMNS, _PIXELS // (len(stored.class_names) * side**2)))
    rows = [stored.of_class(label, columns) for label in range(len(stored.class_names))]
    title = title if columns >= most else f"{title} ({columns} of {most} images a class)"
    blocks = _count_blocks(len(rows), columns)
    scale = _choose_scale(side, blocks * (columns + 2))
    cell = side * scale + _GAP
    label_width = _measure_text(stored.class_names)
    height = math.ceil(len(rows) / blocks)
    canvas = _Canvas(
        width=2 * _MARGIN
        + max(
            blocks * (label_width + columns * cell + _MARGIN) - _MARGIN, _measure_text([title], 14)
        ),
        height=2 * _MARGIN + 30 + height * cell,
    )
    canvas.write(_MARGIN, _MARGIN + 8, title, size=13, weight="bold")
    for label, images in enumerate(rows):
        block, line = divmod(label, height)
        left = _MARGIN + block * (label_width + columns * cell + _MARGIN)
        top = _MARGIN + 30 + line * cell
        canvas.write(
            left + label_width - 10,
            top + (cell - _GAP) / 2,
            stored.class_names[label],
            align="right",
        )
        for i, image in enumerate(images):
            canvas.paste(left + label_width + i * cell, top, image, scale)
    return canvas.figure()


def draw_comparison(sets: dict[str, StoredSet]) -> Figure:
    """Draw methods one below the other: a column a class, up to `COMPARED_ROWS` images each."""
    first = next(iter(sets.values()))
    count = len(first.class_names)
    labels = sorted({round(i) for i in np.linspace(0, count - 1, min(count, COMPARED_CLASSES))})
    lines = {
        m: max(len(s.of_class(label, COMPARED_ROWS)) for label in labels) for m, s in sets.items()
    }
    side = max(s.images.shape[1] for s in sets.values())
    scale = _choose_scale(side, len(labels) + 2)
    cell, label_width = side * scale + _GAP, _measure_text(sets, size=13)
    top = _MARGIN + 26
    canvas = _Canvas(
        width=2 * _MARGIN + label_width + len(labels) * cell,
        height=top + sum(n * cell for n in lines.values()) + (len(sets) - 1) * 14 + _MARGIN,
    )
    for column, label in enumerate(labels):
        x = _MARGIN + label_width + column * cell + (cell - _GAP) / 2
        canvas.write(x, _MARGIN + 8, first.class_names[label], align="center", color=MUTED)
    for method, stored in sets.items():
        canvas.write(
            _MARGIN, top + (lines[method] * cell - _GAP) / 2, method, size=13, weight="bold"
        )
        for column, label in enumerate(labels):
            for line, image in enumerate(stored.of_class(label, COMPARED_ROWS)):
                canvas.paste(_MARGIN + label_width + column * cell, top + line * cell, image, scale)
        top += lines[method] * cell + 14
    return canvas.figure()


class _Canvas:
    """A white picture in pixel coordinates from the top left; images are pasted exactly, text is
    drawn over them.
    """

    def __init__(self, *, width: int, height: int) -> None:
        self._pixels = np.full((height, width, 3), 255, dtype=np.uint8)
        self._figure = create_figure(width / _DPI, height / _DPI, _DPI)

    def paste(self, left: int, top: int, image: Image, scale: int) -> None:
        pixels = image.repeat(scale, axis=0).repeat(scale, axis=1)
        self._pixels[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        weight: str = "normal",
        align: str = "left",
        color: str = INK,
    ) -> None:
        height, width = self._pixels.shape[:2]
        style: Any = {
            "fontsize": size * 72 / _DPI,
            "fontweight": weight,
            "ha": align,
            "va": "center",
            "color": color,
        }
        self._figure.text(x / width, 1 - y / height, text, **style)

    def figure(self) -> Figure:
        self._figure.figimage(self._pixels, origin="upper")
        return self._figure


def _count_blocks(rows: int, columns: int) -> int:
    """Number of blocks side by side that brings the sheet closest to four units wide and three
    high.
    """

    def unshapeliness(blocks: int) -> float:
        aspect = blocks * (columns + 2) / math.ceil(rows / blocks)
        return abs(math.log(aspect / (4 / 3)))

    return min(range(1, rows + 1), key=unshapeliness, default=1)


def _choose_scale(side: int, cells_across: int) -> int:
    """Whole number of screen pixels a pixel, so that the cells fit the width and an image is about
    100 pixels.
    """
    return max(1, min(_WIDTH // (cells_across * side), round(100 / side)))


def _measure_text(texts: Iterable[str], size: int = 12) -> int:
    return 14 + round(0.66 * size * max((len(text) for text in texts), default=0))


def _list_shown_sets(results: Results, store: Store) -> list[_ShownSet]:
    """Return the sets that are pictured: those whose accuracy or features are measured; swept
    settings are left out.
    """
    measured = [(m.scope, m.cells) for m in results.measurements if not m.sweep]
    viewed = [(view.scope, (view.cell,)) for view in results.views if not view.cell.sweep]
    return [
        shown
        for scope, cells in (*measured, *viewed)
        if (shown := _find_stored(results.plan, store, scope, cells))
    ]


def _find_stored(plan: Plan, store: Store, scope: Scope, cells: Sequence[Cell]) -> _ShownSet | None:
    for cell in cells:
        if cell.set_key is None or cell.ipc is None:
            continue
        file = store.artifact(plan.units[cell.set_key], ARTIFACT)
        if file is not None:
            return _ShownSet(
                scope=scope, method=cell.method, ipc=cell.ipc, seed=cell.seed, file=file
            )
    return None
