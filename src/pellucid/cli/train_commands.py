"""The command that trains. What it does is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.options import Device, Json


@app.command(no_args_is_help=True)
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="localizer, rcnn, fast_rcnn, faster_rcnn, mask_rcnn or keypoint_rcnn; your own (.yaml); or, with "
            "--resume, the folder of a training.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="What to learn from: a folder or file that is recognised, FORMAT:PATH or scenes:n=200.",
            show_default=False,
        ),
    ] = None,
    val: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="What to validate on. Default: the split val of --data, where it has one.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The split to learn from. Default: train.", show_default=False),
    ] = None,
    val_split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The split to validate on. Default: val.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="How often to see every image.", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, help="Images of each process at a time.", show_default=False),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A timm name or torchvision/NAME. Default: the embedded network.", show_default=False
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A detector to begin with, of Pellucid, torchvision or detectron2; or torchvision, for its published "
            "one. Default: ImageNet's weights in the backbone alone.",
            show_default=False,
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any value of the recipe, such as optimiser.clip=1 or settings.NAME=VALUE; may be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of the training. Default: runs/RECIPE.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in --out, or the newest of this recipe.")
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        str | None, typer.Option(metavar="NAME", help="32, bf16 or 16 (mixed).", show_default=False)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=0, help="What all chance comes from. Default: 0.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Trains a detector on annotated images.

    The folder that it makes explains itself: weights, recipe, curves, log, validation pictures. Stop it at any moment;
    --resume goes on as if nothing had been. Under torchrun several processes learn together.
    """
    from pellucid.cli.train import run

    run(
        recipe=recipe,
        data=data,
        val=val,
        split=split,
        val_split=val_split,
        epochs=epochs,
        batch_size=batch_size,
        backbone=backbone,
        weights=weights,
        changes=change or [],
        out=out,
        resume=resume,
        device=device,
        precision=precision,
        seed=seed,
        json_output=json,
    )
