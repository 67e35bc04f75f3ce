"""The commands on data sets. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.data_options import Data, Split
from pellucid.cli.options import Json


@app.command(no_args_is_help=True)
def check(
    data: Data,
    split: Split = None,
    show: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="How many defects of a kind to list.")] = 10,
    show_all: Annotated[bool, typer.Option("--all", help="List all of them.")] = False,
    content: Annotated[
        bool,
        typer.Option("--content/--no-content", help="Whether to open the images, which takes most of the time."),
    ] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 2 where there is an error.")] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="An option of the format, as may stand behind its path; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Finds every defect of a data set, in one pass.

    Each is listed with its file, the item in it and what can be done. All splits are checked, or the one that --split
    names.
    """
    from pellucid.cli.check import run

    run(
        data=data,
        split=split,
        show=show,
        show_all=show_all,
        content=content,
        strict=strict,
        options=option or [],
        json_output=json,
    )


@app.command(no_args_is_help=True)
def show(
    data: Data,
    split: Split = None,
    count: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", min=1, max=400, help="How many images, spread evenly. Default: 12.", show_default=False
        ),
    ] = None,
    sample: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One image, by its name; may be repeated.", show_default=False),
    ] = None,
    shuffle: Annotated[
        int | None,
        typer.Option(metavar="SEED", min=0, help="Draw the images at random, with a seed.", show_default=False),
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="Show the first images.")] = False,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What to draw: boxes, masks, keypoints, semantic, panoptic, labels; several with commas. Default: "
            "segments where there are any, else objects, else the semantic map; image labels.",
            show_default=False,
        ),
    ] = None,
    colours: Annotated[
        str | None,
        typer.Option(
            metavar="BY",
            help="A colour for each of the 'instances' or the 'classes'. Default: classes where there are only boxes "
            "of few classes.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, max=12, help="How many images side by side.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture to write, a PNG.")] = Path("shown.png"),
    json: Json = False,
) -> None:
    """Shows annotated images of a data set on one sheet.

    An image that cannot be read gets a tile that says why.
    """
    from pellucid.cli.show import run

    run(
        data=data,
        split=split,
        count=count,
        samples=sample or [],
        shuffle=shuffle,
        first=first,
        layers=layers or [],
        colours=colours,
        columns=columns,
        out=out,
        json_output=json,
    )


@app.command(no_args_is_help=True)
def convert(
    source: Data,
    target: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT:PATH",
            help="What to write: coco, voc, yolo, openimages, imagenet, panoptic, masks or folder, and a new folder. A "
            "format's options stand behind it, as in yolo:out,labels=segments.",
            show_default=False,
        ),
    ],
    split: Split = None,
    images: Annotated[
        str, typer.Option(metavar="HOW", help="What becomes of the images: copy, link (symbolic links) or none.")
    ] = "copy",
    json: Json = False,
) -> None:
    """Writes a data set in another format.

    All splits are written, or the one that --split names; those that others make up, as trainval, are left out. What
    the new format has no word for is listed.
    """
    from pellucid.cli.convert import run

    run(source=source, target=target, split=split, images=images, json_output=json)
