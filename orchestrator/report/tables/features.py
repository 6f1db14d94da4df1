"""Tables of feature distributions: spread within classes, and distance of covariances to those of
real images.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from orchestrator.report.model import MISSING, Section, Table, TableEntry, build_row, make_slug
from orchestrator.report.results import FeatureView, Results, Scope, format_ipc, list_scopes
from orchestrator.report.swept_settings import name_swept_method

_COLUMNS = (
    ("spread", "real"),
    ("spread", "initial"),
    ("spread", "synthetic"),
    ("covariance_distance", "initial"),
    ("covariance_distance", "synthetic"),
)
_HEADER = (
    "spread, real",
    "spread, before",
    "spread, after",
    "covariance, before",
    "covariance, after",
)
_CAPTION = (
    "Spread: variance of a class's features, summed over them (divided by n − 1). Covariance:"
    " Frobenius distance of the local covariance to that of the class's real images. Of real"
    " images, and of the synthetic ones before and after distillation (before, for images that were"
    " chosen: random ones); features of a network trained on the real images, which no set was"
    " distilled with. A covariance is the further off the fewer images it is of: before and after"
    " may be compared, and methods with equally many images. "
)
_CLASSES = "Mean over sets."
_METHODS = (
    "Mean over classes and sets; ± is the population standard deviation over sets of the mean over"
    " classes."
)

_Point = tuple[str, int | None, str]


def build_feature_sections(results: Results) -> tuple[Section, ...]:
    """Return the feature statistics of each scope as tables; scopes without rows are left out."""
    made = [
        _section(scope, [v for v in results.views if v.scope == scope])
        for scope in list_scopes(results.views)
    ]
    return tuple(section for section in made if section.tables)


def _section(scope: Scope, views: Sequence[FeatureView]) -> Section:
    points: dict[_Point, list[FeatureView]] = {}
    for view in views:
        name = name_swept_method(view.cell.method, view.cell.sweep)
        points.setdefault((name, view.cell.ipc, view.cell.network), []).append(view)
    done = {point: made for point, found in points.items() if (made := _done(found))}
    return Section(
        title=scope.features_title,
        place=scope.place,
        tables=(_methods(scope, points),) if done else (),
        details=tuple(_classes(scope, point, found) for point, found in done.items()),
    )


def _done(views: Sequence[FeatureView]) -> list[FeatureView]:
    return [view for view in views if not view.rows.empty]


def _methods(scope: Scope, points: dict[_Point, list[FeatureView]]) -> Table:
    notes = tuple(dict.fromkeys(note for views in points.values() for note in _notes(views)))
    rows = []
    for (method, ipc, network), views in points.items():
        done, marks = _done(views), tuple(notes.index(note) + 1 for note in _notes(views))
        entries = (
            _entry([_mean(view.rows, *column) for view in done], done, marks) for column in _COLUMNS
        )
        rows.append(
            (*build_row(method, MISSING if ipc is None else ipc, network, len(done)), *entries)
        )
    return Table(
        slug=make_slug(*scope.name, "features"),
        title="Spread within classes and covariance distance",
        header=("Method", "IPC", "Features of", "sets", *_HEADER),
        rows=tuple(rows),
        caption=_CAPTION + _METHODS,
        text_columns=(0, 2),
        notes=notes,
    )


def _notes(views: Sequence[FeatureView]) -> list[str]:
    done = len(_done(views))
    return [f"{done} of {len(views)} sets so far"] if 0 < done < len(views) else []


def _classes(scope: Scope, point: _Point, views: Sequence[FeatureView]) -> Table:
    method, ipc, network = point
    everything = pd.concat([view.rows for view in views])
    labels = everything.drop_duplicates("label").sort_values("label")
    rows = []
    for label, name in zip(labels["label"], labels["class_name"], strict=True):
        of_class = everything[everything["label"] == label]
        entries = (_entry([_mean(of_class, *column)], views) for column in _COLUMNS)
        rows.append((TableEntry(text=str(label if pd.isna(name) else name)), *entries))
    return Table(
        slug=make_slug(*scope.name, "features", method, format_ipc(ipc), network),
        title=f"{method}, {format_ipc(ipc)}, features of {network}: class by class",
        header=("Class", *_HEADER),
        rows=tuple(rows),
        caption=_CAPTION + _CLASSES,
    )


def _mean(rows: pd.DataFrame, column: str, origin: str) -> float:
    """Return the mean of a column over the rows of one origin; NaN where there are none."""
    return float(rows.loc[rows["origin"] == origin, column].mean())


def _entry(
    means: Iterable[float], views: Sequence[FeatureView], notes: tuple[int, ...] = ()
) -> TableEntry:
    """Print the mean of the figures of finished sets; what these do not have stays empty, a dash is
    not done yet.
    """
    if not views:
        return TableEntry(text=MISSING)
    known = np.array([mean for mean in means if not np.isnan(mean)])
    if not known.size:
        return TableEntry(text="")
    decimals = _decimals(float(known.mean()))
    text = f"{known.mean():.{decimals}f}" + (
        f" ± {known.std():.{decimals}f}" if known.size > 1 else ""
    )
    return TableEntry(
        text=text, notes=notes, keys=tuple(view.cell.evaluation_key for view in views)
    )


def _decimals(value: float) -> int:
    """Return how many decimals show three digits of a number; a large one keeps all its digits
    before the point.
    """
    digits = f"{value:.2e}"  # rounded first: 9.996 has the decimals of 10.0
    return max(0, 2 - int(digits.partition("e")[2]))
