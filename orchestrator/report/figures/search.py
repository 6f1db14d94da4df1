"""Figures of a search: where in the plane of two settings it looked, each setting for itself, and
who was stopped.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from orchestrator.report.figures.drawing import add_legend, create_panels
from orchestrator.report.figures.style import MUTED, SEQUENTIAL, assign_colors
from orchestrator.search.dimensions import Dimension
from orchestrator.search.journal import Trial
from orchestrator.search.results import StudyResult

Array = NDArray[np.float64]

MIN_TRIALS = 6
"""Fewer points give no surface."""
_CELLS = 80
_PUBLISHED = "#e8590c"
_MATHEMATICAL = {"lambda_cc": r"$\lambda_\mathrm{CC}$", "lambda_cm": r"$\lambda_\mathrm{CM}$"}


def draw_figures(result: StudyResult) -> Iterator[tuple[str, str, Figure]]:
    """Draw what there is of a study: the name of a file, a caption, and the figure."""
    measured = [trial for trial in result.trials if trial.rungs[0].value is not None]
    if not measured:
        return
    first = (
        f"validation accuracy after {result.study.iterations[0]} iterations, which every trial"
        " reaches"
    )
    if len(result.study.dimensions) > 1:
        caption = f"Colour: {first}, smoothed by a Gaussian process; larger points came further."
        yield "map", caption, draw_map(result, measured)
    yield "slices", f"Small: {first}. Large: after all of them.", draw_slices(result, measured)
    if len(result.study.iterations) > 1:
        yield (
            "rungs",
            "A line a trial; it ends where the trial was stopped.",
            draw_rungs(result, measured),
        )


def draw_map(result: StudyResult, trials: Sequence[Trial]) -> Figure:
    """Draw the plane of the first two settings: a surface through the first rung's values, and the
    trials on it.
    """
    across, up = result.study.dimensions[1::-1]
    points = np.array(
        [
            [across.position(t.parameters[across.path]), up.position(t.parameters[up.path])]
            for t in trials
        ]
    )
    values = 100 * np.array([t.rungs[0].value for t in trials], dtype=np.float64)
    limits: Any = {
        "vmin": values.min(),
        "vmax": max(values.max(), values.min() + 0.1),
        "cmap": SEQUENTIAL,
    }
    figure = create_panels(
        f"{result.study.title}: where the search looked", 1, 1, width=4.4, height=3.6, beside=1.9
    )
    (ax,) = figure.axes
    ax.grid(False)
    if len(trials) >= MIN_TRIALS:
        ax.imshow(
            fit_surface(points, values),
            origin="lower",
            extent=(0, 1, 0, 1),
            aspect="auto",
            **limits,
        )
    sizes = [30 + 45 * (len(trial.rungs) - 1) for trial in trials]
    dots = ax.scatter(
        points[:, 0],
        points[:, 1],
        c=values,
        s=sizes,
        edgecolors="white",
        linewidths=1.1,
        zorder=3,
        clip_on=False,
        **limits,
    )
    figure.colorbar(
        dots, ax=ax, label="validation accuracy in %", shrink=0.75, location="left", pad=0.02
    )
    handles = _draw_marks(
        ax,
        result,
        lambda t: (across.position(t.parameters[across.path]), up.position(t.parameters[up.path])),
    )
    _scale(ax.xaxis, across)
    _scale(ax.yaxis, up)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel(_build_title(across))
    ax.set_ylabel(_build_title(up))
    add_legend(figure, handles)
    return figure


def draw_slices(result: StudyResult, trials: Sequence[Trial]) -> Figure:
    """Draw accuracy against each setting for itself."""
    dimensions = result.study.dimensions
    color = assign_colors([result.study.method])[result.study.method]
    title = f"{result.study.title}: accuracy against each setting"
    figure = create_panels(title, 1, len(dimensions), width=3.1, height=2.9, beside=1.5)
    handles: dict[str, Artist] = {}
    for ax, dimension in zip(figure.axes, dimensions, strict=True):
        where = {t.number: dimension.position(t.parameters[dimension.path]) for t in trials}
        first = [(where[t.number], 100 * (t.rungs[0].value or 0)) for t in trials]
        (handles["first rung"],) = ax.plot(
            *zip(*first, strict=True), "o", color=MUTED, markersize=3, zorder=2
        )
        complete = [(where[t.number], 100 * t.value) for t in trials if t.value is not None]
        if complete:
            (handles["last rung"],) = ax.plot(
                *zip(*complete, strict=True), "o", color=color, markersize=6, zorder=3
            )
        handles |= _draw_marks(
            ax,
            result,
            lambda t, where=where: (where[t.number], 100 * t.value),  # type: ignore[misc]
        )
        _scale(ax.xaxis, dimension)
        ax.set_xlim(0, 1)
        share = result.importance.get(dimension.path)
        ax.set_xlabel(
            _build_title(dimension)
            + ("" if share is None else f"  (importance {100 * share:.0f} %)")
        )
    figure.axes[0].set_ylabel("validation accuracy in %")
    add_legend(figure, handles)
    return figure


def draw_rungs(result: StudyResult, trials: Sequence[Trial]) -> Figure:
    """Draw accuracy against iterations, a line a trial."""
    color = assign_colors([result.study.method])[result.study.method]
    figure = create_panels(
        f"{result.study.title}: trials over their rungs", 1, 1, width=4.6, height=2.9, beside=1.5
    )
    (ax,) = figure.axes
    handles: dict[str, Artist] = {}
    shades = {"stopped": MUTED, "complete": color}
    for trial in sorted(trials, key=lambda t: t.state == "complete"):
        reached = [(r.iterations, 100 * r.value) for r in trial.rungs if r.value is not None]
        style: Any = {
            "color": shades.get(trial.state, _PUBLISHED),
            "alpha": 0.9 if trial.state == "complete" else 0.6,
        }
        (handles[trial.state],) = ax.plot(
            *zip(*reached, strict=True), marker="o", markersize=3.5, linewidth=1.2, **style
        )
    ax.set_xscale("log")
    ax.set_xticks(result.study.iterations, [f"{n:,}" for n in result.study.iterations])
    ax.xaxis.set_tick_params(which="minor", length=0, labelbottom=False)
    ax.set_xlabel("iterations")
    ax.set_ylabel("validation accuracy in %")
    add_legend(figure, handles)
    return figure


def fit_surface(points: Array, values: Array) -> Array:
    """Return a smooth surface over the unit square through noisy values, (cells, cells), the second
    axis to the right.

    Args:
        points: (n, 2) positions.
        values: (n,).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    kernel = RBF([0.3, 0.3], length_scale_bounds=(0.1, 3.0)) + WhiteKernel(
        0.3, noise_level_bounds=(0.01, 2.0)
    )
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    middle = (np.arange(_CELLS) + 0.5) / _CELLS
    grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = process.fit(points, values).predict(grid)
    return np.asarray(predicted, dtype=np.float64).reshape(_CELLS, _CELLS)


