"""Builds a microscope: searches the data, makes every unit's pictures, and writes its pages layer by layer.

Every step is kept as soon as it is done, so that a run that was stopped at any moment goes on where it was.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.influence import class_influence
from pellucid.explain.objectives import channel
from pellucid.explain.receptive import ReceptiveField
from pellucid.explain.search import Found, Hit, search
from pellucid.explain.search.searching import fingerprint
from pellucid.explain.subject import Subject, is_framed, logits_of, untouched
from pellucid.explain.synthesis import synthesize
from pellucid.explain.synthesis.ascent import as_pixels
from pellucid.explain.watching import match_layers
from pellucid.report.microscope.pictures import Photos, contact_sheet, crop, write_jpeg
from pellucid.report.microscope.records import (
    Crop,
    Layer,
    Settings,
    Site,
    Unit,
    batches,
    read_units,
    slugs,
    write_units,
)
from pellucid.report.microscope.site import write_index, write_layer
from pellucid.report.microscope.stages import default_layers
from pellucid.structures import find_photos

BATCH = 16
SIZE = 112
"""Pixels a side of a synthesised image, where the network takes images of that size."""

Say = Callable[[str, int, int], None]
"""Told of progress: what is being done, how much of it is done, and of how much."""


@dataclass
class Built:
    """What a run left: the index page, the layers, and how many units it made and found made."""

    index: Path
    layers: tuple[Layer, ...] = ()
    made: int = 0
    kept: int = 0
    photos: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    """Unreadable photos and why."""


def build_microscope(
    model: nn.Module,
    data: str | Path,
    out: str | Path,
    *,
    layers: Sequence[str] | None = None,
    channels: int | None = None,
    k: int = 9,
    steps: int = 128,
    size: int | None = None,
    seed: int = 0,
    synthesis: bool = True,
    batch_size: int = 8,
    say: Say = lambda text, done, total: None,
) -> Built:
    """Writes a static site that shows every unit of a network's layers; ``out/index.html`` opens in any browser.

    ``data``: a folder of photos. ``layers``: names or globs, by default ``default_layers``. ``channels``: only the
    first so many of each layer. ``k``: crops a unit. ``steps``, ``size``, ``seed``: of the synthesised images; ``size``
    is 112 by default, or what the network was trained at where it takes nothing else. ``synthesis``: whether to make
    them. ``batch_size``: photos looked at at once. ``say``: told of progress.

    A run in a folder that an earlier one began goes on where that stopped. Raises PellucidError for an unknown layer or
    one not reached, for data without a readable photo, for a folder begun with other settings or holding other files,
    and where nothing can be written.
    """
    out, data = Path(out), Path(data)
    _check_numbers(channels, k, steps, seed)
    photos = find_photos([data])
    if out.resolve().is_relative_to(data.resolve()):
        raise PellucidError(f"--out {out}: lies inside the data, {data}, whose photos it would join; choose another")
    frame = _frame(model, photos)
    network = model.network if is_framed(model) else model
    names = match_layers(network, layers) if layers else default_layers(model, frame)
    classes = _classes(model, frame)
    side = (size or (SIZE if _takes(model, SIZE) else max(frame))) if synthesis else None
    settings = _settings(model, data, photos, names, classes, channels, k, steps if synthesis else 0, side, seed)
    settings.begin(out)

    found = search(
        model,
        photos,
        layers=names,
        k=k,
        batch_size=batch_size,
        file=out / "search.npz",
        progress=lambda done, total: say("looking at the photos", done, total),
    )
    read = len(photos) - len(found.skipped)
    site = Site(
        model=found.model,
        data=data.resolve().name or str(data),
        photos=read,
        classes=classes,
        layers=_layers(found, names, frame, channels),
        frame=frame,
        k=min(k, read),
        size=side,
        steps=steps,
        batch=BATCH,
    )
    return _Builder(model, site, found, data, out, seed, say).build()


class _Builder:
    """One run: what it works on, and how far it has come."""

    def __init__(self, model: nn.Module, site: Site, found: Found, data: Path, out: Path, seed: int, say: Say) -> None:
        self.model, self.site, self.found = model, site, found
        self.data, self.out, self.seed, self.say = data, out, seed, say
        self.photos = Photos()
        self.total = sum(len(layer.channels) for layer in site.layers)
        self.built = Built(out / "index.html", site.layers, photos=site.photos, skipped=dict(found.skipped))

    def build(self) -> Built:
        """Makes what is missing, layer by layer; a layer's page and the index are written as soon as it is done."""
        done: dict[str, list[Unit]] = {}
        write_index(self.out, self.site, done)
        for layer in self.site.layers:
            units: list[Unit] = []
            for number, wanted in enumerate(batches(layer, self.site.batch)):
                known = read_units(self.out, layer, number, wanted, len(self.site.classes))
                if known is None:
                    known = self._make(layer, wanted)
                    write_units(self.out, layer, number, known)
                    self.built.made += len(known)
                else:
                    self.built.kept += len(known)
                units += known
                self._say(f"{layer.name} done to {wanted[-1]}")
            done[layer.name] = units
            write_layer(self.out, self.site, layer, units)
            write_index(self.out, self.site, done)
        return self.built

    def _say(self, text: str) -> None:
        self.say(text, self.built.made + self.built.kept, self.total)

    def _make(self, layer: Layer, wanted: Sequence[int]) -> list[Unit]:
        hits = [self.found.top(layer.name, c) for c in wanted]
        values = self._synthesised(layer, wanted)
        self._say(f"{layer.name}:{wanted[0]} … {wanted[-1]}, what it pushes")
        photos = [[self.photos[hit.photo] for hit in some] for some in hits]
        influence = class_influence(self.model, photos, layer.name, list(wanted))
        made = []
        for row, (c, some) in enumerate(zip(wanted, hits, strict=True)):
            files = {} if values is None else {f"images/{layer.slug}/{c}.jpg": values[row][1]}
            name = f"images/{layer.slug}/{c}-crops.jpg"
            files[name] = self._sheet(some, self.out / name)
            crops = tuple(Crop(self._photo_name(hit.photo), _rounded(hit.value)) for hit in some)
            pushes = tuple(_rounded(v) for v in influence[row].tolist())
            made.append(Unit(c, crops, pushes, None if values is None else values[row][0], files))
        return made

    def _synthesised(self, layer: Layer, wanted: Sequence[int]) -> list[tuple[float, int]] | None:
        """Writes the image of every wanted channel; their values and the sizes of their files."""
        if self.site.size is None:
            return None
        what = f"{layer.name}:{wanted[0]} … {wanted[-1]}"

        def on_step(step: int, values: Tensor) -> None:
            self._say(f"{what}, step {step} of {self.site.steps}: {float(values.mean()):.3g}")

        self._say(what)
        made = synthesize(
            self.model,
            [channel(layer.name, c) for c in wanted],
            steps=self.site.steps,
            size=self.site.size,
            seed=self.seed + wanted[0],  # so every channel's image begins from noise of its own
            on_step=on_step,
        )
        return [
            (_rounded(value), write_jpeg(self.out / f"images/{layer.slug}/{c}.jpg", as_pixels(image), 85))
            for c, image, value in zip(wanted, made.images, made.values.tolist(), strict=True)
        ]

    def _sheet(self, hits: Sequence[Hit], path: Path) -> int:
        crops = [crop(self.photos[hit.photo], hit.box) for hit in hits]
        return write_jpeg(path, contact_sheet(crops, self.site.columns, self.site.rows), 80)

    def _photo_name(self, path: str) -> str:
        try:
            return Path(path).relative_to(self.data).as_posix()
        except ValueError:
            return Path(path).name


