"""How a network wants its photos: resized, cropped and normalised, and where on the photo that leaves its frame."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import resolve_model_data_config
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.structures import Placement

_SLACK = 1e-5
"""How far frames may leave [0, 1]: clipped exactly, rounding would cut the gradient of plain white here and there."""

_CROP_MODES = ("center", "squash", "border")


@dataclass(frozen=True)
class Preprocessing:
    """The evaluation transform of a classifier, differentiable and with its geometry known.

    ``size``: (h, w) of the network's input. ``resize``: (h, w) that the photo is resized towards before the central
    crop of ``size``: with ``crop_mode`` 'center' so that it covers ``resize``, with 'border' so that it fits into it
    (the rest is the mean colour), both keeping the aspect ratio; with 'squash' exactly to it. ``interpolation``:
    'bicubic', 'bilinear' or 'nearest', antialiased as Pillow does. ``mean``, ``std``: of each channel, on the scale of
    [0, 1].

    Source: ``timm.data.transforms_imagenet_eval``, and torchvision's ``ImageClassification`` preset, which is its
    'center'.
    """

    size: tuple[int, int]
    resize: tuple[int, int]
    interpolation: str
    crop_mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.interpolation not in (*_FILTERS, "nearest"):
            raise PellucidError(
                f"preprocessing: unknown interpolation '{self.interpolation}'; use bicubic, bilinear or nearest"
            )
        if self.crop_mode not in _CROP_MODES:
            raise PellucidError(f"preprocessing: unknown crop mode '{self.crop_mode}'; use {', '.join(_CROP_MODES)}")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise PellucidError(
                f"preprocessing: {len(self.mean)} means and {len(self.std)} stds; an RGB network has 3 of each"
            )
        if min(*self.size, *self.resize) < 1 or not all(s > 0 for s in self.std):
            raise PellucidError("preprocessing: sizes and stds must be positive")

    @classmethod
    def from_timm(cls, network: nn.Module) -> "Preprocessing":
        """What a timm network was evaluated with; raises PellucidError where it does not take RGB."""
        config = resolve_model_data_config(network)
        channels, *size = config["input_size"]
        if channels != 3:
            raise PellucidError(f"{type(network).__name__}: takes {channels} channels; only RGB networks are supported")
        return cls(
            size=(size[0], size[1]),
            resize=(math.floor(size[0] / config["crop_pct"]), math.floor(size[1] / config["crop_pct"])),
            interpolation=config["interpolation"],
            crop_mode=config["crop_mode"] or "center",
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )

    @classmethod
    def from_torchvision(cls, transforms: Any) -> "Preprocessing":
        """What torchvision's weights were evaluated with: ``weights.transforms()``, an ``ImageClassification``."""
        return cls(
            size=(transforms.crop_size[0],) * 2,
            resize=(transforms.resize_size[0],) * 2,
            interpolation=transforms.interpolation.value,
            crop_mode="center",
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
        )

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """The inverse of ``to_dict``."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in values.items()}
        return cls(**plain)

    def frame(self, image: Tensor) -> tuple[Tensor, Placement]:
        """The network's view (…, 3, h, w) of images (…, 3, H, W), all in [0, 1], and where it lies on the photo.

        Differentiable. Within 1.5/255 of the same transform of the same image in Pillow, and within 1e-5 of [0, 1].
        """
        placement, (rows, columns) = self.placement(image.shape[-2], image.shape[-1])
        # Pillow's order, but for its version 13, which turns it round where the height shrinks far more than the width
        framed = _resample(image, columns, self.interpolation, axis=-1)
        framed = _resample(framed, rows, self.interpolation, axis=-2)
        if framed.shape[-2:] == self.size:
            return framed, placement
        padding = (columns.before, columns.after, rows.before, rows.after)
        if self.crop_mode != "border":
            return F.pad(framed, padding), placement
        inside = F.pad(framed.new_ones(framed.shape[-2:]), padding)
        border = framed.new_tensor([round(255 * m) / 255 for m in self.mean])[:, None, None]
        return F.pad(framed, padding) + border * (1 - inside), placement

    def batch(self, photos: Sequence[Tensor], device: torch.device) -> tuple[Tensor, list[Placement]]:
        """``frame`` of photos (3, H, W) on a device: a batch (N, 3, h, w), and where each lies on its photo.

        Photos of one size are framed at once.
        """
        if not photos:
            return torch.zeros(0, 3, *self.size, device=device), []
        if len({photo.shape for photo in photos}) == 1:
            batch, placement = self.frame(torch.stack(list(photos)))
            return batch, [placement] * len(batch)
        framed = [self.frame(photo) for photo in photos]
        return torch.stack([frame for frame, _ in framed]), [placement for _, placement in framed]

    def placement(self, height: int, width: int) -> tuple[Placement, tuple["_Axis", "_Axis"]]:
        """Where the frame of a photo of that size lies on it, and how each axis (rows, columns) is resampled."""
        resized = self._resized(height, width)
        rows = _Axis.central(height, resized[0], self.size[0])
        columns = _Axis.central(width, resized[1], self.size[1])
        (y1, y2), (x1, x2) = rows.extent, columns.extent
        return Placement((height, width), self.size, (x1, y1, x2, y2)), (rows, columns)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        target_height, target_width = self.resize
        if self.crop_mode == "squash":
            return self.resize
        if self.crop_mode == "center" and target_height == target_width:  # torchvision rounds the longer side down
            short, long = target_height, int(target_height * max(height, width) / min(height, width))
            return (long, short) if width <= height else (short, long)
        ratios = (height / target_height, width / target_width)
        ratio = max(ratios) if self.crop_mode == "border" else min(ratios)
        return max(1, round(height / ratio)), max(1, round(width / ratio))

    def normalise(self, batch: Tensor) -> Tensor:
        """(…, 3, h, w) in [0, 1] as the network takes it: (x − mean) / std of each channel."""
        mean = batch.new_tensor(self.mean)[:, None, None]
        return (batch - mean) / batch.new_tensor(self.std)[:, None, None]


@dataclass(frozen=True)
class _Axis:
    """One axis of a photo: ``source`` pixels resized to ``target``, of which [start, stop) is kept, then padded."""

    source: int
    target: int
    start: int
    stop: int
    before: int
    after: int

    @classmethod
    def central(cls, source: int, target: int, size: int) -> "_Axis":
        """The central ``size`` pixels, as torchvision's center_crop rounds: half to even, odd padding at the end."""
        if size > target:
            return cls(source, target, 0, target, (size - target) // 2, (size - target + 1) // 2)
        start = round((target - size) / 2)
        return cls(source, target, start, start + size, 0, 0)

    @property
    def extent(self) -> tuple[float, float]:
        """What the frame covers, in the photo's continuous coordinates."""
        scale = self.source / self.target
        return (self.start - self.before) * scale, (self.stop + self.after) * scale


def _resample(image: Tensor, axis_plan: _Axis, interpolation: str, axis: int) -> Tensor:
    """Resizes one axis and keeps [start, stop) of it."""
    source, target, start, stop = axis_plan.source, axis_plan.target, axis_plan.start, axis_plan.stop
    if source == target:
        return image.narrow(axis, start, stop - start)
    if interpolation == "nearest":
        # Pillow adds up its steps, and the rounding of that sum decides the ties
        steps = [0.5 * source / target] + [source / target] * (stop - 1)
        nearest = [min(int(position), source - 1) for position in accumulate(steps)][start:]
        return image.index_select(axis, torch.tensor(nearest, device=image.device))
    if target < source:
        size = (image.shape[-2], target) if axis == -1 else (target, image.shape[-1])
        flat = image.reshape(-1, *image.shape[-3:])
        resized = F.interpolate(flat, size, mode=interpolation, align_corners=False, antialias=True)
        resized = resized.reshape(*image.shape[:-2], *size).narrow(axis, start, stop - start)
    else:
        # Only what the frame shows is enlarged: a photo of 1 × 12,000 pixels would else become 256 × 3,072,000.
        weights, first, last = _enlarging_weights(axis_plan, interpolation, image)
        part = image.narrow(axis, first, last - first)
        resized = part @ weights.T if axis == -1 else weights @ part
    # 8-bit resizing clips the overshoot of the cubic filter after each axis
    return resized.clamp(-_SLACK, 1 + _SLACK) if interpolation == "bicubic" else resized


def _enlarging_weights(axis: _Axis, interpolation: str, like: Tensor) -> tuple[Tensor, int, int]:
    """Weights (stop − start, last − first) of the source pixels [first, last), all that the kept pixels read."""
    kernel, support = _FILTERS[interpolation]
    scale = axis.source / axis.target
    centres = (torch.arange(axis.start, axis.stop, dtype=torch.float64) + 0.5) * scale
    first = max(0, math.floor(float(centres[0]) - support))
    last = min(axis.source, math.ceil(float(centres[-1]) + support))
    pixels = torch.arange(first, last, dtype=torch.float64) + 0.5
    weights = kernel((pixels[None, :] - centres[:, None]).abs())
    weights = weights / weights.sum(1, keepdim=True)
    return weights.to(device=like.device, dtype=like.dtype), first, last


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance).clamp(min=0)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic convolution with a = −0.5, Pillow's value."""
    a = -0.5
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * a
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


_FILTERS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {"bilinear": (_triangle, 1.0), "bicubic": (_cubic, 2.0)}
