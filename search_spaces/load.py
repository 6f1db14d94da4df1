"""Search spaces as experiments: read from a file, checked, with the command line's overrides."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from distill_core.settings import DatasetRef
from search_spaces import SHIPPED
from search_spaces.build_experiments import Changes, build_experiments
from search_spaces.errors import InvalidValue, SpaceError, suggest_name
from search_spaces.experiments import Experiment, Space
from search_spaces.overrides import parse_overrides
from search_spaces.schema import SpaceEntry, validate
from search_spaces.setting_paths import shorten
from search_spaces.yaml_document import Document, read_document


def list_spaces() -> list[tuple[str, str]]:
    """Return name and description of the shipped search spaces."""
    spaces = []
    for name, path in _list_shipped().items():
        spaces.append((name, _validate_entry(read_document(path)).description))
    return spaces


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
    document = read_document(_find_space(str(space)))
    loaded = _load_document(document, changes, ())
    if not loaded.experiments:
        raise SpaceError(f"{document.name}: there are no experiments")
    measures = {experiment.measure for experiment in loaded.experiments}
    if changes.overrides.axes.steps and "continual" not in measures:
        raise SpaceError(
            f"--set steps: no experiment of {loaded.name} has measure continual, which alone has"
            " steps"
        )
    _check_places(loaded)
    return loaded


def _find_space(space: str) -> Path:
    shipped = _list_shipped()
    if space in shipped:
        return shipped[space]
    if space.endswith((".yaml", ".yml")) or os.path.exists(space):  # noqa: PTH110 (of any text, without an error)
        return Path(space)
    hint = suggest_name(space, shipped)
    raise SpaceError(
        f"there is no search space {space[:200]!r}{hint} (or give the path of a YAML file)"
    )


def _list_shipped() -> dict[str, Path]:
    files = sorted(SHIPPED.rglob("*.yaml"))
    return {path.relative_to(SHIPPED).with_suffix("").as_posix(): path for path in files}


def _validate_entry(document: Document) -> SpaceEntry:
    if document.value is None:
        raise SpaceError(
            f"{document.name}: the file is empty; a search space has name and experiments, and the"
            " shipped ones (iid spaces) are examples"
        )
    if not isinstance(document.value, Mapping):
        raise SpaceError(
            f"{document.name}: expected a mapping with name and experiments, got"
            f" {shorten(document.value)}"
        )
    try:
        return validate(SpaceEntry, document.value)
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid


def _load_document(document: Document, changes: Changes, above: tuple[str, ...]) -> Space:
    """Build the experiments of a file and of those that it includes.

    Args:
        document: the file.
        changes: of the command line.
        above: the files that include this one, directly or through others.
    """
    entry = _validate_entry(document)
    experiments: list[Experiment] = []
    try:
        for i, name in enumerate(entry.include):
            experiments += _load_included(name, i, changes, (*above, document.name))
        experiments += build_experiments(document, entry, changes)
    except InvalidValue as invalid:
        raise document.error(invalid) from invalid
    return Space(
        name=entry.name,
        description=entry.description,
        experiments=tuple(experiments),
        claims=tuple(claim.build_claim() for claim in entry.claims),
    )


def _load_included(
    name: str, index: int, changes: Changes, above: tuple[str, ...]
) -> list[Experiment]:
    shipped = _list_shipped()
    if name not in shipped:
        hint = suggest_name(name, shipped)
        raise InvalidValue(f"there is no search space {name[:80]!r}{hint}", ("include", index))
    if str(shipped[name]) in above:
        raise InvalidValue(f"{name} includes itself", ("include", index))
    space = _load_document(read_document(shipped[name]), changes, above)
    renamed = []
    for experiment in space.experiments:
        renamed.append(dataclasses.replace(experiment, name=f"{name}/{experiment.name}"))
    return renamed


def _check_places(space: Space) -> None:
    """Check that a data set's name and version stand for one place: keys of units contain them."""
    seen: dict[tuple[str, int], DatasetRef] = {}
    for experiment in space.experiments:
        for ref in experiment.datasets:
            other = seen.setdefault((ref.name, ref.version), ref)
            if other != ref:
                raise SpaceError(
                    f"{experiment.where}: {ref.name!r} stands for two data sets: other"
                    f" {_name_differences(ref, other)}; write it the same way everywhere, or give"
                    " one another name or version"
                )


def _name_differences(ref: DatasetRef, other: DatasetRef) -> str:
    names = []
    for field in dataclasses.fields(ref):
        if getattr(ref, field.name) != getattr(other, field.name):
            names.append(field.name)
    return " and ".join(names)
