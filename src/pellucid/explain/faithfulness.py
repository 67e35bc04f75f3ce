"""Whether an explanation tells the truth about the network.

Deletion, insertion, randomisation, and agreement with a known region.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from pellucid.errors import PellucidError
from pellucid.explain.attribution import Explanation, explain_subject
from pellucid.explain.attribution.gradients import BATCH
from pellucid.explain.forward import followed, objective_values
from pellucid.explain.objectives import Asked, Objective, as_objective
from pellucid.explain.randomisation import RandomisationCheck, edges, likeness, randomised
from pellucid.explain.subject import Subject
from pellucid.structures import Photo

Report = Callable[[str], None]
"""Called with a few words at each step of a long check."""


@dataclass(frozen=True)
class Curve:
    """An objective's value as pixels are deleted or inserted in a map's order, the strongest first.

    ``shares``: the share of pixels done, 0 to 1. ``values``: a class's probability; for other objectives the value,
    scaled so that the whole image is 1 and the image with everything hidden 0.
    """

    shares: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def area(self) -> float:
        """The area under the curve by the trapezoid rule."""
        steps = zip(self.shares, self.shares[1:], self.values, self.values[1:], strict=False)
        return sum((b - a) * (u + v) / 2 for a, b, u, v in steps)


@dataclass(frozen=True)
class Faithfulness:
    """What the tests say of one map.

    ``deletion``: lower area is better; ``insertion``: higher is better (Petsiuk et al. 2018, section 4.1).
    ``random_deletion``, ``random_insertion``: the areas for pixels in random order. ``randomisation``: see
    :class:`RandomisationCheck`. ``pointing``: whether the map's strongest pixel lies in the true region (Zhang et al.
    2018), ``energy_inside``: the share of its positive sum there (Wang et al. 2020), None where no region was given.
    """

    method: str
    target: str
    deletion: Curve
    insertion: Curve
    random_deletion: float
    random_insertion: float
    randomisation: RandomisationCheck
    pointing: bool | None = None
    energy_inside: float | None = None

    @property
    def failures(self) -> list[str]:
        """In words, each test that the map fails; empty for a map that passes all."""
        return failure_words([self])

    @property
    def failures_in_short(self) -> str:
        """The failed tests' names; empty for a map that passes all."""
        names = ["randomisation"] if not self.randomisation.passes else []
        return ", ".join(names + (["no better than chance"] if self.no_better_than_chance else []))

    @property
    def no_better_than_chance(self) -> bool:
        """Whether both areas are no better than those of a random order."""
        return self.deletion.area >= self.random_deletion and self.insertion.area <= self.random_insertion

    def figures(self) -> dict[str, float | bool | list[str]]:
        """The figures by name, for JSON."""
        found: dict[str, float | bool | list[str]] = {
            "deletion": round(self.deletion.area, 4),
            "insertion": round(self.insertion.area, 4),
            "random_deletion": round(self.random_deletion, 4),
            "random_insertion": round(self.random_insertion, 4),
            "randomisation_kept": round(self.randomisation.kept, 4),
            "edges_similarity": round(self.randomisation.to_edges, 4),
            "passes": not self.failures,
            "failures": self.failures,
        }
        if self.pointing is not None and self.energy_inside is not None:
            found |= {"pointing": self.pointing, "energy_inside": round(self.energy_inside, 4)}
        return found


def failure_words(checks: Sequence[Faithfulness]) -> list[str]:
    """In words, what maps of one method fail, taken together."""
    words = []
    kept = [c.randomisation.kept for c in checks if not c.randomisation.passes]
    if kept:
        shares = list(dict.fromkeys((f"{min(kept):.0%}", f"{max(kept):.0%}")))
        words.append(
            f"keeps {' to '.join(shares)} of itself when the layers that decide are replaced by noise, "
            "so it shows the photo rather than what the network learned"
        )
    if any(c.no_better_than_chance for c in checks):
        words.append("orders the pixels no better than chance")
    return words


def deletion(
    model: nn.Module, photo: Photo, objective: Objective | str | int, explanation: Explanation, *, steps: int = 15
) -> Curve:
    """The objective as the map's strongest pixels are replaced by the image's mean colour, step by step."""
    return _curve(Subject(model, photo), as_objective(objective), _order(explanation), steps, insert=False)


