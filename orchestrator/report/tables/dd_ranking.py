"""Tables of DD-Ranking's scores: the label-robust one, and the augmentation-robust one where
augmentation is swept.
"""

from collections.abc import Iterable

from distill_core.settings import EvaluationSettings
from orchestrator.analysis.dd_ranking import augmentation_robust_score, label_robust_score
from orchestrator.planning.plan import Sweep
from orchestrator.report.entries import REFERENCE, format_interval, format_percent, format_points
from orchestrator.report.model import Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Measurement, Results
from orchestrator.report.swept_settings import name_swept_method
from orchestrator.units import Evaluate
from search_spaces.method_names import WHOLE

AUGMENTATION = "evaluation.dsa_strategy"
NO_AUGMENTATION = "none"

_SOURCE = (
    "Li et al. 2025, arXiv 2505.13300; 95 % interval from a two-level bootstrap of the whole score,"
    " paired by seed."
)
_LABEL = (
    "In %, higher is better. Improvement over random (IOR): accuracy on the synthetic minus that"
    " on a random set, in points; hard label recovery (HLR): accuracy on the whole training set,"
    " which has a schedule of its own, minus that on the synthetic set, in points, lower is"
    f" better. LRS = (exp(α) − 1/e) / (e − 1/e), α = ½ IOR − ½ HLR. {_SOURCE}"
)
_AUGMENTATION = (
    "In %, higher is better. Improvement over random with and without augmentation in the "
    f"evaluation, in points. ARS = (exp(β) − 1/e) / (e − 1/e), β = their mean. {_SOURCE}"
)

_Frame = tuple[str, str, str, str]
"""Data set, protocol, split, network."""
_Place = tuple[_Frame, int | None, EvaluationSettings]


def build_score_tables(results: Results) -> tuple[Table, ...]:
    """Return the tables of both scores, one for each protocol and split; tables without a score are
    left out.
    """
    kinds = list(dict.fromkeys((m.scope.protocol, m.scope.split) for m in results.measurements))
    made = []
    for protocol, split in kinds:
        chosen = [
            m
            for m in results.measurements
            if (m.scope.protocol, m.scope.split) == (protocol, split)
        ]
        unusual = [part for part in (protocol, split) if part not in ("paper", "test")]
        made += [_label_robust(results, chosen, unusual), _augmentation_robust(chosen, unusual)]
    return tuple(table for table in made if table.rows)


def _label_robust(
    results: Results, measurements: Iterable[Measurement], unusual: list[str]
) -> Table:
    rows = []
    found = sorted(
        _with_references(results, measurements).items(),
        key=lambda each: (each[0][0], each[0][1] or 0),
    )
    for (frame, ipc, method), (m, random, top) in found:
        score = label_robust_score(m.accuracies, random.accuracies, list(top.accuracies.values()))
        if score:
            texts = (
                format_points(score.ior),
                format_points(score.hlr),
                format_percent(score.score),
                format_interval(score.interval),
            )
            rows.append(
                (*build_row(frame[0], frame[3], ipc, method), *_linked(texts, (m, random, top)))
            )
    return Table(
        slug=make_slug("scores", "lrs", *unusual),
        title=" ".join(["Label-robust score", *_brackets(unusual)]),
        header=("Data set", "Network", "IPC", "Method", "IOR", "HLR", "LRS", "95 % interval"),
        rows=tuple(rows),
        caption=_LABEL,
        text_columns=(0, 1, 3),
    )


