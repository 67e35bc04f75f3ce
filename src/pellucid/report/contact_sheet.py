"""Contact sheets of data sets: images with what is said of them, on one page."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pellucid.data import Dataset
from pellucid.errors import PellucidError
from pellucid.report.annotated import LAYERS, Layer, check_layers, default_layers, draw_annotations
from pellucid.report.colours import CARD, INK, MUTED, Colour, Pixels
from pellucid.report.lettering import drawable, width_of, wrapped
from pellucid.report.page import BODY_SIZE, LABEL_SIZE, MARGIN, SMALL_SIZE, Page, head_height
from pellucid.report.palette import class_colours
from pellucid.report.tally import Tally, known_objects, share
from pellucid.structures import Sample

_BLANK = 200
"""The grey of the ground where a data set has annotations but no images."""

MOST = 400
"""How many images one sheet shows at most."""

_LEGEND_CLASSES = 20
_TILE_WIDTHS = {1: 960, 2: 600, 3: 460, 4: 360}
_NARROW = 280
_GAP = 20
_UNDER = 58  # two lines beneath a tile, and air
_CHIP = 24  # a line of the legend
_LEAST_INNER = 620

LAYER_WORDS: dict[Layer, str] = {
    "boxes": "boxes",
    "masks": "masks",
    "keypoints": "keypoints",
    "semantic": "semantic maps",
    "panoptic": "segments",
    "labels": "image labels",
}
"""What the layers are called on a page."""

Colouring = Literal["instances", "classes"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Tile:
    """One image of a sheet: its name, its file, its size (H, W), and what is said of it, or why it is not shown."""

    name: str
    path: Path | None
    size: tuple[int, int] | None = None
    tally: Tally | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Sheet:
    """A sheet not yet written, what is on it, and the layers that are drawn in any of its tiles."""

    page: Page
    tiles: list[Tile]
    layers: tuple[Layer, ...]


def contact_sheet(
    dataset: Dataset,
    *,
    path: str | Path,
    count: int = 12,
    columns: int | None = None,
    seed: int | None = None,
    indices: Sequence[int] | None = None,
    layers: Iterable[Layer] | None = None,
    colours: Colouring | None = None,
) -> Path:
    """Draws images of a data set with what is said of them on one page, as PNG, and returns its path.

    ``count`` images are spread evenly over the data set, drawn at random with a ``seed``, or those at ``indices``.
    ``layers`` as in ``draw_annotations``. ``colours``: one for every object ('instances') or one for every class; by
    default the latter where only boxes of at most 20 classes are drawn. An image that cannot be read gets a tile
    that says why; where a data set has annotations alone, they are drawn on a blank ground. Raises PellucidError for a
    data set without images, and for a path that cannot be written.
    """
    sheet = compose_sheet(
        dataset, count=count, columns=columns, seed=seed, indices=indices, layers=layers, colours=colours
    )
    return sheet.page.save(path)


def chosen_indices(total: int, count: int, seed: int | None = None) -> list[int]:
    """``count`` of ``total`` indices: spread evenly, or drawn at random with a seed."""
    count = min(count, total)
    if seed is not None:
        return np.random.default_rng(seed).choice(total, count, replace=False).tolist()
    return [i * total // count for i in range(count)]


def compose_sheet(
    dataset: Dataset,
    *,
    count: int = 12,
    columns: int | None = None,
    seed: int | None = None,
    indices: Sequence[int] | None = None,
    layers: Iterable[Layer] | None = None,
    colours: Colouring | None = None,
    progress: Progress | None = None,
) -> Sheet:
    """As ``contact_sheet``, the page not yet written. ``progress`` is told how many tiles are done, and of how many."""
    if len(dataset) == 0:
        raise PellucidError(f"{dataset.title}: holds no image to show")
    chosen = list(indices) if indices is not None else chosen_indices(len(dataset), count, seed)
    if not 1 <= len(chosen) <= MOST:
        raise PellucidError(f"{len(chosen)} images on one sheet: give 1 to {MOST}")
    asked = None if layers is None else check_layers(layers)
    columns = min(columns or _columns(len(chosen)), len(chosen))
    sizes = [_size(dataset, i) for i in chosen]
    tile = _tile_size(_TILE_WIDTHS.get(columns, _NARROW), [size for size in sizes if size is not None])
    artist = _Artist(dataset, tile, asked, colours)
    pictures: list[Pixels | None] = []
    tiles: list[Tile] = []
    for number, index in enumerate(chosen):
        made, picture = artist.drawn(dataset.sample(index))
        tiles.append(made)
        pictures.append(picture)
        if progress is not None:
            progress(number + 1, len(chosen))
    inner = max(_LEAST_INNER, columns * (tile[0] + _GAP) - _GAP)
    heading, chips = _legend(dataset, tiles, artist)
    lines = _chip_lines(heading, chips, inner)
    drawn = tuple(layer for layer in LAYERS if layer in artist.used)
    subtitle = _subtitle(dataset, len(chosen), drawn)
    top = head_height(subtitle)
    grid = top + len(lines) * _CHIP + (16 if lines else 0)
    rows = math.ceil(len(tiles) / columns)
    page = Page(inner + 2 * MARGIN, grid + rows * (tile[1] + _UNDER) + MARGIN - 20)
    page.head(dataset.title, subtitle)
    _write_chips(page, lines, top)
    for number, (made, picture) in enumerate(zip(tiles, pictures, strict=True)):
        x = MARGIN + number % columns * (tile[0] + _GAP)
        _paste(page, x, grid + number // columns * (tile[1] + _UNDER), tile, dataset, made, picture)
    return Sheet(page, tiles, drawn)


def _columns(count: int) -> int:
    return {1: 1, 2: 2, 3: 3, 5: 3, 6: 3, 9: 3}.get(count, 4 if count <= 16 else 5 if count <= 40 else 6)


def _size(dataset: Dataset, index: int) -> tuple[int, int] | None:
    """(H, W) of an image, None where it cannot be found out."""
    try:
        return dataset.size(index)
    except PellucidError:
        return None


def _tile_size(width: int, sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """(width, height) of a tile whose shape suits most of the images."""
    aspect = float(np.median([W / H for H, W in sizes])) if sizes else 4 / 3
    return width, round(width / min(max(aspect, 0.8), 2.2))


class _Artist:
    """Draws one sample after another in one manner."""

    def __init__(
        self, dataset: Dataset, tile: tuple[int, int], layers: tuple[Layer, ...] | None, colours: Colouring | None
    ) -> None:
        self.tile = tile
        self.layers = layers
        self.used: set[Layer] = set()
        boxes_alone = dataset.holds & {"boxes", "masks", "panoptic"} == {"boxes"} or layers == ("boxes",)
        few = len(dataset.classes) <= _LEGEND_CLASSES
        self.colours: Colouring = colours or ("classes" if boxes_alone and few else "instances")
        self.without_images = dataset.without_images
        # A sheet of few classes lists them once, above.
        self.own_legends = not few

    def _image(self, sample: Sample) -> Tensor:
        """The image; where there are annotations alone, a blank ground, on which they can be seen all the same."""
        if not self.without_images:
            return sample.image
        return torch.full((3, *sample.annotations.size), _BLANK, dtype=torch.uint8)

    def drawn(self, sample: Sample) -> tuple[Tile, Pixels | None]:
        """A sample's tile and picture; the reason in place of the picture where it cannot be read."""
        try:
            annotations = sample.annotations
            layers = default_layers(annotations) if self.layers is None else self.layers
            picture = draw_annotations(
                self._image(sample),
                annotations,
                size=self.tile,
                layers=layers,
                colours=self.colours,
                legend=self.own_legends,
            )
        except PellucidError as error:
            return Tile(sample.name, sample.path, trouble=" ".join(str(error).split())), None
        instances = annotations.instances
        there = {
            "boxes": instances is not None,
            "masks": instances is not None and instances.masks is not None,
            "keypoints": instances is not None and instances.keypoints is not None,
            "semantic": annotations.semantic is not None,
            "panoptic": annotations.panoptic is not None,
            "labels": bool(annotations.present or annotations.absent or annotations.logits is not None),
        }
        self.used |= {layer for layer in layers if there[layer]}
        return Tile(sample.name, sample.path, annotations.size, Tally.of(annotations)), picture


