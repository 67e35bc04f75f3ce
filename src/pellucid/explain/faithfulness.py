"""Whether an explanation tells the truth about the network.

Deletion, insertion, randomisation, and agreement with a known region.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from pellucid.explain.attribution import Explanation
from pellucid.explain.curves import ChangedImages, Curve, by_chance, strongest_first
from pellucid.explain.objectives import Asked, as_objective
from pellucid.explain.randomisation import RandomisationCheck, Report, randomisation_checks
from pellucid.explain.regions import Truth, energy_inside, named_objectives, place_in_frame, pointing_game, regions_of
from pellucid.explain.subject import Subject
from pellucid.structures import Photo


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

    @property
    def better_than_chance(self) -> bool:
        """Whether both areas are better than those of a random order."""
        return self.deletion.area < self.random_deletion and self.insertion.area > self.random_insertion

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


def deletion(model: nn.Module, photo: Photo, objective: Asked, explanation: Explanation, *, steps: int = 15) -> Curve:
    """The objective as the map's strongest pixels are replaced by the image's mean colour, step by step."""
    return _curve(model, photo, objective, explanation, steps, insert=False)


def insertion(model: nn.Module, photo: Photo, objective: Asked, explanation: Explanation, *, steps: int = 15) -> Curve:
    """The objective as the map's strongest pixels are put back into a blurred image, step by step."""
    return _curve(model, photo, objective, explanation, steps, insert=True)


def _curve(
    model: nn.Module, photo: Photo, asked: Asked, explanation: Explanation, steps: int, *, insert: bool
) -> Curve:
    objective = as_objective(asked)
    order = strongest_first(explanation)
    return ChangedImages(Subject(model, photo), [objective]).curve(str(objective), order, steps, insert=insert)


def check(
    model: nn.Module,
    photo: Photo,
    objectives: Sequence[Asked],
    explanations: Sequence[Explanation],
    *,
    truth: Truth | None = None,
    steps: int = 15,
    stages: int = 4,
    seed: int = 0,
    report: Report | None = None,
) -> list[Faithfulness]:
    """Every test on every map of one photo, in the explanations' order.

    ``explanations``: maps of the given objectives. ``truth``: a mask (H, W) of the photo, or one for each
    objective by its text. ``steps``: of the deletion and insertion curves. ``stages``: of the randomisation. Deletion
    and insertion cost 2 · (``steps`` − 1) passes a map, and as many once for the random order, which all objectives
    share. The model is left bit-identical; randomisation works on a copy.

    Raises PellucidError for a map of none of the objectives, for a truth of another size than the photo's, and for two
    objectives of one text.
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
    truth: Truth | None = None,
    steps: int = 15,
    stages: int = 4,
    seed: int = 0,
    report: Report | None = None,
) -> list[Faithfulness]:
    """As :func:`check`, on a photo that a subject has prepared already."""
    asked = named_objectives(objectives, explanations)
    regions = regions_of(truth, asked)
    say = report or (lambda text: None)
    found = {name: place_in_frame(subject, objective) for name, objective in asked.items()}
    places = {name: place for name, place in found.items() if place is not None}
    changed = ChangedImages(subject, list(asked.values()))
    order = by_chance(changed.frame, seed)
    say("random order")
    chance = [changed.curves(order, steps, insert=insert) for insert in (False, True)]
    curves = []
    for explanation in explanations:
        say(f"deletion and insertion, {explanation.method}, {explanation.target}")
        order = strongest_first(explanation)
        curves.append([changed.curve(explanation.target, order, steps, insert=insert) for insert in (False, True)])
    checks = randomisation_checks(
        subject, changed.objectives, explanations, places=places, stages=stages, seed=seed, report=say
    )
    return [
        Faithfulness(
            method=explanation.method,
            target=explanation.target,
            deletion=curve[0],
            insertion=curve[1],
            random_deletion=chance[0][explanation.target].area,
            random_insertion=chance[1][explanation.target].area,
            randomisation=checked,
            pointing=None if region is None else pointing_game(explanation, region),
            energy_inside=None if region is None else energy_inside(explanation, region),
        )
        for explanation, curve, checked in zip(explanations, curves, checks, strict=True)
        for region in [regions.get(explanation.target)]
    ]