def _check_numbers(channels: int | None, k: int, steps: int, seed: int) -> None:
    for name, value, least, most in (
        ("channels", channels, 1, 2**31),
        ("k", k, 1, 100),
        ("steps", steps, 1, 100_000),
        ("seed", seed, 0, 2**31),
    ):
        if value is not None and not least <= value <= most:
            raise PellucidError(f"{name}={value}: give a whole number from {least} to {most}")


def _rounded(value: float) -> float:
    """Four digits: more are not read, and would double the site's size."""
    return float(f"{value:.4g}")


def _frame(model: nn.Module, photos: Sequence[Path]) -> tuple[int, int]:
    """(h, w) of the network's input, by the first photo that can be read."""
    first: PellucidError | None = None
    for photo in photos:
        try:
            h, w = Subject(model, photo).frame.shape[-2:]
        except PellucidError as error:
            first = first or error
        else:
            return int(h), int(w)
    raise PellucidError(f"none of the {len(photos)} photos can be read; the first: {first}")


def _classes(model: nn.Module, frame: tuple[int, int]) -> tuple[str, ...]:
    """The classes' names, or their indices; raises PellucidError for a network that scores no classes."""
    subject = Subject.of_frames(model, torch.zeros(1, 3, *frame))
    if subject.classes is not None:
        return tuple(subject.classes)
    with untouched(model), torch.no_grad():
        count = logits_of(subject.run(subject.frame)).shape[1]
    return tuple(f"class {i}" for i in range(count))


def _takes(model: nn.Module, side: int) -> bool:
    """Whether a network takes images of a size that it may not have been made for."""
    subject = Subject.of_frames(model, torch.zeros(1, 3, side, side))
    try:
        with untouched(model), torch.no_grad():
            subject.run(subject.frame)
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True


def _settings(
    model: nn.Module,
    data: Path,
    photos: Sequence[Path],
    names: Sequence[str],
    classes: tuple[str, ...],
    channels: int | None,
    k: int,
    steps: int,
    size: int | None,
    seed: int,
) -> Settings:
    listed = hashlib.sha256()
    for photo in photos:
        size_on_disk = photo.stat().st_size if photo.is_file() else -1
        listed.update(f"{photo.name}\0{size_on_disk}\0".encode(errors="surrogateescape"))
    return Settings(
        model=str(getattr(model, "name", type(model).__name__)),
        weights=fingerprint(model),
        data=str(data.resolve()),
        photos=len(photos),
        digest=listed.hexdigest()[:16],
        layers=tuple(names),
        channels=channels,
        k=k,
        steps=steps,
        size=size,
        seed=seed,
        classes=hashlib.sha256("\0".join(classes).encode(errors="surrogateescape")).hexdigest()[:16],
    )


def _layers(found: Found, names: Sequence[str], frame: tuple[int, int], channels: int | None) -> tuple[Layer, ...]:
    # A bare module sees every photo at its own size: then any of these.
    fields = found.fields.get(frame) or next(iter(found.fields.values()), {})
    made = []
    for name, slug in zip(names, slugs(names), strict=True):
        total = len(found.layers[name].values)
        shown = tuple(range(total if channels is None else min(channels, total)))
        positioned = int(found.layers[name].positions.max()) >= 0
        seen = fields[name] if positioned else None
        made.append(Layer(name, slug, shown, total, *(_extent(seen) if seen is not None else (None, None))))
    return tuple(made)


def _extent(seen: ReceptiveField) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of a layer's grid, and those of the frame that the unit in the middle sees."""
    x1, y1, x2, y2 = seen.box(len(seen.rows) // 2, len(seen.columns) // 2)
    return (len(seen.rows), len(seen.columns)), (y2 - y1, x2 - x1)
