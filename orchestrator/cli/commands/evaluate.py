"""`iid evaluate`: sets made elsewhere, or in the store, under one protocol."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from distill_core.importers.reading import ReadingOptions
from distill_core.paths import check_path
from distill_core.settings import Protocol, SettingsError
from orchestrator.cli.commands.report import keep_origin, print_place, print_replaced
from orchestrator.cli.commands.run import check_data
from orchestrator.cli.options import (
    AddressOption,
    CpusPerTrialOption,
    DataOption,
    DownloadOption,
    GpusPerTrialOption,
    SetOption,
    StoreOption,
    build_console,
    build_run_options,
    check_folder,
)
from orchestrator.launch.inputs.data_check import build_record, check_loaded
from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.launch.summary import print_summary
from orchestrator.planning.imported_sets import EvaluationRequest, plan_evaluation
from orchestrator.planning.planned_work import find_pending
from orchestrator.report import render_terminal, write_report
from orchestrator.report.place import Origin, choose_folder, describe_replaced
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.text import clean_message
from search_spaces.errors import InvalidValue, SpaceError
from search_spaces.overrides import parse_overrides
from search_spaces.schema import SAME, Axes, validate
from search_spaces.yaml_document import parse_document

if TYPE_CHECKING:
    from orchestrator.launch.inputs.given_sets import FileOptions


class ProtocolName(StrEnum):
    """Protocols by name."""

    PAPER = "paper"
    STRICT = "strict"


def evaluate(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files, folders, or keys of sets in the store."),
    ],
    dataset: Annotated[
        str, typer.Option(help="Data set that the sets stand for, as in a search space.")
    ],
    architectures: Annotated[
        str, typer.Option(help="Networks to train, such as ConvNet,ResNet18.")
    ] = "",
    protocol: Annotated[
        ProtocolName,
        typer.Option(help="paper trains on all training images, strict holds out a tenth."),
    ] = ProtocolName.PAPER,
    beside: Annotated[
        str, typer.Option(help="Methods to compare with, such as Random,Herding,Whole.")
    ] = "",
    name: Annotated[
        str | None, typer.Option(help="Name of the sets' method (default: the file's).")
    ] = None,
    num_eval: Annotated[int | None, typer.Option(help="Networks trained per set.")] = None,
    overrides: SetOption = None,
    normalised: Annotated[
        str | None, typer.Option(help="Whether pixels are normalized: yes, no, or MEANS,STDS.")
    ] = None,
    zca: Annotated[
        str | None,
        typer.Option(help="Whether pixels are ZCA-whitened: yes, no, or the whitening's file."),
    ] = None,
    factor: Annotated[
        int | None,
        typer.Option(min=1, help="Partition factor: images per side that each image is cut into."),
    ] = None,
    soft_labels: Annotated[
        str | None, typer.Option(help="What soft labels are: logits or probabilities.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="File of the labels, or none to do without the one that lies there."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Class of each folder or number: A,B,… or FOLDER=A,… or order."),
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="All PATHs, or all sets of one, are parts of one set.")
    ] = False,
    lr_net: Annotated[
        str | None,
        typer.Option(help="Learning rate to use: a number, or file for the one with the set."),
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read pickles; only from people you trust.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Import even if the pixels look wrong.")
    ] = False,
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    download: DownloadOption = False,
    gpus_per_trial: GpusPerTrialOption = None,
    cpus_per_trial: CpusPerTrialOption = None,
    address: AddressOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for the report.", callback=check_folder),
    ] = None,
) -> None:
    """Evaluate distilled sets, whoever made them, under one protocol.

    Options that say how sets are stored apply to every PATH that is not a key. They override what
    a file says. If sets need different options, evaluate each by itself first, and then all of
    them by key.
    """
    from orchestrator.launch.inputs.given_sets import (
        FileOptions,  # imports torch, which --help need not
    )

    options = read_options(
        normalised=normalised,
        zca=zca,
        factor=factor,
        soft_labels=soft_labels,
        check=not no_check,
        labels=labels,
        classes=classes,
        join=join,
    )
    code = evaluate_sets(
        paths,
        build_evaluation_request(
            dataset, architectures, protocol.value, beside, overrides or [], num_eval
        ),
        open_store(store),
        build_run_options(data, gpus_per_trial, cpus_per_trial, address),
        build_console(),
        file_options=FileOptions(
            options=options,
            name=name,
            lr_net=lr_net,
            allow_pickle=allow_pickle,
            command=_read_command(paths),
        ),
        download=download,
        out=out,
    )
    raise typer.Exit(code)


def evaluate_sets(
    paths: Sequence[str],
    question: EvaluationRequest,
    store: Store,
    options: RunOptions,
    console: Console,
    *,
    file_options: "FileOptions",
    download: bool,
    out: Path | None,
) -> int:
    """Import sets, evaluate them together with others, write a report, and return the exit code.

    Args:
        paths: files and folders, or keys of sets in the store.
        question: data set, protocol, networks and methods to compare with.
        store: where results go.
        options: where and how to compute.
        console: where to print.
        file_options: what the command line says about files.
        download: whether to download the data set if it is missing.
        out: folder for the report.

    Raises:
        SettingsError: a set cannot be imported; the message names the file and says what to do.
        DatasetError, SpaceError, StoreError, TableError, LaunchError: as `iid run`.
    """
    from distill_core.datasets.load import load_dataset
    from orchestrator.launch.inputs.given_sets import read_given_sets

    check_data([question.dataset], options.data_root, download=download)
    dataset = load_dataset(question.dataset, options.data_root)
    store = store.resolved()
    found = check_loaded(question.dataset, dataset, store, console)
    options = replace(options, data=build_record(found))

    def report_line(line: str) -> None:
        console.print(Text(clean_message(line)), soft_wrap=True)

    sets = read_given_sets(paths, question, dataset, store, file_options, report_line)
    plan = plan_evaluation(sets, question)
    methods = dict.fromkeys(given.method for given in sets)
    title = " ".join(("evaluate", question.dataset.name, *methods))
    work = find_pending(plan, store.find_done_keys())
    summary = launch(work, store, options, space=title, console=console)
    print_summary(summary, console)
    command = shlex.join(["iid", *sys.argv[1:]])
    origin = Origin(
        name=title,
        command="evaluate",
        source=", ".join(given.unit.key for given in sets),
        store=store.address,
    )
    place = out or choose_folder(origin)
    replaced = describe_replaced(place, origin)
    files = write_report(plan, title, store, place, command=command)
    keep_origin(place, origin)
    console.print(render_terminal(files.report))
    print_replaced(console, replaced)
    print_place(console, f"Report: {files.markdown} and {files.html}")
    return summary.exit_code


def build_evaluation_request(
    dataset: str,
    architectures: str,
    protocol: Protocol,
    beside: str,
    overrides: Iterable[str],
    num_eval: int | None,
) -> EvaluationRequest:
    """Check and collect what the command line asks for.

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
        "architectures": _split_list(architectures) or [SAME],
        **({"methods": _split_list(beside)} if _split_list(beside) else {}),
    }
    try:
        axes = validate(Axes, values)
    except InvalidValue as invalid:
        option = {"datasets": "--dataset", "methods": "--beside"}.get(
            str(invalid.path[0]), "--architectures"
        )
        raise SpaceError(f"{option}: {invalid.message}") from invalid
    if len(axes.list_datasets()) != 1:
        raise SpaceError("--dataset: give one data set")
    return EvaluationRequest(
        dataset=axes.list_datasets()[0],
        protocol=protocol,
        architectures=axes.architectures,
        methods=axes.methods,
        overrides=dict(changes.settings),
    )


