"""Attribution by hiding parts of the image and watching the objective: no gradients, any network.

Every function shares each forward pass between all objectives, and returns for each one map (N, h, w) of the frame.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.attribution.gradients import BATCH
from pellucid.explain.forward import followed, likenesses, objective_values
from pellucid.explain.objectives import Objective
from pellucid.explain.subject import Subject

Progress = Callable[[int, int], None]
"""Called with (done, total) forward passes of a long method."""

Asked = Callable[[Subject, Tensor, Sequence[Objective]], list[Objective]]
"""What is asked of changed copies of an image, in place of objectives."""


def occlusion(
    subject: Subject,
    objectives: Sequence[Objective],
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: float | None = None,
    progress: Progress | None = None,
) -> list[Tensor]:
    """How far the objective falls when a square is covered: (N, h, w), signed (Zeiler & Fergus 2014, section 4.2).

    Each pixel has the mean fall over the windows that cover it. ``window``: side in frame pixels (a seventh of the
    shorter side by default); ``stride``: step between windows (half a window); ``fill``: what covers (the image's mean
    colour by default).
    """
    h, w = subject.frame.shape[-2:]
    window = window or max(1, min(h, w) // 7)
    stride = stride or max(1, window // 2)
    if not (1 <= window <= min(h, w) and stride >= 1):
        raise PellucidError(
            f"occlusion window {window}, stride {stride}: the window must fit the {w}×{h} frame, "
            f"the stride be at least 1"
        )
    corners = [(y, x) for y in _starts(h, window, stride) for x in _starts(w, window, stride)]
    kept = torch.ones(len(corners), 1, h, w, device=subject.frame.device, dtype=torch.bool)
    for i, (y, x) in enumerate(corners):
        kept[i, :, y : y + window, x : x + window] = False
    coverage = (~kept).sum((0, 1)).clamp(min=1)
    maps = []
    for image, asked, values in _each_image(subject, objectives, kept, fill, progress, probabilities=False):
        whole = objective_values(subject, image, asked)  # (1, K)
        falls = (whole - values).T  # (K, windows)
        maps.append(torch.einsum("km,myx->kyx", falls, (~kept[:, 0]).to(falls)) / coverage)
    return list(torch.stack(maps, 1))


def rise(
    subject: Subject,
    objectives: Sequence[Objective],
    *,
    masks: int = 2000,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Tensor]:
    """How much higher the objective is when a pixel is kept, over random smooth masks.

    (N, h, w), signed (Petsiuk et al. 2018, section 3).

    A class's objective is its probability, as in the paper. The map is E[S | pixel kept] − E[S]; the paper's differs
    from it by a constant and by the masks' uneven coverage. ``masks``: forward passes (the paper: 4000 to 8000).
    ``cells``: coarse cells a side. ``keep``: probability that a cell is kept. What is hidden becomes zero, after the
    mean colour is subtracted: the mean colour.
    """
    return _rise(subject, objectives, followed, masks, cells, keep, seed, progress)


def d_rise(
    subject: Subject,
    objectives: Sequence[Objective],
    *,
    masks: int = 1000,
    cells: int = 16,
    keep: float = 0.5,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Tensor]:
    """How much more like itself an object is reported when a pixel is kept, over random smooth masks.

    (N, h, w), signed (Petsiuk et al. 2021, section 3), for detections and missed objects. A detector is a black box:
    of a masked image that object counts that is most like the one explained, by IoU × the cosine of the classes'
    probabilities. ``masks``: forward passes (the paper: 5000). The rest as ``rise`` has it.
    """
    return _rise(subject, objectives, likenesses, masks, cells, keep, seed, progress)


def _rise(
    subject: Subject,
    objectives: Sequence[Objective],
    asked_of: Asked,
    masks: int,
    cells: int,
    keep: float,
    seed: int,
    progress: Progress | None,
) -> list[Tensor]:
    if masks < 1 or cells < 1 or not 0 < keep < 1:
        raise PellucidError(
            f"rise with masks={masks}, cells={cells}, keep={keep}: masks and cells at least 1, keep between 0 and 1"
        )
    drawn = _RiseMasks(masks, cells, keep, (subject.frame.shape[-2], subject.frame.shape[-1]), seed)
    maps = []
    for _, _, values in _each_image(subject, objectives, drawn, None, progress, probabilities=True, asked_of=asked_of):
        weighted = values.new_zeros(values.shape[1], *subject.frame.shape[-2:])
        coverage = torch.zeros_like(weighted[0])
        for start in range(0, masks, BATCH):
            some = drawn[start : start + BATCH][:, 0].to(values)
            weighted += torch.einsum("mk,myx->kyx", values[start : start + BATCH], some)
            coverage += some.sum(0)
        maps.append(weighted / coverage.clamp(min=1e-6) - values.mean(0)[:, None, None])
    return list(torch.stack(maps, 1))


class _RiseMasks:
    """Random cells, upsampled bilinearly one cell larger than the frame, cut at a random offset.

    Of ``masks`` of them any slice (M, 1, h, w) in [0, 1]; cut when asked for, since all together may not fit.
    """

    def __init__(self, masks: int, cells: int, keep: float, size: tuple[int, int], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.size = size
        self.cell = (-(-size[0] // cells), -(-size[1] // cells))
        self.coarse = (torch.rand(masks, 1, cells, cells, generator=generator) < keep).float()
        self.tops = torch.randint(0, self.cell[0], (masks,), generator=generator).tolist()
        self.lefts = torch.randint(0, self.cell[1], (masks,), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.coarse)

    def __getitem__(self, rows: slice) -> Tensor:
        (h, w), (cell_h, cell_w) = self.size, self.cell
        cells = self.coarse.shape[-1]
        coarse = self.coarse[rows]
        cut = torch.empty(len(coarse), 1, h, w)
        for i, (own, top, left) in enumerate(zip(coarse, self.tops[rows], self.lefts[rows], strict=True)):
            large = F.interpolate(
                own[None], ((cells + 1) * cell_h, (cells + 1) * cell_w), mode="bilinear", align_corners=False
            )
            cut[i] = large[0, :, top : top + h, left : left + w]
        return cut


def _each_image(
    subject: Subject,
    objectives: Sequence[Objective],
    kept: Tensor | _RiseMasks,
    fill: float | None,
    progress: Progress | None,
    *,
    probabilities: bool,
    asked_of: Asked = followed,
) -> Iterator[tuple[Tensor, list[Objective], Tensor]]:
    """For each image of the subject: itself (1, 3, h, w), the objectives, which follow their objects, and their values
    (M, K) on its masked copies.
    """
    n, m = len(subject.frame), len(kept)
    for i, image in enumerate(subject.frame.split(1)):
        cover = image.mean((2, 3), keepdim=True) if fill is None else torch.full_like(image[..., :1, :1], fill)
        values = []
        asked = asked_of(subject, image, objectives)
        for start in range(0, m, BATCH):
            mask = kept[start : start + BATCH].to(image)
            values.append(objective_values(subject, cover + (image - cover) * mask, asked, probabilities=probabilities))
            if progress is not None:
                progress(i * m + min(start + BATCH, m), n * m)
        yield image, asked, torch.cat(values)


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along one axis, the last one flush with the end."""
    starts = list(range(0, length - window + 1, stride))
    if starts[-1] != length - window:
        starts.append(length - window)
    return starts
