"""Joint transforms: an image and everything that is said of it move together."""

from pellucid.data.transforms.adapter import Torchvision
from pellucid.data.transforms.base import Compose, Geometric, Pair, Transform
from pellucid.data.transforms.colours import Blur, Colour, Grey, Noise, Photometric
from pellucid.data.transforms.cropping import (
    CentreCrop,
    CropKeepingBoxes,
    RandomCrop,
    RandomResizedCrop,
    ScaleJitter,
    ZoomOut,
)
from pellucid.data.transforms.mixing import MixUp, Mosaic
from pellucid.data.transforms.moves import Affine, Displacement, Move
from pellucid.data.transforms.presets import preset
from pellucid.data.transforms.resizing import Letterbox, Resize, ResizeLongest, ResizeShortest
from pellucid.data.transforms.transformed import Transformed
from pellucid.data.transforms.turning import Elastic, HorizontalFlip, Rotate, VerticalFlip
from pellucid.data.transforms.warping import warp, warp_annotations

__all__ = [
    "Affine",
    "Blur",
    "CentreCrop",
    "Colour",
    "Compose",
    "CropKeepingBoxes",
    "Displacement",
    "Elastic",
    "Geometric",
    "Grey",
    "HorizontalFlip",
    "Letterbox",
    "MixUp",
    "Mosaic",
    "Move",
    "Noise",
    "Pair",
    "Photometric",
    "RandomCrop",
    "RandomResizedCrop",
    "Resize",
    "ResizeLongest",
    "ResizeShortest",
    "Rotate",
    "ScaleJitter",
    "Torchvision",
    "Transform",
    "Transformed",
    "VerticalFlip",
    "ZoomOut",
    "preset",
    "warp",
    "warp_annotations",
]
