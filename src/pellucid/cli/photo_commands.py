"""The commands that look at photos: explain, adversarial. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.options import Checkpoint, ClassNames, Device, Json, Model


@app.command(no_args_is_help=True)
def explain(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO",
            help="Photos, or folders of photos; after --, names that begin with a dash.",
            show_default=False,
        ),
    ],
    model: Model = "tf_efficientnet_lite0",
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="CLASS",
            help="A class to explain, by name or index; may be repeated. Default: the top classes, or of a detector "
            "the surest objects of any class.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int,
        typer.Option(
            "--top-k",
            "-k",
            metavar="COUNT",
            min=1,
            max=100,
            help="How many of the top classes to explain where no --target is given; of a detector, how many objects.",
        ),
    ] = 3,
    part: Annotated[
        str,
        typer.Option(
            metavar="PART",
            help="Of a detector: what of each object to explain: score, mask, left, top, right or bottom.",
        ),
    ] = "score",
    missed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS@x1,y1,x2,y2",
            help="Of a detector: an object that it did not find, its box in pixels; may be repeated.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="An attribution method, several with commas, or 'all'; may be repeated. Default: grad_cam, "
            "smooth_grad, integrated_gradients, occlusion. Also: saliency, input_x_gradient, deconvnet, "
            "guided_backprop, grad_cam_plus_plus, layer_cam, odam, guided_grad_cam, rise, d_rise. Of detectors "
            "the default is grad_cam, odam, saliency.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The layer for the CAM methods, by name ('blocks.5'; `pellucid models NETWORK --layers` lists them). "
            "Default: 'last conv', or of a detector the map that each object was read from.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Test each map for faithfulness, and say which methods fail on this network."),
    ] = False,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="REGION",
            help="With --check: where the object is, as 'x1,y1,x2,y2' in pixels or a mask image of the photo's size.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A method's own setting: masks=4000 (rise), samples=50 (smooth_grad), steps=64 "
            "(integrated_gradients), window=32 (occlusion) …; may be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where panels, maps and records go, in a folder for each photo.")
    ] = Path("explained"),
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Says what a network sees in photos, and why.

    Each photo gets a folder of its own in --out: panel.png for people, the raw maps (.npz), and record.json.
    A photo that cannot be read is reported, the others are done, and the exit code is 2.
    """
    from pellucid.cli.explain import run

    run(
        photos=photos,
        model=model,
        targets=target or [],
        top_k=top_k,
        part=part,
        missed=missed or [],
        methods=method or [],
        layer=layer,
        check=check,
        truth=truth,
        settings=settings or [],
        out=out,
        checkpoint=checkpoint,
        classes=class_names,
        device=device,
        json_output=json,
    )


@app.command(no_args_is_help=True)
def adversarial(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="One photo.", show_default=False)],
    model: Model = "tf_efficientnet_lite0",
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="CLASS",
            help="The class that the network shall say, by name or index. Default: any but the first.",
            show_default=False,
        ),
    ] = None,
    attack: Annotated[
        str, typer.Option(metavar="NAME", help="The attack: fgsm, one step, or pgd, many steps from a random start.")
    ] = "pgd",
    norm: Annotated[
        str,
        typer.Option(metavar="NAME", help="How the change is measured: linf, its largest value, or l2, its length."),
    ] = "linf",
    epsilon: Annotated[
        float | None,
        typer.Option(
            metavar="LEVELS",
            help="The largest change allowed, in grey levels of 255 (for l2: on average). Default: 4 (l2: 2).",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(metavar="COUNT", min=1, help="How many steps pgd takes.")] = 20,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="The attribution method shown before and after.")
    ] = "grad_cam",
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="The seed of the random start.")] = 0,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Where the panel and the changed photo go, in a folder of the photo's name."
        ),
    ] = Path("explained"),
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Changes a photo, too little to see, so that a network errs."""
    from pellucid.cli.adversarial import run

    run(
        photo=photo,
        model=model,
        target=target,
        attack=attack,
        norm=norm,
        epsilon=epsilon,
        steps=steps,
        method=method,
        seed=seed,
        out=out,
        checkpoint=checkpoint,
        classes=class_names,
        device=device,
        json_output=json,
    )