def _subtitle(dataset: Dataset, shown: int, layers: tuple[Layer, ...]) -> str:
    objects = known_objects(dataset)
    parts = [_many(len(dataset), "image"), _many(len(dataset.classes), "class", "classes")]
    if objects is not None:
        parts.append(_many(objects.total(), "object"))
    said = f"{shown:,} shown" if shown < len(dataset) else "all shown"
    drawn = [LAYER_WORDS[layer] for layer in layers]
    return ", ".join(parts) + f"; {said}" + (f" with {', '.join(drawn)}" if drawn else "")


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"


@dataclass(frozen=True)
class _Chip:
    """A class of the legend: its name, its number, and its colour where that is the same in every tile."""

    name: str
    number: str
    colour: Colour | None

    @property
    def width(self) -> float:
        """Pixels, with the air behind it."""
        swatch = 20 if self.colour else 0
        return swatch + width_of(drawable(self.name), LABEL_SIZE) + 6 + width_of(self.number, LABEL_SIZE, True) + 24


def _legend(dataset: Dataset, tiles: Sequence[Tile], artist: _Artist) -> tuple[str, list[_Chip]]:
    """The classes with how often they occur: in the whole data set where that is known, else in the tiles."""
    tally = Tally()
    for tile in tiles:
        tally += tile.tally or Tally()
    here = f"In {'this image' if len(tiles) == 1 else f'these {len(tiles)} images'}:"
    by_class = bool(artist.used & {"semantic"}) or (artist.colours == "classes" and artist.used != {"labels"})
    colours = class_colours(dataset.classes)
    whole = known_objects(dataset)
    counts: Counter[int]
    if artist.used & {"semantic", "panoptic"} and not (whole or tally.objects):
        total = max(1, tally.pixels.total())
        counts, heading = tally.pixels, here
        numbers = {i: share(n / total) for i, n in counts.items()}
    else:
        counts = whole or tally.objects or tally.present
        heading = f"In all {_many(len(dataset), 'image')}:" if whole and len(tiles) < len(dataset) else here
        numbers = {i: f"{n:,}" for i, n in counts.items()}
    order = sorted(counts, key=lambda i: (-counts[i], i))
    chips = [
        _Chip(dataset.classes[i], numbers[i], colours[i] if by_class else None)
        for i in order[:_LEGEND_CLASSES]
        if 0 <= i < len(dataset.classes)
    ]
    if len(order) > _LEGEND_CLASSES:
        chips.append(_Chip(f"and {len(order) - _LEGEND_CLASSES} more", "", None))
    return heading if chips else "", chips


