"""`iid export`: sets of a store in formats that other tools read."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    DataOption,
    SetOption,
    SmokeOption,
    StoreOption,
    build_console,
    build_request,
    check_folder,
)
from orchestrator.store.open import open_store


def export(
    what: Annotated[
        str, typer.Argument(metavar="KEY|SPACE", help="Key of a set, or a space for all its sets.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--format", help="safetensors, dc, mtt, imagefolder, hf (Hugging Face) or ddranking."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder to write to; a space gets a subfolder per set.",
            callback=check_folder,
        ),
    ],
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Read it back, train on it, and compare with the recorded accuracy."
        ),
    ] = False,
    store: StoreOption = "store",
    data: DataOption = Path("data"),
    overrides: SetOption = None,
    smoke: SmokeOption = False,
) -> None:
    """Write sets in formats that other tools read.

    Each comes with its metadata and a script that trains on it.
    """
    from orchestrator.cli.commands.export_sets import (
        export_sets,  # imports torch, which --help need not
    )

    code = export_sets(
        what,
        build_request(what, overrides, smoke),
        kind,
        out,
        open_store(store),
        data,
        build_console(),
        check=check,
    )
    raise typer.Exit(code)
