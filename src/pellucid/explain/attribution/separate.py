"""Gradients of many objects at once, where a model judges its candidates one by one.

Such a candidate's score depends on its own features alone, so that one way back, from the sum of all scores, gives the
gradient of each: the cost of a hundred is about that of one.
"""

from collections.abc import Sequence

import torch

from pellucid.explain.forward import checked_gradient, finite_values, run_pass
from pellucid.explain.objectives import Objective, Pass
from pellucid.explain.subject import Subject, untouched
from pellucid.explain.watching import watch
from pellucid.structures.trace import Part, Patch, Trace


def is_separate(subject: Subject, objectives: Sequence[Objective]) -> bool:
    """Whether each objective reads a single candidate of one photo, by a model that judges candidates by themselves."""
    leaves = _leaves(subject)
    return len(subject.frame) == 1 and all(o.leaf is not None and o.leaf.part in leaves for o in objectives)


def separate_gradients(subject: Subject, objectives: Sequence[Objective]) -> list[Patch]:
    """Each objective's gradient where its candidate read a feature map; see ``is_separate``.

    A pass for each part of an object that is asked for (class, mask, keypoints). Raises PellucidError where the network
    gives NaN or infinity.
    """
    parts = [o.leaf.part for o in objectives if o.leaf is not None]
    patches: dict[int, Patch] = {}
    for part in dict.fromkeys(parts):
        mine = [i for i, own in enumerate(parts) if own == part]
        patches |= dict(zip(mine, _of_part(subject, part, [objectives[i] for i in mine]), strict=True))
    return [patches[i] for i in range(len(objectives))]


def _of_part(subject: Subject, part: Part, objectives: Sequence[Objective]) -> list[Patch]:
    leaf = _leaves(subject)[part]
    with untouched(subject.model), torch.no_grad():
        with watch(subject.network, [leaf], gradients_from=leaf) as seen:
            forward = run_pass(subject, subject.frame, objectives, seen)
            with torch.enable_grad():
                values = [finite_values(objective, forward) for objective in objectives]
        trace = _trace(forward)
        rows = [objective.leaf.row_of(trace) for objective in objectives]  # type: ignore[union-attr]
        source = forward.activations[leaf]
        places = torch.tensor(trace.leaf_rows(part, rows), device=source.device)
        found = source.new_zeros(len(objectives), *source.shape[1:])
        # objectives of one candidate have a turn each: their gradients would be added up
        for turn in _turns(rows):
            each = [values[i] for i in turn]
            (gradient,) = torch.autograd.grad(each, source, [torch.ones_like(one) for one in each], retain_graph=True)
            found[turn] = checked_gradient(gradient[places[turn]], objectives[turn[0]], f"layer '{leaf}'")
        return trace.patches(part, rows, found)


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


def _leaves(subject: Subject) -> dict[Part, str]:
    leaves: dict[Part, str] = getattr(subject.model, "leaves", {})
    return leaves


def _trace(forward: Pass) -> Trace:
    trace: Trace = forward.predictions[0].trace
    return trace
