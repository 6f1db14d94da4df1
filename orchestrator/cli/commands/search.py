"""`iid search`: choose settings on held-out images."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands.report import build_origin, keep_origin, print_place, print_replaced
from orchestrator.cli.commands.run import check_inputs
from orchestrator.cli.options import (
    AddressOption,
    CpusPerTrialOption,
    DataOption,
    DownloadOption,
    GpusPerTrialOption,
    SetOption,
    SmokeOption,
    SpaceArgument,
    StoreOption,
    build_console,
    build_request,
    build_run_options,
    check_file,
    check_folder,
    print_error,
)
from orchestrator.errors import StoreError, TableError
from orchestrator.launch.options import RunOptions
from orchestrator.planning.request import Request
from orchestrator.report.place import choose_folder, describe_replaced
from orchestrator.report.render.terminal import render_terminal_table
from orchestrator.report.search_report import FOUND, write_search_report
from orchestrator.search.build_studies import build_studies, find_unsearched
from orchestrator.search.results import StudyResult, read_study_result
from orchestrator.search.search import Search
from orchestrator.search.study import Sampler, Scheduler, Study
from orchestrator.store.open import open_store
from orchestrator.units import Unit


class SamplerName(StrEnum):
    """What suggests the settings that `iid search` tries."""

    TPE = "tpe"
    RANDOM = "random"
    GRID = "grid"


class SchedulerName(StrEnum):
    """What stops trials of `iid search` early."""

    ASHA = "asha"
    NONE = "none"


def search(
    space: SpaceArgument,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials per study in total; raise it to continue.")
    ] = 24,
    sampler: Annotated[SamplerName, typer.Option(help="What suggests settings.")] = SamplerName.TPE,
    scheduler: Annotated[
        SchedulerName, typer.Option(help="What stops poor trials early.")
    ] = SchedulerName.ASHA,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, help="Trials at the same time (default: all that fit).")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Optional setting to search too, such as lr_img; repeatable."),
    ] = None,
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    overrides: SetOption = None,
    smoke: SmokeOption = False,
    gpus_per_trial: GpusPerTrialOption = None,
    cpus_per_trial: CpusPerTrialOption = None,
    address: AddressOption = None,
    download: DownloadOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the report (default: reports/SPACE-search).",
            callback=check_folder,
        ),
    ] = None,
    found: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File for the found settings (default: in the report).",
            callback=check_file,
        ),
    ] = None,
) -> None:
    """Tune settings on held-out images.

    Searches settings such as the weights of the losses. The test images are never read.
    """
    chosen = Search(
        store=open_store(store),
        options=build_run_options(data, gpus_per_trial, cpus_per_trial, address),
        trials=trials,
        console=build_console(),
        max_concurrent=max_concurrent,
    )
    code = search_space(
        build_request(space, overrides, smoke),
        chosen,
        sampler=sampler.value,
        scheduler=scheduler.value,
        also=also or (),
        download=download,
        out=out,
        found=found,
    )
    raise typer.Exit(code)


def search_space(
    request: Request,
    search: Search,
    *,
    sampler: Sampler,
    scheduler: Scheduler,
    also: Sequence[str] = (),
    download: bool = False,
    out: Path | None = None,
    found: Path | None = None,
) -> int:
    """Search the settings of a space, write what was found, and return the exit code.

    Args:
        request: the search space.
        search: store, data, number of trials and resources.
        sampler: tpe, random or grid.
        scheduler: asha or none.
        also: optional settings to search too.
        download: whether to fetch missing data sets.
        out: folder for the report; `reports/<space>-search` if None.
        found: file for the found search space; in the report's folder if None.

    Raises:
        SpaceError: the search space cannot be used, or searches nothing.
        DatasetError: a data set that is needed is not in the data folder.
        SettingsError: a pool of extractors is not there, or options contradict each other.
        StoreError: the store cannot be written.
        LaunchError: the cluster cannot be reached or is too small, or another search is working on
            the study.
    """
    space = request.load()
    chosen = build_studies(space, sampler=sampler, scheduler=scheduler, also=also)
    for title in find_unsearched(space, also):
        search.console.print(
            f"{title}: left out, none of the searched settings has an effect", highlight=False
        )
    search = replace(
        search,
        space=request.name,
        overrides=request.overrides,
        options=check_study_inputs(chosen, search, download=download),
    )
    code = search.run(chosen)
    origin = build_origin(request, _name_search(request.space), "search", search.store)
    place = out or choose_folder(origin)
    replaced = describe_replaced(place, origin)
    where = ["--store", search.store.address, "--data", str(search.options.data_root)]
    options = ["--sampler", sampler, "--scheduler", scheduler, *where, "--out", str(place)]
    options += [word for name in also for word in ("--also", name)]
    options += [] if found is None else ["--found", str(found)]
    try:
        results = [read_study_result(study, search.store) for study in chosen]
        trials = _count_next_trials(results, search.trials)
        command = request.command("search", "--trials", str(trials), *options)
        run_found = shlex.join(["iid", "run", str(found or place / FOUND), *where])
        report = write_search_report(
            results, request.space, place, command=command, run_found=run_found, found=found
        )
        keep_origin(place, origin)
    except (StoreError, TableError) as error:
        # What was computed is safe, and how the search ended is printed already.
        print_error(search.console, f"The report could not be written: {error}")
        return code or 1
    search.console.print(render_terminal_table(report.summary))
    print_place(search.console, f"Report: {report.markdown} and {report.html}")
    print_replaced(search.console, replaced)
    if report.found is not None:
        print_place(search.console, f"Found settings: {run_found}")
    return code


def _name_search(space: str) -> str:
    """Return the name of a search's report: "lambda_search", but "digits search"."""
    name = Path(space).stem if Path(space).is_file() else space
    return name if name.endswith("search") else f"{name} search"


def _count_next_trials(results: Sequence[StudyResult], trials: int) -> int:
    """Return the number of trials with which the same command has something left to do."""
    waits = any(
        len(result.trials) < trials or result.count("running", "passed") for result in results
    )
    return trials if waits else 2 * trials


def check_study_inputs(studies: Sequence[Study], search: Search, *, download: bool) -> RunOptions:
    """Check that studies can read what they need, as `check_inputs` does for `iid run`.

    Raises:
        DatasetError: data sets are missing, cannot be read, or do not fit; names all of them.
        SettingsError: a pool of extractors is missing, or a cluster cannot download data.
        StoreError: the store has results from other images.
    """
    extractors = [unit for study in studies for unit in study.extractors().values()]
    units = [*extractors, *_list_first_units(studies)]
    return check_inputs(units, search.options, search.store, search.console, download=download)


def _list_first_units(studies: Sequence[Study]) -> list[Unit]:
    """Return the units of the first rung, for settings as they are."""
    units: list[Unit] = []
    for study in studies:
        for of_seed in study.build_rung_units(study.published, 0).values():
            units += [of_seed.distill, *of_seed.evaluations]
    return units
