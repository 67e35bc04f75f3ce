"""Everything that is said of an image, moved along with it."""

from dataclasses import replace

from torch import Tensor

from pellucid.data.transforms.moves import Fill, Move
from pellucid.data.transforms.objects import move_boxes, move_instances
from pellucid.errors import PellucidError
from pellucid.structures import IGNORE, Annotations, Panoptic

MIN_VISIBLE = 0.05
"""The share of an object that must stay in the picture by default."""


def warp(
    image: Tensor,
    annotations: Annotations,
    move: Move,
    *,
    fill: Fill = 0,
    min_visible: float = MIN_VISIBLE,
    keep: Tensor | None = None,
) -> tuple[Tensor, Annotations]:
    """The image, uint8 (3, H, W), and its annotations after a move.

    ``fill``: the colour of pixels that the image does not reach. ``min_visible`` and ``keep``: as in
    ``warp_annotations``. Raises PellucidError where the annotations or the move are of an image of another size.
    """
    size = tuple(image.shape[-2:])
    if size != annotations.size or size != move.source:
        raise PellucidError(
            f"the image has {size[0]} × {size[1]} pixels, its annotations say {annotations.size[0]} × "
            f"{annotations.size[1]}; correct the data set (pellucid check finds such images)"
        )
    moved = warp_annotations(annotations, move, min_visible=min_visible, keep=keep)
    return move.image(image, fill), moved


def warp_annotations(
    annotations: Annotations, move: Move, *, min_visible: float = MIN_VISIBLE, keep: Tensor | None = None
) -> Annotations:
    """What is said of an image, said of the moved one.

    Objects of which less than ``min_visible`` stays in the picture, or nothing, are dropped, and those that ``keep``,
    bool (N,), does not name. The semantic map is 255 and the panoptic map 0 where the image does not reach; segments
    without pixels leave the list. Proposals without area in the picture are dropped. Class scores stay, and so do the
    image labels, present and absent: even where a crop cuts their class away, as is the custom in training classifiers.
    """
    instances = annotations.instances
    return replace(
        annotations,
        size=move.target,
        instances=None
        if instances is None
        else move_instances(instances, move, annotations.classes, min_visible=min_visible, keep=keep),
        semantic=None if annotations.semantic is None else move.maps(annotations.semantic, IGNORE),
        panoptic=None if annotations.panoptic is None else _move_panoptic(annotations.panoptic, move),
        proposals=None if annotations.proposals is None else move_boxes(annotations.proposals, move),
    )


def _move_panoptic(panoptic: Panoptic, move: Move) -> Panoptic:
    moved = Panoptic(move.maps(panoptic.ids, 0), panoptic.segments)
    seen = (moved.areas() > 0).tolist()
    return Panoptic(moved.ids, tuple(s for s, there in zip(moved.segments, seen, strict=True) if there))
