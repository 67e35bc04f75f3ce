"""Objects, moved: boxes, masks, keypoints, areas and flags together, and which of them stay."""

from dataclasses import replace

import numpy as np
import torch
from pycocotools import mask as coco
from torch import Tensor

from pellucid.data.transforms.moves import Affine, Move, Size
from pellucid.errors import PellucidError
from pellucid.structures import Classes, Instances, Mask, Masks, Polygons, RunLengths, box_areas, clip_boxes
from pellucid.structures.masks import as_pixels, as_run_lengths

_CLOSE = 0.999
"""A box is tight when no side is this many pixels, or more, from its mask."""

_BEYOND = 1e-3
"""How far beyond the border, in pixels, an object is not yet cut: rounding of float32 coordinates."""


def move_instances(
    instances: Instances, move: Move, classes: Classes, *, min_visible: float, keep: Tensor | None = None
) -> Instances:
    """The objects after a move, without those that are not to be seen any more.

    Polygons stay polygons under affine moves unless the border cuts them; other masks are resampled to the nearest
    pixel and keep their form. A box is moved (the hull of its moved edge) and clipped. Where it was tight around its
    mask, within a pixel, it stays tight; under rotation and deformation it is the mask's. Keypoints out of the picture
    become unlabelled, at (0, 0). ``truncated`` is set where the border cuts an object.

    An object is dropped where the share of its mask's pixels (without mask: of its moved box) that stays in the picture
    is zero or below ``min_visible``, where its mask loses its last pixel, where its box has no area, and where
    ``keep``, bool (N,), is False. Areas are counted where a mask is pixels, else scaled by the move and that share.
    """
    hulls = _hulls(instances.boxes.detach().double(), move)
    extents = None if instances.masks is None else _extents(instances.masks)
    outlines = hulls if extents is None else torch.where(extents.isnan(), hulls, _hulls(extents, move))
    clipped = clip_boxes(hulls, move.target)
    beyond = (clip_boxes(outlines, move.target) - outlines).abs().amax(1) > _BEYOND
    share, cut = _visible(instances, extents, hulls, beyond, move)
    kept = (share > 0) & (share >= min_visible) & (box_areas(clipped) > 0)
    if keep is not None:
        kept = kept & keep

    moved = instances[kept]
    changes: dict[str, object] = {"truncated": moved.truncated | cut[kept]}
    boxes, growth = clipped[kept], share[kept] * move.area_scale
    lost = torch.zeros(len(moved), dtype=torch.bool)
    if moved.areas is not None:
        changes["areas"] = moved.areas * growth.to(moved.areas.dtype)
    if moved.masks is not None and extents is not None:
        outside = beyond[kept]
        masks = Masks(
            [
                _moved_mask(mask, move, outline, inside=not out)
                for mask, outline, out in zip(moved.masks, outlines[kept], outside.tolist(), strict=True)
            ],
            move.target,
        )
        before, after = extents[kept], _extents(masks)
        lost = after.isnan().any(1) & ~before.isnan().any(1)
        tight = (before - moved.boxes.double()).abs().amax(1) < _CLOSE
        loosened = outside | ~((after - boxes).abs().amax(1) < _CLOSE)
        use = ~after.isnan().any(1) & (torch.tensor(not move.straight) | (tight & loosened))
        boxes = torch.where(use[:, None], clip_boxes(after, move.target), boxes)
        changes["masks"] = masks
        if moved.areas is not None:
            changes["areas"] = _recounted(masks, changes["areas"])  # type: ignore[arg-type]
    if moved.keypoints is not None:
        changes["keypoints"] = _moved_keypoints(moved.keypoints, moved.labels, classes, move)
    changes["boxes"] = boxes.to(moved.boxes.dtype)
    made = replace(moved, **changes)  # type: ignore[arg-type]
    return made[~lost] if lost.any() else made


def move_boxes(boxes: Tensor, move: Move) -> Tensor:
    """Boxes (N, 4) after a move, clipped to the picture, without those that have no area there."""
    clipped = clip_boxes(_hulls(boxes.double(), move), move.target)
    return clipped[box_areas(clipped) > 0].to(boxes.dtype)


def _visible(
    instances: Instances, extents: Tensor | None, hulls: Tensor, beyond: Tensor, move: Move
) -> tuple[Tensor, Tensor]:
    """Of each object the share that stays in the picture, by its mask if that has pixels, and whether it is cut."""
    share = box_areas(clip_boxes(hulls, move.target)) / box_areas(hulls).clamp(min=1e-12)
    if instances.masks is None or extents is None:
        return share, beyond
    share, cut = torch.where(extents.isnan().any(1) | beyond, share, 1), beyond.clone()
    for i in beyond.nonzero().flatten().tolist():
        inside = _share_inside(instances.masks[i], move)
        if inside is not None:
            share[i], cut[i] = inside, inside < 1
    return share, cut


