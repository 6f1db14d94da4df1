"""Options that several commands share, and the console that they print to."""

import inspect
import json
import logging
import os
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


def complete_space(incomplete: str) -> list[str]:
    """Return the shipped search spaces for the completion of a shell; it adds files itself."""
    from search_spaces.load import list_spaces  # the schema, which --help need not import

    return [name for name, _ in list_spaces() if name.startswith(incomplete)]


SpaceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SPACE",
        help="Shipped search space, or YAML file.",
        autocompletion=complete_space,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
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
PIPE_WIDTH = 10_000
"""Columns of a table that no terminal shows."""
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


class PlainCommand(typer.core.TyperCommand):
    """A command whose help names no type for options that are on or off."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters, `--help` included."""
        return hide_flag_types(super().get_params(ctx))


class PlainGroup(typer.core.TyperGroup):
    """Likewise for a group of commands."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters, `--help` included."""
        return hide_flag_types(super().get_params(ctx))


def hide_flag_types(params: list[Any]) -> list[Any]:
    """Let help say `--smoke` instead of `--smoke <bool>`."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


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
    # Each paragraph as one line, which help wraps at the width of the terminal.
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, cls=PlainCommand, help=text)(function)
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


def build_console(*, asked: bool = False) -> "Console":
    """Return the console that a command prints to.

    Commands and file names are never broken into lines: a terminal wraps a long line itself and
    copies it as one, and what goes into a pipe or a file has no width at all.

    Args:
        asked: print what the user asked for, as a list or a status; progress and summaries are
            silenced by `--quiet`.
    """
    from rich.console import Console

    piped = "COLUMNS" not in os.environ and not (sys.stdout and sys.stdout.isatty())
    return Console(
        quiet=is_quiet() and not asked, soft_wrap=True, width=PIPE_WIDTH if piped else None
    )


def print_json(value: object) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2))


def print_error(console: "Console", message: str) -> None:
    """Print an error on the console, or on stderr if the console is quiet."""
    from rich.text import Text

    choose_error_console(console).print(Text(message, style="red"), soft_wrap=True)
