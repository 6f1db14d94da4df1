"""Options that several commands share, and the console that they print to."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from distill_core.paths import check_path
from orchestrator.store.run_log import PACKAGES
from orchestrator.text import choose_error_console

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.launch.options import RunOptions
    from orchestrator.planning.request import Request


def check_folder(option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Check the folder that an option names (PathError), and expand `~` in it."""
    return None if path is None else check_path(path, option.opts[-1], kind="folder")


def check_file(option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Check the file that an option names (PathError), and expand `~` in it."""
    return None if path is None else check_path(path, option.opts[-1], kind="file")


SpaceArgument = Annotated[
    str, typer.Argument(metavar="SPACE", help="Shipped search space, or YAML file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Set an axis or a setting in every experiment; repeatable.",
    ),
]
SmokeOption = Annotated[
    bool,
    typer.Option("--smoke", help="Small version that takes minutes: digits, narrow networks."),
]
StoreOption = Annotated[
    str,
    typer.Option("--store", metavar="FOLDER|URL", help="Folder of results, or s3://BUCKET/FOLDER."),
]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Folder of data sets.",
        callback=check_folder,
    ),
]
DownloadOption = Annotated[
    bool, typer.Option("--download", help="Download missing data sets where possible.")
]
GpusPerTrialOption = Annotated[
    float | None,
    typer.Option(help="GPUs per unit, such as 0.25 (default: what its memory needs)."),
]
CpusPerTrialOption = Annotated[float | None, typer.Option(help="CPU cores per unit (default: 1).")]
AddressOption = Annotated[
    str | None,
    typer.Option(help="Ray cluster to join, auto or HOST:PORT (default: Ray on this machine)."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Also log to stderr.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress and no summary, only errors.")
]
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""Of click, or of the copy of it in newer versions of Typer."""
MANY = 1_000_000
"""More machines, cores, GPUs or gigabytes than anybody has."""
LEVELS = {"verbose": logging.INFO, "quiet": logging.ERROR}
"""Least severe messages on stderr, by option."""
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder for the report (default: reports/SPACE).",
        callback=check_folder,
    ),
]


def build_request(space: str, overrides: list[str] | None, smoke: bool) -> "Request":
    """Collect what identifies a search space on the command line."""
    # The schema of search spaces takes most of the time that `iid plan` needs to start; `iid
    # --help` reads this module and does without.
    from orchestrator.planning.request import Request

    return Request(space=space, overrides=tuple(overrides or ()), smoke=smoke)


def build_run_options(
    data: Path, gpus_per_trial: float | None, cpus_per_trial: float | None, address: str | None
) -> "RunOptions":
    """Collect where and how to compute.

    Raises:
        LaunchError: there can be no such trial.
    """
    from orchestrator.cluster.resources import ResourceRequest
    from orchestrator.launch.options import RunOptions

    resources = ResourceRequest(cpus=cpus_per_trial, gpus=gpus_per_trial, address=address)
    return RunOptions(data_root=data, resources=resources)


def build_command(name: str, function: Callable[..., None]) -> Any:
    """Turn a function with annotated options into a command that has the options of `iid` too."""
    command = _build_plain_command(name, function)
    command.params += build_verbosity_options()
    return command


def build_verbosity_options() -> list[Any]:
    """Build `--verbose` and `--quiet` for a command, which never sees their values."""

    def takes_both(verbose: VerboseOption = False, quiet: QuietOption = False) -> None:
        """Have both options."""

    shared = [
        option
        for option in _build_plain_command("both", takes_both).params
        if option.name in LEVELS
    ]
    for option in shared:
        option.expose_value = False
        option.callback = lambda context, option, value: apply_level(option.name, value)
    return shared


def _build_plain_command(name: str, function: Callable[..., None]) -> Any:
    app = typer.Typer(add_completion=False)
    app.command(name)(function)
    return typer.main.get_command(app)


class _CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes messages to what `sys.stderr` is now.

    A live display replaces `sys.stderr` while it draws, so that messages appear above it.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The stream of this moment."""
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        """Leave tracebacks out: the log file of the launch has them."""
        return f"{record.levelname.lower()}: {record.getMessage()}"


_stderr = _CurrentStderr()


def configure_logging() -> None:
    """Print the project's warnings on stderr; `--verbose` and `--quiet` change the level."""
    _stderr.setLevel(logging.WARNING)
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.addHandler(_stderr)


def apply_level(option: str, wanted: bool) -> None:
    """Print messages of an option's level and above, if the user gave the option."""
    if wanted:
        _stderr.setLevel(LEVELS[option])


def is_quiet() -> bool:
    """Tell whether the user wants to see errors only."""
    return _stderr.level >= logging.ERROR


def build_console() -> "Console":
    """Return the console for progress and summaries; `--quiet` silences it."""
    from rich.console import Console

    return Console(quiet=is_quiet())


def print_error(console: "Console", message: str) -> None:
    """Print an error on the console, or on stderr if the console is quiet."""
    from rich.text import Text

    choose_error_console(console).print(Text(message, style="red"), soft_wrap=True)
