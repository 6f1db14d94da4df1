"""`iid evaluate`: sets made elsewhere, or by us, under one protocol beside one another."""

import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from rich.console import Console
from rich.text import Text

from distill_core.datasets.load import Dataset, load_dataset
from distill_core.importers.convert import content_of, convert, decide, images_per_class
from distill_core.importers.raw import Found, ImportSetError, RawSet
from distill_core.importers.reading import Options, Reading
from distill_core.importers.recognize import recognize
from distill_core.settings import DatasetRef, Protocol, SettingsError
from orchestrator.cli.run import check_data
from orchestrator.launch.launch import launch, show
from orchestrator.launch.status import find_unit
from orchestrator.planning.imported_sets import GivenSet, Question, SetUnit, plan_evaluation
from orchestrator.planning.methods import unit_method
from orchestrator.report import render_terminal, write_report
from orchestrator.report.model import make_slug
from orchestrator.store.store import Store
from orchestrator.units import Distill, ImportSet, Select, Unit
from search_spaces.errors import InvalidValue, SpaceError
from search_spaces.overrides import parse_overrides
from search_spaces.schema import SAME, Axes, validate
from search_spaces.yaml_document import parse_document

KEY = re.compile(r"[0-9a-f]{4,16}")
FROM_FILE = "file"
REPORTS = Path("reports")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Where to compute, as for `iid run`."""

    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    address: str | None = None


def evaluate_sets(
    paths: Sequence[str],
    question: Question,
    store: Store,
    data: Path,
    console: Console,
    *,
    options: Options,
    name: str | None = None,
    lr_net: str | None = None,
    allow_pickle: bool = False,
    download: bool = False,
    out: Path | None = None,
    resources: Resources = Resources(),
) -> int:
    """Import sets, evaluate them beside others, print how that ended, write a report, and return
    the exit code.

    Args:
        paths: files and folders, or keys of sets in the store.
        question: data set, protocol, networks and methods beside.
        store: where results go.
        data: folder of the data sets.
        console: where to print.
        options: what the files leave open.
        name: name of the method; by default a file's own.
        lr_net: a learning rate in place of the protocol's for the imported sets, or "file" for the
            one beside them.
        allow_pickle: whether pickles are read.
        download: fetch the data set if it is missing.
        out: folder for the report.
        resources: where to compute.

    Raises:
        SettingsError: a set cannot be imported; the message names the file and says what to do.
        DatasetError, SpaceError, StoreError, TableError, LaunchError: as `iid run`.
    """
    check_data([question.dataset], data, download=download)
    dataset = load_dataset(question.dataset, data)
    store = store.resolved()
    sets: list[GivenSet] = []
    for path in paths:
        if not Path(path).expanduser().exists() and KEY.fullmatch(path):
            sets.append(_stored(path, store, question.dataset))
        else:
            place = Path(path).expanduser().resolve()
            try:
                sets += _imported(
                    place, dataset, question, options, name, lr_net, allow_pickle, sets, console
                )
            except ImportSetError as error:
                raise SettingsError(str(error)) from error
    plan = plan_evaluation(sets, question)
    title = " ".join(
        ("evaluate", question.dataset.name, *dict.fromkeys(given.method for given in sets))
    )
    summary = launch(
        plan,
        store=store,
        data_root=data,
        space=title,
        cpus_per_trial=resources.cpus_per_trial,
        gpus_per_trial=resources.gpus_per_trial,
        address=resources.address,
        console=console,
    )
    show(summary, console)
    command = shlex.join(["iid", *sys.argv[1:]])
    files = write_report(plan, title, store, out or REPORTS / make_slug(title), command=command)
    console.print(render_terminal(files.report))
    console.print(
        f"Report: {files.markdown} and {files.html}", highlight=False, markup=False, soft_wrap=True
    )
    return summary.exit_code


def ask(
    dataset: str,
    architectures: str,
    protocol: Protocol,
    beside: str,
    overrides: Iterable[str],
    num_eval: int | None,
) -> Question:
    """Check what the command line asks for.

    Raises:
        SpaceError: a name is unknown, or a setting does not fit.
    """
    changes = parse_overrides(
        [*overrides, *([f"evaluation.num_eval={num_eval}"] if num_eval is not None else [])]
    )
    if changes.axes.model_fields_set:
        axis = min(changes.axes.model_fields_set)
        raise SpaceError(
            f"--set {axis}: iid evaluate takes settings there, such as evaluation.lr_net=0.02"
        )
    values = {
        "datasets": parse_document("--dataset", dataset, lines=False).value,
        "architectures": _listed(architectures) or [SAME],
        **({"methods": _listed(beside)} if _listed(beside) else {}),
    }
    try:
        axes = validate(Axes, values)
    except InvalidValue as invalid:
        option = {"datasets": "--dataset", "methods": "--beside"}.get(
            str(invalid.path[0]), "--architectures"
        )
        raise SpaceError(f"{option}: {invalid.message}") from invalid
    if len(axes.refs()) != 1:
        raise SpaceError("--dataset: give one data set")
    return Question(
        dataset=axes.refs()[0],
        protocol=protocol,
        architectures=axes.architectures,
        beside=axes.methods,
        overrides=dict(changes.settings),
    )


def read_options(
    *,
    normalised: str | None,
    zca: str | None,
    factor: int | None,
    soft_labels: str | None,
    check: bool,
) -> Options:
    """Read what the command line says about files.

    Raises:
        SettingsError: an option has none of its values.
    """
    mean, std = _normalization(normalised)
    if soft_labels not in (None, "logits", "probabilities"):
        raise SettingsError(f"--soft-labels {soft_labels}: say logits or probabilities")
    if zca not in (None, "yes", "no") and not Path(zca).expanduser().exists():
        raise SettingsError(f"--zca {zca}: say yes, no, or name a file of the whitening")
    return Options(
        normalised=None if normalised is None else normalised != "no",
        mean=mean,
        std=std,
        zca=None if zca is None else zca != "no",
        zca_path=None if zca in (None, "yes", "no") else str(Path(str(zca)).expanduser().resolve()),
        partition=factor,
        soft_labels=soft_labels,  # type: ignore[arg-type]
        check=check,
    )


def _normalization(text: str | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if text in (None, "yes", "no"):
        return (), ()
    try:
        numbers = [float(part) for part in str(text).split(",")]
    except ValueError:
        numbers = []
    half = len(numbers) // 2
    mean, std = tuple(numbers[:half]), tuple(numbers[half:])
    if (
        not numbers
        or len(mean) != len(std)
        or not (all(map(isfinite, numbers)) and all(value > 0 for value in std))
    ):
        raise SettingsError(
            f"--normalised {text}: say yes, no, or the means and then the standard deviations of"
            " the channels, such as 0.49,0.48,0.45,0.2,0.2,0.2"
        )
    return mean, std


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _imported(
    path: Path,
    dataset: Dataset,
    question: Question,
    options: Options,
    name: str | None,
    lr_net: str | None,
    allow_pickle: bool,
    before: Sequence[GivenSet],
    console: Console,
) -> list[GivenSet]:
    """Read a path, try every set of it, and say what was found."""
    found = recognize(path, allow_pickle=allow_pickle)
    content = content_of(found, path)
    counts = Counter((given.method, given.unit.ipc) for given in before)
    given_sets = []
    for number, raw in enumerate(found.sets):
        reading = decide(found, number, options)
        method = name or _name(found, raw, path)
        synthetic = convert(raw, reading, dataset, method=method, spec={}, check=options.check)
        ipc = (
            synthetic.ipc
            if raw.own is not None
            else images_per_class(len(raw.images), len(dataset.info.classes))
        )
        unit = ImportSet(
            dataset=question.dataset,
            protocol=question.protocol,
            method=method,
            ipc=ipc,
            seed=counts[method, ipc],
            content=content,
            reading=reading,
            path=str(path),
        )
        counts[method, ipc] += 1
        rate = _rate(raw, lr_net)
        given_sets.append(
            GivenSet(unit=unit, method=method, lr_net=rate, note=_note(reading, raw, rate))
        )
        console.print(
            Text(f"{raw.where}: {found.reason}. {_decision(unit, reading)}"), soft_wrap=True
        )
    return given_sets


def _name(found: Found, raw: RawSet, path: Path) -> str:
    """Name a method after its file, or after the folder where the file's name says nothing."""
    if raw.own is not None:
        return raw.own.method
    generic = found.layout in ("mtt", "ddranking") or path.stem in (
        "data",
        "images",
        "synthetic_set",
    )
    if path.is_dir():
        return path.name
    return path.parent.name if generic and path.parent.name else path.stem