def _draw_marks(
    ax: Axes, result: StudyResult, place: Callable[[Trial], tuple[float, float]]
) -> dict[str, Artist]:
    """Mark the published and the best settings, and return the marks for a legend."""
    handles: dict[str, Artist] = {}
    for name, finalist, marker in (
        ("published", result.published, "s"),
        ("best", result.best, "*"),
    ):
        if finalist is not None:
            style: Any = {
                "marker": marker,
                "markersize": 15 if marker == "*" else 13,
                "markeredgecolor": _PUBLISHED,
            }
            ax.plot(
                *place(finalist.trial),
                markerfacecolor="none",
                markeredgewidth=1.6,
                zorder=4,
                clip_on=False,
                **style,
            )
            handles[name] = Line2D(
                [], [], linestyle="none", markerfacecolor="none", **style | {"markersize": 9}
            )
    return handles


def _scale(axis: Axis, dimension: Dimension) -> None:
    """Label positions with the values there: 0, powers of ten on a logarithmic range, and both
    ends.
    """
    values = dimension.range
    ticks = [0.0] if values.zero else []
    labels = ["0"] * len(ticks)
    if values.log:
        exponents = range(
            int(np.ceil(np.log10(values.low) - 1e-9)),
            int(np.floor(np.log10(values.high) + 1e-9)) + 1,
        )
        ticks += [10.0**exponent for exponent in exponents]
        labels += [f"$10^{{{exponent}}}$" for exponent in exponents]
    else:
        ticks += list(even := np.linspace(values.low, values.high, 5))
        labels += [f"{tick:g}" for tick in even]
    axis.set_ticks([dimension.position(tick) for tick in ticks], labels)


def _build_title(dimension: Dimension) -> str:
    return _MATHEMATICAL.get(dimension.name, dimension.name)
