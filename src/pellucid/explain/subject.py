"""The network under the lamp: any module, seen the same way, and left bit-identical."""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.structures import Annotations, Classes, Photo, Placement, read_photo


class Framed(Protocol):
    """A model that resizes and normalises inside: what Pellucid's own models offer beside their three verbs.

    ``prepare`` turns photos of any sizes into the batch (N, 3, h, w) in [0, 1] that the network looks at, with each
    photo's placement; ``from_frame`` goes on from such a batch to the predictions; ``network`` holds the layers that a
    person names.
    """

    network: nn.Module

    def prepare(self, images: Sequence[Photo] | Tensor) -> tuple[Tensor, list[Placement]]: ...

    def from_frame(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]: ...


def is_framed(model: nn.Module) -> TypeGuard[Framed]:
    """Whether a model offers what :class:`Framed` names.

    Not ``isinstance`` with a runtime protocol: since Python 3.12 that looks attributes up statically, which does not
    find a module's submodules.
    """
    return all(hasattr(model, name) for name in ("network", "prepare", "from_frame"))


class Subject:
    """One network and one batch of images, in the frame where gradients are taken.

    ``model``: a model of Pellucid's, or any module that maps (N, 3, H, W) to logits or whatever else; such a module
    sees the image as it is given. ``frame``: (N, 3, h, w) float on the network's device. ``placements``: where each
    image's frame lies on its photo. ``batched``: whether the caller gave a batch (N, 3, H, W) rather than one photo.
    ``kept``: what the model says of the frame, where it is to be remembered (``keep``).
    """

    kept: list[Annotations] | None = None

    def __init__(self, model: nn.Module, photo: Photo) -> None:
        if not isinstance(model, nn.Module):
            raise PellucidError(
                f"a {type(model).__name__} is no network; give a torch.nn.Module or what pellucid.load returns"
            )
        self.model = model
        self.batched = isinstance(photo, Tensor) and photo.ndim == 4
        self.network: nn.Module = model.network if is_framed(model) else model
        with torch.no_grad():
            if is_framed(model):
                self.frame, self.placements = model.prepare(photo if self.batched else [photo])  # type: ignore[arg-type]
            else:
                self.frame = self._as_it_is(photo)
                n, (h, w) = len(self.frame), self.frame.shape[-2:]
                self.placements = [Placement.whole(h, w)] * n
        self.frame = self.frame.detach()
        if not len(self.frame):
            raise PellucidError("the batch holds no image; give at least one")

    @classmethod
    def of_frames(cls, model: nn.Module, frames: Tensor) -> "Subject":
        """A subject whose frames (N, 3, h, w) in [0, 1] are given as they are, of whatever size: nothing is resized.

        They are brought to the network's device and floating-point type.
        """
        subject = cls(model, torch.zeros(1, 3, 8, 8))
        home = next((p for p in subject.network.parameters() if p.is_floating_point()), frames)
        subject.frame = frames.detach().to(home)
        subject.placements = [Placement.whole(*frames.shape[-2:])] * len(frames)
        subject.batched = True
        return subject

    def _as_it_is(self, photo: Photo) -> Tensor:
        parameter = next(self.network.parameters(), None)
        dtype = parameter.dtype if parameter is not None and parameter.is_floating_point() else torch.float32
        device = parameter.device if parameter is not None else torch.device("cpu")
        if isinstance(photo, Tensor) and photo.is_floating_point():
            # A tensor is taken as the network's own input: normalised already, whatever its range.
            if photo.ndim not in (3, 4):
                raise PellucidError(f"an image tensor must be (3, H, W) or (N, 3, H, W), not {tuple(photo.shape)}")
            image = photo if photo.ndim == 4 else photo[None]
        elif isinstance(photo, Tensor) and photo.ndim == 4:
            image = torch.stack([read_photo(p) for p in photo])
        else:
            image = read_photo(photo)[None]
        if not image.is_floating_point():
            image = image.to(dtype) / 255
        return image.to(device, dtype)

    @property
    def classes(self) -> Classes | None:
        """The classes' names, where the model knows them."""
        classes = getattr(self.model, "classes", None)
        return classes if isinstance(classes, Classes) else None

    def run(self, batch: Tensor, *, traced: bool = False) -> Any:
        """The model's predictions for a batch in the frame: a list of Annotations, or whatever a bare module returns.

        ``traced``: with the trace of each image, where the model keeps one.
        """
        batch = batch.clone()  # a network may begin with an in-place operation: not on what the caller holds
        if is_framed(self.model):
            placements = self.placements if len(batch) == len(self.placements) else [self.placements[0]] * len(batch)
            keeps = getattr(self.model, "traced", None) if traced else None
            return (keeps or self.model.from_frame)(batch, placements)
        return self.model(batch)

    def keep(self) -> list[Annotations]:
        """What the model says of the frame, with the trace of each image where it keeps one.

        From now on it is remembered, so that what reads no layer and needs no gradient of the image costs no pass.
        """
        if self.kept is None:
            with untouched(self.model), torch.no_grad():
                self.kept = self.run(self.frame, traced=True)
        return self.kept

    def seen_by(self, model: nn.Module, said: list[Annotations]) -> "Subject":
        """The same frame under a model that shares this one's network, of which it is known what it says."""
        made = copy.copy(self)
        made.model, made.kept = model, said
        return made

    def remembered(self, batch: Tensor) -> list[Annotations] | None:
        """What is kept, if a batch is the frame."""
        same = batch.shape == self.frame.shape and batch.data_ptr() == self.frame.data_ptr()
        return self.kept if same and not torch.is_grad_enabled() else None

    def plain_map(self, maps: Tensor) -> Tensor:
        """A map for the caller: detached, float32, without the batch dimension that the caller did not give."""
        maps = maps.detach().float()
        return maps if self.batched else maps[0]


