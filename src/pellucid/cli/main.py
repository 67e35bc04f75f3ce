"""The command line: one file a command, each of them imported only when it runs."""

import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from pellucid.errors import PellucidError

# Plain help and plain tracebacks: they start in a third of the time, and a log shows them as a terminal does.
app = typer.Typer(
    name="pellucid",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Opens up vision networks: what a network says of a photo, and why, offline.",
    epilog="Start with: pellucid explain PHOTO.  Every command has its own --help.",
)

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
        help="Your own weights for --model: a .safetensors file, or a state dict (.pt, .pth) without pickled code.",
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


def _version(wanted: bool) -> None:
    if wanted:
        from pellucid import __version__

        typer.echo(f"pellucid {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


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
            help="A class to explain, by name or index; may be repeated. Default: the top classes.",
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
            help="How many of the top classes to explain where no --target is given.",
        ),
    ] = 3,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="An attribution method, several with commas, or 'all'; may be repeated. Default: grad_cam, "
            "smooth_grad, integrated_gradients, occlusion. Also: saliency, input_x_gradient, deconvnet, "
            "guided_backprop, grad_cam_plus_plus, layer_cam, guided_grad_cam, rise.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The layer for the CAM methods, by name ('blocks.5'; `pellucid models NETWORK --layers` lists them). "
            "Default: 'last conv'.",
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
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the photos and their panels go.")] = Path("demo"),
) -> None:
    """Explains three sample photos by every method."""
    from pellucid.cli.demo import run

    run(out=out)


class _StoppedError(BaseException):
    """A signal asks to end: not a KeyboardInterrupt, which typer would end by itself and without a word."""


def _stop(number: int, frame: object) -> None:
    raise _StoppedError(number)


def main() -> None:
    """The entry point: one line and exit code 2 for what a person can mend, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):  # a file's name or a class may not be of the terminal's alphabet
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in handlers.items():
            if handler is not signal.SIG_IGN:  # nohup, or a shell's background job
                signal.signal(number, _stop)
        try:
            app()
        finally:
            sys.stdout.flush()
    except PellucidError as error:
        _complain(str(error))
        sys.exit(2)
    except _StoppedError as stopped:
        _complain("interrupted; what was finished is kept")
        sys.exit(128 + stopped.args[0])
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does: nothing to say, and no one to hear
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _complain(message: str) -> None:
    print(f"pellucid: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
