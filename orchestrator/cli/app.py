"""The command line `iid`: its commands and what all of them share.

The module of a command is imported when the command is called. So `iid --help` starts without
numpy, pydantic or torch, and `iid plan` without Ray.
"""

from importlib import import_module, metadata
from typing import Annotated, Any, NamedTuple

import typer

from orchestrator.cli import options
from orchestrator.errors import USER_ERRORS

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
    "datasets": CommandEntry("listings", "List the known data sets and how to get them.", "Plan"),
    "plan": CommandEntry("plan", "Show what would run and how long it would take.", "Plan"),
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


class ErrorHandlingGroup(typer.core.TyperGroup):
    """Commands that end with a message and exit code 2 where the input is wrong."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a command."""
        try:
            return super().invoke(ctx)
        except USER_ERRORS as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error


def load_command(name: str) -> Any:
    """Import a command, and give it the options that `iid` itself has."""
    found = getattr(import_module(f"orchestrator.cli.{COMMANDS[name].module}"), name)
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
    add_completion=False,
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
    """Run the command line."""
    app()
