"""Where a network's input frame lies on the photo, and how a map travels between the two."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Placement:
    """The rectangle of a photo that a network sees, and the size at which it sees it.

    ``photo``: (H, W) of the photo in pixels. ``frame``: (h, w) of the network's input. ``box``: x1, y1, x2, y2 of the
    frame in the photo's continuous pixel coordinates; it reaches beyond the photo where the frame is padded.
    """

    photo: tuple[int, int]
    frame: tuple[int, int]
    box: tuple[float, float, float, float]

    @classmethod
    def whole(cls, height: int, width: int) -> "Placement":
        """The placement of a network that sees the image as it is."""
        return cls((height, width), (height, width), (0.0, 0.0, float(width), float(height)))

    @property
    def is_identity(self) -> bool:
        """Whether frame and photo are the same pixels."""
        return self == Placement.whole(*self.photo)

    def to_photo(self, maps: Tensor) -> Tensor:
        """Maps (…, h, w) of the frame, bilinearly resampled onto the photo: (…, H, W).

        Zero where the network saw nothing.
        """
        if self.is_identity:
            return maps
        (H, W), (h, w), (x1, y1, x2, y2) = self.photo, self.frame, self.box
        rows = _interpolation(H, h, y1, (y2 - y1) / h, maps)
        columns = _interpolation(W, w, x1, (x2 - x1) / w, maps)
        return rows @ maps @ columns.T

    def to_frame(self, maps: Tensor) -> Tensor:
        """Maps (…, H, W) of the photo, bilinearly resampled into the frame: (…, h, w); zero beyond the photo."""
        if self.is_identity:
            return maps
        (H, W), (h, w), (x1, y1, x2, y2) = self.photo, self.frame, self.box
        rows = _interpolation(h, H, -y1 * h / (y2 - y1), h / (y2 - y1), maps)
        columns = _interpolation(w, W, -x1 * w / (x2 - x1), w / (x2 - x1), maps)
        return rows @ maps @ columns.T

    def scaled(self, longest_side: int) -> "Placement":
        """The same placement on the photo reduced to at most ``longest_side`` pixels (never enlarged)."""
        H, W = self.photo
        scale = min(1.0, longest_side / max(H, W))
        if scale == 1.0:
            return self
        height, width = max(1, round(H * scale)), max(1, round(W * scale))
        sx, sy = width / W, height / H
        x1, y1, x2, y2 = self.box
        return replace(self, photo=(height, width), box=(x1 * sx, y1 * sy, x2 * sx, y2 * sy))


def _interpolation(target: int, source: int, offset: float, scale: float, like: Tensor) -> Tensor:
    """The (target, source) matrix of bilinear weights along one axis.

    Source pixel i covers [offset + i·scale, offset + (i+1)·scale] of the target's axis. Two separable matrices
    place a map exactly, to a fraction of a pixel, and cost far less memory than a sampling grid of a large photo.
    """
    centres = (torch.arange(target, dtype=torch.float64) + 0.5 - offset) / scale
    inside = (centres >= 0) & (centres <= source)
    position = (centres - 0.5).clamp(0, source - 1)
    low = position.floor().long().clamp(max=source - 1)
    high = (low + 1).clamp(max=source - 1)
    fraction = position - low
    weights = torch.zeros(target, source, dtype=torch.float64)
    rows = torch.arange(target)
    weights.index_put_((rows, low), (1 - fraction) * inside, accumulate=True)
    weights.index_put_((rows, high), fraction * inside, accumulate=True)
    return weights.to(like.dtype).to(like.device)  # made on the CPU: not every device has float64
