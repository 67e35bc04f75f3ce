"""A first test of maps at the price of a few passes: is less left without a map's strongest pixels than by chance?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.attribution import Explanation
from pellucid.explain.curves import ChangedImages, strongest_first
from pellucid.explain.objectives import Asked
from pellucid.explain.regions import named_objectives, place_in_frame
from pellucid.explain.subject import Subject

SHARES = (0.1, 0.25, 0.5)


@dataclass(frozen=True)
class QuickTest:
    """What is left of an objective once a map's strongest pixels are deleted, and once as many random ones are.

    ``shares``: how many pixels were deleted, as shares of the object's box (of the frame, without a box). ``values``:
    the objective then, as a probability where it has one. ``by_chance``: the same for random pixels of the box.
    ``whole``: on the photo as it is.
    """

    method: str
    target: str
    shares: tuple[float, ...]
    values: tuple[float, ...]
    by_chance: tuple[float, ...]
    whole: float

    @property
    def passes(self) -> bool:
        """Whether less is left than by chance, in the mean of the shares."""
        return sum(self.values) < sum(self.by_chance)

    def figures(self) -> dict[str, float | bool | list[float]]:
        """The figures by name, for JSON."""
        return {
            "shares": list(self.shares),
            "left": [round(value, 4) for value in self.values],
            "left_by_chance": [round(value, 4) for value in self.by_chance],
            "whole": round(self.whole, 4),
            "passes": self.passes,
        }


def quick_test(
    subject: Subject,
    objectives: Sequence[Asked],
    explanations: Sequence[Explanation],
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> list[QuickTest]:
    """Deletes few pixels by each map and by chance, and looks what is left: in the explanations' order.

    An object is judged by its own size: a share s deletes s times as many pixels as its box has, wherever in the frame
    the map is strongest, and by chance that share of the box's own pixels. Random pixels of the whole frame, as the
    deletion curve has them, hardly touch a small object, so that any map that merely finds it would seem faithful.
    Chance hides pixels in the boxes of all objects at once, so that all share its passes: one for each share, and one
    for each share and map. On a photo of which the subject keeps what the model says nothing else is run. For an
    objective of no object the whole frame counts as the box.

    Raises PellucidError for shares that are not above 0 and up to 1, and as ``check`` does.
    """
    asked = named_objectives(objectives, explanations)
    if not shares or not all(0 < share <= 1 for share in shares):
        raise PellucidError(f"quick test at shares {list(shares)}: give some above 0 and up to 1")
    changed = ChangedImages(subject, list(asked.values()))
    numbers = {name: number for number, name in enumerate(asked)}
    wanted = torch.tensor(shares).view(-1, 1, 1, 1)

    places = {name: place_in_frame(subject, objective) for name, objective in asked.items()}
    everywhere = torch.ones(changed.frame.shape[-2:], dtype=torch.bool)
    drawn = torch.rand(everywhere.shape, generator=torch.Generator().manual_seed(seed))
    chance: dict[str, Tensor] = {}
    for of_objects in (True, False):
        names = [name for name, place in places.items() if (place is not None) == of_objects]
        if names:
            anywhere = torch.stack([_or(places[name], everywhere) for name in names]).any(0)
            hidden = (drawn < wanted) & anywhere
            values = changed.read([numbers[name] for name in names], ~hidden, insert=False)
            chance |= dict(zip(names, values.T, strict=True))

    left: dict[int, Tensor] = {}
    for name, number in numbers.items():
        own = [(i, e) for i, e in enumerate(explanations) if e.target == name]
        if own:
            count = (wanted * _or(places[name], everywhere).sum()).round().clamp(min=1)
            ranks = [changed.rank(strongest_first(e)) for _, e in own]
            found = changed.read([number], torch.cat([rank >= count for rank in ranks]), insert=False)
            left |= dict(zip((i for i, _ in own), found[:, 0].split(len(shares)), strict=True))
    whole = changed.whole()
    return [
        QuickTest(
            method=explanation.method,
            target=explanation.target,
            shares=tuple(float(share) for share in shares),
            values=tuple(left[i].tolist()),
            by_chance=tuple(chance[explanation.target].tolist()),
            whole=float(whole[numbers[explanation.target]]),
        )
        for i, explanation in enumerate(explanations)
    ]


def _or(place: Tensor | None, everywhere: Tensor) -> Tensor:
    return everywhere if place is None else place