def insertion(
    model: nn.Module, photo: Photo, objective: Objective | str | int, explanation: Explanation, *, steps: int = 15
) -> Curve:
    """The objective as the map's strongest pixels are put back into a blurred image, step by step."""
    return _curve(Subject(model, photo), as_objective(objective), _order(explanation), steps, insert=True)


def pointing_game(explanation: Explanation, truth: Tensor) -> bool:
    """Whether the strongest pixel of a map lies in a true region, a mask (H, W) of the photo."""
    inside = _region(explanation, truth)
    return bool(inside.flatten()[_of_one_image(explanation).argmax()])


def energy_inside(explanation: Explanation, truth: Tensor) -> float:
    """The share of a map's positive sum that lies in a true region, a mask (H, W) of the photo; 0 for an empty map."""
    strength = _of_one_image(explanation).clamp(min=0)
    total = float(strength.sum())
    return float(strength[_region(explanation, truth)].sum()) / total if total > 0 else 0.0


def check(
    model: nn.Module,
    photo: Photo,
    objectives: Sequence[Asked],
    explanations: Sequence[Explanation],
    *,
    truth: Tensor | None = None,
    steps: int = 15,
    stages: int = 4,
    seed: int = 0,
    report: Report | None = None,
) -> list[Faithfulness]:
    """Every test on every map of one photo, in the explanations' order.

    ``explanations``: maps of the given objectives. ``truth``: a mask (H, W) of the photo. ``steps``: points of the
    deletion and insertion curves. ``stages``: of the randomisation. The model is left bit-identical; randomisation
    works on a copy.
    """
    return check_subject(
        Subject(model, photo),
        objectives,
        explanations,
        truth=truth,
        steps=steps,
        stages=stages,
        seed=seed,
        report=report,
    )


def check_subject(
    subject: Subject,
    objectives: Sequence[Asked],
    explanations: Sequence[Explanation],
    *,
    truth: Tensor | None = None,
    steps: int = 15,
    stages: int = 4,
    seed: int = 0,
    report: Report | None = None,
) -> list[Faithfulness]:
    """As :func:`check`, on a photo that a subject has prepared already."""
    asked: dict[str, Objective] = {}
    for objective in map(as_objective, objectives):
        if str(objective) in asked:
            raise PellucidError(f"two objectives are called '{objective}'; give each a text of its own")
        asked[str(objective)] = objective
    for explanation in explanations:
        if explanation.target not in asked:
            raise PellucidError(f"a map of '{explanation.target}' can't be checked: it is none of the objectives")
    say = report or (lambda text: None)
    generator = torch.Generator().manual_seed(seed)
    h, w = subject.frame.shape[-2:]
    by_chance = torch.randperm(h * w, generator=generator)
    chance: dict[str, tuple[float, float]] = {}
    for name, objective in asked.items():
        say(f"random order, {name}")
        areas = [_curve(subject, objective, by_chance, steps, insert=insert).area for insert in (False, True)]
        chance[name] = (areas[0], areas[1])
    curves = []
    for explanation in explanations:
        say(f"deletion and insertion, {explanation.method}, {explanation.target}")
        order = _order(explanation)
        curves.append(
            [_curve(subject, asked[explanation.target], order, steps, insert=insert) for insert in (False, True)]
        )
    checks = _randomisation(subject, asked, explanations, stages, seed, say)
    return [
        Faithfulness(
            method=explanation.method,
            target=explanation.target,
            deletion=curve[0],
            insertion=curve[1],
            random_deletion=chance[explanation.target][0],
            random_insertion=chance[explanation.target][1],
            randomisation=checked,
            pointing=None if truth is None else pointing_game(explanation, truth),
            energy_inside=None if truth is None else energy_inside(explanation, truth),
        )
        for explanation, curve, checked in zip(explanations, curves, checks, strict=True)
    ]


