"""Why a model made its errors: the objectives of a photo's cases, their maps, and what tests say of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from pellucid.explain import METHODS, Explanation, Objective, detection, missed
from pellucid.explain.attribution import explain_subject
from pellucid.explain.quick_test import QuickTest, quick_test
from pellucid.explain.regions import box_region, energy_inside, pointing_game
from pellucid.explain.subject import Subject
from pellucid.report.html.choosing import Chosen
from pellucid.report.html.content import Box, Explained
from pellucid.report.html.pictures import Window
from pellucid.structures import Annotations
from pellucid.structures.trace import Trace

_HIDDEN = (0.25,)
"""Such a share of a box's pixels is hidden, to see whether a map is right about what matters."""


@dataclass(frozen=True)
class Reason:
    """What an explanation adds to a case: its map, its test, the steps of its way back, and whose box suppressed it."""

    explanation: Explanation | None = None
    test: QuickTest | None = None
    way: tuple[tuple[str, str], ...] = ()
    by: tuple[Box, int, float] | None = None


def reasons_of(
    model: nn.Module, photo: Tensor, cases: Sequence[Chosen], method: str, own: Sequence[int | None]
) -> list[Reason]:
    """Of each case of one photo why the model said, or did not say, what it is about; all by one forward pass.

    ``own``: for each class of the data which of the model's it is, None without.
    """
    subject = Subject(model, photo)
    said = subject.keep()[0]
    trace = said.trace
    numbers = _own_numbers(said, own)
    objectives: list[Objective | None] = [_objective(one, numbers, own) for one in cases]
    there = [o for o in objectives if o is not None]
    unique = list({str(o): o for o in there}.values())
    every = explain_subject(subject, unique, method=method) if unique else []
    maps = {e.target: e for e in every}
    tests = {test.target: test for test in quick_test(subject, unique, every, shares=_HIDDEN)} if unique else {}
    made = []
    for one, objective in zip(cases, objectives, strict=True):
        target = str(objective)
        way: tuple[tuple[str, str], ...] = ()
        by = None
        if trace is not None and one.number is not None:
            way = tuple((step.name, step.text) for step in trace.origin(numbers[one.number]))
        if trace is not None and one.fate is not None and one.fate.by is not None:
            by = _detection(trace, one.fate.by)
        made.append(Reason(maps.get(target), tests.get(target), way, by))
    return made


def _own_numbers(said: Annotations, own: Sequence[int | None]) -> list[int]:
    """The model's number of each detection, in the order of those whose class the data have."""
    known = {label for label in own if label is not None}
    labels = said.instances.labels.tolist() if said.instances is not None else []
    return [number for number, label in enumerate(labels) if label in known]


def _objective(one: Chosen, numbers: Sequence[int], own: Sequence[int | None]) -> Objective | None:
    if one.number is not None:
        return detection(numbers[one.number])
    label = own[one.label]
    x1, y1, x2, y2 = one.box
    return missed(one.box, label) if label is not None and x2 > x1 and y2 > y1 else None


def _detection(trace: Trace, number: int) -> tuple[Box, int, float]:
    row, label = int(trace.rows[number]), int(trace.labels[number])
    x1, y1, x2, y2 = trace.boxes_of(label)[row].detach().tolist()
    return (x1, y1, x2, y2), label, float(trace.scores[row, label].detach())


def explained(reason: Reason, one: Chosen, window: Window, name: str) -> Explained | None:
    """A case's map over its picture, with what its tests say."""
    explanation = reason.explanation
    if explanation is None:
        return None
    inside = box_region(one.box, explanation.placement.photo)
    where = "the annotated box" if one.gallery == "missed" else "the box"
    tests = {
        f"the map inside {where}": f"{energy_inside(explanation, inside):.0%}",
        "its strongest point": "inside" if pointing_game(explanation, inside) else "outside",
    }
    if reason.test is not None:
        tests["the score now"] = f"{reason.test.whole:.2f}"
        for share, left, chance in zip(reason.test.shares, reason.test.values, reason.test.by_chance, strict=True):
            tests[f"with its strongest {share:.0%} hidden"] = f"{left:.2f}; at random {chance:.2f}"
    passes = reason.test.passes if reason.test is not None else None
    of = f"what speaks for {name} here" if one.gallery == "missed" else f"the score of {name}"
    return Explained(METHODS[explanation.method].title, window.heat(explanation), of, tests, passes)
