"""The image classifier: a network with its preprocessing and its classes."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.models.base import PhotoModel
from pellucid.models.checkpoints import Recipe
from pellucid.models.preprocessing import Preprocessing
from pellucid.structures import Annotations, Classes, Photo, Placement


class Classifier(PhotoModel):
    """Says which class each photo shows.

    ``network``: maps a normalised batch (N, 3, h, w) to logits (N, K). ``preprocessing``: what it wants to be given.
    ``classes``: the K classes. ``name``: what to call it in messages and reports. ``architecture``: the name by which
    ``pellucid.load`` builds the network, None where it cannot (such a classifier is not saved).
    """

    task = "classification"
    protocols = ("calibration",)

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        classes: Classes,
        name: str,
        architecture: str | None = None,
    ) -> None:
        super().__init__(classes, name)
        self.network = network
        self.preprocessing = preprocessing
        self.architecture = architecture

    def prepare(self, images: Sequence[Photo] | Tensor) -> tuple[Tensor, list[Placement]]:
        return self.preprocessing.batch(self._photos(images), self.device)

    def logits(self, batch: Tensor) -> Tensor:
        """(N, K) class scores before the softmax, of a prepared batch (N, 3, h, w) in [0, 1]."""
        output = self.network(self.preprocessing.normalise(batch))
        # training some networks yields auxiliary outputs as well, the main one first
        return output[0] if isinstance(output, tuple) else output

    def from_frame(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        """What the network says of a prepared batch (N, 3, h, w) in [0, 1]; differentiable.

        Without ``placements`` the frames count as the photos. Raises PellucidError where the network's output is not
        finite or not one score a class.
        """
        if not len(batch):
            return []
        logits = self.logits(batch)
        if logits.shape != (len(batch), len(self.classes)):
            raise PellucidError(
                f"{self.name}: gave scores of shape {tuple(logits.shape)} for {len(batch)} images and "
                f"{len(self.classes)} classes; give it the classes that it was trained on"
            )
        self.check_finite(logits)
        sizes = (
            [p.photo for p in placements]
            if placements is not None
            else [(batch.shape[-2], batch.shape[-1])] * len(batch)
        )
        return [Annotations(size, self.classes, scores) for size, scores in zip(sizes, logits, strict=True)]

    def loss(self, images: Sequence[Photo] | Tensor, truths: Sequence[str | int]) -> dict[str, Tensor]:
        """``cross_entropy``: the mean over the images, a scalar; ``truths``: one class a photo, by name or index.

        Raises PellucidError for an unknown class and where there is not one truth a photo.
        """
        batch, _ = self.prepare(images)
        if len(truths) != len(batch) or not len(batch):
            raise PellucidError(f"loss: {len(batch)} images but {len(truths)} truths; give one class for each image")
        indices = [self.classes.index(truth) for truth in truths]
        return {"cross_entropy": F.cross_entropy(self.logits(batch), torch.tensor(indices, device=batch.device))}

    def description(self) -> dict[str, Any]:
        if self.architecture is None:
            raise PellucidError(
                f"{self.name} has no architecture that load() could build again; save its network with torch.save"
            )
        return Recipe(self.architecture, self.name, self.classes, self.preprocessing).to_dict()
