"""Synthesis that begins from a photo: deep dream and caricature; and ways from one objective to another."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.forward import run_pass, watch_for
from pellucid.explain.objectives import Asked, Objective, Pass, as_objective
from pellucid.explain.objectives import layer as whole_layer
from pellucid.explain.subject import Subject, untouched
from pellucid.explain.synthesis.ascent import OnStep, Synthesis, synthesize
from pellucid.explain.synthesis.transforms import Jitter, Pad, Rotate, Scale
from pellucid.structures import Photo, read_photo


def interpolate(first: Asked, last: Asked, number: int = 6) -> list[Objective]:
    """Objectives from one to another in equal steps, both ends among them: give the list to ``synthesize``.

    Raises PellucidError for fewer than two.
    """
    if number < 2:
        raise PellucidError(f"number={number}: a way from one objective to another has at least two ends")
    a, b = as_objective(first), as_objective(last)
    shares = [i / (number - 1) for i in range(number)]
    return [a if t == 0 else b if t == 1 else (1 - t) * a + t * b for t in shares]


def deep_dream(
    model: nn.Module,
    photo: Photo,
    objective: Asked | None = None,
    *,
    layer: str | None = None,
    size: int = 384,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 40,
    rate: float = 0.02,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Synthesis:
    """A photo in which a layer sees more and more of what it looks for (Mordvintsev et al. 2015).

    ``layer``: the layer whose activations are strengthened, all at once; or ``objective``: anything else to climb.
    ``size``: the longest side of the result in pixels. ``octaves``: how many sizes the photo is dreamt at, from small
    to large, each ``octave_scale`` times the one before; what was dreamt at one is carried to the next. ``steps``: at
    each size. ``options``: for ``synthesize``. Raises PellucidError as ``synthesize`` and ``read_photo`` do.
    """
    if (objective is None) == (layer is None):
        raise PellucidError("deep_dream: give a layer, or an objective")
    wanted = whole_layer(layer) if layer is not None else as_objective(objective)  # type: ignore[arg-type]
    if octaves < 1 or octave_scale <= 1:
        raise PellucidError(f"octaves={octaves}, octave_scale={octave_scale}: give at least 1 octave, a scale above 1")
    original = _as_float(photo)
    settings: dict[str, Any] = {"transforms": (Jitter(16), Scale(0.95, 1.05)), "parametrisation": "fourier"} | options
    made: Synthesis | None = None
    values = []
    for octave in range(octaves):
        side = max(32, round(size / octave_scale ** (octaves - 1 - octave)))
        height, width = _within(original, side)
        base = _resized(original, height, width)
        if made is not None:  # the photo's own detail at this size, with what was dreamt at the smaller one
            before = _resized(_resized(original, *made.images.shape[-2:]), height, width)
            base = (base + _resized(made.images[0], height, width) - before).clamp(0, 1)

        def say(step: int, value: Tensor, octave: int = octave) -> None:
            if on_step is not None:
                on_step(octave * steps + step, value)

        made = synthesize(
            model, wanted, steps=steps, size=(height, width), seed=seed, rate=rate, start=base, on_step=say, **settings
        )
        values.append(made.history)
    assert made is not None
    return Synthesis(made.images, made.values, torch.cat(values), made.objectives, made.snapshots)


def caricature(
    model: nn.Module,
    photo: Photo,
    layer: str,
    *,
    size: int = 224,
    cosine_power: float = 1,
    **options: Any,
) -> Synthesis:
    """What a layer sees in a photo, exaggerated: an image whose activation goes far in the photo's direction.

    Climbs dot · max(0.1, cos)^p, the dot product and the cosine of the two images' whole activations at the layer;
    ``cosine_power``: p. ``size``: pixels of the square that the photo's middle is brought to. ``options``: for
    ``synthesize``. Source: the caricatures of lucid's notebooks. Raises PellucidError as ``synthesize`` and
    ``read_photo`` do.
    """
    frame = _square(_as_float(photo), size)[None]
    preprocess = options.get("preprocess")
    gentle = (Pad(4), Jitter(8), Scale(0.97, 1.03), Rotate(2))
    options = {"transforms": gentle} | options
    subject = Subject.of_frames(model, frame)
    wanted = whole_layer(layer)
    with untouched(model), torch.no_grad():
        seen = watch_for(subject, [wanted])
        assert seen is not None
        x = subject.frame
        with seen:
            target = run_pass(subject, x if preprocess is None else preprocess(x), [wanted], seen).activations[layer]

    def value(forward: Pass) -> Tensor:
        now = forward.activations[layer]
        there = target if target.shape[1:] == now.shape[1:] else F.interpolate(target, now.shape[-2:])
        dot = (now * there).flatten(1).sum(1)
        cosine = dot / (now.flatten(1).norm(dim=1) * there.norm() + 1e-6)
        return dot * cosine.clamp(min=0.1) ** cosine_power / there[0].numel()

    return synthesize(model, Objective(f"caricature in {layer}", (layer,), False, value), size=size, **options)


def _as_float(photo: Photo) -> Tensor:
    image = read_photo(photo)
    return image if image.is_floating_point() else image.float() / 255


def _within(image: Tensor, side: int) -> tuple[int, int]:
    H, W = image.shape[-2:]
    return max(16, round(H * side / max(H, W))), max(16, round(W * side / max(H, W)))


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)


def _square(image: Tensor, size: int) -> Tensor:
    side = min(image.shape[-2:])
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    return _resized(image[:, top : top + side, left : left + side], size, size)
