"""`iid run`: compute what the store lacks of a search space."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from distill_core.datasets.files import locate, missing
from distill_core.settings import DatasetRef
from orchestrator.commands.report import show_report
from orchestrator.launch import launch, show
from orchestrator.plan import make_plan, pending
from orchestrator.store import Store
from search_spaces.space import load_space


def run(
    name: str,
    overrides: Sequence[str],
    store: Store,
    data: Path,
    console: Console,
    *,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    address: str | None = None,
    download: bool = False,
) -> int:
    """Launch a search space, write its report, print how that ended, and return the exit code.

    Raises:
        SpaceError: the search space cannot be used.
        DatasetError: a data set that is needed is not in the data folder.
        StoreError: the store cannot be written.
        LaunchError: the cluster cannot be reached or is too small.
    """
    plan = make_plan(load_space(name, overrides))
    if address is None:  # a cluster's nodes have their own disks; there a unit says what is missing
        needed = pending(plan, store.done_keys())
        check_data((plan.units[key].dataset for key in needed), data, download=download)
    summary = launch(
        plan,
        store=store,
        data_root=data,
        space=name,
        overrides=overrides,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        address=address,
        console=console,
    )
    show_report(name, overrides, store, None, console)
    show(summary, console)
    return summary.exit_code


def check_data(datasets: Iterable[DatasetRef], data: Path, *, download: bool) -> None:
    """See that data sets are in the data folder before anything starts, and download them where asked to.

    Raises:
        DatasetError: one is missing, or cannot be downloaded.
    """
    for dataset in dict.fromkeys(datasets):
        if locate(dataset, data) is None:
            if not download:
                raise missing(dataset, data)
            from distill_core.datasets.load import load_dataset

            load_dataset(dataset, data, download=True)