def _with_references(
    results: Results, measurements: Iterable[Measurement]
) -> dict[tuple[_Frame, int | None, str], tuple[Measurement, Measurement, Measurement]]:
    """Return each method with the random images evaluated like it, and the whole training set; of
    several the largest.

    The whole training set may belong to another experiment, and has a schedule of its own.
    """
    places: dict[_Place, dict[str, Measurement]] = {}
    whole: dict[_Frame, Measurement] = {}
    for m in measurements:
        evaluation = results.plan.units[m.cells[0].evaluation_key]
        if m.sweep or m.summary is None or not isinstance(evaluation, Evaluate):
            continue
        frame = (m.scope.dataset, m.scope.protocol, m.scope.split, m.network)
        if m.method == WHOLE:
            whole[frame] = _larger(m, whole.get(frame))
        else:
            methods = places.setdefault((frame, m.ipc, evaluation.settings), {})
            methods[m.method] = _larger(m, methods.get(m.method))
    found: dict[tuple[_Frame, int | None, str], tuple[Measurement, Measurement, Measurement]] = {}
    for (frame, ipc, _), methods in places.items():
        random, top = methods.pop(REFERENCE, None), whole.get(frame)
        if random is None or top is None:
            continue
        for method, m in methods.items():
            other = found.get((frame, ipc, method))
            if other is None or _larger(m, other[0]) is m:
                found[frame, ipc, method] = (m, random, top)
    return found


def _augmentation_robust(measurements: Iterable[Measurement], unusual: list[str]) -> Table:
    found: dict[tuple[object, ...], dict[str, dict[str, Measurement]]] = {}
    for m in measurements:
        strategy = dict(m.sweep).get(AUGMENTATION)
        if m.summary and m.ipc is not None and isinstance(strategy, str):
            methods = found.setdefault((m.scope, m.network, m.ipc, _rest(m.sweep)), {})
            methods.setdefault(m.method, {})[strategy] = m
    rows = [line for methods in found.values() for line in _augmentation_rows(methods)]
    return Table(
        slug=make_slug("scores", "ars", *unusual),
        title=" ".join(["Augmentation-robust score", *_brackets(unusual)]),
        header=(
            "Data set",
            "Network",
            "IPC",
            "Method",
            "Augmentation",
            "with",
            "without",
            "ARS",
            "95 % interval",
        ),
        rows=tuple(rows),
        caption=_AUGMENTATION,
        text_columns=(0, 1, 3, 4),
    )


def _augmentation_rows(
    methods: dict[str, dict[str, Measurement]],
) -> Iterable[tuple[TableEntry, ...]]:
    random = methods.get(REFERENCE, {})
    for method, by_strategy in methods.items():
        for strategy, m in by_strategy.items():
            four = (
                m,
                random.get(strategy),
                by_strategy.get(NO_AUGMENTATION),
                random.get(NO_AUGMENTATION),
            )
            known = [each for each in four if each is not None]
            if strategy == NO_AUGMENTATION or method == REFERENCE or len(known) < len(four):
                continue
            score = augmentation_robust_score(*(each.accuracies for each in known))
            if score:
                place = (
                    m.scope.dataset,
                    m.network,
                    m.ipc,
                    name_swept_method(m.method, _rest(m.sweep)),
                    strategy,
                )
                parts = format_points(score.augmented), format_points(score.plain)
                texts = *parts, format_percent(score.score), format_interval(score.interval)
                yield (*build_row(*place), *_linked(texts, known))


def _larger(first: Measurement, second: Measurement | None) -> Measurement:
    """Return the measurement with more networks, where two experiments have one."""
    sizes = [m.summary.networks if m and m.summary else 0 for m in (first, second)]
    return second if second is not None and sizes[1] >= sizes[0] else first


def _rest(sweep: Sweep) -> Sweep:
    return tuple((name, value) for name, value in sweep if name != AUGMENTATION)


def _linked(texts: Iterable[str], sources: Iterable[Measurement]) -> tuple[TableEntry, ...]:
    """Return the texts as entries that name the units of all sources."""
    keys = tuple(key for each in sources for key in each.keys)
    return tuple(TableEntry(text=text, keys=keys) for text in texts)


def _brackets(unusual: list[str]) -> list[str]:
    return [f"({', '.join(unusual)})"] if unusual else []
