"""The activation grid: every position of a layer as an image of what its activation stands for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.blocks.reading import Reading, fine_layer, read_layer
from pellucid.explain.objectives import Objective, direction
from pellucid.explain.subject import Subject, untouched
from pellucid.explain.synthesis import synthesize
from pellucid.explain.synthesis.parametrisations import Fourier
from pellucid.explain.synthesis.transforms import Jitter, Pad, Rotate, Scale, Transform
from pellucid.explain.watching import watch
from pellucid.structures import Photo, Placement

CELL = 64
STEPS = 96
CELLS = 14
COSINE_POWER = 2.0
BATCH = 28
_LIKE = 0.9999
"""The cosine from which on two directions are the same."""
_START = 20.0
"""How much stronger than an image's own noise is the one that all images begin with."""

OnImages = Callable[[float, int], object]
"""Called after every step with how many images' worth of work is done, and how many images there are."""


@dataclass(frozen=True)
class ActivationGrid:
    """A layer seen position by position.

    ``images``: (rows, columns, 3, s, s) float32 in [0, 1], each made for the direction of the activation there; grey
    where the layer is zero. ``magnitudes``: (rows, columns) the activation's length there. ``pooled``: whether the
    layer's own grid was finer. ``placement``: where the frame that the grid covers lies on the photo.
    """

    layer: str
    images: Tensor
    magnitudes: Tensor
    pooled: bool
    placement: Placement


def activation_grid(
    model: nn.Module,
    photo: Photo,
    layer: str | None = None,
    *,
    size: int | None = None,
    steps: int = STEPS,
    cells: int = CELLS,
    cosine_power: float = COSINE_POWER,
    batch: int | None = None,
    seed: int = 0,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    on_step: OnImages | None = None,
) -> ActivationGrid:
    """What a layer sees at each of its positions: one image a position, synthesised for the activation vector there.

    ``layer``: a layer's name; by default the last stage with at least 10 × 10 positions or so (see
    ``blocks.reading.fine_layer``). ``size``: pixels a side of an image, by default 64, or the size of the
    network's input where it takes no other. ``cells``: the most rows and columns; a finer grid is averaged.
    ``cosine_power``: see ``explain.direction``. ``batch``: images made at once. ``preprocess``: what a bare module
    wants done to images in [0, 1]. All images begin with the same noise, so that like directions look alike, and
    positions of one direction share an image. The cost is rows × columns × steps: about 5 ms of CPU for each step of
    each image of the embedded network.

    Source: Olah et al. 2018, "What does the network see?". Raises PellucidError for an unknown layer, a layer without
    positions, and a size that the network cannot take.
    """
    subject = Subject(model, photo)
    reading = read_layer(subject, layer or fine_layer(subject))
    return grid_of(
        model,
        reading,
        size=size or workable_size(subject, reading.layer, CELL),
        steps=steps,
        cells=cells,
        cosine_power=cosine_power,
        batch=batch,
        seed=seed,
        preprocess=preprocess,
        on_step=on_step,
    )


def grid_of(
    model: nn.Module,
    reading: Reading,
    *,
    size: int | tuple[int, int] = CELL,
    steps: int = STEPS,
    cells: int = CELLS,
    cosine_power: float = COSINE_POWER,
    batch: int | None = None,
    seed: int = 0,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    on_step: OnImages | None = None,
) -> ActivationGrid:
    """As :func:`activation_grid`, of a layer that was read already."""
    pooled = coarsened(reading.activation.float(), cells)
    rows, columns = pooled.shape[1:]
    vectors = pooled.flatten(1).T
    magnitudes = vectors.norm(dim=1)
    own, which = distinct(vectors)
    images = feature_images(
        model,
        [direction(reading.layer, vectors[i] / magnitudes[i], cosine_power=cosine_power) for i in own],
        size=size,
        steps=steps,
        batch=batch,
        seed=seed,
        preprocess=preprocess,
        on_step=on_step,
    )
    grey = torch.full_like(images[:1], 0.5) if len(images) else torch.full((1, 3, *_sides(size)), 0.5)
    return ActivationGrid(
        layer=reading.layer,
        images=torch.cat([images, grey])[which].unflatten(0, (rows, columns)),
        magnitudes=magnitudes.view(rows, columns),
        pooled=pooled.shape != reading.activation.shape,
        placement=reading.placement,
    )


