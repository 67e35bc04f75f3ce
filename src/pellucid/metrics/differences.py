"""Why two protocols give the same predictions different figures: the difference split into its causes."""

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pellucid.errors import PellucidError
from pellucid.metrics.detection.averaging import NO_LIMIT
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.metrics.detection.matching import Matches
from pellucid.metrics.detection.protocol import Figure, Protocol
from pellucid.structures import ObjectColumns

CAUSES: dict[str, tuple[str, ...]] = {
    "averaging over thresholds": ("thresholds",),
    "the +1 of pixels": ("inclusive",),
    "which truth a detection may take": ("matching", "later_wins", "small_boxes", "generalised"),
    "difficult, crowd and groups": ("difficult", "crowd", "groups"),
    "classes verified, negative or above others": ("hierarchy", "verified", "federated"),
    "limits and empty boxes": ("limits", "per_image", "empty"),
    "interpolation": ("interpolation", "epsilon"),
}
"""What two protocols may differ in, each with the fields of ``Protocol`` that say so."""

STATES = ("wrong", "right", "ignored", "not counted")


@dataclass(frozen=True)
class Deciding:
    """A detection that counts differently: image, place in it, class, score, box (x1, y1, x2, y2), before and after."""

    image: str
    number: int
    label: str
    score: float
    box: tuple[float, float, float, float]
    before: str
    after: str


@dataclass(frozen=True)
class Cause:
    """One cause: its share of the difference, what it would do alone, and the detections that it decides.

    ``effect``: its Shapley value, the mean of what it does over all orders in which the causes could be exchanged; the
    effects of all causes add up to the difference. ``alone``: the first protocol with this exchanged, less the first.
    ``changed``: how many detections count differently then, at the lowest threshold; ``detections``: the first of them
    by score.
    """

    name: str
    first: str
    second: str
    effect: float
    alone: float
    changed: int
    detections: list[Deciding] = field(repr=False)


@dataclass(frozen=True)
class Differences:
    """Two figures of the same predictions, and the causes of their difference, the largest first."""

    first: str
    second: str
    figure: str
    values: tuple[float, float]
    causes: list[Cause]

    @property
    def difference(self) -> float:
        """The second less the first."""
        return self.values[1] - self.values[0]

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""

        def plain(value: float) -> float | None:
            return None if math.isnan(value) else value

        return {
            "protocols": [self.first, self.second],
            "figure": self.figure,
            "values": [plain(value) for value in self.values],
            "difference": plain(self.difference),
            "causes": [
                {
                    "name": cause.name,
                    "first": cause.first,
                    "second": cause.second,
                    "effect": plain(cause.effect),
                    "alone": plain(cause.alone),
                    "changed": cause.changed,
                    "detections": [vars(one) | {"box": list(one.box)} for one in cause.detections],
                }
                for cause in self.causes
            ],
        }


def differences(
    truths: ObjectColumns,
    predictions: ObjectColumns,
    first: Protocol,
    second: Protocol,
    *,
    examples: int = 5,
) -> Differences:
    """Splits the difference between the main figures of two protocols on the same predictions into its causes.

    The main figure is the mean average precision over all thresholds and classes. ``examples``: how many deciding
    detections to name for each cause. Every combination of the causes is scored, two to the power of their number.
    Raises PellucidError for protocols that compare different things, such as boxes and masks.
    """
    if first.geometry != second.geometry:
        raise PellucidError(
            f"{first.name} compares {first.geometry}, {second.name} {second.geometry}; choose two of one kind"
        )
    mixing = _Mixing(truths, predictions, first, second)
    causes = [name for name, keys in CAUSES.items() if any(getattr(first, k) != getattr(second, k) for k in keys)]
    values = {
        chosen: mixing.value(chosen)
        for size in range(len(causes) + 1)
        for chosen in map(frozenset, itertools.combinations(causes, size))
    }
    start, end = values[frozenset()], values[frozenset(causes)]
    before = mixing.matches(frozenset())
    made = []
    for name in causes:
        others = [c for c in causes if c != name]
        effect = math.fsum(
            _weight(len(chosen), len(causes)) * (values[chosen | {name}] - values[chosen])
            for size in range(len(causes))
            for chosen in map(frozenset, itertools.combinations(others, size))
        )
        changed = _changed(before, mixing.matches(frozenset({name})), truths.classes.names)
        made.append(
            Cause(
                name,
                *_words(first, second, CAUSES[name]),
                effect,
                values[frozenset({name})] - start,
                len(changed),
                changed[:examples],
            )
        )
    made.sort(key=lambda cause: -abs(cause.effect))
    return Differences(first.name, second.name, "mean average precision", (start, end), made)


def _weight(before: int, count: int) -> float:
    """In how large a share of all orders exactly these stand before one."""
    return math.factorial(before) * math.factorial(count - before - 1) / math.factorial(count)


