"""What is said of one image, drawn on it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from pellucid.errors import PellucidError, nearest
from pellucid.report.colours import Colour, Pixels
from pellucid.report.drawn_instances import Drawn, draw_boxes, draw_keypoints, draw_masks, instance_wishes
from pellucid.report.ink import Ink, rectangle
from pellucid.report.lettering import shortened, width_of
from pellucid.report.palette import VOID, class_colours, instance_colours
from pellucid.report.regions import blend, deepest
from pellucid.report.tags import PADDING, Box, Wish, letter_size, place_tags, tag_descent, tag_height
from pellucid.report.tiles import check_photo, fitted, resized
from pellucid.structures import IGNORE, Annotations, Classes, Panoptic

Layer = Literal["boxes", "masks", "keypoints", "semantic", "panoptic", "labels"]
"""What can be drawn: objects' boxes with their tags, masks and keypoints, classes of pixels, segments, image labels."""

LAYERS: tuple[Layer, ...] = get_args(Layer)

LONGEST = 1024
"""Pixels of a drawing's longer side, unless asked otherwise."""

_PANEL: Colour = (18, 22, 30)


def draw_annotations(
    image: Tensor,
    annotations: Annotations,
    *,
    size: tuple[int, int] = (LONGEST, LONGEST),
    layers: Iterable[Layer] | None = None,
    colours: Literal["instances", "classes"] = "instances",
    names: bool = True,
    scores: bool = True,
    legend: bool = True,
) -> Pixels:
    """Draws what is said of an image on it: (h, w, 3) uint8.

    ``image``: uint8 (3, H, W). It is first resized, its aspect kept, to the largest that fits into ``size`` (width,
    height), then drawn on. ``layers``: what to draw; by default ``default_layers``. ``colours``: a colour for every
    object, neighbours and objects of one class apart, or one for every class. ``names``: tags at objects and segments.
    ``scores``: in the tags, where there are any. ``legend``: the classes of a semantic map, in a corner.

    A dashed box is a crowd's, of a group, or difficult; its tag says '(crowd)', '(group)', or '(?)'. A crowd is
    hatched. A white dot is a hidden keypoint. Raises PellucidError for an unknown layer, and for annotations of an
    image of another size.
    """
    check_photo(image)
    H, W = image.shape[1:]
    if tuple(annotations.size) != (H, W):
        told = f"{annotations.size[1]} × {annotations.size[0]}"
        raise PellucidError(f"annotations of an image of {told} pixels cannot be drawn on one of {W} × {H}")
    if min(size) < 1 or max(size) > 32_000:
        raise PellucidError(f"a drawing of {size[0]} × {size[1]} pixels: give sides of 1 to 32,000")
    chosen = default_layers(annotations) if layers is None else check_layers(layers)
    whole = (0.0, 0.0, float(W), float(H))
    drawing = _Drawing(resized(image, whole, fitted(whole, *size)), annotations, colours)
    if "panoptic" in chosen and annotations.panoptic is not None:
        drawing.panoptic(annotations.panoptic, scores)
    elif "semantic" in chosen and annotations.semantic is not None:
        drawing.semantic(annotations.semantic)
    return drawing.finished(chosen, names, scores, legend)


def default_layers(annotations: Annotations) -> tuple[Layer, ...]:
    """What is drawn of annotations where nothing is chosen.

    A panoptic map if there is one, since it says both what objects and what classes of pixels say, and keypoints; else
    the objects; else the semantic map. Image labels where they say more than the objects do.
    """
    made: list[Layer]
    if annotations.panoptic is not None:
        made = ["panoptic", "keypoints"]
        named = {segment.label for segment in annotations.panoptic.segments}
    elif annotations.instances is not None:
        made = ["boxes", "masks", "keypoints"]
        named = set(annotations.instances.labels.tolist())
    else:
        made, named = ["semantic"], set()
    if annotations.absent or annotations.logits is not None or set(annotations.present) - named:
        made.append("labels")
    return tuple(made)


def check_layers(layers: Iterable[str]) -> tuple[Layer, ...]:
    """The layers of some names. Raises PellucidError for an unknown one."""
    asked = list(layers)
    for name in asked:
        if name not in LAYERS:
            raise PellucidError(f"unknown layer '{name}'{nearest(name, LAYERS)}; layers: {', '.join(LAYERS)}")
    return tuple(layer for layer in LAYERS if layer in asked)


