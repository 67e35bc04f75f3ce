"""Grey images whose values are probabilities of the second of two classes, as membrane detectors write them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pellucid.data.dataset import Dataset
from pellucid.data.images import ImageFinder
from pellucid.errors import PellucidError
from pellucid.structures import Annotations
from pellucid.structures.photo import opened_photo


class Probabilities(Sequence[Annotations | None]):
    """For each image of a data set of two classes its map of probabilities, read when asked for; None without a file.

    White is the second class: 255 in 8 bits, 65,535 in 16, 1 in floating point. Raises PellucidError where the folder
    or the data set is of another kind.
    """

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        if not folder.is_dir():
            raise PellucidError(f"{folder}: no such folder; give one with a grey image for each of the truth's")
        if len(dataset.classes) != 2:
            raise PellucidError(
                f"{dataset.title}: has {len(dataset.classes)} classes; grey images hold the probability of one of two"
            )
        self.dataset = dataset
        finder = ImageFinder([folder])
        self.files = [finder.find(Path(name).stem) for name in dataset.names]
        if not any(self.files):
            raise PellucidError(
                f"{folder}: no image is called as one of the truth's, such as {dataset.names[0]}; rename them"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Annotations | None:  # type: ignore[override]
        file = self.files[index]
        if not file:
            return None
        white = torch.from_numpy(read_grey(Path(file)))
        size = (white.shape[0], white.shape[1])
        return Annotations(size, self.dataset.classes, semantic_probabilities=torch.stack((1 - white, white)))


def read_grey(path: Path) -> np.ndarray:
    """A grey image as float64 (H, W) from 0 to 1. Raises PellucidError for one in colour, or beyond that range."""
    with opened_photo(path) as image:
        mode = image.mode
        if mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr", "LAB", "HSV"):
            grey = np.asarray(image.convert("RGB"))
            if (grey[..., :1] != grey).any():
                raise PellucidError(f"{path}: is in colour; probabilities are grey")
            return grey[..., 0].astype(np.float64) / 255
        values = np.asarray(image.convert("L") if mode in ("1", "LA") else image).astype(np.float64)
    if mode in ("1", "L", "LA"):
        return values / 255
    if mode.startswith("I"):
        return values / 65535
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise PellucidError(f"{path}: holds numbers that are no probabilities from 0 to 1; write them so")
    return values
