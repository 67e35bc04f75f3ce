"""The commands that look at a network's units. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.cli.application import app
from pellucid.cli.data_options import Split
from pellucid.cli.options import Checkpoint, ClassNames, Device, Json, Model


@app.command(no_args_is_help=True)
def synthesize(
    objective: Annotated[
        str,
        typer.Argument(
            metavar="OBJECTIVE",
            help="What to climb: a channel 'blocks.3.1:42', one of its units 'blocks.3.1:42@7,7', a layer 'blocks.3', "
            "a class 'logit:tabby', or a sum 'blocks.3.1:42 + 0.5*blocks.2.1:7'.",
            show_default=False,
        ),
    ],
    model: Model = "tf_efficientnet_lite0",
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=1,
            help="How many steps. Default: 512 (maco 256, --dream 40 at each of 4 sizes).",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="The image's side. Default: 128 (maco 512, --dream 384, --caricature 224).",
            show_default=False,
        ),
    ] = None,
    diversity: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=64, help="Make so many images that differ in style.")
    ] = 1,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="OBJECTIVE",
            help="Go from OBJECTIVE to this one, in 6 images (or as many as --diversity says).",
            show_default=False,
        ),
    ] = None,
    dream: Annotated[
        Path | None,
        typer.Option(metavar="PHOTO", help="Deep dream: begin with a photo, at four sizes.", show_default=False),
    ] = None,
    caricature: Annotated[
        Path | None,
        typer.Option(metavar="PHOTO", help="Exaggerate what a layer (OBJECTIVE) sees in a photo.", show_default=False),
    ] = None,
    parametrisation: Annotated[
        str, typer.Option(metavar="NAME", help="The space to climb in: fourier, pixels, or maco (fixed magnitudes).")
    ] = "fourier",
    transforms: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="How the image is moved before each step: pad=6,jitter=8,scale=0.9:1.1,rotate=10,jitter=4 in any "
            "order, 'standard' (just that), 'lucid' (pad=12), 'none', or 'crops' (maco's).",
        ),
    ] = "default",
    regularise: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WEIGHT",
            help="What the image is charged for: tv, l1, l2, blur; several with commas.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="The learning rate. Default: 0.05 (maco 1).", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="The seed: the same one gives the same image.")] = 0,
    snapshots: Annotated[
        str | None,
        typer.Option(metavar="STEPS", help="Keep the image at these steps too, such as 1,32,128.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where images, page and record go.")] = Path(
        "synthesized"
    ),
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Makes the image that a unit, layer or class looks for.

    Gradient ascent from noise, or from a photo. Writes the image (.png), a page with its value at every step, and a
    record (.json).
    """
    from pellucid.cli.synthesize import run

    run(
        objective=objective,
        model=model,
        steps=steps,
        size=size,
        diversity=diversity,
        to=to,
        dream=dream,
        of=caricature,
        parametrisation=parametrisation,
        transforms=transforms,
        regularise=regularise or [],
        rate=rate,
        seed=seed,
        snapshots=snapshots,
        out=out,
        checkpoint=checkpoint,
        classes=class_names,
        device=device,
        json_output=json,
    )