def _chip_lines(heading: str, chips: Sequence[_Chip], inner: int) -> list[list[tuple[float, _Chip | str]]]:
    """The legend broken into lines: what stands at which x."""
    if not chips:
        return []
    lines: list[list[tuple[float, _Chip | str]]] = [[(0.0, heading)]]
    x = width_of(heading, LABEL_SIZE) + 16
    for chip in chips:
        if x + chip.width - 24 > inner and len(lines[-1]) > 1:
            lines.append([])
            x = 0.0
        lines[-1].append((x, chip))
        x += chip.width
    return lines


def _write_chips(page: Page, lines: Sequence[Sequence[tuple[float, _Chip | str]]], top: int) -> None:
    for number, line in enumerate(lines):
        baseline = top + 14 + number * _CHIP
        for offset, chip in line:
            x = MARGIN + offset
            if isinstance(chip, str):
                page.write(x, baseline, chip, size=LABEL_SIZE, colour=MUTED)
                continue
            if chip.colour is not None:
                page.fill(round(x), baseline - 11, 13, 13, chip.colour)
                x += 20
            room = page.width - MARGIN - x - width_of(chip.number, LABEL_SIZE, True) - 6
            x += page.write(x, baseline, chip.name, size=LABEL_SIZE, width=room) + 6
            page.write(x, baseline, chip.number, size=LABEL_SIZE, colour=INK, bold=True)


def _paste(
    page: Page, x: int, y: int, size: tuple[int, int], dataset: Dataset, tile: Tile, picture: Pixels | None
) -> None:
    """A tile with its name and line."""
    width, height = size
    if picture is None or picture.shape[1] < width or picture.shape[0] < height:
        page.fill(x, y, width, height, CARD)
    if picture is not None:
        page.paste(x + (width - picture.shape[1]) // 2, y + (height - picture.shape[0]) // 2, picture)
    else:
        lines = wrapped(_reason(tile), width - 40, BODY_SIZE, lines=max(1, (height - 40) // 20))
        for number, line in enumerate(lines):
            baseline = y + height / 2 + 6 + 20 * (number - (len(lines) - 1) / 2)
            page.write(x + width / 2, baseline, line, colour=MUTED, align="center", width=width - 38)
    page.write(x, y + height + 18, PurePosixPath(tile.name).name, size=SMALL_SIZE, bold=True, width=width)
    said = tile.tally.line(dataset.classes) if tile.tally is not None else "cannot be shown"
    page.write(x, y + height + 35, said, size=SMALL_SIZE, colour=MUTED, width=width)


def _reason(tile: Tile) -> str:
    """Why an image cannot be shown, without the folders of its path."""
    text = tile.trouble
    return text.replace(str(tile.path), tile.path.name) if tile.path is not None else text
