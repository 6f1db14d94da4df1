"""Tables of feature distributions: spread within classes, and distance of covariances.

They come from the feature views, which are rows of `features`: one table over all methods, and one
table per method with a row per class.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from orchestrator.report.model import (
    MISSING,
    Section,
    Table,
    TableEntry,
    build_row,
    make_slug,
)
from orchestrator.report.results import FeatureView, Results, Scope, format_ipc, list_scopes
from orchestrator.report.swept_settings import name_swept_method


class _FeatureColumn(NamedTuple):
    """A column of the tables: which statistic, of which images."""

    heading: str
    statistic: str
    origin: str


_COLUMNS = (
    _FeatureColumn("spread, real", "spread", "real"),
    _FeatureColumn("spread, before", "spread", "initial"),
    _FeatureColumn("spread, after", "spread", "synthetic"),
    _FeatureColumn("covariance, before", "covariance_distance", "initial"),
    _FeatureColumn("covariance, after", "covariance_distance", "synthetic"),
)
_HEADER = tuple(column.heading for column in _COLUMNS)
_CAPTION = (
    "Spread: variance of the features of a class, summed over features (divided by n − 1)."
    " Covariance: Frobenius distance between the local covariance and that of the real images of"
    " the class. Before, after: synthetic images before and after distillation; for selected"
    " images, before means random images. The features are those of a network trained on the real"
    " images, which no set was distilled with. The fewer images a covariance is computed from,"
    " the larger its distance: compare before with after, and methods with equally many images. "
)
_CLASSES = "Mean over sets."
_METHODS = (
    "Mean over classes and sets; ± is the population standard deviation, over sets, of the mean"
    " over classes."
)


class _FeaturePoint(NamedTuple):
    """What the views of a row share; they differ in their seed."""

    method: str
    ipc: int | None
    network: str


def build_feature_sections(results: Results) -> tuple[Section, ...]:
    """Return the feature statistics of each scope as tables; scopes without rows are left out."""
    sections = []
    for scope in list_scopes(results.views):
        section = _build_section(scope, [view for view in results.views if view.scope == scope])
        if section.tables:
            sections.append(section)
    return tuple(sections)


def _build_section(scope: Scope, views: Sequence[FeatureView]) -> Section:
    points: dict[_FeaturePoint, list[FeatureView]] = {}
    for view in views:
        method = name_swept_method(view.cell.method, view.cell.sweep)
        points.setdefault(_FeaturePoint(method, view.cell.ipc, view.cell.network), []).append(view)
    done = {point: _select_done(found) for point, found in points.items()}
    done = {point: found for point, found in done.items() if found}
    return Section(
        experiment=scope.experiment,
        title=scope.features_title,
        place=scope.place,
        tables=(_build_methods(scope, points),) if done else (),
        details=tuple(_build_classes(scope, point, found) for point, found in done.items()),
    )


def _select_done(views: Sequence[FeatureView]) -> list[FeatureView]:
    return [view for view in views if not view.rows.empty]


def _build_methods(scope: Scope, points: Mapping[_FeaturePoint, Sequence[FeatureView]]) -> Table:
    remarks = {point: _describe_progress(views) for point, views in points.items()}
    notes = tuple(dict.fromkeys(remark for remark in remarks.values() if remark))
    rows = []
    for point, views in points.items():
        done = _select_done(views)
        marks = (notes.index(remarks[point]) + 1,) if remarks[point] else ()
        ipc = MISSING if point.ipc is None else point.ipc
        row = list(build_row(point.method, ipc, point.network, len(done)))
        for column in _COLUMNS:
            row.append(_build_entry([_average(view.rows, column) for view in done], done, marks))
        rows.append(tuple(row))
    return Table(
        slug=make_slug(*scope.name, "features"),
        title="Spread within classes and covariance distance",
        header=("Method", "IPC", "Features of", "sets", *_HEADER),
        rows=tuple(rows),
        caption=_CAPTION + _METHODS,
        text_columns=(0, 2),
        notes=notes,
    )


def _describe_progress(views: Sequence[FeatureView]) -> str:
    """Return a footnote for a mean over some of the planned sets; empty where none is needed."""
    done = len(_select_done(views))
    return f"{done} of {len(views)} sets so far" if 0 < done < len(views) else ""


def _build_classes(scope: Scope, point: _FeaturePoint, views: Sequence[FeatureView]) -> Table:
    frame = pd.concat([view.rows for view in views])
    labels = frame.drop_duplicates("label").sort_values("label")
    rows = []
    for label, name in zip(labels["label"], labels["class_name"], strict=True):
        of_class = frame[frame["label"] == label]
        entries = [_build_entry([_average(of_class, column)], views) for column in _COLUMNS]
        rows.append((TableEntry(text=str(label if pd.isna(name) else name)), *entries))
    size = format_ipc(point.ipc)
    return Table(
        slug=make_slug(*scope.name, "features", point.method, size, point.network),
        title=f"{point.method}, {size}, features of {point.network}: class by class",
        header=("Class", *_HEADER),
        rows=tuple(rows),
        caption=_CAPTION + _CLASSES,
    )


def _average(rows: pd.DataFrame, column: _FeatureColumn) -> float:
    """Return the mean of a statistic over the rows of one origin; NaN where there are none."""
    return float(rows.loc[rows["origin"] == column.origin, column.statistic].mean())


def _build_entry(
    means: Iterable[float], views: Sequence[FeatureView], notes: tuple[int, ...] = ()
) -> TableEntry:
    """Return the mean over finished sets.

    A dash means that no set is finished, an empty entry that finished sets do not have the number.
    """
    if not views:
        return TableEntry(text=MISSING)
    known = np.array([mean for mean in means if not np.isnan(mean)])
    if not known.size:
        return TableEntry(text="")
    decimals = _choose_decimals(float(known.mean()))
    text = f"{known.mean():.{decimals}f}"
    if known.size > 1:
        text += f" ± {known.std():.{decimals}f}"
    return TableEntry(
        text=text, notes=notes, keys=tuple(view.cell.evaluation_key for view in views)
    )


def _choose_decimals(value: float) -> int:
    """Return the number of decimals that shows three digits of a number.

    A large number keeps all digits before the point.
    """
    digits = f"{value:.2e}"  # Rounded first, because 9.996 prints as 10.0 and needs its decimals.
    return max(0, 2 - int(digits.partition("e")[2]))