def _decision(unit: ImportSet, reading: Reading) -> str:
    return f"Set {unit.seed} of {unit.method} [{unit.key[:6]}], IPC {unit.ipc}, {reading}"


def _rate(raw: RawSet, lr_net: str | None) -> float | None:
    if lr_net is None:
        return None
    if lr_net == FROM_FILE:
        if raw.lr_net is None:
            raise SettingsError(
                f"--lr-net file: there is no learning rate beside {raw.where}; give a number"
            )
        return raw.lr_net
    try:
        rate = float(lr_net)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise SettingsError(
            f"--lr-net {lr_net}: give a positive number, or file for the one that comes with"
            " the set"
        )
    return rate


def _note(reading: Reading, raw: RawSet, rate: float | None) -> str:
    notes = []
    if reading.soft_labels or (raw.own is not None and raw.own.soft_labels is not None):
        notes.append("trained with soft labels")
    if rate is not None:
        notes.append(f"trained with learning rate {rate:.4g}")
    return ", ".join(notes)


def _stored(key: str, store: Store, dataset: DatasetRef) -> GivenSet:
    """Take a set that the store has."""
    unit = find_unit(store, key)
    if not isinstance(unit, Distill | Select | ImportSet):
        raise SettingsError(f"unit {unit.key} is of kind {unit.kind}, which makes no set")
    store.folder_of(unit.key)
    if unit.dataset != dataset:
        raise SettingsError(
            f"unit {unit.key} is a set of {unit.dataset.name}, not of {dataset.name}"
        )
    return GivenSet(unit=unit, method=_method(unit), ancestors=tuple(_ancestors(unit, store)))


def _method(unit: SetUnit) -> str:
    return unit.method if isinstance(unit, ImportSet) else unit_method(unit)


def _ancestors(unit: Unit, store: Store) -> list[Unit]:
    found: list[Unit] = []
    for key in unit.parents:
        parent = store.spec_of(key)
        found += [*_ancestors(parent, store), parent]
    return found
