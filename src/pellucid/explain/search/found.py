"""What a search found: the top photos of every channel, class and objective, and the file that holds them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from pellucid.errors import PellucidError, nearest
from pellucid.explain.receptive import ReceptiveField
from pellucid.explain.search.ranking import Ranking
from pellucid.structures import Photo, Placement, Sample


@dataclass(frozen=True)
class Hit:
    """One photo of a ranking.

    ``photo``: its path, or "photo 12". ``position``: row and column of the layer's grid, None where it has none.
    ``box``: x1, y1, x2, y2 of the unit's receptive field in the photo's pixels, clipped to the photo; the whole photo
    where there is no position. ``source``: where ``photo`` is no path, what was searched.
    """

    photo: str
    value: float
    position: tuple[int, int] | None
    box: tuple[float, float, float, float]
    source: Photo | Sample | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Geometry:
    """How the network saw each photo: ``photo`` (n, 2) int64 H, W; ``frame`` (n, 2) h, w; ``box`` (n, 4) float64.

    The columns of ``box`` are x1, y1, x2, y2 of the frame on the photo; all is zero for photos that were not read.
    """

    photo: Tensor
    frame: Tensor
    box: Tensor

    @classmethod
    def unknown(cls, count: int) -> "Geometry":
        """Of ``count`` photos that were not read yet."""
        sizes = torch.zeros(count, 2, dtype=torch.int64)
        return cls(sizes, sizes.clone(), torch.zeros(count, 4, dtype=torch.float64))

    def set(self, index: int, placement: Placement) -> None:
        """Notes a photo's placement."""
        self.photo[index] = torch.tensor(placement.photo)
        self.frame[index] = torch.tensor(placement.frame)
        self.box[index] = torch.tensor(placement.box, dtype=torch.float64)

    def frame_of(self, index: int) -> tuple[int, int]:
        """(h, w) of a photo's frame."""
        h, w = self.frame[index].tolist()
        return h, w

    def on_photo(self, index: int, box: tuple[int, int, int, int] | None) -> tuple[float, float, float, float]:
        """A box of the frame in the photo's pixels, clipped to the photo; the whole photo for None."""
        H, W = self.photo[index].tolist()
        if box is None:
            return 0.0, 0.0, float(W), float(H)
        (h, w), (left, top, right, bottom) = self.frame_of(index), self.box[index].tolist()
        xs = (min(max(left + x * (right - left) / w, 0.0), float(W)) for x in box[::2])
        ys = (min(max(top + y * (bottom - top) / h, 0.0), float(H)) for y in box[1::2])
        (x1, x2), (y1, y2) = xs, ys
        return x1, y1, x2, y2