def _cheaper(subject: Subject) -> dict[str, dict[str, Any]]:
    """Settings for the randomisation check, which compares like with like: few, fixed passes on both networks."""
    return {
        "rise": {"masks": 128},
        "d_rise": {"masks": 128},
        "occlusion": {"stride": max(1, min(subject.frame.shape[-2:]) // 7)},
        "smooth_grad": {"samples": 8},
        "integrated_gradients": {"steps": 8},
    }


def _randomisation(
    subject: Subject,
    asked: dict[str, Objective],
    explanations: Sequence[Explanation],
    stages: int,
    seed: int,
    say: Report,
) -> list[RandomisationCheck]:
    wanted: dict[tuple[str, str | None], list[str]] = {}
    for e in explanations:
        wanted.setdefault((e.method, e.layer), []).append(e.target)
    cheaper = _cheaper(subject)

    # noise has other detections, or none
    there = followed(subject, subject.frame[:1], list(asked.values()))

    def maps(of: Subject) -> dict[tuple[str, str | None, str], Tensor]:
        found = {}
        for (method, layer), targets in wanted.items():
            options = cheaper.get(method, {})
            for made in explain_subject(
                of, [o for o in there if str(o) in targets], method=method, layer=layer, **options
            ):
                found[method, layer, made.target] = made.strength()
        return found

    say("maps of the network as it is")
    original = maps(subject)
    shares: list[float] = []
    similarities: dict[tuple[str, str | None, str], list[float]] = {key: [] for key in original}
    for share, noise in randomised(subject, stages=stages, seed=seed):
        say(f"maps with {share:.0%} of the layers randomised")
        shares.append(share)
        for key, strength in maps(noise).items():
            similarities[key].append(likeness(original[key], strength))
    outline = edges(subject.frame)[0]
    return [
        RandomisationCheck(
            tuple(shares),
            tuple(similarities[e.method, e.layer, e.target]),
            likeness(original[e.method, e.layer, e.target], outline),
        )
        for e in explanations
    ]


def _of_one_image(explanation: Explanation) -> Tensor:
    """(h, w): a map's strength. Raises PellucidError for the maps of a batch."""
    strength = explanation.strength()
    if strength.ndim != 2:
        raise PellucidError(f"a map of shape {tuple(strength.shape)} can't be checked; check one image at a time")
    return strength


def _order(explanation: Explanation) -> Tensor:
    """Pixel indices (h·w,), strongest first; equal ones in reading order."""
    return _of_one_image(explanation).flatten().argsort(descending=True, stable=True).cpu()


def _curve(subject: Subject, objective: Objective, order: Tensor, steps: int, *, insert: bool) -> Curve:
    if steps < 1:
        raise PellucidError(f"steps={steps}: give at least 1")
    image = subject.frame[:1]
    (objective,) = followed(subject, image, [objective])
    h, w = image.shape[-2:]
    if len(order) != h * w:
        raise PellucidError(
            f"the map has {len(order)} pixels, the network's frame {w}×{h}; explain and check the same photo"
        )
    hidden = _blurred(image) if insert else image.mean((2, 3), keepdim=True).expand_as(image)
    rank = torch.empty(h * w, dtype=torch.long)
    rank[order] = torch.arange(h * w)
    done = (torch.arange(steps + 1) * (h * w) / steps).round()
    changed = (rank.view(1, 1, h, w) < done.view(-1, 1, 1, 1)).to(image.device)
    values: list[float] = []
    for some in changed.split(BATCH):
        shown = some if insert else ~some
        batch = torch.where(shown, image, hidden)
        values += objective_values(subject, batch, [objective], probabilities=True)[:, 0].tolist()
    if objective.probability is None:  # no natural scale: whole image 1, all hidden 0
        whole, none = (values[-1], values[0]) if insert else (values[0], values[-1])
        span = whole - none
        values = [(v - none) / span if span else 0.0 for v in values]
    return Curve(tuple((done / (h * w)).tolist()), tuple(values))


def _blurred(image: Tensor) -> Tensor:
    side = min(image.shape[-2:])
    kernel = min(51, side - 1 + side % 2)
    return gaussian_blur(image, [kernel, kernel], [kernel / 5, kernel / 5]) if kernel >= 3 else image


def _region(explanation: Explanation, truth: Tensor) -> Tensor:
    """A photo's mask in the map's frame, as bool. Raises PellucidError for a mask of another size."""
    truth = torch.as_tensor(truth)
    if tuple(truth.shape) != explanation.placement.photo:
        H, W = explanation.placement.photo
        raise PellucidError(
            f"the truth mask is {'×'.join(str(s) for s in reversed(truth.shape))}, the photo {W}×{H}; they must agree"
        )
    return explanation.placement.to_frame(truth.to(explanation.frame_map)) >= 0.5
