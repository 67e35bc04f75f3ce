"""Gradients of many objects at once, where a model judges its candidates one by one.

Such a candidate's score depends on its own features alone, so that one way back, from the sum of all scores, gives the
gradient of each: the cost of a hundred is about that of one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.explain.forward import checked_gradient, finite_values, run_pass
from pellucid.explain.objectives import Objective, Pass
from pellucid.explain.subject import Subject, untouched
from pellucid.structures.trace import Part, Patch, Trace


def is_separate(subject: Subject, objectives: Sequence[Objective]) -> bool:
    """Whether each objective reads a single candidate of one photo, by a model that judges candidates by themselves."""
    parts: tuple[Part, ...] = getattr(subject.model, "separate_parts", ())
    return len(subject.frame) == 1 and all(
        o.leaf is not None and o.leaf.alone and o.leaf.part in parts for o in objectives
    )


def separate_gradients(subject: Subject, objectives: Sequence[Objective]) -> list[Patch]:
    """Each objective's gradient where its candidate read a feature map; see ``is_separate``. By one forward pass.

    Raises PellucidError where the network gives NaN or infinity.
    """
    patches: dict[int, Patch] = {}
    with untouched(subject.model), torch.no_grad():
        forward = run_pass(subject, subject.frame, objectives, None)
        trace: Trace = forward.predictions[0].trace
        for objective in objectives:
            objective(forward)  # what is wrong with it is said before anything is made of it
        leaves = [o.leaf for o in objectives if o.leaf is not None]
        rows = [leaf.row_of(trace) for leaf in leaves]
        for part in dict.fromkeys(leaf.part for leaf in leaves):
            mine = [i for i, leaf in enumerate(leaves) if leaf.part == part]
            own = [rows[i] for i in mine]
            read = _of_part(forward, trace, part, own, [objectives[i] for i in mine])
            patches |= dict(zip(mine, trace.patches(part, own, *read), strict=True))
    return [patches[i] for i in range(len(objectives))]


def _of_part(
    forward: Pass, trace: Trace, part: Part, rows: Sequence[int], objectives: Sequence[Objective]
) -> tuple[Tensor, Tensor]:
    """The features (T, …) of the objectives' candidates, and each objective's gradient there."""
    there = list(dict.fromkeys(rows))
    places = [there.index(row) for row in rows]
    with torch.enable_grad(), trace.opened(part, there) as leaf:
        values = [finite_values(objective, forward) for objective in objectives]
        found = leaf.new_zeros(len(objectives), *leaf.shape[1:])
        # objectives of one candidate have a turn each: their gradients would be added up
        for turn in _turns(rows):
            each = [values[i] for i in turn]
            (gradient,) = torch.autograd.grad(each, leaf, [torch.ones_like(one) for one in each], retain_graph=True)
            gradient = checked_gradient(gradient, objectives[turn[0]], "its features")
            found[turn] = gradient[[places[i] for i in turn]]
    return leaf.detach()[places], found


def _turns(rows: Sequence[int]) -> list[list[int]]:
    """Which objectives go together, none of them of the same row."""
    turns: list[dict[int, int]] = []
    for i, row in enumerate(rows):
        free = next((turn for turn in turns if row not in turn), None)
        if free is None:
            free = {}
            turns.append(free)
        free[row] = i
    return [list(turn.values()) for turn in turns]
