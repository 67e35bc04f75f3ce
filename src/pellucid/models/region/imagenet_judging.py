"""How sure ``rcnn-imagenet`` is of a box, by its looks and its neighbours; and which boxes explain others away."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.models.region.selection import class_log_odds

OF_BEST = 0.5
"""What is less sure than this share of the photo's best is left out."""

COVERED = 0.5
COVERED_OF_CLASS = 0.2
"""A box of which a better one covers more than this share goes; the second where both are of one class."""

_SMALL_IS_DOUBTFUL = 0.1
_PREFER_LARGE = 0.25
_TINY = 1e-6
_LEAST_SUPPORT = 1e-12


@dataclass(frozen=True)
class Looks:
    """What the closer looks say of N boxes, log-probabilities (N, K): with little context, with more, and with the box
    painted over.
    """

    tight: Tensor
    loose: Tensor
    outside: Tensor

    @property
    def inside(self) -> Tensor:
        """(N, K): the mean of both looks at the box."""
        return (self.tight + self.loose) / 2

    def __getitem__(self, rows: Tensor) -> "Looks":
        return Looks(self.tight[rows], self.loose[rows], self.outside[rows])


@dataclass(frozen=True)
class Evidence:
    """All that is known of N boxes (N, 4), from which their scores follow.

    ``shares``: (N,), of the photo. ``near``, ``ious``: (N, n), the nearest among ``others`` (P, 4) and their IoUs, 0
    for those that are not near; ``first``: (P, K), the probabilities of these at first sight.
    """

    boxes: Tensor
    shares: Tensor
    looks: Looks
    near: Tensor
    ious: Tensor
    others: Tensor
    first: Tensor

    def __getitem__(self, rows: Tensor) -> "Evidence":
        looks, near, ious = self.looks[rows], self.near[rows], self.ious[rows]
        return replace(self, boxes=self.boxes[rows], shares=self.shares[rows], looks=looks, near=near, ious=ious)

    def scores(self, labels: Tensor) -> Tensor:
        """(N,): of each box as one of its class."""
        return self._product(*self.factors(labels), self.shares)

    def every_score(self) -> Tensor:
        """(N, K): of each box as one of each class."""
        support = (self.first[self.near] * self.ious[..., None]).sum(1) / self._nearness[:, None]
        return self._product(self.looks.inside.exp(), self.looks.outside.exp(), support, self.shares[:, None])

    def log_odds(self, labels: Tensor) -> Tensor:
        """(N,): log(s / (1 − s)) of ``scores``, from the odds of each look, so that nothing is rounded to 0 or 1."""
        tight, loose, outside = (
            class_log_odds(look, labels) for look in (self.looks.tight, self.looks.loose, self.looks.outside)
        )
        against = (
            (F.softplus(-tight) + F.softplus(-loose)) / 2
            + 2 * F.softplus(outside)
            - (self._support(labels) + _LEAST_SUPPORT).log() / 3
            - _SMALL_IS_DOUBTFUL * self.shares.log()
        )
        # −log(eᵃ − 1) of a = −log s
        return -against - (-torch.expm1(-against)).log()

    def placed(self, labels: Tensor) -> Tensor:
        """(N, 4): the boxes as their neighbours place them."""
        weights = self._weights(labels)
        # a tiny share of its own box keeps a box in place that nothing supports
        summed = (weights[..., None] * self.others[self.near]).sum(1) + _TINY * self.boxes
        return summed / (weights.sum(1) + _TINY)[:, None]

    def factors(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What ``scores`` are made of, (N,) each: the probability inside, painted over, and the neighbours' mean."""
        inside = self.looks.inside.gather(1, labels[:, None])[:, 0].exp()
        outside = self.looks.outside.gather(1, labels[:, None])[:, 0].exp()
        return inside, outside, self._support(labels)

    @staticmethod
    def _product(inside: Tensor, outside: Tensor, support: Tensor, shares: Tensor) -> Tensor:
        return inside * (1 - outside) ** 2 * (support + _LEAST_SUPPORT) ** (1 / 3) * shares**_SMALL_IS_DOUBTFUL

    def _weights(self, labels: Tensor) -> Tensor:
        return self.first[self.near, labels[:, None]] * self.ious

    def _support(self, labels: Tensor) -> Tensor:
        return self._weights(labels).sum(1) / self._nearness

    @property
    def _nearness(self) -> Tensor:
        return self.ious.sum(1).clamp(min=_TINY)


@dataclass(frozen=True)
class Judged:
    """The C likely boxes of an image, all without a graph.

    ``labels``, ``scores``, ``placed``: (C,), (C,), (C, 4), what each most probably is, how surely, and where.
    ``repainted``: for each set of boxes that were painted over, what its rows' classes were given then.
    """

    evidence: Evidence
    labels: Tensor
    scores: Tensor
    placed: Tensor
    repainted: dict[frozenset[int], dict[int, float]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Choice:
    """Which boxes were taken, and what the others lost to them; by ``explained_away``.

    ``taken``: rows, in turn. ``remaining``: (C,), the scores that are left. ``fell``: of each row that was explained
    away, the row it fell to and the score that was left then. ``least``: what a score must reach.
    """

    taken: list[int]
    remaining: Tensor
    fell: dict[int, tuple[int, float]]
    least: float

    def rows(self, judged: Judged) -> Tensor:
        """int64 (D,): what was taken, by falling score."""
        rows = torch.tensor(self.taken, dtype=torch.int64, device=judged.scores.device)
        return rows[judged.scores[rows].argsort(descending=True, stable=True)]


def explained_away(
    judged: Judged, least: float, limit: int, repainted: Callable[[list[int], list[int]], Tensor]
) -> Choice:
    """Takes boxes one after another, the best first, each explaining away what the others owe to it.

    ``least``: the score that a box must keep; ``limit``: how many are taken at most. ``repainted(rows, over)``: the
    probabilities (R,) of the classes of rows once the boxes ``over`` are painted over.
    """
    left = judged.scores.clone()
    boxes, labels, shares = judged.evidence.boxes, judged.labels, judged.evidence.shares
    taken: list[int] = []
    fell: dict[int, tuple[int, float]] = {}
    while len(left) and len(taken) < limit:
        rank = torch.where(left >= least, left * shares**_PREFER_LARGE, 0)
        best = int(rank.argmax())
        if rank[best] <= 0:
            break
        taken.append(best)
        before, left = left, left.clone()
        left[best] = 0
        covered = covered_by(boxes, judged.placed[best])
        left[(covered > COVERED) | ((covered > COVERED_OF_CLASS) & (labels == labels[best]))] = 0
        again = ((covered > 0) & (left >= least)).nonzero().flatten()
        if len(again):
            left[again] = torch.minimum(left[again], repainted(again.tolist(), taken))
        for row in ((before >= least) & (left < least)).nonzero().flatten().tolist():
            if row != best:
                fell[row] = (best, float(left[row]))
    return Choice(taken, left, fell, least)


def covered_by(boxes: Tensor, other: Tensor) -> Tensor:
    """Which share of each box (N, 4) another one, (4,), covers."""
    sides = (torch.minimum(boxes[:, 2:], other[2:]) - torch.maximum(boxes[:, :2], other[:2])).clamp(min=0)
    return sides.prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=_TINY)