def read_options(
    *,
    normalised: str | None,
    zca: str | None,
    factor: int | None,
    soft_labels: str | None,
    check: bool,
    labels: str | None = None,
    classes: str | None = None,
    join: bool = False,
) -> ReadingOptions:
    """Parse what the command line says about files.

    Raises:
        SettingsError: an option has none of its values.
    """
    mean, std = _parse_normalization(normalised)
    if soft_labels not in (None, "logits", "probabilities"):
        raise SettingsError(f"--soft-labels {soft_labels}: say logits or probabilities")
    if zca in (None, "yes", "no"):
        zca_path = None
    else:
        whitening = check_path(str(zca), "--zca", kind="file")
        if not whitening.exists():
            raise SettingsError(f"--zca {zca}: say yes, no, or name a file of the whitening")
        zca_path = str(whitening.resolve())
    labels_path = labels
    if labels not in (None, "none"):
        found = check_path(str(labels), "--labels", kind="file")
        if not found.exists():
            raise SettingsError(f"--labels {labels}: name a file of labels, or say none")
        labels_path = str(found.resolve())
    return ReadingOptions(
        normalized=None if normalised is None else normalised != "no",
        mean=mean,
        std=std,
        zca=None if zca is None else zca != "no",
        zca_path=zca_path,
        partition=factor,
        soft_labels=soft_labels,  # type: ignore[arg-type]
        classes=tuple(_split_list(classes or "")),
        labels_path=labels_path,
        join=join,
        check=check,
    )


def _read_command(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the words of this command line, if that is what Python was started with."""
    words = ("iid", *sys.argv[1:])
    return words if set(paths) <= set(words) else ()


def _parse_normalization(text: str | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
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


def _split_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
