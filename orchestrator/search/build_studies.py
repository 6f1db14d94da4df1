"""From a search space to its studies: one for each data set, IPC and method to search.

A setting that has no effect for a method and IPC is not searched there, and a study without any
setting is left out.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from orchestrator.search.dimensions import Dimension
from orchestrator.search.study import Sampler, Scheduler, Study, format_title
from search_spaces.errors import SpaceError, suggest_name
from search_spaces.experiments import Experiment, Space
from search_spaces.resolve import resolve
from search_spaces.rules import Case


def build_studies(
    space: Space, *, sampler: Sampler, scheduler: Scheduler, also: Sequence[str] = ()
) -> list[Study]:
    """Return the studies of a search space, from its experiments with a block `search`.

    Args:
        space: the search space.
        sampler: what suggests settings.
        scheduler: whether trials are stopped early.
        also: optional settings to search too, by path or last name.

    Raises:
        SpaceError: there is nothing to search, or `also` names a setting that is not optional
            there.
    """
    if not any(experiment.search for experiment in space.experiments):
        raise SpaceError(
            f"search space {space.name} has no experiment with a block search, such as search:"
            " {lambda_cc: {low: 0.0001, high: 1, log: true}}; the shipped lambda_search has one"
        )
    found = []
    for narrow in _split_experiments(space):
        if dimensions := _build_dimensions(narrow, also):
            found.append(
                Study(
                    experiment=narrow, dimensions=dimensions, sampler=sampler, scheduler=scheduler
                )
            )
    if not found:
        raise SpaceError(
            f"search space {space.name}: nothing is left to search; its settings are fixed, or no"
            " method uses them (with one training image per class, IPC 1 without partition, both"
            " losses of IID have no gradient)"
        )
    return found


def find_unsearched(space: Space, also: Sequence[str] = ()) -> list[str]:
    """Return the titles of what has a block `search` and yet no study.

    Its method and IPC use none of the searched settings.
    """
    titles = []
    for narrow in _split_experiments(space):
        if not _build_dimensions(narrow, also):
            titles.append(format_title(narrow))
    return titles


def _split_experiments(space: Space) -> Iterator[Experiment]:
    """Yield the searched experiments, split into data sets, IPCs and methods."""
    for experiment in space.experiments:
        if not experiment.search:
            continue
        for dataset in experiment.datasets:
            for ipc in experiment.list_images_per_class(dataset):
                for method in experiment.methods:
                    yield dataclasses.replace(
                        experiment, datasets=(dataset,), methods=(method,), ipc=(ipc,), ratio=()
                    )


def _build_dimensions(experiment: Experiment, also: Sequence[str]) -> tuple[Dimension, ...]:
    """Return the settings to search, without those that have no effect.

    Args:
        experiment: has one data set, IPC and method.
        also: see `build_studies`.
    """
    names = {}
    for path, values in experiment.search:
        if values.optional:
            names[path] = names[path.rpartition(".")[2]] = path
    for name in also:
        if name not in names:
            raise SpaceError(
                f"--also {name[:80]}: {experiment.name} has no such optional"
                f" setting{suggest_name(name, names)}"
            )
    chosen = {names[name] for name in also}
    is_single_image = _count_training_images(experiment) == 1
    dimensions = []
    for path, values in experiment.search:
        is_searched = not values.optional or path in chosen
        if is_searched and _has_effect(path, experiment.methods[0], is_single_image):
            dimensions.append(Dimension(path, values))
    return tuple(dimensions)


def _count_training_images(experiment: Experiment) -> int:
    """Return the number of images per class that a set decodes to."""
    (dataset,), (method,), (ipc,) = experiment.datasets, experiment.methods, experiment.ipc
    case = Case(dataset=dataset.name, method=method, ipc=ipc, protocol=experiment.protocol)
    return int(ipc * resolve(experiment, case, {}).distillation.partition ** 2)


def _has_effect(path: str, method: str, is_single_image: bool) -> bool:
    """Return whether a setting changes the result of a method.

    A single image equals its mean and has no covariance, so both losses of IID have no gradient.
    """
    base, _, addition = method.partition("+")
    match path.split("."):
        case [_, "queue", _]:
            return base == "IDM"
        case [_, "lambda_cc" | "cc_beta"]:
            return addition in ("IID", "CC") and not is_single_image
        case [_, "lambda_cm"]:
            return addition in ("IID", "CM") and not is_single_image
        case _:
            return True
