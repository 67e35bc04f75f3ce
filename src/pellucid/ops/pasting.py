"""Masks of a box's own grid laid onto the image, and back: cut from the image into a box's grid."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.ops import pooling_cpu
from pellucid.structures.masks import Masks, as_pixels
from pellucid.structures.run_lengths import RunLengths


@dataclass(frozen=True)
class PasteConvention:
    """Where projects differ about laying a mask of M × M onto its box.

    ``whole``: the mask has a border of zeros, its box grows by (M + 2) / M, and is cut down to whole pixels, the last
    included; otherwise the mask is read at the centre of each pixel of the image, and fades to 0 beyond its edge.
    ``inclusive``: a pixel whose probability is the threshold belongs to the mask.
    """

    whole: bool
    inclusive: bool

    @classmethod
    def torchvision(cls) -> "PasteConvention":
        """Whole pixels; above the threshold."""
        return cls(whole=True, inclusive=False)

    @classmethod
    def detectron2(cls) -> "PasteConvention":
        """Centres of pixels; at the threshold or above."""
        return cls(whole=False, inclusive=True)


def paste_masks(probabilities: Tensor, boxes: Tensor, size: tuple[int, int], convention: PasteConvention) -> Tensor:
    """Masks (N, M, M) laid onto an image of ``size`` (H, W) at their boxes (N, 4), xyxy in pixels: float (N, H, W).

    Bilinear, 0 outside; differentiable for the probabilities. Raises PellucidError for other shapes, and on a CPU for
    boxes that are not finite. Source: He et al., 'Mask R-CNN', ICCV 2017, section 3.1.
    """
    _check(probabilities, boxes)
    wide = probabilities.to(torch.promote_types(probabilities.dtype, torch.float32))
    low, high, part, inside = _places(boxes.detach(), wide.shape[-1], size, convention)
    down = _matrix(low[1], high[1], part[1], inside[1], wide)
    across = _matrix(low[0], high[0], part[0], inside[0], wide)
    return (down @ wide @ across.mT).to(probabilities.dtype)


def pasted_masks(
    probabilities: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    convention: PasteConvention,
    threshold: float = 0.5,
) -> Masks:
    """The masks that ``paste_masks`` and a threshold give, as run lengths; only pixels of the boxes are looked at.

    Arguments and errors as ``paste_masks`` has them. Raises PellucidError where the threshold is not above 0.
    """
    from pellucid.ops.pasting_kernels import paste_runs

    _check(probabilities, boxes)
    if not threshold > 0:
        raise PellucidError(f"masks: threshold {threshold}; give one above 0, or every pixel outside a box is in it")
    wide = probabilities.detach().to("cpu", torch.float32).contiguous().numpy()
    places = _places(boxes.detach().cpu(), wide.shape[-1], size, convention)
    (x_low, y_low), (x_high, y_high), (x_part, y_part), (x_in, y_in) = [
        [side.numpy() for side in one] for one in places
    ]
    H, W = size
    made: list[RunLengths] = []
    runs, text = np.empty(H * W + 2, np.int64), np.empty(7 * (H * W + 2), np.uint8)
    for n in range(len(wide)):
        y, x = (y_low[n], y_high[n], y_part[n], y_in[n]), (x_low[n], x_high[n], x_part[n], x_in[n])
        length = paste_runs(wide[n], y, x, threshold, convention.inclusive, runs, text)
        made.append(RunLengths((H, W), text[:length].tobytes()))
    return Masks(made, (H, W))


def crop_masks(masks: Masks | Tensor, boxes: Tensor, indices: Tensor, side: int) -> Tensor:
    """What a mask head is to learn: of mask ``indices`` (R,) the part in each box (R, 4): float32 (R, side, side).

    ``masks``: of one image, ``Masks`` or bool (T, H, W). The mean of bilinear samples in each bin, 0 to 1, as RoIAlign
    has it with a value at the corner of its pixel and as many samples as a bin has pixels. On the boxes' device.
    Raises PellucidError for other shapes, boxes that are not finite, and a mask that is not there.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or indices.shape != boxes.shape[:1]:
        raise PellucidError(
            f"mask crops: boxes {tuple(boxes.shape)}, indices {tuple(indices.shape)}; give (R, 4) and (R,)"
        )
    if len(boxes) == 0:
        return boxes.new_zeros((0, side, side), dtype=torch.float32)
    placed, chosen = boxes.detach().to("cpu", torch.float32), indices.detach().cpu()
    if not bool(placed.isfinite().all()):
        row = int((~placed.isfinite()).any(1).nonzero()[0])
        raise PellucidError(f"mask crops: box {row} is {placed[row].tolist()}; leave out what is not finite")
    if int(chosen.min()) < 0 or int(chosen.max()) >= len(masks):
        raise PellucidError(f"mask crops: masks {int(chosen.min())} to {int(chosen.max())} wanted, of {len(masks)}")
    used, rows = torch.unique(chosen, return_inverse=True)
    if isinstance(masks, Tensor):
        planes = masks.detach()[used.to(masks.device)].cpu().numpy()
    else:
        planes = np.stack([as_pixels(masks[i]) for i in used.tolist()])
    planes = np.ascontiguousarray(planes.astype(bool, copy=False)).view(np.uint8)
    return pooling_cpu.crop(planes, placed, rows, (side, side)).to(boxes.device)


