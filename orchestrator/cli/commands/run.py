"""`iid run`: compute what the store lacks of a search space, then write the report."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console

from distill_core.datasets.files import locate
from distill_core.paths import check_path
from distill_core.settings import DatasetRef, SettingsError
from orchestrator.cli.commands.report import show_plan_report
from orchestrator.cli.options import (
    AddressOption,
    CpusPerTrialOption,
    DataOption,
    DownloadOption,
    GpusPerTrialOption,
    ReportOption,
    SetOption,
    SmokeOption,
    SpaceArgument,
    StoreOption,
    build_console,
    build_request,
    build_run_options,
    print_error,
)
from orchestrator.errors import StoreError, TableError
from orchestrator.launch.inputs.data_check import build_record, check_presence, check_units
from orchestrator.launch.launch import launch
from orchestrator.launch.options import RunOptions
from orchestrator.launch.summary import print_summary
from orchestrator.planning.plan import make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.planning.request import Request
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import ImportExtractor, Unit, list_custom_names


def run(
    space: SpaceArgument,
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    overrides: SetOption = None,
    smoke: SmokeOption = False,
    gpus_per_trial: GpusPerTrialOption = None,
    cpus_per_trial: CpusPerTrialOption = None,
    address: AddressOption = None,
    download: DownloadOption = False,
    out: ReportOption = None,
) -> None:
    """Compute what the store lacks, then write the report.

    Ctrl-C stops after the next checkpoint of every running unit. Run the same command again to
    continue.
    """
    options = build_run_options(data, gpus_per_trial, cpus_per_trial, address)
    request = build_request(space, overrides, smoke)
    code = run_space(
        request, open_store(store), options, build_console(), out=out, download=download
    )
    raise typer.Exit(code)


def run_space(
    request: Request,
    store: Store,
    options: RunOptions,
    console: Console,
    *,
    out: Path | None = None,
    download: bool = False,
) -> int:
    """Launch a search space, print how that ended, write its report, and return the exit code.

    Raises:
        SpaceError: the search space cannot be used.
        DatasetError: a data set that is needed is not in the data folder.
        SettingsError: a pool of extractors is not there, or options contradict each other.
        StoreError: the store cannot be written.
        LaunchError: the cluster cannot be reached or is too small.
    """
    space = request.load()
    work = find_pending(make_plan(space), store.find_done_keys())
    pending = work.pending_units.values()
    options = check_inputs(pending, options, store, console, download=download)
    summary = launch(
        work,
        store,
        options,
        space=request.name,
        overrides=request.overrides,
        console=console,
        cohorts=True,
    )
    print_summary(summary, console)
    try:
        data = options.data_root
        show_plan_report(work.plan, space.name, request, store, out, console, data=data)
    except (StoreError, TableError) as error:
        # What was computed is safe, and how the launch ended is printed already.
        print_error(console, f"The report could not be written: {error}")
        return summary.exit_code or 1
    return summary.exit_code


def check_inputs(
    units: Iterable[Unit], options: RunOptions, store: Store, console: Console, *, download: bool
) -> RunOptions:
    """Check that units can read what they need, before anything starts.

    The nodes of a cluster have their own disks. There, only data sets that are on this machine too
    are read here, and a unit reports what is missing.

    Returns:
        The options, with what was found for the record of the launch.

    Raises:
        DatasetError: data sets are missing, cannot be read, or do not fit; names all of them.
        SettingsError: a pool of extractors is missing, or a cluster cannot download data.
        StoreError: the store has results from other images.
    """
    units = list(units)
    data = options.data_root
    if options.resources.address is not None:
        if download:
            raise SettingsError(
                "--download downloads to this machine only; download the data before joining a"
                " cluster"
            )
        here = [unit for unit in units if locate(unit.dataset, data) is not None]
        return replace(options, data=build_record(check_units(here, store, data, console)))
    summaries = check_units(units, store, data, console, download=download)
    check_pools((unit for unit in units if isinstance(unit, ImportExtractor)), data)
    check_custom(units, data)
    return replace(options, data=build_record(summaries))


def check_custom(units: Iterable[Unit], data: Path) -> None:
    """Pass a few images through the custom losses, bases and networks that units name.

    Raises:
        SettingsError: one of them cannot be used.
    """
    custom = [unit for unit in units if list_custom_names(unit)]
    if custom:
        from orchestrator.execution.check_custom import check_custom_objects

        check_custom_objects(custom, data)


def check_pools(units: Iterable[ImportExtractor], data: Path) -> None:
    """Check that the folders of the user's extractor pools exist.

    Raises:
        SettingsError: one is missing.
    """
    for folder in dict.fromkeys(unit.folder for unit in units):
        if not (data / check_path(folder, "extractors.folder")).is_dir():
            raise SettingsError(
                f"extractors.folder: there is no folder {folder} (relative to the data folder"
                f" {data})"
            )


def check_data(datasets: Iterable[DatasetRef], data: Path, *, download: bool) -> None:
    """Check that data sets are in the data folder, and download them if the user wants that.

    Raises:
        DatasetError: some are missing, or cannot be downloaded; names all of them.
    """
    datasets = list(dict.fromkeys(datasets))
    check_presence(datasets, data, download=download)
    for dataset in datasets:
        if locate(dataset, data) is None:
            from distill_core.datasets.load import load_dataset

            load_dataset(dataset, data, download=True)
