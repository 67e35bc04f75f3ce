"""The commands that say why of a whole model: report, serve, faithfulness. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.data_options import Split
from pellucid.cli.options import Checkpoint, ClassNames, Device, Json
from pellucid.cli.score_commands import PREDICTED, DropUnknown


@app.command(no_args_is_help=True)
def report(
    truth: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|TRUTH",
            help="A model, as predict takes it; or, to report on results without a model, the annotated data set.",
            show_default=False,
        ),
    ],
    predictions: Annotated[
        str,
        typer.Argument(
            metavar="DATA|PREDICTIONS",
            help=f"The annotated data set; behind a truth, what a network said: {PREDICTED}.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page to write.")] = Path("report.html"),
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "-p",
            metavar="NAME",
            help="coco, coco-segm, coco-keypoints, voc2012 … Default: those by which a model's task is scored.",
            show_default=False,
        ),
    ] = None,
    split: Split = None,
    cases: Annotated[
        int,
        typer.Option(
            metavar="COUNT", min=0, max=1000, help="So many false positives, and missed objects, are shown at most."
        ),
    ] = 60,
    method: Annotated[
        str, typer.Option("--method", "-m", metavar="NAME", help="The method that explains each error.")
    ] = "odam",
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Whether to say why each error was made.")
    ] = True,
    trust: Annotated[
        int,
        typer.Option(
            metavar="COUNT",
            min=0,
            help="Test methods of explanation on so many images as well, in a table; takes minutes. 0: leave it out.",
        ),
    ] = 0,
    drop_unknown: DropUnknown = False,
    class_names: ClassNames = None,
    device: Device = "auto",
) -> None:
    """Writes a page of a detector's scores and errors, with why.

    Scores with intervals, curves, types of error and what they cost, where missed objects were lost, calibration,
    confusion, and galleries of errors with their explanations: one HTML file that needs no network.
    """
    from pellucid.cli.report import run
    from pellucid.cli.running import Running

    run(
        truth=truth,
        predictions=predictions,
        out=out,
        protocol=protocol,
        split=split,
        cases=cases,
        method=method,
        explain=explain,
        trust=trust,
        drop_unknown=drop_unknown,
        running=Running(None, device, class_names, None),
    )


@app.command(no_args_is_help=True)
def serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A checkpoint (best.safetensors); rcnn-imagenet, which needs no training; or a classifier's name, "
            "such as tf_efficientnet_lite0.",
            show_default=False,
        ),
    ],
    port: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")
    ] = 8321,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
) -> None:
    """Shows in the browser what a model finds in photos, and why.

    Drop a photo, move sliders, click an object, its edge, or where one was missed. The page is served to this machine
    alone, and nothing is written to disk. Ctrl-C ends.
    """
    from pellucid.cli.serve import run

    run(model=model, checkpoint=checkpoint, classes=class_names, device=device, port=port, open_browser=open_browser)


@app.command(no_args_is_help=True)
def faithfulness(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A checkpoint (best.safetensors), or a network's name.", show_default=False
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="The annotated data set: a folder or file that is recognised, or FORMAT:PATH such as coco:PATH or "
            "voc:PATH.",
            show_default=False,
        ),
    ],
    split: Split = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME",
            help="A method, several with commas, or 'all'; may be repeated. Default: grad_cam, odam, saliency, "
            "guided_backprop, d_rise; of classifiers grad_cam, saliency, guided_backprop, integrated_gradients, rise.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[int, typer.Option(metavar="COUNT", min=1, help="How many images, drawn at random.")] = 12,
    objects: Annotated[
        int,
        typer.Option(metavar="COUNT", min=1, help="Of a detector: at most so many objects an image, drawn at random."),
    ] = 4,
    masks: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=10_000, help="Passes of RISE and D-RISE an image.")
    ] = 500,
    steps: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=1000, help="Steps of the deletion and insertion curves.")
    ] = 10,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="The seed of all that is drawn.")] = 0,
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Says which explanations of a model can be believed.

    Methods are tested on true objects that a detector found, or on a classifier's top class: whether maps point at the
    object, order pixels better than chance, and fall apart when the network becomes noise.
    """
    from pellucid.cli.faithfulness import run

    run(
        model=model,
        data=data,
        split=split,
        methods=method or [],
        images=images,
        objects=objects,
        masks=masks,
        steps=steps,
        seed=seed,
        checkpoint=checkpoint,
        classes=class_names,
        device=device,
        json_output=json,
    )