@app.command(no_args_is_help=True)
def search(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OBJECTIVE|LAYER",
            help="What to search for: all channels of a layer 'blocks.3.1' or of several 'blocks.*'; one channel "
            "'blocks.3.1:42', at its strongest position; an objective 'logit:tabby', 'blocks.3.1:42 + "
            "0.5*blocks.2.1:7'; every class 'logit:*'. Or several of these.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="The photos: all below a folder, or a data set such as coco:PATH, voc:PATH or scenes:n=200.",
            show_default=False,
        ),
    ] = None,
    split: Split = None,
    model: Model = "tf_efficientnet_lite0",
    top_k: Annotated[int, typer.Option("--top-k", "-k", metavar="COUNT", min=1, help="How many photos to keep.")] = 9,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where found.npz and the contact sheets go.")] = Path(
        "found"
    ),
    resume: Annotated[
        bool, typer.Option(help="Go on from the file that an interrupted search left in --out, or start anew.")
    ] = True,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Search the I-th of N parts of the photos alone.", show_default=False),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Join the files of several parts, in their order; repeatable.", show_default=False
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Finds the photos in which units or classes are strongest.

    One pass over the folder serves all of them. Writes found.npz, from which a search that was interrupted goes on, and
    a contact sheet (.png) with what each channel sees in its top photos.
    """
    from pellucid.cli.search import run

    run(
        what=what or [],
        data=data,
        split=split,
        model=model,
        k=top_k,
        out=out,
        resume=resume,
        shard=shard,
        merge=merge or [],
        checkpoint=checkpoint,
        classes=class_names,
        device=device,
        json_output=json,
    )


@app.command(no_args_is_help=True)
def blocks(
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
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="CLASS",
            help="The class to explain, by name or index. Default: the top class.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The layer to take apart. Default: for groups and channels 'last conv', since what follows it is "
            "linear in most CNNs and attributions are exact there; for the grid the last stage of at least 10 × 10 "
            "positions ('blocks.4' of the embedded network), since 'last conv' is often 7 × 7.",
            show_default=False,
        ),
    ] = None,
    groups: Annotated[int, typer.Option(metavar="COUNT", min=1, help="How many neuron groups.")] = 6,
    channels: Annotated[
        int,
        typer.Option(metavar="COUNT", min=0, max=60, help="How many channels for the class, and how many against it."),
    ] = 6,
    steps: Annotated[int, typer.Option(metavar="COUNT", min=1, help="How many steps each image takes.")] = 96,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=16,
            max=512,
            help="The side of a cell's image; those of groups and channels have twice that. Default: 64, or what the "
            "network takes.",
            show_default=False,
        ),
    ] = None,
    cells: Annotated[
        int,
        typer.Option(metavar="COUNT", min=1, max=56, help="The grid's most rows and columns; a finer one is averaged."),
    ] = 14,
    no_grid: Annotated[
        bool, typer.Option("--no-grid", help="Leave the activation grid out: three times as fast.")
    ] = False,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, max=2**32 - 1, help="The seed of images and groups.")
    ] = 0,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A folder for each photo goes in here.")] = Path("blocks"),
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Takes apart what a network sees in a photo, on one page.

    The activation grid (what a layer sees at each position), the channels for and against the class, and neuron groups
    with what each adds to the class. Every image is synthesised: a photo takes one to two minutes on two cores with the
    embedded network, most of it for the grid, in proportion to --steps; --cells 7 needs a quarter of the grid's time.
    """
    from pellucid.cli.blocks import run

    run(
        photos=photos,
        model=model,
        target=target,
        layer=layer,
        groups=groups,
        channels=channels,
        steps=steps,
        size=size,
        cells=cells,
        grid=not no_grid,
        seed=seed,
        out=out,
        checkpoint=checkpoint,
        classes=class_names,
        device=device,
        json_output=json,
    )


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


@app.command(no_args_is_help=True)
def microscope(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="The photos to search.", show_default=False)],
    model: Model = "tf_efficientnet_lite0",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            metavar="NAMES",
            help="Layers by name or glob ('blocks.*'), several with commas; may be repeated. Default: the first "
            "convolution and the stages.",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=1,
            help="Only the first COUNT channels of each layer. Default: all.",
            show_default=False,
        ),
    ] = None,
    crops: Annotated[
        int, typer.Option("--crops", "-k", metavar="COUNT", min=1, max=100, help="How many crops of photos a unit has.")
    ] = 9,
    steps: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="How many steps each synthesised image takes.")
    ] = 128,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=8,
            help="The side of a synthesised image. Default: 112, or what the network takes.",
            show_default=False,
        ),
    ] = None,
    skip_synthesis: Annotated[
        bool, typer.Option("--skip-synthesis", help="Make no synthesised images, which take most of the time.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="The seed of the synthesised images.")] = 0,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the site goes.")] = Path("microscope"),
    checkpoint: Checkpoint = None,
    class_names: ClassNames = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Writes a site that shows every unit of a network.

    Each unit's synthesised image, the crops of your photos on which it is highest, and the classes that it pushes most.
    Open index.html in a browser; no server is needed. A run that was stopped goes on where it was.
    """
    from pellucid.cli.microscope import run

    run(
        model=model,
        data=data,
        out=out,
        layers=layer or [],
        channels=channels,
        crops=crops,
        steps=steps,
        size=size,
        seed=seed,
        synthesis=not skip_synthesis,
        checkpoint=checkpoint,
        classes=class_names,
        device=device,
        json_output=json,
    )