class _Mixing:
    """Scores the predictions by protocols that take some causes from the one, and the others from the other."""

    def __init__(self, truths: ObjectColumns, predictions: ObjectColumns, first: Protocol, second: Protocol) -> None:
        self.truths, self.predictions, self.first, self.second = truths, predictions, first, second
        self._fed: dict[tuple[Any, ...], DetectionEvaluator] = {}

    def matches(self, causes: frozenset[str]) -> Matches:
        """What becomes of the detections when some causes are the second protocol's."""
        rules = self.rules(causes)
        # Truths and detections are gathered anew only where that depends on what was exchanged.
        key = tuple(getattr(rules, name) for name in _GATHERED)
        if key not in self._fed:
            self._fed[key] = DetectionEvaluator(self.truths.classes, rules)
            self._fed[key].add_columns(self.truths, self.predictions)
        return self._fed[key].matches(protocol=rules)

    def value(self, causes: frozenset[str]) -> float:
        """The mean average precision then."""
        from pellucid.metrics.detection.averaging import averages, figure_of

        matches = self.matches(causes)
        return figure_of(matches.protocol.figures[0], matches.protocol, averages(matches))

    def rules(self, causes: frozenset[str]) -> Protocol:
        """The mixed protocol; areas are left out, since the main figure has none."""
        fields = {key: getattr(self.second, key) for name in causes for key in CAUSES[name]}
        limit = (fields.get("limits") or self.first.limits)[-1]
        return replace(
            self.first,
            name="mixed",
            figures=(Figure("AP", "AP", limit=limit),),
            areas={"all": (0.0, math.inf)},
            **(fields | {"limits": (limit,)}),
        )


_GATHERED = ("difficult", "crowd", "groups", "hierarchy", "verified", "federated", "per_image", "empty")


def _words(first: Protocol, second: Protocol, keys: tuple[str, ...]) -> tuple[str, str]:
    """What each of two protocols says of a cause, where they differ."""
    said = [(_word(key, getattr(first, key)), _word(key, getattr(second, key))) for key in keys]
    differing = [pair for pair in said if pair[0] != pair[1]]
    one, other = ("; ".join(pair[side] for pair in differing if pair[side]) for side in (0, 1))
    return one or "no such rule", other or "no such rule"


def _word(key: str, value: Any) -> str:
    if key == "thresholds":
        return f"{value[0]:g}" if len(value) == 1 else f"{value[0]:g} to {value[-1]:g}, the mean of {len(value)}"
    if key == "limits":
        return "no limit" if value[-1] is None else f"the best {value[-1]:,} of an image and class"
    if key == "per_image":
        return "" if value is None else f"the best {value} of an image"
    if key == "epsilon":
        return ""
    if key == "empty":
        return f"empty boxes {'kept' if value == 'keep' else 'dropped'}"
    if key in ("difficult", "crowd", "groups"):
        return f"{key} {value}"
    if key == "matching":
        return {"best free": "the best of the free", "best": "the best, taken or not", "own threshold":
                "the best of the free that ask for no more"}[value]  # fmt: skip
    names = {
        "inclusive": ("x2 − x1", "x2 − x1 + 1"),
        "later_wins": ("the first of equals", "the last of equals"),
        "small_boxes": ("", "less asked of small ones"),
        "generalised": ("", "GIoU"),
        "hierarchy": ("no hierarchy", "truths copied upwards"),
        "verified": ("all detections", "verified classes alone"),
        "federated": ("", "annotated or negative classes alone"),
    }
    return names[key][bool(value)] if key in names else str(value)


def _changed(before: Matches, after: Matches, names: tuple[str, ...]) -> list[Deciding]:
    """The detections that count differently, by falling score."""
    found = [_states(matches) for matches in (before, after)]
    made = []
    for key in found[0].keys() | found[1].keys():
        (old, row_old), (new, row_new) = (found[i].get(key, (3, -1)) for i in (0, 1))
        if old != new:
            matches, row = (before, row_old) if row_old >= 0 else (after, row_new)
            x, y, w, h = matches.part.detections.boxes[row].tolist()
            label = int(matches.part.detections.labels[row])
            score = float(matches.part.detections.scores[row])
            made.append(Deciding(key[0], key[1], names[label], score, (x, y, x + w, y + h), STATES[old], STATES[new]))
    return sorted(made, key=lambda one: (-one.score, one.image, one.number))


def _states(matches: Matches) -> dict[tuple[str, int], tuple[int, int]]:
    """The state of each detection at the lowest threshold, and its row, by image and place in it."""
    limit = matches.protocol.limit or NO_LIMIT
    lowest = int(np.argmin(matches.protocol.thresholds))
    rows = matches.rows[matches.ranks < limit]
    states = matches.states[matches.ranks < limit, 0, lowest].tolist()
    images = matches.images[matches.ranks < limit].tolist()
    numbers = matches.part.detections.numbers[rows].tolist()
    names = matches.part.names
    return {
        (names[image], number): (state, row)
        for image, number, state, row in zip(images, numbers, states, rows.tolist(), strict=True)
    }
