"""``pellucid kernels``: a network's first-layer kernels as a picture."""

from pathlib import Path

from pellucid.cli.common import check_folder, load_model
from pellucid.explain import first_kernels
from pellucid.report.kernels import draw_kernels


def run(*, model: str, layer: str | None, out: Path, checkpoint: Path | None, classes: Path | None) -> None:
    """Draws the kernels and prints where."""
    path = out if out.suffix and not out.is_dir() else out / "kernels.png"
    check_folder(path.parent)
    network = load_model(model, checkpoint, classes, "cpu")
    name, weights = first_kernels(network, layer)
    count, channels, height, width = weights.shape
    draw_kernels(
        weights,
        path=path,
        title=f"{network.name}: the kernels of {name}",
        subtitle="what the network looks for in the pixels themselves"
        if channels <= 4
        else f"{channels} input channels",
    )
    print(f"{network.name}, {name}: {count} kernels of {width}×{height}\n  picture {path}")