def _check(probabilities: Tensor, boxes: Tensor) -> None:
    N = len(probabilities)
    if probabilities.ndim != 3 or boxes.shape != (N, 4):
        raise PellucidError(
            f"masks of shape {tuple(probabilities.shape)} and boxes {tuple(boxes.shape)}; give (N, M, M) and (N, 4)"
        )
    if probabilities.shape[1] != probabilities.shape[2] or probabilities.shape[1] == 0:
        raise PellucidError(f"masks of {tuple(probabilities.shape[1:])} cells; give square ones")
    if boxes.device.type == "cpu" and not bool(boxes.isfinite().all()):
        row = int((~boxes.isfinite()).any(1).nonzero()[0])
        raise PellucidError(f"masks: box {row} is {boxes[row].tolist()}; leave out what is not finite")


def _places(
    boxes: Tensor, M: int, size: tuple[int, int], convention: PasteConvention
) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """Which cells each column, and each row, of the image reads: lower, upper, the upper's part, and whether any.

    Each (N, W) for columns and (N, H) for rows. A cell −1 or M is beyond the mask's edge, and 0.
    """
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
    low, high, part, inside = [], [], [], []
    for axis, length in ((0, size[1]), (1, size[0])):
        pixels = torch.arange(length, device=boxes.device)
        first, last = boxes[:, axis, None], boxes[:, axis + 2, None]
        if convention.whole:
            half, centre = (last - first) * 0.5 * ((M + 2) / M), (last + first) * 0.5
            begin, end = (centre - half).to(torch.int64), (centre + half).to(torch.int64)
            count = (end - begin + 1).clamp(min=1)
            # Rounded where torch's own resizing rounds: the scale (number / tensor would round twice), and the end.
            scale = (boxes.new_tensor(M + 2) / count).double()
            at = (scale * (pixels - begin + 0.5) - 0.5).to(boxes.dtype).clamp(0, M + 1) - 1
            within = (pixels >= begin) & (pixels <= end)
        else:
            at = (pixels + 0.5 - first) / (last - first) * M - 0.5
            within = (at > -1) & (at < M) & (last != first)
            at = torch.where(within, at, -1.0)
        floor = at.floor()
        low.append(floor.to(torch.int64))
        high.append((floor.to(torch.int64) + 1).clamp(max=M))
        part.append(at - floor)
        inside.append(within)
    return low, high, part, inside


def _matrix(low: Tensor, high: Tensor, part: Tensor, inside: Tensor, like: Tensor) -> Tensor:
    """The same as a matrix that reads the mask along one side: (N, length, M)."""
    N, length = low.shape
    M = like.shape[-1]
    made = like.new_zeros((N, length, M + 2))
    part = part.to(like.dtype)
    made.scatter_add_(2, (low + 1)[..., None], ((1 - part) * inside)[..., None])
    made.scatter_add_(2, (high + 1)[..., None], (part * inside)[..., None])
    return made[..., 1:-1]