def class_name(classes: Classes, index: int) -> str:
    """The name of a class; its index where a map holds one that has no name."""
    return classes[index] if 0 <= index < len(classes) else f"class {index}"


def caption_parts(annotations: Annotations) -> list[str]:
    """Image labels in words: 'tabby', 'no: dog', and of a prediction the three most probable classes."""
    parts = [class_name(annotations.classes, i) for i in annotations.present]
    if annotations.absent:
        parts.append("no: " + ", ".join(class_name(annotations.classes, i) for i in annotations.absent))
    if annotations.logits is not None:
        parts += [f"{score.name} {score.probability:.2f}" for score in annotations.top(3)]
    return parts


@dataclass(frozen=True)
class _Entry:
    """A line of the legend."""

    name: str
    colour: Colour


class _Drawing:
    """One drawing in the making."""

    def __init__(self, picture: Pixels, annotations: Annotations, colours: str) -> None:
        self.picture = picture
        self.annotations = annotations
        self.h, self.w = picture.shape[:2]
        H, W = annotations.size
        self.scale = (self.w / W, self.h / H)
        self.letters = letter_size(self.w, self.h)
        self.by_class = colours == "classes"
        self.class_colours = class_colours(annotations.classes)
        self.wishes: list[Wish] = []
        self.entries: list[_Entry] = []
        self.segment_colours: dict[int, Colour] = {}

    def _class_colour(self, label: int) -> Colour:
        return self.class_colours[label] if 0 <= label < len(self.class_colours) else VOID

    def semantic(self, semantic: Tensor) -> None:
        """Lays a semantic map under all else."""
        labels, places = self._places(semantic)
        colours = [VOID if label == IGNORE else self._class_colour(int(label)) for label in labels]
        void = [label == IGNORE for label in labels]
        self.picture = blend(self.picture, places, colours, [0.75 if v else 0.6 for v in void], void).pixels
        counts = np.bincount(places.ravel(), minlength=len(labels))
        for i in np.argsort(-counts, kind="stable"):
            name = "ignored" if void[i] else class_name(self.annotations.classes, int(labels[i]))
            self.entries.append(_Entry(name, colours[i]))

    def panoptic(self, panoptic: Panoptic, scores: bool) -> None:
        """Lays segments under all else: each thing in a colour of its own, stuff by its class."""
        classes = self.annotations.classes
        known, places = self._places(panoptic.ids)
        by_id = {segment.id: segment for segment in panoptic.segments}
        segments = [by_id.get(int(i)) for i in known]
        things = [i for i, s in enumerate(segments) if s is not None and self._is_thing(s.label)]
        colours = [VOID if s is None else self._class_colour(s.label) for s in segments]
        stuff = [colours[i] for i, s in enumerate(segments) if s is not None and i not in things]
        if not self.by_class:
            boxes = _boxes_of(places, len(known))[things]
            labels = np.array([s.label for i in things if (s := segments[i])], dtype=np.int64)
            for i, colour in zip(things, instance_colours(boxes, labels, stuff), strict=True):
                colours[i] = colour
        alphas = [0.75 if s is None else 0.62 if i in things else 0.5 for i, s in enumerate(segments)]
        hatched = [s is None or s.crowd for s in segments]
        blended = blend(self.picture, places, colours, alphas, hatched)
        self.picture = blended.pixels
        self.segment_colours = {int(known[i]): colours[i] for i in range(len(known))}
        counts = np.bincount(blended.places.ravel(), minlength=len(known))
        windows = ndimage.find_objects(blended.places + 1, len(known))
        for i in np.argsort(-counts, kind="stable"):
            segment, window = segments[i], windows[i]
            if segment is None or window is None:
                continue
            x, y, depth = deepest(blended.places[window] == i)
            x, y = x + window[1].start, y + window[0].start
            around = (x - depth, y - depth, x + depth, y + depth)
            name = class_name(classes, segment.label)
            marks = [f"{segment.score:.2f}"] if scores and segment.score is not None else []
            marks += ["(crowd)"] if segment.crowd else []
            self.wishes.append(Wish(name, " ".join(marks), colours[i], around, inner=True))

    def _places(self, values: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The values of a map in order, and for every pixel the place of its own among them.

        Of a map much finer than the drawing, every second pixel or fewer: two a pixel of the drawing are enough.
        """
        step = max(1, int(1 / (2 * max(self.scale))))
        fine = values[step // 2 :: step, step // 2 :: step].contiguous().cpu()
        known, places = fine.unique(return_inverse=True)
        return known.numpy(), places.numpy()

    def _is_thing(self, label: int) -> bool:
        classes = self.annotations.classes
        return classes.is_thing(label) if 0 <= label < len(classes) else True

    def finished(self, layers: Sequence[Layer], names: bool, scores: bool, legend: bool) -> Pixels:
        """The picture with everything on it."""
        ink = Ink(self.picture)
        instances = self.annotations.instances
        if instances is not None and len(instances) and set(layers) & {"boxes", "masks", "keypoints"}:
            drawn = Drawn.of(instances, self.scale, (self.w, self.h), self._colours_of)
            masked = draw_masks(ink, drawn) if "masks" in layers else frozenset()
            if "boxes" in layers:
                draw_boxes(ink, drawn, masked)
            if "keypoints" in layers:
                draw_keypoints(ink, drawn, self.annotations.classes)
            if "boxes" in layers or "masks" in layers:
                self.wishes += instance_wishes(drawn, self.annotations.classes, names, scores)
        taken = self._caption(ink) if "labels" in layers else []
        taken += self._legend(ink) if legend and self.entries else []
        if names or scores:
            for tag in place_tags(self.wishes, self.w, self.h, self.letters, taken):
                tag.draw(ink)
        return ink.finished()

    def _colours_of(
        self, boxes: NDArray[np.float64], labels: NDArray[np.int64], ids: NDArray[np.int64] | None
    ) -> list[Colour]:
        if self.by_class:
            return [self._class_colour(int(label)) for label in labels]
        own = instance_colours(boxes, labels)
        if ids is None or not self.segment_colours:
            return own
        return [self.segment_colours.get(int(i), colour) for i, colour in zip(ids, own, strict=True)]

    def _caption(self, ink: Ink) -> list[Box]:
        """Writes the image labels at the foot of the picture; gives the rectangle they take."""
        size, tall = self.letters + 1, tag_height(self.letters + 1)
        text = shortened(" · ".join(caption_parts(self.annotations)), self.w - 2 * PADDING, size)
        if text in ("", "…") or tall > self.h:
            return []
        wide = width_of(text, size) + 2 * PADDING
        ink.fill(rectangle(0, self.h - tall, wide, self.h), _PANEL, 0.85, snap=True)
        ink.write(PADDING, self.h - tag_descent(size), text, size, (255, 255, 255))
        return [(0, self.h - tall, wide, self.h)]

    def _legend(self, ink: Ink) -> list[Box]:
        """Lists the classes of the semantic map in the upper left corner; gives the rectangle that they take."""
        size, line = self.letters, tag_height(self.letters)
        room = int((0.6 * self.h - 2 * PADDING) // line)
        most = 0.4 * self.w - 4 * PADDING - line
        if room < 1 or most < 24:
            return []
        shown = self.entries if len(self.entries) <= room else self.entries[: room - 1]
        texts = [shortened(entry.name, most, size) for entry in shown]
        if len(shown) < len(self.entries):
            texts.append(f"+ {len(self.entries) - len(shown)} more")
        wide = max(width_of(text, size) for text in texts) + line + 3 * PADDING
        box = (0.0, 0.0, float(round(wide)), float(len(texts) * line + 2 * PADDING))
        ink.fill(rectangle(*box), _PANEL, 0.8, snap=True)
        for number, text in enumerate(texts):
            y = PADDING + number * line
            if number < len(shown):
                swatch = rectangle(2 * PADDING, y + 3, 2 * PADDING + line - 6, y + line - 3)
                ink.fill(swatch, shown[number].colour, snap=True)
                ink.stroke(swatch, (255, 255, 255), 1, alpha=0.5, snap=True)
            ink.write(2 * PADDING + line, y + line - tag_descent(size), text, size, (255, 255, 255))
        return [box]


def _boxes_of(places: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """The box around each region of a map: (count, 4)."""
    found = ndimage.find_objects(places + 1, count)
    return np.array(
        [(0, 0, 0, 0) if w is None else (w[1].start, w[0].start, w[1].stop, w[0].stop) for w in found], dtype=np.float64
    ).reshape(-1, 4)
