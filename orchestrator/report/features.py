"""Tables of feature distributions: spread within classes, and distance of covariances to those of real images."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from orchestrator.report.model import MISSING, Entry, Section, Table, row, slug
from orchestrator.report.results import FeatureView, Results, Scope, scopes

_COLUMNS = (
    ("spread", "real"),
    ("spread", "initial"),
    ("spread", "synthetic"),
    ("covariance_distance", "initial"),
    ("covariance_distance", "synthetic"),
)
_HEADER = ("spread, real", "spread, before", "spread, after", "covariance, before", "covariance, after")
_CAPTION = (
    "Spread: variance of a class's features, summed over them (divided by n − 1). Covariance: Frobenius distance of "
    "the local covariance to that of the class's real images. Of real images, and of the synthetic ones before and "
    "after distillation (before, for images that were chosen: random ones); features of a network trained on the real "
    "images, which no set was distilled with. A covariance is the further off the fewer images it is of: before and "
    "after may be compared, and methods with equally many images. "
)
_CLASSES = "Mean over sets."
_METHODS = "Mean over classes and sets; ± is the population standard deviation over sets of the mean over classes."

_Point = tuple[str, int | None, str]


def sections(results: Results) -> tuple[Section, ...]:
    """Return the feature statistics of each scope as tables; scopes without rows are left out."""
    made = [_section(scope, [v for v in results.views if v.scope == scope]) for scope in scopes(results.views)]
    return tuple(section for section in made if section.tables)


def _section(scope: Scope, views: Sequence[FeatureView]) -> Section:
    points: dict[_Point, list[FeatureView]] = {}
    for view in views:
        points.setdefault((_name(view), view.cell.ipc, view.cell.network), []).append(view)
    done = {point: [v for v in found if not v.rows.empty] for point, found in points.items()}
    done = {point: found for point, found in done.items() if found}
    if not done:
        return Section(title=scope.features_title, tables=(), details=())
    return Section(
        title=scope.features_title,
        tables=(_methods(scope, done),),
        details=tuple(_classes(scope, point, found) for point, found in done.items()),
    )


def _methods(scope: Scope, points: dict[_Point, list[FeatureView]]) -> Table:
    rows = []
    for (method, ipc, network), views in points.items():
        entries = (_entry([_mean(view.rows, *column) for view in views], views) for column in _COLUMNS)
        rows.append((*row(method, MISSING if ipc is None else ipc, network), *entries))
    return Table(
        slug=slug(*scope.name, "features"),
        title="Spread within classes and covariance distance",
        header=("Method", "IPC", "Features of", *_HEADER),
        rows=tuple(rows),
        caption=_CAPTION + _METHODS,
        text_columns=(0, 2),
    )


def _classes(scope: Scope, point: _Point, views: Sequence[FeatureView]) -> Table:
    method, ipc, network = point
    size = "all images" if ipc is None else f"IPC {ipc}"
    everything = pd.concat([view.rows for view in views])
    labels = everything.drop_duplicates("label").sort_values("label")
    rows = []
    for label, name in zip(labels["label"], labels["class_name"], strict=True):
        of_class = everything[everything["label"] == label]
        entries = (_entry([_mean(of_class, *column)], views) for column in _COLUMNS)
        rows.append((Entry(text=str(label if pd.isna(name) else name)), *entries))
    return Table(
        slug=slug(*scope.name, "features", method, size, network),
        title=f"{method}, {size}, features of {network}: class by class",
        header=("Class", *_HEADER),
        rows=tuple(rows),
        caption=_CAPTION + _CLASSES,
    )


def _mean(rows: pd.DataFrame, column: str, origin: str) -> float:
    """Return the mean of a column over the rows of one origin; NaN where there are none."""
    return float(rows.loc[rows["origin"] == origin, column].mean())


def _entry(means: Iterable[float], views: Sequence[FeatureView]) -> Entry:
    """Print the mean of some sets' figures with three digits; what does not exist stays empty."""
    known = np.array([mean for mean in means if not np.isnan(mean)])
    if not known.size:
        return Entry(text="")
    text = _digits(known.mean()) + (f" ± {_digits(known.std())}" if known.size > 1 else "")
    return Entry(text=text, keys=tuple(view.cell.evaluation_key for view in views))


def _digits(value: float) -> str:
    return np.format_float_positional(value, precision=3, fractional=False, unique=False, trim="-")


def _name(view: FeatureView) -> str:
    swept = ", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in view.cell.sweep)
    return f"{view.cell.method} ({swept})" if swept else view.cell.method
