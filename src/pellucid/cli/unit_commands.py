"""The commands that look at a network's units. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.options import Checkpoint, ClassNames, Model


@app.command()
def kernels(
    model: Model = "tf_efficientnet_lite0",
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="A convolution by name. Default: the first.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture to write, a .png, or a folder for it.")] = Path(
        "kernels.png"
    ),
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
) -> None:
    """Draws a network's first-layer kernels as a grid."""
    from pellucid.cli.kernels import run

    run(model=model, layer=layer, out=out, checkpoint=checkpoint, classes=class_names)
