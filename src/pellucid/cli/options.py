"""The options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="The network: the embedded tf_efficientnet_lite0, a timm name, torchvision/NAME, or a .safetensors file "
        "that Pellucid wrote.",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Your own weights for the model: a .safetensors file, or a state dict (.pt, .pth) without pickled code.",
    ),
]
ClassNames = Annotated[
    Path | None,
    typer.Option("--classes", metavar="FILE", help="A text file with the class names, one a line, in index order."),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps …")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the results as JSON on standard output, and nothing else there.")
]
