"""The command that runs a model over images. What it does is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.data_options import Split
from pellucid.cli.options import Checkpoint, ClassNames, Device, Json


@app.command(no_args_is_help=True)
def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A checkpoint (best.safetensors); rcnn-imagenet, which needs no training; a detector of "
            "torchvision's, torchvision/NAME; or a classifier's name.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES",
            help="Photos and folders of photos; or one data set, such as voc:PATH, coco:PATH or scenes:n=12.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the results into this folder instead of printing them. Default with --draw or --format: "
            "predicted.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The form of the results: coco (with masks and keypoints), voc, yolo, openimages, imagenet; of a "
            "classifier csv. Default: coco.",
            show_default=False,
        ),
    ] = None,
    draw: Annotated[
        bool, typer.Option("--draw", help="Draw boxes, masks, keypoints and names into DIR/pictures.")
    ] = False,
    score_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            min=0,
            max=1,
            help="The least score of an object. Default: 0.5 of what is printed and drawn, and in files whatever the "
            "model keeps.",
            show_default=False,
        ),
    ] = None,
    iou_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="IOU",
            min=0.01,
            max=1,
            help="Objects of a class that overlap more are taken for one. Default: the model's own.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            "-k",
            metavar="COUNT",
            min=1,
            help="So many classes (a classifier; default 5), or at most so many objects, the best.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="COUNT", min=1, help="Images at a time.")] = 4,
    split: Split = None,
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Says what a model finds in photos or a data set.

    Without --out it prints what is in each image: an object a line, with score and box, or the top classes. An image
    that cannot be read is reported, the others are done, and the exit code is 2.
    """
    from pellucid.cli.predict import run

    run(
        model=model,
        sources=sources,
        split=split,
        out=out,
        format=format,
        draw=draw,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        top_k=top_k,
        batch_size=batch_size,
        checkpoint=checkpoint,
        classes=class_names,
        device=device,
        json_output=json,
    )
