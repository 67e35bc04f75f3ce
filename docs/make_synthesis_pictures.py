"""Makes the pictures of the pages on units: ``uv run python docs/make_synthesis_pictures.py``. No download.

About a quarter of an hour on two cores. With names of pictures (``ablation``, ``wall``, …) it makes only those.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import skimage.data
import torch
from PIL import Image
from torch import Tensor

import pellucid
from pellucid.explain import caricature, channel, class_logit, deep_dream, interpolate, synthesize, watch
from pellucid.explain.synthesis import STANDARD, Synthesis, style_similarities
from pellucid.report.colours import MUTED
from pellucid.report.page import BODY_SIZE, MARGIN, SMALL_SIZE, Page
from pellucid.report.synthesis import enlarged

PICTURES = Path(__file__).parent / "pictures"
GAP = 16


@dataclass(frozen=True)
class Tile:
    """An image (3, h, w) with two lines below it."""

    image: Tensor
    line: str = ""
    more: str = ""


def sheet(rows: Sequence[tuple[str, Sequence[Tile]]], side: int) -> Page:
    """Rows of tiles, each row under a heading of its own (or none)."""
    below = 48 if any(t.line for _, tiles in rows for t in tiles) else 0
    heads = [30 if head else 0 for head, _ in rows]
    columns = max(len(tiles) for _, tiles in rows)
    width = 2 * MARGIN + columns * (side + GAP) - GAP
    page = Page(width, 2 * MARGIN + sum(heads) + len(rows) * (side + below + GAP) - GAP)
    y = MARGIN
    for (head, tiles), height in zip(rows, heads, strict=True):
        if head:
            page.write(MARGIN, y + 14, head, size=BODY_SIZE, bold=True)
        y += height
        for i, tile in enumerate(tiles):
            x = MARGIN + i * (side + GAP)
            h, w = tile.image.shape[-2:]
            scale = side / max(h, w)
            page.paste(x, y, enlarged(tile.image, round(w * scale), round(h * scale)))
            page.write(x, y + side + 18, tile.line, size=BODY_SIZE, width=side)
            page.write(x, y + side + 36, tile.more, size=SMALL_SIZE, colour=MUTED, width=side)
        y += side + below + GAP
    return page


def keep(page: Page, name: str) -> None:
    """A page as a JPEG of the guide."""
    PICTURES.mkdir(exist_ok=True)
    Image.fromarray(page.rendered()).save(PICTURES / f"{name}.jpg", quality=85, optimize=True)
    print(f"{name}.jpg: {page.width} × {page.height}")


def fine_share(image: Tensor) -> float:
    """The share of an image's power, its mean left out, in waves shorter than four pixels."""
    grey = image.mean(0)
    power = torch.fft.rfft2(grey - grey.mean()).abs().square()
    rows, columns = torch.fft.fftfreq(grey.shape[0])[:, None], torch.fft.rfftfreq(grey.shape[1])
    return float(power[(rows.square() + columns.square()).sqrt() > 0.25].sum() / power.sum())


def ablation(model: Any) -> None:
    """One channel with nothing, each regulariser in turn, Fourier space, decorrelated colour, transforms."""
    plain = {"parametrisation": "pixels", "decorrelate": False, "transforms": ()}
    fourier = {**plain, "parametrisation": "fourier"}
    ways: list[tuple[str, dict[str, Any]]] = [
        ("pixels, nothing else", plain),
        ("pixels, L1 60", {**plain, "regularise": {"l1": 60}}),
        ("pixels, L2 200", {**plain, "regularise": {"l2": 200}}),
        ("pixels, total variation 200", {**plain, "regularise": {"tv": 200}}),
        ("pixels, blur 4000", {**plain, "regularise": {"blur": 4000}}),
        ("Fourier, nothing else", fourier),
        ("Fourier, decorrelated colour", {**fourier, "decorrelate": True}),
        ("… and transforms (the default)", {**fourier, "decorrelate": True, "transforms": STANDARD}),
    ]
    tiles = []
    for text, options in ways:
        made = synthesize(model, channel("blocks.3.1", 42), **options)
        image = made.images[0]
        tiles.append(Tile(image, text, f"value {float(made.values):.1f} · fine detail {fine_share(image):.0%}"))
    keep(sheet([("", tiles[:4]), ("", tiles[4:])], 256), "ablation")


def wall(model: Any) -> None:
    """Twelve channels at four depths."""
    rows = []
    for layer, width, title in (
        ("blocks.0", 16, "blocks.0: edges and colours"),
        ("blocks.2", 40, "blocks.2: textures"),
        ("blocks.4", 112, "blocks.4: patterns"),
        ("blocks.6", 320, "blocks.6: parts of objects"),
    ):
        indices = [round(i * (width - 1) / 11) for i in range(12)]
        made = synthesize(model, [channel(layer, index) for index in indices])
        rows.append((title, [Tile(image) for image in made.images]))
    keep(sheet(rows, 128), "wall")


def diversity(model: Any) -> None:
    """Four images of one channel, alike and different."""
    rows = []
    for weight in (0.0, 0.7):
        made = synthesize(model, channel("blocks.4.1", 17), number=4, diversity=weight)
        values = ", ".join(f"{value:.1f}" for value in made.values.tolist())
        alike = similarity(model, "blocks.4.1", made)
        head = f"diversity {weight:g}: similarity in style {alike:.2f}; values {values}"
        rows.append((head, [Tile(image) for image in made.images]))
    keep(sheet(rows, 192), "diversity")


def similarity(model: Any, layer: str, made: Synthesis) -> float:
    """The mean similarity in style between different images."""
    with torch.no_grad(), watch(model.network, layer) as seen:
        styles = style_similarities(seen(model.preprocessing.normalise(made.images))[layer])
    return float((styles.sum() - styles.diagonal().sum()) / (len(styles) * (len(styles) - 1)))


def way(model: Any) -> None:
    """From one channel to another, and from one class to another."""
    rows = []
    for first, last in (
        (channel("blocks.3.1", 3), channel("blocks.3.1", 42)),
        (class_logit("tabby"), class_logit("espresso")),
    ):
        made = synthesize(model, interpolate(first, last, 6), size=160)
        rows.append((f"from {first} to {last}", [Tile(image) for image in made.images]))
    keep(sheet(rows, 160), "way")


def dreams(model: Any) -> None:
    """A deep dream and a caricature of one photo, and MACO's idea of two classes."""
    photo = torch.from_numpy(skimage.data.chelsea().transpose(2, 0, 1).copy())
    middle = photo[:, :, 75:375].float() / 255
    dreamt = deep_dream(model, middle, layer="blocks.4", size=300)
    drawn = caricature(model, middle, "blocks.4", size=224)
    maco = synthesize(model, class_logit("tabby"), parametrisation="maco")
    tiles = [
        Tile(middle, "the photo"),
        Tile(dreamt.images[0], "deep dream of blocks.4"),
        Tile(drawn.images[0], "caricature in blocks.4"),
        Tile(maco.images[0], "tabby, by MACO"),
    ]
    keep(sheet([("", tiles)], 256), "dreams")


MADE: dict[str, Callable[[Any], None]] = {f.__name__: f for f in (ablation, wall, diversity, way, dreams)}


def main() -> None:
    model = pellucid.load()
    for name in sys.argv[1:] or MADE:
        MADE[name](model)


if __name__ == "__main__":
    main()
