"""Detections and truths of an image side by side, whatever their classes, for error types and confusion."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection import kernels
from pellucid.metrics.detection.matching import Matches
from pellucid.metrics.detection.parts import Part
from pellucid.metrics.detection.protocol import Protocol
from pellucid.structures import FLAG_BITS

if TYPE_CHECKING:
    from pellucid.metrics.detection.evaluator import DetectionEvaluator
    from pellucid.metrics.detection.score import DetectionScore

Scored: TypeAlias = Union["DetectionEvaluator", "DetectionScore", Matches]
"""What errors can be read from: all three hold the truths and detections of all images."""

_IGNORED = FLAG_BITS["crowd"] | FLAG_BITS["difficult"] | FLAG_BITS["group_of"]


@dataclass
class Sides:
    """The chosen detections, by image and in each by falling score, and all truths, by image as given.

    ``rows``: int64 (D,), which row of ``part.detections`` each is; image i has those from d_first[i] to d_first[i + 1].
    ``ignored``: bool (G,), truths that count neither way. ``columns``: int64 (G,), where a truth stands among the given
    overlaps of a detection of its image, which begin at ``starts``, int64 (D,). ``kind``: how overlaps come about.
    """

    part: Part
    classes: int
    kind: int
    rows: NDArray[np.int64]
    d_first: NDArray[np.int64]
    starts: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    columns: NDArray[np.int64]

    @classmethod
    def of(cls, scored: Scored, *, limit: int | None = None, least: float | None = None) -> "Sides":
        """Of an evaluator, a score or matches. Raises PellucidError where overlaps across classes were not kept.

        ``limit``: how many detections of an image, over all classes, unless the protocol has a number of its own.
        ``least``: the score that each must have.
        """
        part, protocol, classes = _inside(scored)
        if not part.across:
            raise PellucidError(
                f"{protocol.title}: overlaps with other classes were not kept; make every evaluator with errors=True"
            )
        d, t, N = part.detections, part.truths, len(part)
        order = np.argsort(-d.scores, kind="stable")
        images = d.images
        if least is not None:
            order = order[d.scores[order] >= least]
        rows, first = kernels.sort_into_groups(order, images, N)
        if limit is not None:
            limit = protocol.per_image or limit
            place = np.arange(len(rows)) - np.repeat(first[:-1], np.diff(first))
            rows = rows[place < limit]
            first = np.concatenate(([0], np.cumsum(np.minimum(np.diff(first), limit)))).astype(np.int64)
        t_images = t.images
        by_label, begins = kernels.sort_into_groups(
            np.arange(len(t.labels)), t_images * classes + t.labels, N * classes
        )
        columns = np.empty(len(t.labels), dtype=np.int64)
        columns[by_label] = np.arange(len(by_label)) - t.first[t_images[by_label]]
        own = images[rows] * classes + d.labels[rows]
        inclusive = protocol.inclusive and not part.inclusive
        kind = kernels.INCLUSIVE_IOU if inclusive else kernels.IOU
        return cls(
            part,
            classes,
            kernels.GIVEN if protocol.geometry != "boxes" else kind,
            rows,
            first,
            d.overlaps[rows] - (begins[own] - t.first[images[rows]]),
            t.ignored | ((t.flags & _IGNORED) != 0),
            columns,
        )


def _inside(scored: Scored) -> tuple[Part, Protocol, int]:
    from pellucid.metrics.detection.evaluator import DetectionEvaluator

    if isinstance(scored, DetectionEvaluator):
        return scored.whole(), scored.protocol, len(scored.classes)
    matches = scored if isinstance(scored, Matches) else scored.matches
    return matches.part, matches.protocol, matches.classes
