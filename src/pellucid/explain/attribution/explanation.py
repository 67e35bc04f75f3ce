"""The answer of an attribution method: a map over the photo, with what it is a map of."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pellucid.files import written_whole
from pellucid.structures import Placement

SAVED_SIDE = 2048
"""The longest side, in pixels, at which a map is written to a file; larger photos' maps are saved reduced."""

_QUANTILE_OF = 2**23
"""The most numbers that torch takes a quantile of, about; of more a part stands for all."""


@dataclass(frozen=True)
class Explanation:
    """How much each pixel had to do with an objective's value, by one method.

    ``frame_map``: (h, w) or (3, h, w) float32 in the network's input frame (a leading N where a batch was explained).
    ``placement``: where that frame lies on the photo. ``target``: the objective in words. ``layer``: the layer that a
    CAM method used, None for the others. ``signed``: whether the map's values are shares of the objective, for (+) and
    against (−) it, as opposed to sensitivities, whose sign says only in which direction a pixel would have to change.
    ``batched``: whether ``frame_map`` begins with N.
    """

    method: str
    target: str
    layer: str | None
    frame_map: Tensor
    placement: Placement
    signed: bool = False
    batched: bool = False

    @property
    def map(self) -> Tensor:
        """The map in the photo's own pixels: (H, W) or (3, H, W) float32; zero where the network saw nothing."""
        return self.placement.to_photo(self.frame_map)

    def strength(self) -> Tensor:
        """(h, w) in the network's frame: how much each pixel matters for the objective; what pixels are ranked by.

        Signed maps: the sum over channels, negative where a pixel speaks against the objective. Others: the largest
        |value| of the channels.
        """
        coloured = self.frame_map.ndim - self.batched == 3
        if self.signed:
            return self.frame_map.sum(dim=-3) if coloured else self.frame_map
        return self.frame_map.abs().amax(dim=-3) if coloured else self.frame_map.abs()

    def level(self, percentile: float = 99.5) -> Tensor:
        """(h, w) in [0, 1] in the network's frame: the strength, what speaks against left out, scaled for the eye.

        The given percentile becomes 1, so that one extreme pixel does not leave the rest dark. It is taken of what is
        more than a hundredth of the strongest: a map of one small object is 0 almost everywhere.
        """
        strength = self.strength().clamp(min=0)
        seen = strength[strength > strength.max() / 100]
        if not len(seen):
            return strength
        seen = seen[:: -(-len(seen) // _QUANTILE_OF)]
        return (strength / torch.quantile(seen, percentile / 100)).clamp(0, 1)

    def heat(self, longest_side: int | None = None, percentile: float = 99.5) -> Tensor:
        """(H, W) in [0, 1] on the photo, reduced to ``longest_side`` if given: see ``level``."""
        placement = self.placement if longest_side is None else self.placement.scaled(longest_side)
        return placement.to_photo(self.level(percentile))

    def save(self, directory: str | Path, stem: str | None = None) -> Path:
        """Writes the raw map as ``DIRECTORY/STEM.npz`` and returns its path.

        Arrays in the file: ``map`` (float32, photo coordinates, reduced to at most 2048 pixels a side), ``photo_size``
        (H, W), and ``record`` (JSON text: method, target, layer). Read it with ``numpy.load``.
        """
        name = stem or "-".join(plain_name(part) for part in (self.method, self.target))
        path = Path(directory) / f"{name}.npz"
        record = {"method": self.method, "target": self.target, "layer": self.layer}
        with written_whole(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                map=self.placement.scaled(SAVED_SIDE).to_photo(self.frame_map).cpu().numpy(),
                photo_size=np.array(self.placement.photo),
                record=np.array(json.dumps(record, ensure_ascii=False)),
            )
        return path


def plain_name(text: str) -> str:
    """A text as part of a file name: letters, digits, '_' and '.' only."""
    return "".join(c if c.isalnum() or c in "_." else "_" for c in text).strip("_.")[:60] or "map"