def _hulls(boxes: Tensor, move: Move) -> Tensor:
    """The boxes around the moved edges of boxes (N, 4): (N, 4)."""
    steps = torch.linspace(0, 1, 2 if isinstance(move, Affine) else 33, dtype=boxes.dtype)
    x1, y1, x2, y2 = (side[:, None] for side in boxes.unbind(1))
    xs, ys = x1 + (x2 - x1) * steps, y1 + (y2 - y1) * steps
    edges = [(xs, y1.expand_as(xs)), (xs, y2.expand_as(xs)), (x1.expand_as(ys), ys), (x2.expand_as(ys), ys)]
    points = move.points(torch.cat([torch.stack(edge, -1) for edge in edges], 1))
    return torch.cat((points.amin(1), points.amax(1)), 1)


def _extents(masks: Masks) -> Tensor:
    """The box around each mask, polygons by their points: float64 (N, 4), not-a-number for an empty one."""
    made = torch.full((len(masks), 4), torch.nan, dtype=torch.float64)
    for i, mask in enumerate(masks):
        if isinstance(mask, Polygons):
            if mask.parts:
                made[i] = torch.tensor(mask.box(), dtype=torch.float64)
        else:
            x, y, width, height = coco.toBbox(as_run_lengths(mask).for_pycocotools).tolist()
            if width > 0 and height > 0:
                made[i] = torch.tensor((x, y, x + width, y + height), dtype=torch.float64)
    return made


def _share_inside(mask: Mask, move: Move) -> float | None:
    """The share of a mask's pixels whose centres stay in the picture; None for a mask without pixels."""
    rows, columns = np.nonzero(as_pixels(mask))
    if len(rows) == 0:
        return None
    x, y = move.points(torch.from_numpy(np.stack((columns, rows), 1) + 0.5)).unbind(1)
    H, W = move.target
    return float(((x >= 0) & (x < W) & (y >= 0) & (y < H)).double().mean())


def _moved_mask(mask: Mask, move: Move, outline: Tensor, *, inside: bool) -> Mask:
    """A mask whose moved extent is ``outline``, (4,)."""
    if isinstance(mask, Polygons) and isinstance(move, Affine):
        parts = (move.points(torch.from_numpy(part)).numpy() for part in mask.parts)
        polygons = Polygons(move.target, tuple(parts))
        return polygons if inside else polygons.to_run_lengths()
    H, W = move.target
    low, high = (outline[:2].floor() - 2).clamp(min=0), (outline[2:].ceil() + 2).clamp(min=0)
    (x1, y1), (x2, y2) = low.int().tolist(), high.int().tolist()
    source = mask if isinstance(mask, np.ndarray) else coco.decode(as_run_lengths(mask).for_pycocotools)
    # Column-major, as run lengths are.
    pixels = np.zeros((H, W), dtype=np.uint8, order="F")
    window = slice(y1, min(y2, H)), slice(x1, min(x2, W))
    pixels[window] = move.maps(torch.from_numpy(np.array(source, dtype=np.uint8)), 0, window).numpy()
    found = pixels.view(np.bool_)
    return np.ascontiguousarray(found) if isinstance(mask, np.ndarray) else RunLengths.from_mask(found)


def _recounted(masks: Masks, areas: Tensor) -> Tensor:
    """Areas counted in pixels where a mask is pixels and has any."""
    counts = [0.0 if isinstance(m, Polygons) else float(coco.area(as_run_lengths(m).for_pycocotools)) for m in masks]
    counted = torch.tensor(counts, dtype=areas.dtype)
    return torch.where(counted > 0, counted, areas)


def _moved_keypoints(keypoints: Tensor, labels: Tensor, classes: Classes, move: Move) -> Tensor:
    places = move.points(keypoints[..., :2].double())
    there = (keypoints[..., 2] > 0) & _on_canvas(places, move.target)
    moved = torch.cat((places.to(keypoints.dtype), keypoints[..., 2:]), -1) * there[..., None]
    return exchanged(moved, labels, classes) if move.mirrors else moved


def _on_canvas(points: Tensor, size: Size) -> Tensor:
    x, y = points.unbind(-1)
    return (x >= 0) & (x <= size[1]) & (y >= 0) & (y <= size[0])


def exchanged(keypoints: Tensor, labels: Tensor, classes: Classes) -> Tensor:
    """Left and right keypoints in each other's place, as each object's class says."""
    n, K = keypoints.shape[:2]
    order = torch.arange(K).repeat(n, 1)
    for i, label in enumerate(labels.tolist() if classes.keypoints else ()):
        names = classes.keypoints[label]
        if names is None:
            continue
        if len(names) > K:
            raise PellucidError(
                f"keypoints: class '{classes[label]}' has {len(names)} of them, but its object only {K}; give all"
            )
        order[i, : len(names)] = torch.tensor(names.flip, dtype=torch.int64)
    return keypoints.gather(1, order[..., None].expand(-1, -1, 3))
