"""`iid run`: compute what the store lacks of a search space, then write the report."""

from collections.abc import Iterable
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from distill_core.datasets.files import locate, missing_dataset_error
from distill_core.settings import DatasetRef, SettingsError
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
)
from orchestrator.cli.report import show_report
from orchestrator.errors import StoreError, TableError
from orchestrator.launch.launch import launch, show
from orchestrator.planning.plan import make_plan
from orchestrator.planning.request import Request
from orchestrator.planning.work import find_pending
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.units import ImportExtractor


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
    code = run_space(
        build_request(space, overrides, smoke),
        open_store(store),
        data,
        build_console(),
        out=out,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        address=address,
        download=download,
    )
    raise typer.Exit(code)


def run_space(
    request: Request,
    store: Store,
    data: Path,
    console: Console,
    *,
    out: Path | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    address: str | None = None,
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
    plan = make_plan(request.load())
    if address is None:  # a cluster's nodes have their own disks; there a unit says what is missing
        needed = find_pending(plan, store.done_keys()).pending_units.values()
        check_data((unit.dataset for unit in needed), data, download=download)
        check_pools((unit for unit in needed if isinstance(unit, ImportExtractor)), data)
    elif download:
        raise SettingsError(
            "--download fetches onto this machine alone; fetch the data before joining a cluster"
        )
    summary = launch(
        plan,
        store=store,
        data_root=data,
        space=request.name,
        overrides=request.overrides,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        address=address,
        console=console,
        cohorts=True,
    )
    show(summary, console)
    try:
        show_report(request, store, out, console, data=data)
    except (
        StoreError,
        TableError,
    ) as error:  # what was computed is safe, and how it ended is already told
        console.print(Text(f"The report could not be written: {error}", style="red"))
        return summary.exit_code or 1
    return summary.exit_code


def check_pools(units: Iterable[ImportExtractor], data: Path) -> None:
    """See that the folders of users' extractor pools are there before anything starts.

    Raises:
        SettingsError: one is missing.
    """
    for folder in dict.fromkeys(unit.folder for unit in units):
        if not (data / Path(folder).expanduser()).is_dir():
            raise SettingsError(
                f"extractors.folder: there is no folder {folder} (relative to the data folder"
                f" {data})"
            )


def check_data(datasets: Iterable[DatasetRef], data: Path, *, download: bool) -> None:
    """See that data sets are in the data folder before anything starts, and download them where
    asked to.

    Raises:
        DatasetError: one is missing, or cannot be downloaded.
    """
    for dataset in dict.fromkeys(datasets):
        if locate(dataset, data) is None:
            if not download:
                raise missing_dataset_error(dataset, data)
            from distill_core.datasets.load import load_dataset

            load_dataset(dataset, data, download=True)
