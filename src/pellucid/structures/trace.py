"""The trace of an image: what a detector considered on the way to its objects, and what became of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pellucid.structures.classes import Classes
from pellucid.structures.placement import Placement

Part = Literal["class", "mask", "keypoints"]
"""What of an object is said."""

FOUND = "found"
"""The fate of an object that was not lost."""


@dataclass(frozen=True)
class Step:
    """One step of the way from the pixels to a prediction.

    ``name``: anchor, proposal, region, class … ``text``: the step in words. ``box``: xyxy in the photo, where it has
    one. ``score``: 0 to 1, where it has one.
    """

    name: str
    text: str
    box: tuple[float, float, float, float] | None = None
    score: float | None = None


@dataclass(frozen=True)
class Fate:
    """What became of a true object.

    ``reason``: one of the trace's ``reasons``, or ``FOUND``. ``text``: the same in a sentence. ``candidate``: the row
    that came nearest to finding it, None where there was none. ``score``: what that candidate was given for the
    object's class, 0 to 1. ``by``: the detection that suppressed it.
    """

    reason: str
    text: str
    candidate: int | None = None
    score: float | None = None
    by: int | None = None


@dataclass(frozen=True)
class Patch:
    """A gradient where a candidate read a feature map: (C, a, b) from row ``top`` and column ``left`` of it on.

    ``map``: (C, h, w), all of the feature map of layer ``layer``; everywhere else on it the gradient is 0.
    ``placement``: where the map lies in the network's frame (which stands for the photo in it).
    """

    layer: str
    map: Tensor
    gradient: Tensor
    top: int
    left: int
    placement: Placement


class Trace(ABC):
    """What a detector considered in one image: C candidates, of which D became detections.

    ``size``: (H, W) of the photo; ``classes``: K of them. ``boxes``: (C, B, 4) xyxy in the photo, each candidate's box
    for each class (B = K) or for all (B = 1). ``scores``: (C, K), 0 to 1, before any suppression. ``rows``, ``labels``:
    int64 (D,), the candidate and the class of each detection. Tensors carry their graph, where one was recorded.
    ``reasons``: why an object can be lost, in the order of the stages at which that happens.

    Where each candidate is judged by itself, from features of its own, the trace can be ``opened`` at them, so that one
    way back from the sum of all scores gives the gradient of each; a model says of which parts in ``separate_parts``.
    """

    size: tuple[int, int]
    classes: Classes
    boxes: Tensor
    scores: Tensor
    rows: Tensor
    labels: Tensor
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def boxes_of(self, label: int) -> Tensor:
        """(C, 4): the candidates' boxes for a class."""
        return self.boxes[:, label if self.boxes.shape[1] > 1 else 0]

    @abstractmethod
    def logits(self, rows: Tensor) -> Tensor:
        """(T, K): the class scores of candidates before softmax or sigmoid."""

    @abstractmethod
    def log_odds(self, rows: Tensor, labels: Tensor) -> Tensor:
        """(T,): log(s / (1 − s)) of the scores s of candidates for classes, without rounding near 1."""

    def layer(self, part: Part, at: int | Sequence[float]) -> str | None:
        """The layer whose map of the whole frame a part was read from; None where there is no such map.

        ``at``: the row of a candidate (part 'class') or a detection; or the box of which ``said_at`` is asked.
        """
        return None

    @abstractmethod
    def origin(self, number: int) -> list[Step]:
        """The way back of detection ``number``, from its class score to where it began."""

    @abstractmethod
    def fate(self, box: Sequence[float], label: int, iou: float = 0.5) -> Fate:
        """At which stage an object was lost: where no candidate that overlaps it by ``iou`` or more remained.

        ``FOUND`` where a detection of its class overlaps it so.
        """

    @contextmanager
    def opened(self, part: Part, rows: Sequence[int]) -> Iterator[Tensor]:
        """The features (T, …) of candidates (part 'class') or detections, a row each, as a leaf of the graph.

        Within it ``logits``, ``log_odds`` and ``said`` of these rows are computed from it. ``rows``: each once. Raises
        KeyError for a part that is not judged one by one.
        """
        raise KeyError(part)
        yield

    def said(self, part: Part, number: int) -> Tensor | None:
        """What is said of a detection's part while it is opened: mask logits (M, M), keypoint scores; else None."""
        return None

    def said_at(self, part: Part, box: Sequence[float], label: int) -> Tensor:
        """What would be said of a part of an object of class ``label`` in a box (xyxy in the photo), found or not.

        As ``said``: mask logits (M, M), or keypoint scores. Raises KeyError for a part of which nothing is said.
        """
        raise KeyError(part)

    def patches(self, part: Part, rows: Sequence[int], features: Tensor, gradients: Tensor) -> list[Patch]:
        """What the gradients (T, …) of rows of ``opened`` features (T, …) are where these read their feature maps."""
        raise KeyError(part)