def logits_of(predictions: Any) -> Tensor:
    """(N, K) class scores before the softmax, from predictions of any kind.

    Raises PellucidError where the predictions hold none.
    """
    if isinstance(predictions, Tensor) and predictions.ndim == 2:
        return predictions
    if isinstance(predictions, (list, tuple)) and predictions and all(isinstance(p, Annotations) for p in predictions):
        if all(p.logits is not None for p in predictions):
            return torch.stack([p.logits for p in predictions])
    elif isinstance(getattr(predictions, "logits", None), Tensor):
        return predictions.logits
    elif (
        isinstance(predictions, (list, tuple))
        and predictions
        and isinstance(predictions[0], Tensor)
        and predictions[0].ndim == 2
    ):
        return predictions[0]
    shape = f" of shape {tuple(predictions.shape)}" if isinstance(predictions, Tensor) else ""
    raise PellucidError(
        f"the model's output, {type(predictions).__name__}{shape}, holds no class logits (N, K); "
        "give the objective as a function of the output"
    )


def each_image(predictions: Any, count: int) -> list[Any]:
    """The predictions of each image apart: lists as they are, tensors by rows, tuples and mappings piece by piece."""
    if isinstance(predictions, list) and len(predictions) == count:
        return predictions
    return [_row(predictions, i) for i in range(count)]


def _row(value: Any, index: int) -> Any:
    if isinstance(value, Tensor):
        return value[index]
    if isinstance(value, dict):
        return {k: _row(v, index) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_row(v, index) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def split_images(predictions: Any, count: int) -> list[Any]:
    """The predictions of a batch as those of ``count`` equal parts of it."""
    if isinstance(predictions, Tensor):
        return list(predictions.split(len(predictions) // count))
    if isinstance(predictions, list) and predictions and all(isinstance(p, Annotations) for p in predictions):
        each = len(predictions) // count
        return [predictions[i * each : (i + 1) * each] for i in range(count)]
    if isinstance(predictions, dict):
        pieces = {key: split_images(value, count) for key, value in predictions.items()}
        return [type(predictions)({key: parts[i] for key, parts in pieces.items()}) for i in range(count)]
    if isinstance(predictions, (list, tuple)):
        columns = [split_images(value, count) for value in predictions]
        named = hasattr(predictions, "_fields")
        rows = [[column[i] for column in columns] for i in range(count)]
        return [type(predictions)(*row) if named else type(predictions)(row) for row in rows]
    return [predictions] * count


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Within it the model is in eval mode with frozen parameters; after it every flag is what it was, module by module.

    Frozen parameters keep backpropagation to what an explanation needs: activations, never weights. No ``.grad`` is
    written.
    """
    modes = [(module, module.training) for module in model.modules()]
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with_grad = torch.is_grad_enabled()
    try:
        for module, training in modes:
            if training:
                module.training = False
        for parameter in wanted:
            parameter.requires_grad_(False)
        # A caller's inference mode would leave no graph to go back through; leaving it must not turn gradients on.
        with torch.inference_mode(False), torch.set_grad_enabled(with_grad):
            yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training
