"""Tables of DD-Ranking's scores: label-robust, and augmentation-robust.

The label-robust score (LRS) compares measurements without swept settings. The augmentation-robust
score (ARS) compares measurements that sweep the augmentation of the evaluation. Both come from the
rows of `evaluations`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from distill_core.settings import EvaluationSettings
from orchestrator.analysis.dd_ranking import augmentation_robust_score, label_robust_score
from orchestrator.planning.methods import REFERENCE
from orchestrator.planning.plan import Sweep
from orchestrator.report.entries import (
    format_interval,
    format_percent,
    format_points,
)
from orchestrator.report.model import Table, TableEntry, build_row, make_slug
from orchestrator.report.results import Measurement, Results, Scope, list_unusual_parts
from orchestrator.report.swept_settings import name_swept_method
from orchestrator.units import Evaluate
from search_spaces.method_names import WHOLE

AUGMENTATION = "evaluation.dsa_strategy"
NO_AUGMENTATION = "none"

_SOURCE = (
    "The 95 % interval is Student's t over the sets, paired by seed. Source:"
    " Li et al. 2025, arXiv 2505.13300."
)
_LABEL = (
    "Label-robust score (LRS) in %; higher is better. Improvement over random (IOR), in points:"
    " accuracy on the synthetic set minus that on a random set. Hard label recovery (HLR), in"
    " points: accuracy on the whole training set, which has its own schedule, minus that on the"
    " synthetic set; lower is better. LRS = (exp(α) − 1/e) / (e − 1/e), where α = ½ IOR − ½ HLR."
    f" {_SOURCE}"
)
_AUGMENTATION = (
    "Augmentation-robust score (ARS) in %; higher is better. With, without: improvement over"
    " random with and without augmentation in the evaluation, in points. ARS = (exp(β) − 1/e) /"
    f" (e − 1/e), where β is the mean of the two. {_SOURCE}"
)


class _Frame(NamedTuple):
    """What a set shares with the whole training set that it is compared with."""

    dataset: str
    protocol: str
    split: str
    network: str


class _Scored(NamedTuple):
    """What a label-robust score is of."""

    frame: _Frame
    ipc: int | None
    method: str


class _LabelComparison(NamedTuple):
    """The three measurements of a label-robust score."""

    synthetic: Measurement
    random: Measurement
    whole: Measurement


class _SweptPlace(NamedTuple):
    """What measurements share whose augmentation alone differs."""

    scope: Scope
    network: str
    ipc: int
    sweep: Sweep
    """Without the augmentation."""


def build_score_tables(results: Results) -> tuple[Table, ...]:
    """Return the tables of both scores for each protocol and split.

    Tables without a score are left out.
    """
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for m in results.measurements:
        groups.setdefault((m.scope.protocol, m.scope.split), []).append(m)
    tables = []
    for (protocol, split), chosen in groups.items():
        unusual = list_unusual_parts(protocol, split)
        tables.append(_build_label_robust(results, chosen, unusual))
        tables.append(_build_augmentation_robust(chosen, unusual))
    return tuple(table for table in tables if table.rows)


def _build_label_robust(
    results: Results, measurements: Iterable[Measurement], unusual: Sequence[str]
) -> Table:
    found = _find_compared(results, measurements)
    rows = []
    for scored in sorted(found, key=lambda scored: (scored.frame, scored.ipc or 0)):
        compared = found[scored]
        score = label_robust_score(
            compared.synthetic.accuracies,
            compared.random.accuracies,
            list(compared.whole.accuracies.values()),
        )
        if score:
            texts = (
                format_points(score.ior),
                format_points(score.hlr),
                format_percent(score.score),
                format_interval(score.interval),
            )
            frame = scored.frame
            place = build_row(frame.dataset, frame.network, scored.ipc, scored.method)
            rows.append((*place, *_link_texts(texts, compared)))
    return Table(
        slug=make_slug("scores", "lrs", *unusual),
        title=_build_title("Label-robust score", unusual),
        header=("Data set", "Network", "IPC", "Method", "IOR", "HLR", "LRS", "95 % interval"),
        rows=tuple(rows),
        caption=_LABEL,
        text_columns=(0, 1, 3),
    )


def _find_compared(
    results: Results, measurements: Iterable[Measurement]
) -> dict[_Scored, _LabelComparison]:
    """Return each method with random images evaluated like it, and with the whole training set.

    Of several measurements of a method, the largest is taken. The whole training set may belong to
    another experiment, and has its own schedule.
    """
    places: dict[tuple[_Frame, int | None, EvaluationSettings], dict[str, Measurement]] = {}
    whole: dict[_Frame, Measurement] = {}
    for m in measurements:
        evaluation = results.plan.units[m.cells[0].evaluation_key]
        if m.sweep or m.summary is None or not isinstance(evaluation, Evaluate):
            continue
        frame = _Frame(m.scope.dataset, m.scope.protocol, m.scope.split, m.network)
        # The whole training set has another schedule, so settings are not compared with it.
        if m.method == WHOLE:
            whole[frame] = _select_larger(m, whole.get(frame))
        else:
            methods = places.setdefault((frame, m.ipc, evaluation.settings), {})
            methods[m.method] = _select_larger(m, methods.get(m.method))
    found: dict[_Scored, _LabelComparison] = {}
    for (frame, ipc, _), methods in places.items():
        random, top = methods.pop(REFERENCE, None), whole.get(frame)
        if random is None or top is None:
            continue
        for method, m in methods.items():
            scored = _Scored(frame, ipc, method)
            other = found.get(scored)
            if other is None or _select_larger(m, other.synthetic) is m:
                found[scored] = _LabelComparison(synthetic=m, random=random, whole=top)
    return found


def _build_augmentation_robust(
    measurements: Iterable[Measurement], unusual: Sequence[str]
) -> Table:
    found: dict[_SweptPlace, dict[str, dict[str, Measurement]]] = {}
    for m in measurements:
        strategy = dict(m.sweep).get(AUGMENTATION)
        if m.summary and m.ipc is not None and isinstance(strategy, str):
            place = _SweptPlace(m.scope, m.network, m.ipc, _drop_augmentation(m.sweep))
            found.setdefault(place, {}).setdefault(m.method, {})[strategy] = m
    rows: list[tuple[TableEntry, ...]] = []
    for methods in found.values():
        rows += _build_augmentation_rows(methods)
    return Table(
        slug=make_slug("scores", "ars", *unusual),
        title=_build_title("Augmentation-robust score", unusual),
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


def _build_augmentation_rows(
    methods: dict[str, dict[str, Measurement]],
) -> Iterator[tuple[TableEntry, ...]]:
    """Yield a row for each method and strategy that have all four measurements.

    Args:
        methods: measurements by method and augmentation strategy, equal in everything else.
    """
    random = methods.get(REFERENCE, {})
    for method, by_strategy in methods.items():
        if method == REFERENCE:
            continue
        for strategy, m in by_strategy.items():
            if strategy == NO_AUGMENTATION:
                continue
            augmented = random.get(strategy)
            plain, random_plain = by_strategy.get(NO_AUGMENTATION), random.get(NO_AUGMENTATION)
            if augmented is None or plain is None or random_plain is None:
                continue
            row = _build_augmentation_row(strategy, m, augmented, plain, random_plain)
            if row:
                yield row


def _build_augmentation_row(
    strategy: str,
    m: Measurement,
    random: Measurement,
    plain: Measurement,
    random_plain: Measurement,
) -> tuple[TableEntry, ...]:
    """Return the row of one score; empty where no seed has all four measurements."""
    sources = (m, random, plain, random_plain)
    score = augmentation_robust_score(*(source.accuracies for source in sources))
    if score is None:
        return ()
    method = name_swept_method(m.method, _drop_augmentation(m.sweep))
    place = build_row(m.scope.dataset, m.network, m.ipc, method, strategy)
    texts = (
        format_points(score.augmented),
        format_points(score.plain),
        format_percent(score.score),
        format_interval(score.interval),
    )
    return (*place, *_link_texts(texts, sources))


def _select_larger(first: Measurement, second: Measurement | None) -> Measurement:
    """Return the measurement with more networks; the second where both have as many."""
    if second is None:
        return first
    return second if _count_networks(second) >= _count_networks(first) else first


def _count_networks(m: Measurement) -> int:
    return m.summary.networks if m.summary else 0


def _drop_augmentation(sweep: Sweep) -> Sweep:
    return tuple((name, value) for name, value in sweep if name != AUGMENTATION)


def _link_texts(texts: Iterable[str], sources: Iterable[Measurement]) -> tuple[TableEntry, ...]:
    """Return the texts as entries that name the units of all sources."""
    keys: list[str] = []
    for source in sources:
        keys += source.keys
    return tuple(TableEntry(text=text, keys=tuple(keys)) for text in texts)


def _build_title(name: str, unusual: Sequence[str]) -> str:
    return f"{name} ({', '.join(unusual)})" if unusual else name
