"""What is true of a scene: instances, semantic map and panoptic map, all read from one map of what is seen where."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from pellucid.data.scenes.ground import STUFF, Ground
from pellucid.data.scenes.placing import Thing
from pellucid.data.scenes.shapes import SHAPES
from pellucid.structures import IGNORE, Annotations, Classes, Instances, Masks, Panoptic, Segment
from pellucid.structures.keypoints import HIDDEN, VISIBLE

_INSET = 0.75
"""How far inside the outline, in pixels, a keypoint of the outline lies, so that it is a point of the object."""
_HARD = 0.35
"""An object of which less than this share is seen is difficult."""


def scene_classes(shapes: Sequence[str], stuff: Sequence[str]) -> Classes:
    """Classes of things, then of stuff."""
    return Classes(
        (*shapes, *stuff),
        things=(True,) * len(shapes) + (False,) * len(stuff),
        colours=(*(SHAPES[name].colour for name in shapes), *(STUFF[name].colour for name in stuff)),
        keypoints=(*(SHAPES[name].keypoints for name in shapes), *(None for _ in stuff)),
    )


def annotate(
    ground: Ground, things: list[Thing], seen: NDArray[np.int64], faint: list[bool], classes: Classes, ignore: int
) -> Annotations:
    """The annotations of a scene.

    ``seen``: int64 (H, W), 1 for the first of ``things``, which run front to back, and 0 for the ground.
    ``faint``: whether each is hard to see. ``ignore``: pixels on either side of outlines left open in the semantic map.
    """
    count = len(things)
    labels = [classes.names.index(thing.name) for thing in things]
    grounds = [classes.names.index(name) for name in ground.names]
    instances = _instances(things, seen, faint, labels, classes)
    # Places: 1 to count for things, what follows for the grounds, of which some may be wholly hidden.
    places = np.where(seen > 0, seen, ground.stuff + (count + 1))
    pixels = np.bincount(places.ravel(), minlength=count + len(grounds) + 1)
    shown = [i for i in range(len(grounds)) if pixels[count + 1 + i]]
    ids = np.zeros(count + len(grounds) + 1, np.int64)
    ids[1 : count + 1] = np.arange(1, count + 1)
    ids[[count + 1 + i for i in shown]] = np.arange(count + 1, count + 1 + len(shown))
    segments = [Segment(i + 1, labels[i], things[i].crowd) for i in range(count)]
    segments += [Segment(count + i, grounds[shown[i - 1]]) for i in range(1, len(shown) + 1)]
    semantic = np.array([IGNORE, *labels, *grounds], np.int64)[places]
    if ignore:
        semantic[_outlines(seen, ignore)] = IGNORE
    return Annotations(
        size=(seen.shape[0], seen.shape[1]),
        classes=classes,
        instances=instances,
        semantic=torch.from_numpy(semantic),
        panoptic=Panoptic(torch.from_numpy(ids[places]), tuple(segments)),
        present=tuple(sorted(set(labels))),
    )


def _instances(
    things: list[Thing], seen: NDArray[np.int64], faint: list[bool], labels: list[int], classes: Classes
) -> Instances:
    count = len(things)
    size = (seen.shape[0], seen.shape[1])
    masks = seen[None] == np.arange(1, count + 1)[:, None, None]
    most = max(len(SHAPES[name].keypoints) for name in classes.names if name in SHAPES)
    boxes = np.zeros((count, 4), np.float32)
    keypoints = np.zeros((count, most, 3), np.float32)
    for i, thing in enumerate(things):
        boxes[i] = _box(masks[i], thing)
        if not thing.crowd:
            own = _keypoints(thing, masks[i], size)
            keypoints[i, : len(own)] = own
    hidden = [thing.visible < thing.inside for thing in things]
    hard = [thing.visible < _HARD * sum(d.full for d in thing.drawings) for thing in things]
    return Instances(
        boxes=torch.from_numpy(boxes),
        labels=torch.tensor(labels, dtype=torch.int64),
        masks=Masks(list(masks), size),
        keypoints=torch.from_numpy(keypoints),
        areas=torch.tensor([float(thing.visible) for thing in things], dtype=torch.float32),
        ids=torch.arange(1, count + 1),
        crowd=_flags(thing.crowd for thing in things),
        difficult=_flags(f or (h and not t.crowd) for f, h, t in zip(faint, hard, things, strict=True)),
        truncated=_flags(any(d.inside < d.full for d in thing.drawings) for thing in things),
        occluded=_flags(hidden),
    )


def _flags(values: Iterable[bool]) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.bool)


def _box(mask: NDArray[np.bool_], thing: Thing) -> tuple[int, int, int, int]:
    """The tight box around a mask, looked for where its drawings are."""
    windows = [drawing.window for drawing in thing.drawings]
    top, left = min(rows.start for rows, _ in windows), min(columns.start for _, columns in windows)
    bottom, right = max(rows.stop for rows, _ in windows), max(columns.stop for _, columns in windows)
    part = mask[top:bottom, left:right]
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    return (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)


def _keypoints(thing: Thing, mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """Its keypoints: (K, 3). Each is judged by the pixel of the object that is nearest to it, its own or a neighbour:
    visible where that is seen, else hidden; unlabelled, and 0, out of the image."""
    drawing = thing.drawings[0]
    found = np.zeros((len(drawing.form.points), 3), np.float32)
    top, left = drawing.corner
    for k, (x, y) in enumerate(drawing.points(_INSET if SHAPES[thing.name].outline else 0.0).tolist()):
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            continue
        r, c = int(y), int(x)
        near = drawing.distance[max(0, r - 1 - top) : r + 2 - top, max(0, c - 1 - left) : c + 2 - left]
        at = np.unravel_index(int(near.argmin()), near.shape) if drawing.distance[r - top, c - left] > 0 else None
        if at is not None:
            r, c = max(r - 1, top) + int(at[0]), max(c - 1, left) + int(at[1])
        found[k] = (x, y, VISIBLE if mask[r, c] else HIDDEN)
    return found


def _outlines(seen: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    """The pixels within ``width`` of a border between two things, or a thing and the ground."""
    differs = np.zeros(seen.shape, bool)
    for one, other in ((seen, differs), (seen.T, differs.T)):
        border = one[1:] != one[:-1]
        other[1:] |= border
        other[:-1] |= border
    if width > 1:
        differs = ndimage.binary_dilation(differs, iterations=width - 1)
    return differs
