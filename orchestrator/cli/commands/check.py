"""`iid check`: a custom loss, base or network on a small batch, before anything is run with it."""

from typing import Annotated

import typer
from rich.text import Text

from distill_core.settings import OptionValue, SettingsError
from orchestrator.cli.options import build_console
from search_spaces.yaml_document import parse_document


def check(
    name: Annotated[str, typer.Argument(metavar="MODULE:OBJECT", help="A loss, base or network.")],
    channels: Annotated[int, typer.Option(help="Channels of the images.", min=1, max=3)] = 1,
    image_size: Annotated[
        int, typer.Option(help="Side of the images in pixels.", min=8, max=512)
    ] = 32,
    option: Annotated[
        list[str] | None, typer.Option(help="Option of a loss, name=value; may be repeated.")
    ] = None,
) -> None:
    """Try a custom loss, base or network on noise.

    Says shapes, and whether two runs, chunks of classes, a cohort and a resumed run agree.
    """
    # It imports torch.
    from distill_core.check_plugin import check_plugin

    options = tuple(sorted(map(_parse_option, option or [])))
    console = build_console(asked=True)
    good = True
    for seen in check_plugin(name, channels=channels, image_size=image_size, options=options):
        style = "" if seen.is_good else "red"
        console.print(Text(f"{seen.what + ':':<20}{seen.found}", style=style), soft_wrap=True)
        good &= seen.is_good
    raise typer.Exit(0 if good else 1)


def _parse_option(text: str) -> tuple[str, OptionValue]:
    name, equals, value = text.partition("=")
    found = parse_document(f"--option {text[:80]}", value, lines=False).value if equals else None
    if not isinstance(found, bool | int | float | str):
        raise SettingsError(f"--option {text[:80]}: expected name=value, such as sigma=2")
    return name.strip(), found
