"""The objects of one image on a drawing: masks, boxes, keypoints, and the tags they ask for."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from pellucid.report.colours import INK, PAPER, Colour
from pellucid.report.ink import Ink, polyline, rectangle
from pellucid.report.palette import drawing_order, luminance
from pellucid.report.regions import mask_outline
from pellucid.report.tags import Wish
from pellucid.structures import Classes, Instances
from pellucid.structures.keypoints import HIDDEN, VISIBLE

Colouring = Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64] | None], list[Colour]]

_DASHES = (5.0, 3.5)
_FILL = 0.38


@dataclass(frozen=True)
class Drawn:
    """Objects in the drawing's coordinates, large ones first, each with its colour.

    ``boxes``: float64 (N, 4), finite and inside the drawing. ``size``: (width, height) of the drawing.
    """

    instances: Instances
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    colours: list[Colour]
    scale: tuple[float, float]
    size: tuple[int, int]

    @classmethod
    def of(
        cls, instances: Instances, scale: tuple[float, float], size: tuple[int, int], colouring: Colouring
    ) -> "Drawn":
        """From instances; those whose box is no number, or wholly off the image, are left out."""
        boxes = instances.boxes.detach().double().cpu().numpy() * np.array(scale * 2)
        finite = np.isfinite(boxes).all(1)
        boxes = np.where(finite[:, None], boxes, -1.0)
        limit = np.array(size * 2, dtype=np.float64)
        kept = (
            finite
            & (boxes[:, 2:] >= boxes[:, :2]).all(1)
            & (boxes[:, :2] < limit[:2]).all(1)
            & (boxes[:, 2:] > 0).all(1)
        )
        labels = instances.labels.cpu().numpy()
        rows = np.flatnonzero(kept)
        rows = rows[drawing_order(boxes[rows], labels[rows])]
        chosen = instances[rows.tolist()]
        ids = None if chosen.ids is None else chosen.ids.cpu().numpy()
        colours = colouring(boxes[rows], labels[rows], ids)
        return cls(chosen, np.clip(boxes[rows], 0, limit), labels[rows], colours, scale, size)

    def __len__(self) -> int:
        return len(self.labels)

    def dashed(self, i: int) -> bool:
        """Whether an object's box is dashed."""
        flags = self.instances
        return bool(flags.crowd[i] or flags.group_of[i] or flags.difficult[i])


def line_width(size: tuple[int, int]) -> int:
    """The width of box lines on a drawing of ``size`` (width, height)."""
    return 3 if min(size) >= 1100 else 2 if min(size) >= 120 else 1


def draw_masks(ink: Ink, drawn: Drawn) -> frozenset[int]:
    """Fills masks, large ones first, and draws their outlines; a crowd's is hatched instead. Gives those drawn."""
    masks = drawn.instances.masks
    if masks is None:
        return frozenset()
    outlines: list[tuple[int, Outline]] = []
    for i in range(len(drawn)):
        outline = mask_outline(masks[i], drawn.scale)
        if outline is None:
            continue
        outlines.append((i, outline))
        if drawn.instances.crowd[i]:
            ink.fill(outline, drawn.colours[i], 0.15)
            ink.hatch(outline, drawn.colours[i])
        else:
            ink.fill(outline, drawn.colours[i], _FILL)
    for i, outline in outlines:
        width = 1.0 if min(drawn.size) < 120 else 1.6
        ink.stroke(outline, drawn.colours[i], width, cased=True)
    return frozenset(i for i, _ in outlines)


def draw_boxes(ink: Ink, drawn: Drawn, fine: frozenset[int] = frozenset()) -> None:
    """Draws boxes, large ones first, dashed for a crowd, a group or a difficult object; those in ``fine`` thinner."""
    w, h = drawn.size
    for i in range(len(drawn)):
        width = max(1, line_width(drawn.size) - (i in fine))
        x1, y1, x2, y2 = drawn.boxes[i]
        # The whole line is inside the picture, on whole pixels.
        half = width / 2
        left, right = (min(max(round(x - half), 0), max(0, w - width)) + half for x in (x1, x2))
        top, bottom = (min(max(round(y - half), 0), max(0, h - width)) + half for y in (y1, y2))
        if right <= left and bottom <= top:
            right = left + 0.5  # of a mere point nothing would be drawn
        outline = rectangle(left, top, max(left, right), max(top, bottom))
        dashes = _DASHES if drawn.dashed(i) else ()
        ink.stroke(outline, drawn.colours[i], width, dashes=dashes, cased=i not in fine)


def draw_keypoints(ink: Ink, drawn: Drawn, classes: Classes) -> None:
    """Draws skeletons and dots: filled where visible, hollow where hidden."""
    keypoints = drawn.instances.keypoints
    if keypoints is None:
        return
    points = keypoints.detach().double().cpu().numpy().copy()
    points[..., :2] *= drawn.scale
    for i in range(len(drawn)):
        known = np.isfinite(points[i]).all(1) & ((points[i, :, 2] == HIDDEN) | (points[i, :, 2] == VISIBLE))
        sides = drawn.boxes[i, 2:] - drawn.boxes[i, :2]
        radius = float(np.clip(0.025 * np.sqrt(sides.prod()), 1.1, 4.5))
        rim = min(1.0, 0.45 * radius)
        label = int(drawn.labels[i])
        names = classes.keypoints[label] if classes.keypoints and 0 <= label < len(classes) else None
        colour = drawn.colours[i]
        edge = INK if luminance(colour) > 0.25 else PAPER
        for a, b in names.skeleton if names is not None else ():
            if max(a, b) < len(known) and known[a] and known[b]:
                ink.stroke(polyline(points[i, [a, b], :2]), colour, max(1.0, 0.7 * radius), cased=radius > 1.6)
        for x, y, visibility in points[i, known]:
            if visibility == VISIBLE:
                ink.dot(x, y, radius, colour, edge, rim)
            else:
                ink.dot(x, y, radius, PAPER, colour, 1.4 * rim, cased=True)


def instance_wishes(drawn: Drawn, classes: Classes, names: bool, scores: bool) -> list[Wish]:
    """The tags of objects: name, score, and marks of what is special; those of the highest score or size first."""
    flags = drawn.instances
    known = flags.scores.detach().double().cpu().numpy() if scores and flags.scores is not None else None
    wishes = []
    for i in range(len(drawn)):
        label = int(drawn.labels[i])
        name = (classes[label] if 0 <= label < len(classes) else f"class {label}") if names else ""
        marks = [f"{known[i]:.2f}"] if known is not None and np.isfinite(known[i]) else []
        marks += ["(crowd)"] if flags.crowd[i] else []
        marks += ["(group)"] if flags.group_of[i] else []
        marks += ["(?)"] if flags.difficult[i] else []
        x1, y1, x2, y2 = drawn.boxes[i].tolist()
        wishes.append(Wish(name, " ".join(marks), drawn.colours[i], (x1, y1, x2, y2)))
    return wishes
