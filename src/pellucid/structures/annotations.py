"""What is said of an image: by an annotator (truth) or by a network (prediction)."""

from dataclasses import dataclass

from torch import Tensor

from pellucid.structures.classes import Classes


@dataclass(frozen=True)
class ClassScore:
    """One class with the probability that a network gives it (0 to 1)."""

    name: str
    index: int
    probability: float


@dataclass
class Annotations:
    """Everything said of one image.

    ``size``: (H, W) of the image in pixels. ``classes``: what the indices mean. ``logits``: (K,) float, a class score
    each before the softmax; where a network said it, it still carries its graph. Instances, segments and maps join
    this type with the tasks that need them.
    """

    size: tuple[int, int]
    classes: Classes
    logits: Tensor | None = None

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
