"""The usual transforms of each task."""

from collections.abc import Callable

from pellucid.data.transforms.base import Compose, Transform
from pellucid.data.transforms.colours import Colour
from pellucid.data.transforms.cropping import CentreCrop, CropKeepingBoxes, RandomResizedCrop, ScaleJitter, ZoomOut
from pellucid.data.transforms.resizing import ResizeLongest, ResizeShortest
from pellucid.data.transforms.turning import HorizontalFlip
from pellucid.errors import PellucidError, nearest

_TRAIN: dict[str, tuple[int, Callable[[int], list[Transform]]]] = {
    "classification": (224, lambda s: [RandomResizedCrop(s), HorizontalFlip(), Colour(0.4, 0.4, 0.4, 0.0)]),
    "detection": (640, lambda s: [Colour(), ZoomOut(), CropKeepingBoxes(), HorizontalFlip(), ResizeLongest(s)]),
    "segmentation": (512, lambda s: [ScaleJitter(0.5, 2.0, s), HorizontalFlip(), Colour()]),
    "instance": (640, lambda s: [ScaleJitter(0.1, 2.0, s), HorizontalFlip()]),
    "panoptic": (640, lambda s: [ScaleJitter(0.5, 2.0, s), HorizontalFlip(), Colour()]),
    "keypoints": (640, lambda s: [ScaleJitter(0.5, 1.5, s), HorizontalFlip(), Colour()]),
}


def preset(task: str, train: bool = True, size: int | None = None) -> Compose:
    """The usual transforms of a task, for training or for evaluation.

    ``task``: classification, detection, segmentation (semantic), instance, panoptic or keypoints. ``size``: the side in
    pixels, by default 224 (classification), 512 (segmentation) or 640. Training: Inception's crops for classification,
    SSD's sampling for detection, large-scale jitter for the rest, with flips and colours. Evaluation: the middle crop
    of an image resized to 8/7 of ``size`` for classification, else the image with its longest side resized to ``size``.
    Raises PellucidError with the nearest name for an unknown task.
    """
    if task not in _TRAIN:
        raise PellucidError(f"task '{task}' has no preset{nearest(task, _TRAIN)}; tasks: {', '.join(_TRAIN)}")
    default, transforms = _TRAIN[task]
    size = default if size is None else size
    if train:
        return Compose(transforms(size))
    if task == "classification":
        return Compose([ResizeShortest(round(size * 8 / 7)), CentreCrop(size)])
    return Compose([ResizeLongest(size)])