def coarsened(grid: Tensor, cells: int) -> Tensor:
    """A grid (C, h, w) averaged to at most ``cells`` rows and columns, its aspect kept."""
    if cells < 1:
        raise PellucidError(f"a grid of {cells} cells a side; give at least 1")
    h, w = grid.shape[1:]
    factor = max(h, w) / cells
    if factor <= 1:
        return grid
    return F.adaptive_avg_pool2d(grid, (max(1, round(h / factor)), max(1, round(w / factor))))


def distinct(vectors: Tensor) -> tuple[list[int], Tensor]:
    """Which vectors (P, C) have a direction of their own, and for each of the P its place among these.

    A zero vector has none: its place is −1.
    """
    lengths = vectors.norm(dim=1)
    units = vectors / lengths.where(lengths > 0, 1)[:, None]
    alike = units @ units.T > _LIKE
    own: list[int] = []
    which = torch.full((len(vectors),), -1)
    for i in range(len(vectors)):
        if lengths[i] == 0:
            continue
        place = next((place for place, first in enumerate(own) if alike[i, first]), None)
        if place is None:
            place = len(own)
            own.append(i)
        which[i] = place
    return own, which


def feature_images(
    model: nn.Module,
    objectives: Sequence[Objective],
    *,
    size: int | tuple[int, int] = CELL,
    steps: int = STEPS,
    batch: int | None = None,
    seed: int = 0,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    on_step: OnImages | None = None,
) -> Tensor:
    """(N, 3, s, s) float32 in [0, 1]: small images for many objectives, made in batches, all from the same noise."""
    height, width = _sides(size)
    if not objectives:
        return torch.empty(0, 3, height, width)
    generator = torch.Generator().manual_seed(seed)
    noise = _START * torch.randn(1, *Fourier.noise_shape(height, width), generator=generator)
    start = Fourier(noise, height, width).images().detach()[0]
    each = batch or _batch(model)
    made = []
    for first in range(0, len(objectives), each):
        some = list(objectives[first : first + each])

        def after(step: int, _: Tensor, first: int = first, count: int = len(some)) -> None:
            if on_step is not None:
                on_step(first + count * step / steps, len(objectives))

        made.append(
            synthesize(
                model,
                some,
                steps=steps,
                size=size,
                seed=seed + first,
                transforms=fitting_transforms(min(height, width)),
                start=start,
                preprocess=preprocess,
                on_step=after,
            ).images
        )
    return torch.cat(made)


def fitting_transforms(size: int) -> tuple[Transform, ...]:
    """Transforms for images of a size: gentle for small ones, and what comes out has the images' own size."""
    small = size < 96
    pad = max(1, size // 16 if small else size * 3 // 32)
    spread, degrees = (0.05, 5) if small else (0.15, 10)
    return Pad(pad), Jitter(pad + pad // 3), Scale(1 - spread, 1 + spread), Rotate(degrees), Jitter(pad - pad // 3)


def workable_size(subject: Subject, layer: str, size: int) -> int | tuple[int, int]:
    """``size``, or (height, width) of the network's own input where a layer cannot be reached with images of ``size``.

    Networks of one size (position embeddings, most often) take no other.
    """
    small = subject.frame.new_zeros(1, 3, size, size)
    try:
        with untouched(subject.model), torch.no_grad(), watch(subject.network, [layer]) as seen:
            seen(small, through=subject.run)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, ValueError):
        return subject.frame.shape[-2], subject.frame.shape[-1]
    return size


def _sides(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _batch(model: nn.Module) -> int:
    """Images made at once: few enough for a processor's cache, more where an accelerator would wait."""
    parameter = next(model.parameters(), None)
    return BATCH if parameter is None or parameter.device.type == "cpu" else 2 * BATCH
