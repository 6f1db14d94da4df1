"""The command line `iid`: its commands and what all of them share.

The module of a command is imported when the command is called. So `iid --help` starts without
numpy, pydantic or torch, and `iid plan` without Ray.
"""

import errno
import sys
from importlib import import_module, metadata
from typing import Annotated, Any, NamedTuple

import typer

from distill_core.paths import format_os_error, show_path
from orchestrator.cli import interrupts, options, streams
from orchestrator.errors import USER_ERRORS
from orchestrator.text import clean_message

PACKAGE = "iid-orchestrator"


class CommandEntry(NamedTuple):
    """Where a command is, and what `iid --help` says of it."""

    module: str
    """Below `orchestrator.cli`; has a function or a Typer app of the command's name."""
    help: str
    """First line of its docstring."""
    panel: str


COMMANDS = {
    "spaces": CommandEntry("listings", "List the shipped search spaces.", "Plan"),
    "datasets": CommandEntry("listings", "List the known data sets, or check data sets.", "Plan"),
    "plan": CommandEntry("plan", "Show what would run and how long it would take.", "Plan"),
    "check": CommandEntry("check", "Try a custom loss, base or network on noise.", "Plan"),
    "run": CommandEntry("run", "Compute what the store lacks, then write the report.", "Compute"),
    "search": CommandEntry("search", "Tune settings on held-out images.", "Compute"),
    "evaluate": CommandEntry(
        "evaluate", "Evaluate distilled sets, whoever made them, under one protocol.", "Compute"
    ),
    "unit": CommandEntry("unit", "Compute one unit in this process, for debugging.", "Compute"),
    "cluster": CommandEntry(
        "cluster", "Write job files for Slurm, Kubernetes, AWS or Google Cloud.", "Compute"
    ),
    "status": CommandEntry("status", "Show what is done, running, failed and waiting.", "Results"),
    "report": CommandEntry("report", "Write the report: tables, figures and curves.", "Results"),
    "compare": CommandEntry("compare", "Compare two methods, spaces or stores.", "Results"),
    "export": CommandEntry("export", "Write sets in formats that other tools read.", "Results"),
    "verify": CommandEntry("verify", "Check every file of a store against its hash.", "Results"),
}


class LazyCommand(typer.core.TyperCommand):
    """A command whose module is imported when it is called."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Any = None,
        **extra: Any,
    ) -> Any:
        """Parse the arguments as the command itself does."""
        return load_command(str(self.name)).make_context(info_name, args, parent, **extra)


class ErrorHandlingGroup(options.PlainGroup):
    """Commands that end with one line and exit code 2 where the input is wrong."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a command."""
        try:
            return super().invoke(ctx)
        except USER_ERRORS as error:
            print_error_line(str(error))
            raise typer.Exit(2) from error
        except OSError as error:
            # What no command expected of the system; a closed pipe is nobody's mistake.
            if error.errno == errno.EPIPE:
                raise
            print_error_line(format_os_error(error))
            raise typer.Exit(2) from error

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Parse a command line and run its command; a wrong command line is one line too."""
        extra["standalone_mode"] = False  # the parent then raises what it would print itself
        if not standalone_mode:
            return super().main(*args, **extra)
        try:
            code = super().main(*args, **extra)
        except options.USAGE_ERROR as error:
            if message := error.format_message():  # type: ignore[attr-defined]
                print_error_line(f"{' '.join(message.split())}{_point_to_help(error)}")
            sys.exit(2)
        sys.exit(code if isinstance(code, int) else 0)


def print_error_line(message: str) -> None:
    """Print what is wrong on stderr."""
    # Not typer.echo, which writes UTF-8 to a terminal that has said it knows ASCII only.
    print(f"error: {clean_message(message)}", file=sys.stderr)


def _point_to_help(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f" ({context.command_path} -h shows what there is)" if context is not None else ""


def load_command(name: str) -> Any:
    """Import a command, and give it the options that `iid` itself has."""
    found = getattr(import_module(f"orchestrator.cli.commands.{COMMANDS[name].module}"), name)
    if not isinstance(found, typer.Typer):
        return options.build_command(name, found)
    group: Any = typer.main.get_command(found)
    for command in group.commands.values():
        command.params += options.build_verbosity_options()
    return group


app = typer.Typer(
    cls=ErrorHandlingGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PACKAGE} {metadata.version(PACKAGE)}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print name and version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    verbose: options.VerboseOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Run dataset distillation experiments: plan, distill, evaluate, resume, report."""
    options.configure_logging()
    options.apply_level("verbose", verbose)
    options.apply_level("quiet", quiet)


for _name, _entry in COMMANDS.items():
    app.command(_name, cls=LazyCommand, help=_entry.help, rich_help_panel=_entry.panel)(
        lambda: None
    )


def main() -> None:
    """Run the command line; the exit code is 0, 1 (something failed), 2 (wrong input) or 130."""
    interrupts.install()
    streams.use_utf8()
    files = streams.prepare_streams()
    ending = interrupts.watch_end()
    ending.code = _run_command_line()
    if failure := streams.find_failure(files):
        print_error_line(f"the output cannot be written: {failure.strerror}")
        ending.code = ending.code or 1
    sys.exit(ending.code)


def _run_command_line() -> int:
    for word in sys.argv[1:]:
        if not streams.is_utf8(word):
            print_error_line(
                f"{show_path(word)} has bytes that are no UTF-8; rename it, or make a link to it"
                " that has another name"
            )
            return 2
    try:
        app(prog_name="iid")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except KeyboardInterrupt:
        interrupts.stop_at_once()
    return 0
