"""Activation maximisation: an image climbed step by step to where an objective is high."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pellucid.errors import PellucidError, nearest
from pellucid.explain.forward import run_pass, watch_for
from pellucid.explain.frozen import FrozenNormalisation, channels_last
from pellucid.explain.objectives import Asked, Objective, Pass, as_objective
from pellucid.explain.rectifiers import RectifierRule
from pellucid.explain.subject import Subject, untouched
from pellucid.explain.synthesis.crops import Crops
from pellucid.explain.synthesis.diversity import similarity
from pellucid.explain.synthesis.parametrisations import Fourier, Maco, Parametrisation, Pixels, sample_magnitude
from pellucid.explain.synthesis.regularisers import check_weights, penalty
from pellucid.explain.synthesis.transforms import STANDARD, Transform, Warp
from pellucid.files import written_whole

PARAMETRISATIONS = ("fourier", "pixels", "maco")
LARGEST_SIZE = 4096

OnStep = Callable[[int, Tensor], object]


@dataclass(frozen=True)
class Synthesis:
    """Images made for an objective.

    ``images``: (N, 3, H, W) float32 in [0, 1]. ``values``: (N,) the objective on the images as they are. ``history``:
    (steps, N) the objective at every step, on the images as they were moved for it. ``snapshots``: the images after the
    steps asked for, by step. ``objectives``: what each image was made for, in words.
    """

    images: Tensor
    values: Tensor
    history: Tensor
    objectives: tuple[str, ...]
    snapshots: dict[int, Tensor] = field(default_factory=dict)

    def save(self, directory: str | Path, stem: str) -> list[Path]:
        """Writes every image as ``DIRECTORY/STEM.png`` (``STEM-1.png`` … for several); returns the paths."""
        names = [stem] if len(self.images) == 1 else [f"{stem}-{i + 1}" for i in range(len(self.images))]
        paths = [Path(directory) / f"{name}.png" for name in names]
        for path, image in zip(paths, self.images, strict=True):
            with written_whole(path) as temporary:
                Image.fromarray(as_pixels(image)).save(temporary)
        return paths


def as_pixels(image: Tensor) -> np.ndarray:
    """An image (3, H, W) in [0, 1] as uint8 (H, W, 3)."""
    return (image.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def synthesize(
    model: nn.Module,
    objective: Asked | Sequence[Asked],
    *,
    steps: int | None = None,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    number: int = 1,
    diversity: float = 0.0,
    parametrisation: str = "fourier",
    decorrelate: bool = True,
    transforms: Sequence[Transform] | Crops | None = None,
    regularise: Mapping[str, float] | None = None,
    rate: float | None = None,
    start: Tensor | None = None,
    redirected_steps: int = 16,
    snapshots: Sequence[int] = (),
    preprocess: Callable[[Tensor], Tensor] | None = None,
    optimiser: Callable[[list[Tensor]], torch.optim.Optimizer] | None = None,
    on_step: OnStep | None = None,
) -> Synthesis:
    """Images that make an objective high, by gradient ascent from noise.

    ``objective``: an Objective, a class, or a function of one image's predictions; a list of them makes an image each,
    in one batch. ``steps``: 512 by default (MACO: 256). ``size``: pixels a side, or (height, width); 128 by default
    (MACO: 512). ``number``: how many images of one objective. ``diversity``: how much they shall differ: the weight of
    their similarity in style (``similarity``, at the objective's first layer), in units of the objective's value.
    ``parametrisation``: 'fourier', 'pixels' or 'maco'. ``decorrelate``: optimise decorrelated colour. ``transforms``:
    what moves the images before each step, ``STANDARD`` by default (MACO: 32 crops). ``regularise``: weights of 'tv',
    'l1', 'l2', 'blur'. ``rate``: the learning rate, 0.05 by default (MACO: 1). ``start``: images (3, H, W) or
    (N, 3, H, W) in [0, 1] to begin with. ``redirected_steps``: for so many first steps a rectifier that lets no
    gradient through at all is given one (see ``rectifiers``). ``snapshots``: steps whose images are kept.
    ``preprocess``: what a bare module wants done to images in [0, 1], normalisation most often (Pellucid's models do it
    themselves). ``optimiser``: from the parameters to another optimiser than Adam (MACO: NAdam). ``on_step``: called
    after every step with its number, from 1, and the values (N,).

    The same seed gives the same images on the same machine; image n begins from ``seed + n``. The forward pass stops at
    the objective's layers. Source: Erhan et al. 2009; Olah et al. 2017; MACO: Fel et al. 2023. Raises PellucidError for
    an unknown layer, channel, class, parametrisation or regulariser, for a size that the network cannot take, and where
    the values become NaN.
    """
    maco = parametrisation == "maco"
    objectives = _objectives(objective, number)
    height, width = _checked_size(size if size is not None else 512 if maco else 128)
    steps = _checked_steps(steps, 256 if maco else 512, snapshots)
    weights = dict(regularise or {})
    check_weights(weights)
    target = _Target(objectives, diversity)
    subject = Subject.of_frames(model, torch.zeros(len(objectives), 3, height, width))

    generators = [torch.Generator().manual_seed(seed + n) for n in range(len(objectives))]
    made = _parametrisation(parametrisation, generators, height, width, decorrelate, start, subject.frame.device)
    view = _View(
        transforms if transforms is not None else Crops() if maco else STANDARD, height, width, steps, generators
    )
    climb = _optimiser(optimiser, [made.parameter], rate if rate is not None else 1.0 if maco else 0.05, maco)
    history = torch.empty(steps, len(objectives))
    kept: dict[int, Tensor] = {}

    def values_of(images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.to(subject.frame.dtype)
        x = x if preprocess is None else preprocess(x)
        x = x.contiguous(memory_format=torch.channels_last)  # a tenth faster, even for one image
        return target(run_pass(subject, x, objectives, seen), len(objectives))

    with untouched(model), channels_last(subject.network), FrozenNormalisation(), torch.enable_grad():
        seen = watch_for(subject, [*objectives, *target.more])
        with seen or nullcontext():
            for step in range(steps):
                images = made.images()
                rule = RectifierRule("redirected") if step < redirected_steps else nullcontext()
                with rule, _sized(height, width) if step == 0 else nullcontext():
                    values, reward = values_of(view(images, step))
                loss = (penalty(images, weights) if weights else 0.0) - reward
                history[step] = values.detach().cpu()
                _check(history[step], reward, objectives, step)
                (made.parameter.grad,) = torch.autograd.grad(loss.sum(), made.parameter)
                climb.step()
                if step + 1 in snapshots:
                    kept[step + 1] = made.images().detach().float().cpu()
                if on_step is not None:
                    on_step(step + 1, history[step])
            with torch.no_grad():
                images = made.images()
                values, _ = values_of(images)
    return Synthesis(images.detach().float().cpu(), values.float().cpu(), history, tuple(map(str, objectives)), kept)


class _Target:
    """What is climbed: each image's objective, less its similarity with the others."""

    def __init__(self, objectives: Sequence[Objective], diversity: float) -> None:
        self.objectives = objectives
        self.weight = diversity
        self.shared = all(objective is objectives[0] for objective in objectives)
        self.more: list[Objective] = []
        if diversity and len(objectives) > 1:
            if not self.shared:
                raise PellucidError("diversity is between images of one objective; give one objective and number=")
            layers = objectives[0].layers
            if not layers:
                raise PellucidError(
                    f"diversity: '{objectives[0]}' reads no layer whose styles could differ; add one, or subtract "
                    "similarity(layer) yourself"
                )
            self.more = [similarity(layers[0])]

    def __call__(self, forward: Pass, images: int) -> tuple[Tensor, Tensor]:
        """(N,) the objectives' values, and (N,) what the ascent shall raise; views of one image are averaged."""
        if self.shared:
            values = self.objectives[0](forward)
        else:
            parts = forward.split(len(forward.frame) // images)
            values = torch.cat([o(part) for o, part in zip(self.objectives, parts, strict=True)])
        reward = values
        for objective in self.more:
            # In units of the value: a layer's activations may be of any size, and the ascent follows only the ratio.
            reward = reward - self.weight * values.detach().abs().mean() * objective(forward)
        return values.unflatten(0, (images, -1)).mean(1), reward.unflatten(0, (images, -1)).mean(1)


class _View:
    """Moves the images for each step, every image in its own way, drawn beforehand from its own generator."""

    def __init__(
        self,
        transforms: Sequence[Transform] | Crops,
        height: int,
        width: int,
        steps: int,
        generators: list[torch.Generator],
    ) -> None:
        self.steps = steps
        self.generators = generators
        self.crops = transforms if isinstance(transforms, Crops) else None
        self.warp = Warp((), height, width) if isinstance(transforms, Crops) else Warp(transforms, height, width)
        self.random = torch.stack([self.warp.draws(generator, steps) for generator in generators], 1)

    def __call__(self, images: Tensor, step: int) -> Tensor:
        if self.crops is not None:
            return self.crops(images, step / max(1, self.steps - 1), self.generators)
        return self.warp(images, self.random[step])


def _objectives(given: Asked | Sequence[Asked], number: int) -> list[Objective]:
    if number < 1:
        raise PellucidError(f"number={number}: make at least one image")
    if isinstance(given, (list, tuple)):
        if not given:
            raise PellucidError("synthesize: the list of objectives is empty; give at least one")
        if number != 1:
            raise PellucidError(
                f"number={number}: with a list of objectives each has one image; repeat them in the list"
            )
        return [as_objective(one) for one in given]
    return [as_objective(given)] * number  # type: ignore[arg-type]


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if not 8 <= min(height, width) <= max(height, width) <= LARGEST_SIZE:
        raise PellucidError(f"size {width}×{height}: give 8 to {LARGEST_SIZE} pixels a side")
    return height, width


def _checked_steps(steps: int | None, default: int, snapshots: Sequence[int]) -> int:
    steps = default if steps is None else steps
    if steps < 1:
        raise PellucidError(f"steps={steps}: take at least one step")
    outside = [step for step in snapshots if not 1 <= step <= steps]
    if outside:
        raise PellucidError(f"snapshot at step {outside[0]}: the steps are 1 to {steps}")
    return steps


def _parametrisation(
    name: str,
    generators: list[torch.Generator],
    height: int,
    width: int,
    decorrelate: bool,
    start: Tensor | None,
    device: torch.device,
) -> Parametrisation:
    if name not in PARAMETRISATIONS:
        raise PellucidError(
            f"unknown parametrisation '{name}'{nearest(name, PARAMETRISATIONS)}; take {', '.join(PARAMETRISATIONS)}"
        )
    kinds: dict[str, type[Pixels] | type[Fourier] | type[Maco]] = {"pixels": Pixels, "fourier": Fourier, "maco": Maco}
    kind = kinds[name]
    shape = kind.noise_shape(height, width)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(device)
    if start is not None:
        start = start.detach().to(device, torch.float32)
        if start.shape[-3:] != (3, height, width) or start.ndim not in (3, 4):
            raise PellucidError(f"start: has shape {tuple(start.shape)}; this size wants (3, {height}, {width})")
        start = start.expand(len(generators), 3, height, width)
    if kind is Maco:
        return Maco(noise, height, width, sample_magnitude(height, width), start)
    if kind is Fourier:
        return Fourier(noise, height, width, decorrelate=decorrelate, start=start)
    return Pixels(noise, decorrelate=decorrelate, start=start)


def _optimiser(
    given: Callable[[list[Tensor]], torch.optim.Optimizer] | None, parameters: list[Tensor], rate: float, maco: bool
) -> torch.optim.Optimizer:
    if given is not None:
        return given(parameters)
    if not 0 < rate < float("inf"):
        raise PellucidError(f"rate={rate}: give a learning rate above 0")
    return torch.optim.NAdam(parameters, lr=rate) if maco else torch.optim.Adam(parameters, lr=rate)


def _check(values: Tensor, reward: Tensor, objectives: Sequence[Objective], step: int) -> None:
    if not reward.requires_grad:
        raise PellucidError(f"'{objectives[0]}' does not depend on the image: no gradient reaches it")
    if not torch.isfinite(values).all():
        bad = int((~torch.isfinite(values)).nonzero()[0])
        raise PellucidError(
            f"'{objectives[bad]}' became NaN or infinite at step {step + 1}; lower the rate, or check the weights"
        )


@contextmanager
def _sized(height: int, width: int) -> Iterator[None]:
    """What a network says against images of a size that it was not made for, in one line."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PellucidError(
            f"the network cannot take images of {width}×{height} pixels ({reason}); give the size it was trained at"
        ) from error
