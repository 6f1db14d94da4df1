"""`iid unit`: one unit in this process, for debugging."""

import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from distill_core.settings import SettingsError
from orchestrator.cli import interrupts
from orchestrator.cli.options import DataOption, StoreOption, build_console
from orchestrator.execution.commit import describe_taker
from orchestrator.execution.context import UnitProgress
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import RUNNER, UnitResult
from orchestrator.execution.worker import prepare_process
from orchestrator.launch.options import RunOptions
from orchestrator.launch.status import find_unit
from orchestrator.store import provenance, run_log
from orchestrator.store.open import open_store
from orchestrator.store.store import Store
from orchestrator.text import format_duration
from orchestrator.units import Unit, describe_unit


class Device(StrEnum):
    """What `iid unit` can run on."""

    CPU = "cpu"
    CUDA = "cuda"


def unit(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of a unit, or its beginning.")],
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    device: Annotated[Device, typer.Option(help="Where to run it.")] = Device.CPU,
) -> None:
    """Compute one unit in this process, for debugging.

    It uses all cores and no Ray.
    """
    raise typer.Exit(run_one(key, open_store(store), data, device.value, build_console()))


def run_one(
    key: str, store: Store, data: Path, device: str, console: Console, *, runner: str = RUNNER
) -> int:
    """Compute the unit whose key begins with `key`, on all cores; return the exit code.

    Raises:
        StoreError: there is no such unit, or more than one, or a unit that it needs is not done.
        SettingsError: there is no GPU.
    """
    store = store.resolved()
    unit = find_unit(store, key)
    _check_unit(unit, store, device)
    cores = os.cpu_count() or 1
    options = RunOptions(data_root=data, runner=runner)
    settings = replace(
        options.build_trial_settings(store, provenance.make_run_id()),
        cpus=cores,
        report_seconds=2.0,
    )
    console.print(Text(describe_unit(unit)))
    prepare_process(cpus=cores, gpus=float(device != "cpu"))

    def report(progress: UnitProgress) -> None:
        console.print(_format_progress(progress))

    try:
        with interrupts.raising(), run_log.record_launch(store, settings.run):
            result = compute_unit(unit, settings, device=device, report=report)
    except KeyboardInterrupt:
        console.print("stopped; the same command continues from the last checkpoint.")
        return 130
    console.print(_format_result(result, store.locate_done(unit)))
    return 0 if result.status in ("done", "present") else 1


def _check_unit(unit: Unit, store: Store, device: str) -> None:
    for parent in unit.parents:
        store.fetch_folder(parent)
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise SettingsError(
                "--device cuda: PyTorch finds no GPU on this machine; leave the option out"
            )


def _format_progress(report: UnitProgress) -> Text:
    values = "  ".join(f"{name} {value:.4g}" for name, value in report.values.items())
    return Text(f"{report.step}/{report.total}  {values}")


def _format_result(result: UnitResult, place: str) -> Text:
    match result.status:
        case "done":
            return Text(f"done in {format_duration(result.seconds)}: {place}")
        case "present":
            return Text(f"already done: {place}; delete that to compute it again")
        case "busy" if result.taken_over_by is not None:
            return Text(f"taken over by {describe_taker(result.taken_over_by)}; see iid status")
        case "busy":
            return Text("a launch is computing this unit right now; see iid status")
        case "stopped":
            return Text("stopped after a checkpoint; the same command continues from there")
        case _ if result.fatal:
            return Text(f"{result.error}: {result.reason}")
        case _:
            return Text(result.traceback or f"{result.error}: {result.reason}")
