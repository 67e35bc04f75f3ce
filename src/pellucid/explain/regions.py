"""Regions of a photo, and maps' agreement with them; and which objectives a set of maps is of."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.attribution import Explanation
from pellucid.explain.curves import strength_of_one
from pellucid.explain.objectives import Asked, Objective, as_objective
from pellucid.explain.subject import Subject

Truth = Tensor | Mapping[str, Tensor]
"""Where the evidence should be, masks (H, W) of the photo: one for all objectives, or one each by their texts."""


def pointing_game(explanation: Explanation, truth: Tensor) -> bool:
    """Whether the strongest pixel of a map lies in a true region, a mask (H, W) of the photo."""
    inside = in_frame(explanation, truth)
    return bool(inside.flatten()[strength_of_one(explanation).argmax()])


def energy_inside(explanation: Explanation, truth: Tensor) -> float:
    """The share of a map's positive sum that lies in a true region, a mask (H, W) of the photo; 0 for an empty map."""
    strength = strength_of_one(explanation).clamp(min=0)
    total = float(strength.sum())
    return float(strength[in_frame(explanation, truth)].sum()) / total if total > 0 else 0.0


def in_frame(explanation: Explanation, truth: Tensor) -> Tensor:
    """A photo's mask (H, W) in the map's frame, bool (h, w). Raises PellucidError for a mask of another size."""
    truth = torch.as_tensor(truth)
    if tuple(truth.shape) != explanation.placement.photo:
        H, W = explanation.placement.photo
        raise PellucidError(
            f"the truth mask is {'×'.join(str(s) for s in reversed(truth.shape))}, the photo {W}×{H}; they must agree"
        )
    return explanation.placement.to_frame(truth.to(explanation.frame_map)) >= 0.5


def box_region(box: Sequence[float], size: tuple[int, int]) -> Tensor:
    """Bool (H, W): the pixels of a photo whose middles lie in a box, xyxy."""
    x1, y1, x2, y2 = (float(value) for value in box)
    rows, columns = (torch.arange(length) + 0.5 for length in size)
    return ((rows > y1) & (rows < y2))[:, None] & ((columns > x1) & (columns < x2))


def place_in_frame(subject: Subject, objective: Objective) -> Tensor | None:
    """Bool (h, w): the box, in the network's frame, of the object that an objective means; None for one of no object.

    The first call runs the model once, and the subject keeps what it says.
    """
    if objective.leaf is None:
        return None
    trace = subject.keep()[0].trace
    if trace is None:
        return None
    row = objective.leaf.candidate(trace)
    box = trace.boxes_of(int(trace.scores[row].argmax()))[row]
    placement = subject.placements[0]
    inside = placement.to_frame(box_region(box.tolist(), placement.photo).float()) >= 0.5
    return inside if bool(inside.any()) else None


def named_objectives(objectives: Sequence[Asked], explanations: Sequence[Explanation]) -> dict[str, Objective]:
    """The objectives by their texts. Raises PellucidError for two of one text, and for a map of none of them."""
    asked: dict[str, Objective] = {}
    for objective in map(as_objective, objectives):
        if str(objective) in asked:
            raise PellucidError(f"two objectives are called '{objective}'; give each a text of its own")
        asked[str(objective)] = objective
    for explanation in explanations:
        if explanation.target not in asked:
            raise PellucidError(f"a map of '{explanation.target}' can't be checked: it is none of the objectives")
    return asked


def regions_of(truth: Truth | None, asked: Mapping[str, Objective]) -> Mapping[str, Tensor]:
    """The true region of each objective that has one. Raises PellucidError for one of none of the objectives."""
    if truth is None:
        return {}
    if not isinstance(truth, Mapping):
        return dict.fromkeys(asked, truth)
    for name in truth:
        if name not in asked:
            raise PellucidError(f"a truth for '{name}': it is none of the objectives ({', '.join(asked)})")
    return truth
