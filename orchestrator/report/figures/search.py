"""Figures of a search: the plane of two settings, each setting alone, and trials over rungs.

They come from the trials of a study's journal that have a value at the first rung.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from orchestrator.report.figures.drawing import add_legend, create_panels
from orchestrator.report.figures.style import MUTED, SEQUENTIAL, assign_colors
from orchestrator.report.search_baseline import BASELINE, is_published, measure_noise
from orchestrator.search.dimensions import Dimension
from orchestrator.search.journal import Trial
from orchestrator.search.results import StudyResult

Array = NDArray[np.float64]

MIN_TRIALS = 6
"""With fewer points no surface is drawn."""
_GRID_SIZE = 80
_PUBLISHED = "#e8590c"
_MATHEMATICAL = {"lambda_cc": r"$\lambda_\mathrm{CC}$", "lambda_cm": r"$\lambda_\mathrm{CM}$"}


class StudyFigure(NamedTuple):
    """A drawn figure of a study."""

    name: str
    """End of its file name."""
    title: str
    caption: str
    figure: Figure


def draw_figures(result: StudyResult) -> Iterator[StudyFigure]:
    """Draw the figures that a study has data for."""
    measured = [trial for trial in result.trials if trial.rungs[0].value is not None]
    if not measured:
        return
    first = (
        f"validation accuracy after {result.study.iterations[0]} iterations, which every trial"
        " reaches"
    )
    if len(result.study.dimensions) > 1:
        yield StudyFigure(
            name="map",
            title="where the search looked",
            caption=(
                f"Color: {first}, smoothed by a Gaussian process. Colors span at least four"
                " standard errors of one trial, so that noise looks alike. Larger points reached"
                " more rungs."
            ),
            figure=draw_map(result, measured),
        )
    yield StudyFigure(
        name="slices",
        title="accuracy against each setting",
        caption=f"Small points: {first}. Large points: after all iterations.",
        figure=draw_slices(result, measured),
    )
    if len(result.study.iterations) > 1:
        yield StudyFigure(
            name="rungs",
            title="trials over their rungs",
            caption="One line per trial; it ends where the trial was stopped.",
            figure=draw_rungs(result, measured),
        )


def draw_map(result: StudyResult, trials: Sequence[Trial]) -> Figure:
    """Draw the plane of the first two settings.

    It shows a surface through the values of the first rung, and the trials on it.
    """
    across, up = result.study.dimensions[1::-1]
    points = np.array([_locate(trial, across, up) for trial in trials])
    values = 100 * np.array([trial.rungs[0].value for trial in trials], dtype=np.float64)
    title = f"{result.study.title}: where the search looked"
    figure = create_panels(title, 1, 1, width=4.4, height=3.6, legend_width=1.9)
    (ax,) = figure.axes
    ax.grid(False)
    areas = [30 + 45 * (len(trial.rungs) - 1) for trial in trials]
    noise = measure_noise(trials)
    dots = _draw_surface(ax, points, values, areas, noise)
    label = "validation accuracy in %"
    if noise is not None:
        label += f"\n(standard error of one trial: {100 * noise:.1f})"
    figure.colorbar(dots, ax=ax, label=label, shrink=0.75, location="left", pad=0.02)
    handles: dict[str, Artist] = {}
    for name, trial in _list_marked(result).items():
        handles[name] = _draw_mark(ax, name, _locate(trial, across, up))
    _label_axis(ax.xaxis, across)
    _label_axis(ax.yaxis, up)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel(_build_title(across))
    ax.set_ylabel(_build_title(up))
    add_legend(figure, handles)
    return figure


def draw_slices(result: StudyResult, trials: Sequence[Trial]) -> Figure:
    """Draw accuracy against each setting alone."""
    dimensions = result.study.dimensions
    title = f"{result.study.title}: accuracy against each setting"
    figure = create_panels(title, 1, len(dimensions), width=3.1, height=2.9, legend_width=1.5)
    color = assign_colors([result.study.method])[result.study.method]
    handles: dict[str, Artist] = {}
    for ax, dimension in zip(figure.axes, dimensions, strict=True):
        handles |= _draw_slice(ax, dimension, trials, color)
        for name, trial in _list_marked(result).items():
            position = dimension.position(trial.parameters[dimension.path])
            handles[name] = _draw_mark(ax, name, (position, 100 * (trial.value or 0)))
        _label_axis(ax.xaxis, dimension)
        ax.set_xlim(0, 1)
        label = _build_title(dimension)
        if dimension.path in result.importance:
            label += f"  (importance {100 * result.importance[dimension.path]:.0f} %)"
        ax.set_xlabel(label)
    figure.axes[0].set_ylabel("validation accuracy in %")
    add_legend(figure, handles)
    return figure


def draw_rungs(result: StudyResult, trials: Sequence[Trial]) -> Figure:
    """Draw accuracy against iterations, a line per trial."""
    color = assign_colors([result.study.method])[result.study.method]
    title = f"{result.study.title}: trials over their rungs"
    figure = create_panels(title, 1, 1, width=4.6, height=2.9, legend_width=1.5)
    (ax,) = figure.axes
    handles: dict[str, Artist] = {}
    shades = {"stopped": MUTED, "complete": color}
    # Complete trials are drawn last, on top of the others.
    for trial in sorted(trials, key=lambda t: t.state == "complete"):
        reached = [rung for rung in trial.rungs if rung.value is not None]
        (handles[trial.state],) = ax.plot(
            [rung.iterations for rung in reached],
            [100 * (rung.value or 0) for rung in reached],
            marker="o",
            markersize=3.5,
            linewidth=1.2,
            color=shades.get(trial.state, _PUBLISHED),
            alpha=0.9 if trial.state == "complete" else 0.6,
        )
    ax.set_xscale("log")
    ax.set_xticks(result.study.iterations, [f"{n:,}" for n in result.study.iterations])
    ax.xaxis.set_tick_params(which="minor", length=0, labelbottom=False)
    ax.set_xlabel("iterations")
    ax.set_ylabel("validation accuracy in %")
    add_legend(figure, handles)
    return figure


def fit_surface(points: Array, values: Array) -> Array:
    """Return a smooth surface over the unit square through noisy values.

    Args:
        points: (n, 2) positions.
        values: (n,).

    Returns:
        (size, size); the second axis goes to the right.
    """
    # scikit-learn takes a second to import and is needed for a search alone.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    kernel = RBF([0.3, 0.3], length_scale_bounds=(0.1, 3.0)) + WhiteKernel(
        0.3, noise_level_bounds=(0.01, 2.0)
    )
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    centers = (np.arange(_GRID_SIZE) + 0.5) / _GRID_SIZE
    grid = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2)
    with warnings.catch_warnings():
        # A length scale at its bound is fine: the surface only guides the eye.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = process.fit(points, values).predict(grid)
    return np.asarray(predicted, dtype=np.float64).reshape(_GRID_SIZE, _GRID_SIZE)


def find_color_limits(values: Array, noise: float | None) -> tuple[float, float]:
    """Return the range of the colors: that of the values, but no narrower than their noise.

    Args:
        values: accuracies in percent.
        noise: standard error of one of them, as a fraction; None if unknown.
    """
    # Within two standard errors to each side, differences are noise and should look alike.
    least = max(0.1, 400 * (noise or 0.0))
    low, high = float(values.min()), float(values.max())
    missing = max(0.0, least - (high - low)) / 2
    return low - missing, high + missing


def _draw_surface(
    ax: Axes, points: Array, values: Array, areas: Sequence[float], noise: float | None
) -> PathCollection:
    """Draw a surface through the values, if there are enough, and the points on it."""
    low, high = find_color_limits(values, noise)
    limits: Any = {"vmin": low, "vmax": high, "cmap": SEQUENTIAL}
    if len(points) >= MIN_TRIALS:
        surface = fit_surface(points, values)
        ax.imshow(surface, origin="lower", extent=(0, 1, 0, 1), aspect="auto", **limits)
    return ax.scatter(
        points[:, 0],
        points[:, 1],
        c=values,
        s=areas,
        edgecolors="white",
        linewidths=1.1,
        zorder=3,
        clip_on=False,
        **limits,
    )


def _draw_slice(
    ax: Axes, dimension: Dimension, trials: Sequence[Trial], color: str
) -> dict[str, Artist]:
    """Draw the first and the last value of each trial."""
    handles: dict[str, Artist] = {}
    positions = [dimension.position(trial.parameters[dimension.path]) for trial in trials]
    first = [100 * (trial.rungs[0].value or 0) for trial in trials]
    (handles["first rung"],) = ax.plot(positions, first, "o", color=MUTED, markersize=3, zorder=2)
    complete = [trial for trial in trials if trial.value is not None]
    if complete:
        (handles["last rung"],) = ax.plot(
            [dimension.position(trial.parameters[dimension.path]) for trial in complete],
            [100 * (trial.value or 0) for trial in complete],
            "o",
            color=color,
            markersize=6,
            zorder=3,
        )
    return handles


def _locate(trial: Trial, across: Dimension, up: Dimension) -> tuple[float, float]:
    """Return a trial's position in the plane of two settings."""
    parameters = trial.parameters
    return across.position(parameters[across.path]), up.position(parameters[up.path])


