"""``pellucid microscope``: a static site that shows every unit of a network."""

from pathlib import Path

from pellucid.cli.common import check_folder, complain, load_model, print_json, progress_bar
from pellucid.errors import PellucidError
from pellucid.report.microscope import build_microscope
from pellucid.structures import find_photos


def run(
    *,
    model: str,
    data: Path,
    out: Path,
    layers: list[str],
    channels: int | None,
    crops: int,
    steps: int,
    size: int | None,
    seed: int,
    synthesis: bool,
    checkpoint: Path | None,
    classes: Path | None,
    device: str,
    json_output: bool,
) -> None:
    """Builds the site, or goes on with it, and prints where it is and what was skipped."""
    check_folder(out)
    if out.is_file():
        raise PellucidError(f"--out {out}: is a file; choose a folder")
    find_photos([data])  # what is wrong with it is said before the network is loaded
    network = load_model(model, checkpoint, classes, device)
    with progress_bar() as bar:
        task = bar.add_task("beginning", total=None)

        def say(text: str, done: int, total: int) -> None:
            bar.update(task, description=text, completed=done, total=total)

        built = build_microscope(
            network,
            data,
            out,
            layers=[name for text in layers for name in text.split(",") if name] or None,
            channels=channels,
            k=crops,
            steps=steps,
            size=size,
            seed=seed,
            synthesis=synthesis,
            say=say,
        )
    for why in built.skipped.values():
        complain(f"skipped: {why}")
    if json_output:
        print_json(
            {
                "model": network.name,
                "data": str(data),
                "index": str(built.index),
                "photos": built.photos,
                "skipped_photos": built.skipped,
                "layers": {layer.name: len(layer.channels) for layer in built.layers},
                "made": built.made,
                "kept": built.kept,
            }
        )
        return
    many = len(built.layers)
    kept = f", {built.kept} of them made before and kept" if built.kept else ""
    print(
        f"{network.name}: {built.made + built.kept} units of {many} layer{'' if many == 1 else 's'}{kept}, "
        f"{built.photos} photos\n  open {built.index}"
    )
