"""The commands on scores. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.data_options import Split
from pellucid.cli.options import Device, Json

Truth = Annotated[
    str,
    typer.Argument(
        metavar="TRUTH",
        help="The annotated data set, in any format: a folder or file that is recognised, or FORMAT:PATH such as "
        "coco:PATH or voc:PATH.",
        show_default=False,
    ),
]
PREDICTED = (
    "a COCO results file (JSON), a folder of VOC or YOLO results, a CSV as ImageNet's and Open Images' contests take "
    "it, any data set of the same images, or probabilities:FOLDER of grey images"
)
_PROTOCOLS = (
    "coco, coco-segm, coco-boundary, coco-keypoints, lvis, lvis-segm, voc2007, voc2012, ilsvrc, openimages, "
    "openimages-v2; ilsvrc-loc, kaggle-loc; panoptic; semantic; isbi."
)
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol",
        "-p",
        metavar="NAME",
        help=_PROTOCOLS,
    ),
]
Replicates = Annotated[
    int,
    typer.Option(
        "--bootstrap",
        metavar="NUMBER",
        min=0,
        max=100_000,
        help="Confidence intervals from so many resamplings of the images, such as 1000.",
    ),
]
Seed = Annotated[int, typer.Option(metavar="NUMBER", min=0, help="The seed of the resampling.")]
DropUnknown = Annotated[
    bool, typer.Option("--drop-unknown", help="Leave out predictions of images that the truth does not have.")
]
Plots = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write plots into this folder, as a paper can print them.", show_default=False),
]
PlotFormat = Annotated[str, typer.Option(metavar="SUFFIX", help="What the plots are: png, pdf or svg.")]


@app.command(no_args_is_help=True)
def evaluate(
    truth: Annotated[
        str,
        typer.Argument(
            metavar="TRUTH|MODEL",
            help="The annotated data set, in any format: a folder or file that is recognised, or FORMAT:PATH such as "
            "coco:PATH or voc:PATH. Or a model, as predict takes it, to run on a data set.",
            show_default=False,
        ),
    ],
    predictions: Annotated[
        str,
        typer.Argument(
            metavar="PREDICTIONS|DATA",
            help=f"What a network said: {PREDICTED}. Behind a model: the annotated data set.",
            show_default=False,
        ),
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "-p",
            metavar="NAME",
            help=f"{_PROTOCOLS} Default: coco, or all by which a model's task is scored.",
            show_default=False,
        ),
    ] = None,
    split: Split = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="A line for every class.")] = False,
    errors: Annotated[
        bool,
        typer.Option("--errors", help="What kinds of errors there are, what each costs, and the worst of them."),
    ] = False,
    waterfall: Annotated[
        bool,
        typer.Option(
            "--waterfall", help="At which stage of a model each object that it does not find was lost, added up."
        ),
    ] = False,
    bootstrap: Replicates = 0,
    seed: Seed = 0,
    ties: Annotated[
        bool, typer.Option("--ties", help="The range of each figure over all orders of tied scores.")
    ] = False,
    versus: Annotated[
        str | None,
        typer.Option(
            metavar="PROTOCOL",
            help="Split the difference to another protocol's figure into its causes.",
            show_default=False,
        ),
    ] = None,
    boundary: Annotated[
        bool, typer.Option("--boundary", help="Boundary IoU as well (semantic), or in place of IoU (panoptic).")
    ] = False,
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="ILSVRC's list of what does not count: an image a line, and for ilsvrc a class behind it.",
            show_default=False,
        ),
    ] = None,
    drop_unknown: DropUnknown = False,
    plots: Plots = None,
    plot_format: PlotFormat = "png",
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keep what a model said, as a COCO results file (.json).", show_default=False
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT", min=1, help="Images that a model sees at a time. Default: 4.", show_default=False
        ),
    ] = None,
    class_names: Annotated[
        Path | None,
        typer.Option(
            "--classes",
            metavar="FILE",
            help="Names for a model's classes, one a line, where the data call them otherwise.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Scores predictions, or a model, by an official protocol.

    The figures are those of the benchmark's own code, told with what was wrong with truth and predictions. Of
    detections: curves, error types, intervals, tie ranges, and why two protocols differ.
    """
    from pellucid.cli.evaluate import run
    from pellucid.cli.running import Running

    run(
        truth=truth,
        predictions=predictions,
        protocol=protocol,
        split=split,
        per_class=per_class,
        errors=errors,
        waterfall=waterfall,
        bootstrap=bootstrap,
        seed=seed,
        ties=ties,
        versus=versus,
        boundary=boundary,
        exclude=exclude,
        drop_unknown=drop_unknown,
        plots=plots,
        plot_format=plot_format,
        running=Running(batch_size, device, class_names, save),
        json_output=json,
    )


@app.command(no_args_is_help=True)
def compare(
    truth: Truth,
    a: Annotated[
        str, typer.Argument(metavar="A", help="Predictions, in any form that evaluate takes.", show_default=False)
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Others of the same images.", show_default=False)],
    protocol: Protocol = "coco",
    split: Split = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="A line for every class.")] = False,
    bootstrap: Replicates = 1000,
    seed: Seed = 0,
    drop_unknown: DropUnknown = False,
    json: Json = False,
) -> None:
    """Says whether predictions B are really better than A.

    Both are scored on the same resampled images, so that the difference has an interval and a p-value; a difference
    that the order of tied scores alone could make is told as such.
    """
    from pellucid.cli.compare import run

    run(
        truth=truth,
        a=a,
        b=b,
        protocol=protocol,
        split=split,
        per_class=per_class,
        bootstrap=bootstrap,
        seed=seed,
        drop_unknown=drop_unknown,
        json_output=json,
    )
