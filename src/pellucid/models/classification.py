"""The image classifier: a network with its preprocessing and its classes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.models.checkpoints import RECIPE_KEY, Recipe
from pellucid.models.preprocessing import Preprocessing
from pellucid.structures import Annotations, Classes, Photo, Placement, read_photo


class Classifier(nn.Module):
    """Says which class each photo shows.

    ``network``: maps a normalised batch (N, 3, h, w) to logits (N, K). ``preprocessing``: what it wants to be given.
    ``classes``: the K classes. ``name``: what to call it in messages and reports. ``architecture``: the name by which
    ``pellucid.load`` builds the network, None where it cannot (such a classifier is not saved).
    """

    task = "classification"

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        classes: Classes,
        name: str,
        architecture: str | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        self.classes = classes
        self.name = name
        self.architecture = architecture

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        parameter = next(self.network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    def prepare(self, images: Sequence[Photo] | Tensor) -> tuple[Tensor, list[Placement]]:
        """The network's view of photos: (N, 3, h, w) float32 in [0, 1] on its device, and where each lies on its photo.

        ``images``: photos of any sizes, or one batch (N, 3, H, W), float in [0, 1] or uint8. Differentiable where they
        are float tensors. Raises PellucidError for a photo that cannot be read, and for one photo in place of a list.
        """
        self._refuse_single(images)
        if isinstance(images, Tensor) and len(images):
            batch, placement = self.preprocessing.frame(self._as_float(_checked_batch(images)))
            return batch, [placement] * len(batch)
        framed = [self.preprocessing.frame(self._as_float(read_photo(image))) for image in images]
        if not framed:
            return torch.zeros(0, 3, *self.preprocessing.size, device=self.device), []
        return torch.stack([frame for frame, _ in framed]), [placement for _, placement in framed]

    def _as_float(self, image: Tensor) -> Tensor:
        image = image.to(self.device)
        return image.float() / 255 if image.dtype == torch.uint8 else image

    @staticmethod
    def _refuse_single(images: object) -> None:
        single = isinstance(images, (str, Path, Image.Image)) or (
            isinstance(images, (Tensor, np.ndarray)) and images.ndim in (2, 3)
        )
        if single:
            raise PellucidError("images: one photo was given; give a list of photos, [photo] for a single one")

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
        if not torch.isfinite(logits).all():
            raise PellucidError(
                f"{self.name}: its output is not finite (NaN or infinite scores); its weights may be damaged or have "
                "diverged in training: load another checkpoint"
            )
        sizes = (
            [p.photo for p in placements]
            if placements is not None
            else [(batch.shape[-2], batch.shape[-1])] * len(batch)
        )
        return [Annotations(size, self.classes, scores) for size, scores in zip(sizes, logits, strict=True)]

    def forward(self, images: Sequence[Photo] | Tensor) -> list[Annotations]:
        """What the network says of each photo, in the mode it is in; differentiable with respect to float images."""
        return self.from_frame(*self.prepare(images))

    def predict(self, images: Sequence[Photo] | Tensor) -> list[Annotations]:
        """What the network says of each photo: evaluation mode, no graph. Every module's mode is restored."""
        modes = [(module, module.training) for module in self.modules()]
        try:
            self.eval()
            with torch.inference_mode():
                return self(images)
        finally:
            for module, training in modes:
                module.training = training

    def loss(self, images: Sequence[Photo] | Tensor, truths: Sequence[str | int]) -> dict[str, Tensor]:
        """``cross_entropy``: the mean over the images, a scalar; ``truths``: one class a photo, by name or index.

        Raises PellucidError for an unknown class and where there is not one truth a photo.
        """
        batch, _ = self.prepare(images)
        if len(truths) != len(batch) or not len(batch):
            raise PellucidError(f"loss: {len(batch)} images but {len(truths)} truths; give one class for each image")
        indices = [self.classes.index(truth) for truth in truths]
        return {"cross_entropy": F.cross_entropy(self.logits(batch), torch.tensor(indices, device=batch.device))}

    def save(self, path: str | Path) -> Path:
        """Writes weights and recipe to a .safetensors file that ``pellucid.load`` opens by itself; returns its path.

        Raises PellucidError for another suffix, for an unwritable folder, and where the architecture has no name.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise PellucidError(f"{path}: weights are written as safetensors; end the name with .safetensors")
        if self.architecture is None:
            raise PellucidError(
                f"{path}: {self.name} has no architecture that load() could build again; "
                "save its network with torch.save"
            )
        recipe = Recipe(self.architecture, self.name, self.classes, self.preprocessing)
        # cloned, since safetensors refuses tensors that share memory
        tensors = {key: value.detach().cpu().contiguous().clone() for key, value in self.network.state_dict().items()}
        with written_whole(path) as temporary:
            save_file(tensors, temporary, metadata={RECIPE_KEY: json.dumps(recipe.to_dict())})
        return path


def _checked_batch(batch: Tensor) -> Tensor:
    if batch.ndim != 4 or batch.shape[1] != 3 or 0 in batch.shape:
        raise PellucidError(f"images: a batch is (N, 3, H, W), this one {tuple(batch.shape)}; permute or reshape it")
    if batch.dtype == torch.uint8:
        return batch
    # the checks of values are those of a single photo
    read_photo(batch.reshape(3, -1, batch.shape[-1]))
    return batch.float()
