"""The commands that list networks and show what Pellucid does. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.options import Json


@app.command()
def models(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="The names to list, with * and ?.")] = "*",
    on_disk: Annotated[bool, typer.Option("--on-disk", help="Only those whose weights are on this machine.")] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="List the layers of the one network that PATTERN names.")
    ] = False,
    json: Json = False,
) -> None:
    """Lists the networks there are, or the layers of one."""
    from pellucid.cli.models import run

    run(pattern=pattern, on_disk=on_disk, layers=layers, json_output=json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where all that it makes goes.")] = Path("demo"),
) -> None:
    """Shows the whole job on sample photos and scenes, in minutes.

    Three sample photos, what is in them and why, by every method; then a small Mask R-CNN learns from generated scenes,
    is scored, and its errors are explained on a page. It takes minutes, and needs no network.
    """
    from pellucid.cli.demo import run

    run(out=out)
