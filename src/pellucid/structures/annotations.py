"""What is said of an image: by an annotator (truth) or by a network (prediction)."""

from dataclasses import dataclass

from torch import Tensor

from pellucid.structures.classes import Classes
from pellucid.structures.instances import Instances
from pellucid.structures.panoptic import Panoptic
from pellucid.structures.trace import Trace


@dataclass(frozen=True)
class ClassScore:
    """One class with the probability that a network gives it (0 to 1)."""

    name: str
    index: int
    probability: float


@dataclass
class Annotations:
    """Everything said of one image; None or empty where nothing is said.

    ``size``: (H, W) of the image in pixels. ``classes``: what the indices mean. ``logits``: (K,) float, a class score
    each before the softmax; where a network said it, it still carries its graph. ``instances``: the objects.
    ``semantic``: int64 (H, W), a class index for every pixel, 255 for none. ``semantic_probabilities``: (K, H, W)
    float, the probability of every class at every pixel, summing up to 1. ``panoptic``: the segments.
    ``present`` and ``absent``: image labels, the classes verified to be in the image, and not to be in it. In a data
    set of classified images ``present`` is the one class. ``proposals``: float32 (P, 4) xyxy, boxes that may hold
    objects, for models that choose among what something else proposed. ``trace``: how a detector came to its objects,
    where it was asked to keep it.
    """

    size: tuple[int, int]
    classes: Classes
    logits: Tensor | None = None
    instances: Instances | None = None
    semantic: Tensor | None = None
    semantic_probabilities: Tensor | None = None
    panoptic: Panoptic | None = None
    present: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    proposals: Tensor | None = None
    trace: Trace | None = None

    @property
    def probabilities(self) -> Tensor:
        """(K,) softmax of the logits."""
        if self.logits is None:
            raise ValueError("these annotations hold no class scores")
        return self.logits.softmax(-1)

    def top(self, k: int = 5) -> list[ClassScore]:
        """The k classes of highest probability, best first (ties by index)."""
        probabilities = self.probabilities.detach().float().cpu()
        order = probabilities.argsort(descending=True, stable=True)[:k].tolist()
        return [ClassScore(self.classes[i], i, float(probabilities[i])) for i in order]