@dataclass(frozen=True)
class Found:
    """The top k photos of every channel of some layers, of every class, and of objectives.

    ``model``: the network's name for people. ``photos``: all photos that were searched, in order; a path as text, or
    "photo 12" for what is no path. ``layers``: a ranking by layer, one row a channel. ``classes``: one row a class,
    None where they were not asked for; ``class_names`` where the model has names. ``objectives``: a ranking of one row
    by the objective's text. ``skipped``: the photos that could not be read, and why.

    ``sources``: what the photos are that are no paths, by their names; not written to files.
    ``fingerprint`` stands for the network's weights. ``done``: how many photos were searched: all of them, but in a
    file that an interrupted search left. ``geometry`` and ``fields`` (receptive fields by frame size and layer) are
    what boxes are made of.
    """

    model: str
    fingerprint: str
    k: int
    photos: list[str]
    layers: dict[str, Ranking]
    classes: Ranking | None
    objectives: dict[str, Ranking]
    skipped: dict[str, str]
    class_names: list[str] | None
    geometry: Geometry
    fields: dict[tuple[int, int], dict[str, ReceptiveField]] = field(default_factory=dict)
    done: int = 0
    sources: dict[str, Photo | Sample] = field(default_factory=dict, compare=False, repr=False)

    def top(self, layer: str, channel: int) -> list[Hit]:
        """The photos in which a channel of a layer is strongest, at its best position, best first.

        Raises PellucidError for a layer that was not searched and a channel that it does not have.
        """
        if layer not in self.layers:
            known = ", ".join(list(self.layers)[:12]) or "none"
            raise PellucidError(
                f"layer '{layer}' was not searched{nearest(layer, self.layers) or f'; those that were: {known}'}"
            )
        return self._hits(self.layers[layer], channel, f"layer '{layer}' has", "channel", layer)

    def top_class(self, index: int) -> list[Hit]:
        """The photos with the highest logit of a class, given by its index, best first.

        Raises PellucidError where classes were not ranked, and for an index that no class has.
        """
        if self.classes is None:
            raise PellucidError("this search did not rank classes; search with classes=True")
        return self._hits(self.classes, index, "the network scores", "class", None)

    def top_objective(self, text: str) -> list[Hit]:
        """The photos with the largest values of an objective, given by its text, best first."""
        if str(text) not in self.objectives:
            known = "; ".join(self.objectives) or "none"
            raise PellucidError(f"objective '{text}' was not searched; those that were: {known}")
        return self._hits(self.objectives[str(text)], 0, f"objective '{text}' has", "row", None)

    def _hits(self, ranking: Ranking, row: int, has: str, what: str, layer: str | None) -> list[Hit]:
        count = len(ranking.values)
        if not 0 <= row < count:
            many = f"{count} {what}{'es' if what == 'class' else 's'}"
            raise PellucidError(f"{has} {many}, 0 to {count - 1}; there is no {what} {row}")
        columns = (part[row].tolist() for part in (ranking.values, ranking.photos, ranking.positions))
        hits = []
        for value, photo, (y, x) in zip(*columns, strict=True):
            if photo < 0:
                continue
            position = None if layer is None or y < 0 else (y, x)
            box = None
            if layer is not None and position is not None:
                box = self.fields[self.geometry.frame_of(photo)][layer].box(*position)
            name = self.photos[photo]
            hits.append(Hit(name, value, position, self.geometry.on_photo(photo, box), self.sources.get(name)))
        return hits

    def merged(self, other: "Found") -> "Found":
        """This search and that of ``other`` photos as one, as if all had been searched in this order.

        Raises PellucidError where network, layers, k, classes or objectives differ, and where both hold one photo.
        """
        self.check_same(other, "the other search")
        shared = set(self.photos) & set(other.photos)
        if shared:
            raise PellucidError(f"both searches hold {min(shared)}; merge searches of different photos")
        n = len(self.photos)

        def joined(one: Ranking | None, two: Ranking | None) -> Ranking:
            assert one is not None
            assert two is not None
            more = two.shifted(n)
            return one.taken_in(more.values, more.photos, more.positions)

        geometry = Geometry(
            *(torch.cat([getattr(f.geometry, name) for f in (self, other)]) for name in ("photo", "frame", "box"))
        )
        return replace(
            self,
            photos=self.photos + other.photos,
            layers={name: joined(ranking, other.layers[name]) for name, ranking in self.layers.items()},
            classes=None if self.classes is None else joined(self.classes, other.classes),
            objectives={text: joined(ranking, other.objectives[text]) for text, ranking in self.objectives.items()},
            skipped=self.skipped | other.skipped,
            geometry=geometry,
            fields=other.fields | self.fields,
            done=n + len(other.photos),
            sources=self.sources | other.sources,
        ).with_needed_fields()

    def check_same(self, other: "Found", whose: str) -> None:
        """Raises PellucidError unless ``other`` asks the same of the same network."""
        for what, mine, theirs in (
            ("model", self.model, other.model),
            ("k", self.k, other.k),
            ("layers", list(self.layers), list(other.layers)),
            ("classes", self.classes is not None, other.classes is not None),
            ("objectives", list(self.objectives), list(other.objectives)),
        ):
            if mine != theirs:
                raise PellucidError(f"{whose} has other {what}: {_short(theirs)}, not {_short(mine)}")
        if self.fingerprint != other.fingerprint:
            raise PellucidError(f"{whose} is of a {self.model} with other weights")

    def frames_needed(self) -> set[tuple[int, int]]:
        """The frame sizes of the photos that layers rank: those whose receptive fields boxes are made of."""
        indices = [ranking.photos[(ranking.positions[..., 0] >= 0)] for ranking in self.layers.values()]
        return {self.geometry.frame_of(int(i)) for i in (torch.cat(indices).unique() if indices else [])}

    def with_needed_fields(self) -> "Found":
        """The same without the receptive fields that no ranked photo needs."""
        needed = self.frames_needed()
        return replace(self, fields={size: fields for size, fields in sorted(self.fields.items()) if size in needed})

    def save(self, path: str | Path) -> Path:
        """Writes all of it to a .npz file, whole or not at all, and returns its path."""
        from pellucid.explain.search.files import write

        return write(self, path)

    @classmethod
    def read(cls, path: str | Path) -> "Found":
        """What ``save`` wrote. Raises PellucidError for a damaged or foreign file and one of an unfinished search."""
        from pellucid.explain.search.files import read

        found = read(path)
        if found.done < len(found.photos) or found.frames_needed() - set(found.fields):
            raise PellucidError(
                f"{path}: this search is not finished ({found.done} of {len(found.photos)} photos); "
                "run it again with the same file to go on"
            )
        return found


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
