"""Soft-NMS of 2,000 boxes on one thread. Claim: at most 5 ms, ≥ 10 × the paper's algorithm in plain numpy.

2,000 boxes around 150 objects in an image of 1333 × 800, as a detector proposes them. The last line is the hardest
case: boxes that all overlap, so that every pair counts. Results are compared before they are timed.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.ops.suppression import SoftMethod, batched_soft_nms, soft_nms

from common import print_ratios, setup, timed

BOXES, OBJECTS, ROUNDS = 2_000, 150, 15


def plain(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], method: SoftMethod, limit: float, least: float = 0.001
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Figure 2 of the paper (Bodla et al., ICCV 2017), a numpy line for each of its own."""
    left, now = np.arange(len(boxes)), scores.copy()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(left) and now[left].max() >= least:
        best = left[now[left].argmax()]
        kept.append(best)
        left = left[left != best]
        sides = np.minimum(boxes[left, 2:], boxes[best, 2:]) - np.maximum(boxes[left, :2], boxes[best, :2])
        shared = np.maximum(sides, 0).prod(1)
        iou = shared / (areas[left] + areas[best] - shared)
        now[left] *= np.exp(-(iou**2) / limit) if method == "gaussian" else np.where(iou >= limit, 1 - iou, 1)
        left = left[now[left] >= least]
    return np.array(kept), now[kept]


def made_up(objects: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """BOXES boxes xyxy around some objects, and scores that are higher where a box is nearer to its own."""
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(16), np.log(400), (objects, 2)))
    corner = rng.random((objects, 2)) * np.maximum((1333, 800) - sides, 1)
    truth = np.concatenate((corner, corner + sides), 1)[rng.integers(objects, size=BOXES)]
    shift = rng.normal(size=(BOXES, 4)) * 0.12
    boxes = truth + shift * np.tile(truth[:, 2:] - truth[:, :2], 2)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    scores = np.exp(-4 * np.abs(shift).sum(1)) * rng.uniform(0.5, 1, BOXES)
    return torch.from_numpy(boxes).float(), torch.from_numpy(scores).float()


def main() -> None:
    """Times both methods on one image, eighty classes apart, and the hardest case."""
    setup()
    torch.set_num_threads(1)
    boxes, scores = made_up(OBJECTS)
    exact = boxes.double().numpy(), scores.double().numpy()
    for method, limit in (("linear", 0.3), ("gaussian", 0.5)):
        name: SoftMethod = "linear" if method == "linear" else "gaussian"
        kept, new = soft_nms(boxes, scores, name)
        theirs, lowered = plain(*exact, name, limit)
        assert np.allclose(new.numpy(), lowered, atol=1e-7), "the two do not agree"
        assert (kept.numpy() == theirs).all(), "the two do not agree"
        seconds = timed(
            {
                "pellucid": lambda name=name: soft_nms(boxes, scores, name),  # type: ignore[misc]
                "plain numpy": lambda name=name, limit=limit: plain(*exact, name, limit),  # type: ignore[misc]
            },
            ROUNDS,
        )
        title = f"{method}: {BOXES} boxes, {len(kept)} kept; best of {ROUNDS}: {min(seconds['pellucid']) * 1e3:.2f} ms"
        print_ratios(title, seconds, "pellucid")
    groups = torch.randint(80, (BOXES,), generator=torch.Generator().manual_seed(0))
    pile, even = made_up(1)[0], torch.linspace(1, 0.5, BOXES)
    cases = {
        "80 classes": lambda: batched_soft_nms(boxes, scores, groups),
        "one pile, gaussian, nothing dropped": lambda: soft_nms(pile, even, "gaussian", score_threshold=0.0),
    }
    for name_of, seconds_of in timed(cases, ROUNDS).items():
        print(f"\n{name_of}: best of {ROUNDS}: {min(seconds_of) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