def _list_marked(result: StudyResult) -> dict[str, Trial]:
    """Return the trials of the published and the best settings, as far as there are any."""
    # Trial 0 has the published settings only where somebody published some.
    first = "published" if is_published(result.study) else BASELINE
    finalists = {first: result.published, "best": result.best}
    return {name: each.trial for name, each in finalists.items() if each is not None}


def _draw_mark(ax: Axes, name: str, position: tuple[float, float]) -> Artist:
    """Mark the published or the best settings, and return the mark for a legend."""
    x, y = position
    style: Any = {
        "marker": "*" if name == "best" else "s",
        "markeredgecolor": _PUBLISHED,
        "markerfacecolor": "none",
    }
    ax.plot(
        x,
        y,
        markersize=15 if name == "best" else 13,
        markeredgewidth=1.6,
        zorder=4,
        clip_on=False,
        **style,
    )
    return Line2D([], [], linestyle="none", markersize=9, **style)


def _label_axis(axis: Axis, dimension: Dimension) -> None:
    """Label an axis of positions with the values at them.

    A logarithmic range has 0 and powers of ten, a linear one five even values.
    """
    values = dimension.range
    ticks = [0.0] if values.zero else []
    labels = ["0"] * len(ticks)
    if values.log:
        # 1e-9 absorbs rounding of log10, so that a range that ends at 0.1 has a tick there.
        low = int(np.ceil(np.log10(values.low) - 1e-9))
        high = int(np.floor(np.log10(values.high) + 1e-9))
        for exponent in range(low, high + 1):
            ticks.append(10.0**exponent)
            labels.append(f"$10^{{{exponent}}}$")
    else:
        for tick in np.linspace(values.low, values.high, 5):
            ticks.append(tick)
            labels.append(f"{tick:g}")
    axis.set_ticks([dimension.position(tick) for tick in ticks], labels)


def _build_title(dimension: Dimension) -> str:
    return _MATHEMATICAL.get(dimension.name, dimension.name)
