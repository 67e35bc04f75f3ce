"""What happened, in one sentence."""

from collections.abc import Mapping

from pellucid.metrics.detection.protocol import Geometry
from pellucid.report.html.choosing import Chosen
from pellucid.report.html.content import Box
from pellucid.structures import Classes

_EDGES = (("left", 0), ("top", 1), ("right", 2), ("bottom", 3))
_COMPARED: Mapping[Geometry, str] = {
    "boxes": "box",
    "masks": "mask",
    "boundaries": "outline",
    "keypoints": "set of keypoints",
}
_AT_BORDER = 2.0
"""A box whose edge is nearer to the photo's than so many pixels is cut off by it."""


def sentence_of(one: Chosen, classes: Classes, size: tuple[int, int], geometry: Geometry = "boxes") -> str:
    """What happened to an object, or why a detection is wrong. ``size``: (H, W) of the photo. ``geometry``: what of
    false positives was compared with the truth.
    """
    name = classes.names[one.label]
    if one.gallery == "missed":
        return _missed(one, name, classes)
    said = f"Said {name} {one.score:.3f}" if one.score is not None else f"Said {name}"
    near, own = one.near, _COMPARED[geometry]
    if near is None:
        return f"{said} where nothing is annotated nearby{_cut_off(one.box, size)}."
    other = classes.names[near.label]
    if one.kind == "Right":
        return f"Found {name} {one.score:.3f}; its box overlaps the annotated one by {near.iou:.2f}."
    if one.kind == "Dupe":
        return f"{said} for an object that a surer {name} has found already (IoU {near.iou:.2f})."
    if one.kind == "Cls":
        return f"{said}; the object here is annotated as {other} (IoU {near.iou:.2f})."
    if one.kind == "Loc":
        begin = f"{said}, but its {own} overlaps the {other} by {near.iou:.2f} only"
        if geometry != "boxes":
            return f"{begin}."
        edge, off = farthest_edge(one.box, near.box)
        return f"{begin}: its {edge} edge is {abs(off):.0f} pixels too far {'out' if off > 0 else 'in'}."
    if one.kind == "Both":
        return f"{said}; the nearest object is {other}, which its {own} overlaps by {near.iou:.2f} only."
    if geometry != "boxes":
        return f"{said}, but its {own} fits nothing that is annotated; it overlaps the {other} by {near.iou:.2f}."
    where = f"where nothing is annotated; the nearest object, {other}, overlaps by {near.iou:.2f}"
    return f"{said} {where}{_cut_off(one.box, size)}."


def _missed(one: Chosen, name: str, classes: Classes) -> str:
    x1, y1, x2, y2 = one.box
    begin = f"{name}, {x2 - x1:.0f} × {y2 - y1:.0f} pixels, was not found"
    if one.fate is not None and one.fate.text:
        return f"{begin}: {one.fate.text}."
    if one.near is None:
        return f"{begin}: no detection is near."
    score = f" {one.near.score:.3f}" if one.near.score is not None else ""
    return f"{begin}: the nearest detection, {classes.names[one.near.label]}{score}, overlaps it by {one.near.iou:.2f}."


def farthest_edge(said: Box, true: Box) -> tuple[str, float]:
    """The edge that is off most, and by how many pixels outwards."""
    name, side = max(_EDGES, key=lambda edge: abs(said[edge[1]] - true[edge[1]]))
    off = said[side] - true[side]
    return name, -off if side < 2 else off


def _cut_off(box: Box, size: tuple[int, int]) -> str:
    H, W = size
    gaps = {"left": box[0], "top": box[1], "right": W - box[2], "bottom": H - box[3]}
    at = [edge for edge, gap in gaps.items() if gap <= _AT_BORDER]
    return f"; it is cut off by the photo's {' and '.join(at)} edge" if at else ""
