"""What every model is: photos in, annotations out, differentiable, and always the same three verbs."""

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.structures import Annotations, Classes, Photo, Placement, read_photo
from pellucid.structures.trace import Trace

RECIPE_KEY = "pellucid"
"""The key of the safetensors metadata under which the recipe stands, as JSON."""


class PhotoModel(nn.Module, ABC):
    """A network that takes photos as they are and says of each what is in it.

    ``network``: the layers that a person names. ``classes``: what the indices mean. ``name``: what to call it in
    messages and reports. ``task``: classification, localization, detection, instances or keypoints. ``protocols``: by
    which its predictions are scored, the main one first.
    """

    task: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]]
    network: nn.Module

    def __init__(self, classes: Classes, name: str) -> None:
        super().__init__()
        self.classes = classes
        self.name = name

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        parameter = next(self.network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    @abstractmethod
    def prepare(self, images: Sequence[Photo] | Tensor) -> tuple[Tensor, list[Placement]]:
        """The network's view of photos: (N, 3, h, w) float32 in [0, 1] on its device, and where each lies on its photo.

        ``images``: photos of any sizes, or one batch (N, 3, H, W), float in [0, 1] or uint8. Differentiable where they
        are float tensors. Raises PellucidError for a photo that cannot be read, and for one photo in place of a list.
        """

    @abstractmethod
    def from_frame(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        """What the network says of a prepared batch (N, 3, h, w) in [0, 1]; differentiable.

        Without ``placements`` the frames count as the photos. Raises PellucidError where the output is not finite.
        """

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What a checkpoint says beside its weights, in plain values: enough to build the model again."""

    def forward(self, images: Sequence[Photo] | Tensor) -> list[Annotations]:
        """What the network says of each photo, in the mode it is in; differentiable with respect to float images."""
        return self.from_frame(*self.prepare(images))

    def predict(self, images: Sequence[Photo] | Tensor, *, traced: bool = False) -> list[Annotations]:
        """What the network says of each photo: evaluation mode, no graph. Every module's mode is restored.

        ``traced``: with the trace of each photo, where the model keeps one.
        """
        answer = getattr(self, "traced", self.from_frame) if traced else self.from_frame
        modes = [(module, module.training) for module in self.modules()]
        try:
            self.eval()
            with torch.inference_mode():
                return answer(*self.prepare(images))
        finally:
            for module, training in modes:
                module.training = training

    def save(self, path: str | Path, notes: Mapping[str, Any] | None = None) -> Path:
        """Writes weights and recipe to a .safetensors file that ``pellucid.load`` opens by itself; returns its path.

        ``notes``: what else the file should say of itself, in plain values. Raises PellucidError for another suffix,
        for an unwritable folder, and for a model that could not be built again.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise PellucidError(f"{path}: weights are written as safetensors; end the name with .safetensors")
        try:
            said = json.dumps({**self.description(), **({"notes": dict(notes)} if notes else {})})
        except PellucidError as error:
            raise PellucidError(f"{path}: {error}") from error
        # cloned, since safetensors refuses tensors that share memory
        tensors = {key: value.detach().cpu().contiguous().clone() for key, value in self.weights().items()}
        with written_whole(path) as temporary:
            save_file(tensors, temporary, metadata={RECIPE_KEY: said})
        return path

    def check_finite(self, *outputs: Tensor) -> None:
        """Raises PellucidError where what the network gave is no number."""
        if not all(bool(torch.isfinite(output).all()) for output in outputs):
            raise PellucidError(
                f"{self.name}: its output is not finite (NaN or infinite scores); its weights may be damaged or have "
                "diverged in training: load another checkpoint"
            )

    def weights(self) -> dict[str, Tensor]:
        """What a checkpoint holds: the network's state, without what training alone needs."""
        return dict(self.network.state_dict())

    def _photos(self, images: Sequence[Photo] | Tensor) -> list[Tensor]:
        """Photos as float tensors (3, H, W) in [0, 1] on the network's device."""
        single = isinstance(images, (str, Path, Image.Image)) or (
            isinstance(images, (Tensor, np.ndarray)) and images.ndim in (2, 3)
        )
        if single:
            raise PellucidError("images: one photo was given; give a list of photos, [photo] for a single one")
        if isinstance(images, Tensor) and len(images):
            return list(self._as_float(_checked_batch(images)))
        return [self._as_float(read_photo(image)) for image in images]

    def _as_float(self, image: Tensor) -> Tensor:
        image = image.to(self.device)
        return image.float() / 255 if image.dtype == torch.uint8 else image


def _checked_batch(batch: Tensor) -> Tensor:
    if batch.ndim != 4 or batch.shape[1] != 3 or 0 in batch.shape:
        raise PellucidError(f"images: a batch is (N, 3, H, W), this one {tuple(batch.shape)}; permute or reshape it")
    if batch.dtype == torch.uint8:
        return batch
    # the checks of values are those of a single photo
    read_photo(batch.reshape(3, -1, batch.shape[-1]))
    return batch.float()


class Detector(PhotoModel):
    """A model that finds objects, and learns from annotated images.

    ``recipe``, ``backbone``, ``settings``: by which ``build`` makes it again. ``needs_proposals``: whether it learns
    from ``Annotations.proposals``, boxes that were proposed by something else. ``of_classes``: how the names of those
    tensors begin whose rows are classes, or keypoints: of no use to a model of other ones.
    """

    needs_proposals = False
    of_classes: tuple[str, ...] = ()

    def __init__(self, classes: Classes, name: str, recipe: str, backbone: str, settings: Mapping[str, Any]) -> None:
        super().__init__(classes, name)
        self.recipe = recipe
        self.backbone = backbone
        self.settings = dict(settings)

    @abstractmethod
    def loss(
        self, images: Sequence[Photo] | Tensor, truths: Sequence[Annotations], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """The parts of the loss, each a scalar: the mean over the images, so that equal shares of a batch may be
        averaged.

        ``truths``: what is true of each image, in its own coordinates and this model's classes. ``seeds``: one an
        image, for what is drawn at random; without them torch's own generator is asked. Raises PellucidError where
        truths are not of these images.
        """

    @property
    def thresholds(self) -> dict[str, float]:
        """By which it chooses what to report: those that ``choosing`` can change, 0 to 1; empty where there are none.

        'score': what a detection must exceed. 'overlap': the IoU above which one box suppresses another.
        """
        return {}

    def choosing(self, **thresholds: float) -> Self:
        """The same network, reporting by other thresholds; this model stays as it is.

        Raises PellucidError for a threshold that it does not have, and for a value that is not from 0 to 1.
        """
        for name, value in thresholds.items():
            if name not in self.thresholds:
                there = f"it has {', '.join(self.thresholds)}" if self.thresholds else "it has none"
                raise PellucidError(f"{self.name}: has no threshold '{name}'; {there}")
            if not 0 <= value <= 1:
                raise PellucidError(f"{self.name}: {name} threshold {value:g}; give a number from 0 to 1")
        made = copy.copy(self)
        made._choose(thresholds)
        return made

    def _choose(self, thresholds: Mapping[str, float]) -> None:
        """Takes thresholds that were checked."""

    def from_trace(self, trace: Trace, *, parts: bool = True) -> Annotations:
        """What it reports of an image by a trace that the same network kept, with the trace of that.

        The network is not run again, but for its heads of masks and keypoints, and these only for ``parts``. Raises
        PellucidError for a model that keeps no traces.
        """
        raise PellucidError(f"{self.name}: keeps no trace of its candidates")

    def check_truths(self, truths: Sequence[Annotations], placements: Sequence[Placement]) -> None:
        """Raises PellucidError unless there is one truth for each image, of its size and in the model's classes."""
        if len(truths) != len(placements) or not len(placements):
            raise PellucidError(
                f"{self.name}: {len(placements)} images but {len(truths)} truths; give one for each image"
            )
        for number, (truth, placement) in enumerate(zip(truths, placements, strict=True)):
            if tuple(truth.size) != tuple(placement.photo):
                raise PellucidError(
                    f"{self.name}: truth {number} is of an image of {truth.size[0]} × {truth.size[1]} pixels, "
                    f"its image has {placement.photo[0]} × {placement.photo[1]}; give each image its own"
                )
            if truth.classes is not self.classes and truth.classes.names != self.classes.names:
                raise PellucidError(
                    f"{self.name}: truth {number} has classes that are not the model's; "
                    "train with the data's own classes"
                )
            labels = truth.instances.labels if truth.instances is not None else torch.zeros(0)
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.classes):
                wrong = int(labels.max() if labels.max() >= len(self.classes) else labels.min())
                raise PellucidError(
                    f"{self.name}: truth {number} has an object of class {wrong}; there are "
                    f"{len(self.classes)}, from 0; map its classes"
                )

    def description(self) -> dict[str, Any]:
        return {
            "version": 1,
            "task": self.task,
            "recipe": self.recipe,
            "backbone": self.backbone,
            "settings": self.settings,
            "name": self.name,
            "classes": self.classes.to_dict(),
        }
