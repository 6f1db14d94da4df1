"""Search spaces as experiments: read from a file, checked, with the command line's overrides."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from distill_core.settings import DatasetRef
from search_spaces import SHIPPED
from search_spaces.build_experiments import Changes, experiments_of
from search_spaces.errors import InvalidValue, SpaceError, nearest
from search_spaces.experiments import Experiment, Space
from search_spaces.overrides import parse_overrides
from search_spaces.schema import SpaceEntry, validate
from search_spaces.setting_paths import shorten
from search_spaces.yaml_document import Document, read_document


def list_spaces() -> list[tuple[str, str]]:
    """Return name and description of the shipped search spaces."""
    return [(name, _entry(read_document(path)).description) for name, path in _shipped().items()]


def load_space(space: str | Path, overrides: Iterable[str] = (), *, smoke: bool = False) -> Space:
    """Read a search space.

    Args:
        space: a shipped name (see `list_spaces`) or the path of a YAML file.
        overrides: `path=value` each, as `--set` takes them; they win over everything.
        smoke: take the small version.

    Raises:
        SpaceError: something is wrong in the file or in an override; one message says what and
            where.
    """
    changes = Changes(parse_overrides(overrides), smoke)
    document = read_document(_find(str(space)))
    loaded = _load(document, changes, ())
    if not loaded.experiments:
        raise SpaceError(f"{document.name}: there are no experiments")
    if changes.overrides.axes.steps and not any(
        e.measure == "continual" for e in loaded.experiments
    ):
        raise SpaceError(
            f"--set steps: no experiment of {loaded.name} has measure continual, which alone has"
            " steps"
        )
    _check_places(loaded)
    return loaded


def _find(space: str) -> Path:
    shipped = _shipped()
    if space in shipped:
        return shipped[space]
    if space.endswith((".yaml", ".yml")) or os.path.exists(space):  # noqa: PTH110 (of any text, without an error)
        return Path(space)
    raise SpaceError(
        f"there is no search space {space[:200]!r}{nearest(space, shipped)} (or give the path of a"
        " YAML file)"
    )


def _shipped() -> dict[str, Path]:
    files = sorted(SHIPPED.rglob("*.yaml"))
    return {path.relative_to(SHIPPED).with_suffix("").as_posix(): path for path in files}


def _entry(document: Document) -> SpaceEntry:
    if not isinstance(document.value, Mapping):
        raise SpaceError(
            f"{document.name}: expected a mapping with name and experiments, got"
            f" {shorten(document.value)}"
        )
    try:
        return validate(SpaceEntry, document.value)
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid


def _load(document: Document, changes: Changes, above: tuple[str, ...]) -> Space:
    entry = _entry(document)
    try:
        included = [
            e
            for i, name in enumerate(entry.include)
            for e in _include(name, i, changes, (*above, document.name))
        ]
        own = experiments_of(document, entry, changes)
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid
    return Space(name=entry.name, description=entry.description, experiments=(*included, *own))


def _include(name: str, index: int, changes: Changes, above: tuple[str, ...]) -> list[Experiment]:
    shipped = _shipped()
    if name not in shipped:
        raise InvalidValue(
            f"there is no search space {name[:80]!r}{nearest(name, shipped)}", ("include", index)
        )
    if str(shipped[name]) in above:
        raise InvalidValue(f"{name} includes itself", ("include", index))
    space = _load(read_document(shipped[name]), changes, above)
    return [_renamed(experiment, f"{name}/{experiment.name}") for experiment in space.experiments]


def _renamed(experiment: Experiment, name: str) -> Experiment:
    return dataclasses.replace(experiment, name=name)


def _check_places(space: Space) -> None:
    """A data set's name and version stand for one place and one size: units are named by them."""
    seen: dict[tuple[str, int], DatasetRef] = {}
    for experiment in space.experiments:
        for ref in experiment.datasets:
            other = seen.setdefault((ref.name, ref.version), ref)
            if other != ref:
                names = [
                    f.name
                    for f in dataclasses.fields(ref)
                    if getattr(ref, f.name) != getattr(other, f.name)
                ]
                raise SpaceError(
                    f"{experiment.where}: {ref.name!r} stands for two data sets: other"
                    f" {' and '.join(names)}; write it the same way everywhere, or give one another"
                    " name or version"
                )
