"""Which tied detections of an image and class compete for its truths, or for the last place, and all their orders."""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from pellucid.metrics.detection.matching import Matches, match
from pellucid.metrics.detection.parts import Part, Rows

MOST_ORDERS = 120
"""How many orders of an image's ties in a class are tried at most: all of five detections."""

MOST_ROWS = 400_000
"""How many detections all orders together may have."""

Rankings = NDArray[np.int64]


class ImageGroups:
    """Matched detections by image and class, in each in the order of ranks.

    ``places``: int (M,), which of the matches each is. ``numbers``: int (G,), image · classes + class of each group.
    ``begins``, ``sizes``: where it begins in ``places``, and how many there are. ``ends``: int (M,), where the run of
    equal scores that a detection is in ends, counted from the beginning of its group.
    """

    def __init__(self, matches: Matches) -> None:
        self.matches = matches
        labels = np.repeat(np.arange(matches.classes), np.diff(matches.first))
        number = matches.images * matches.classes + labels
        self.places = np.argsort(number, kind="stable")
        number = number[self.places]
        new = number[1:] != number[:-1]
        ends = ends_of_runs(new)
        self.begins = np.flatnonzero(np.append([True], new)[: len(number)])
        self.sizes = ends[self.begins] - self.begins
        self.numbers = number[self.begins]
        self.scores = matches.scores[self.places]
        self.ends = ends_of_runs(new | (self.scores[1:] != self.scores[:-1])) - np.repeat(self.begins, self.sizes)

    @property
    def labels(self) -> NDArray[np.int64]:
        """int (G,): the class of each group."""
        return self.numbers % self.matches.classes

    def find(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The groups of the given numbers, −1 where there is none."""
        if len(self.numbers) == 0:
            return np.full(len(numbers), -1)
        at = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return np.where(self.numbers[at] == numbers, at, -1)


@dataclass
class Orders:
    """Orders to try: ``layout``, ``labels``, ``tried``, ``still``, as ``tie_order_kernels.try_orders`` takes them."""

    layout: NDArray[np.int64]
    labels: NDArray[np.int64]
    tried: NDArray[np.uint8]
    still: NDArray[np.bool_]


class Rivals:
    """The groups with ties and truths, or with a tie that the limit cuts through.

    ``groups``: int (C,). ``rows``: their detections, as rows of the part, by rank, those beyond the limit that tie with
    the last one at the end; ``first``: (C + 1,), where those of each group begin. ``sizes``: how many are under the
    limit. ``alone``, ``reaches``: (D, A, T) and (D, T), each one's states when it is alone with the truths, and whether
    it reaches one. ``matter``: bool (C,), whether the order may change any match.
    """

    def __init__(self, groups: ImageGroups) -> None:
        self.all = groups
        matches, part, K = groups.matches, groups.matches.part, groups.matches.classes
        truths = part.truths.images * K + part.truths.labels
        self.truth_rows = np.argsort(truths, kind="stable")
        self.truth_numbers = truths[self.truth_rows]
        cut, of_cut = self._cut()
        tied = groups.ends - _within(groups.ends, np.repeat(groups.begins, groups.sizes)) > 1
        chosen = np.zeros(len(groups.begins), dtype=np.bool_)
        chosen[np.repeat(np.arange(len(groups.begins)), groups.sizes)[tied]] = True
        chosen &= np.isin(groups.numbers, truths)
        chosen[of_cut] = True
        self.groups = np.flatnonzero(chosen)
        self.sizes = groups.sizes[self.groups]
        self.extra = np.bincount(np.searchsorted(self.groups, of_cut), minlength=len(self.groups))
        self.first = np.append(0, np.cumsum(self.sizes + self.extra))
        at = ranges(groups.begins[self.groups], self.sizes)
        of = np.repeat(np.arange(len(self.groups)), self.sizes)
        kept = np.arange(len(at)) + (self.first[:-1] - np.append(0, np.cumsum(self.sizes))[:-1])[of]
        beyond = np.ones(self.first[-1], dtype=np.bool_)
        beyond[kept] = False
        self.rows = np.empty(self.first[-1], dtype=np.int64)
        self.rows[kept] = matches.rows[groups.places[at]]
        self.rows[beyond] = cut
        self.ends = np.repeat(self.sizes, self.sizes + self.extra)
        self.ends[kept] = groups.ends[at]

    def _cut(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows beyond the limit that tie with the last one under it, and their groups, group by group."""
        groups, detections = self.all, self.all.matches.part.detections
        beyond = np.ones(len(detections.scores), dtype=np.bool_)
        beyond[groups.matches.rows] = False
        rows = np.flatnonzero(beyond)
        if len(rows) == 0:
            return rows, rows
        of = groups.find(detections.images[rows] * groups.matches.classes + detections.labels[rows])
        last = groups.scores[groups.begins + groups.sizes - 1]
        tied = (of >= 0) & (detections.scores[rows] == last[of])
        rows, of = rows[tied], of[tied]
        order = np.argsort(of, kind="stable")
        return rows[order], of[order]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        return self.all.labels[self.groups]

    @cached_property
    def runs(self) -> NDArray[np.int64]:
        """int (D,): which run of equal scores each is in, counted through."""
        of = np.repeat(np.arange(len(self.groups)), self.sizes + self.extra)
        new = (of[1:] != of[:-1]) | (self.ends[1:] != self.ends[:-1])
        return np.append(0, np.cumsum(new))[: len(self.rows)]

    def survey(self) -> None:
        """Finds out what each detection would be alone, and which groups matter."""
        of = np.repeat(np.arange(len(self.groups)), self.sizes + self.extra)
        self.alone, reached = self._states(self.rows, np.ones(len(self.rows), dtype=np.int64), of, partners=True)
        self.reaches = reached
        some = np.asarray(reached.any(1))
        counts = np.bincount(self.runs, some)
        rival = np.bincount(of, counts[self.runs] > 1, minlength=len(self.groups)) > 0
        # Which of several that reach nothing is cut off matters if they are not alike.
        for c in np.flatnonzero((self.extra > 0) & ~rival).tolist():
            run = slice(self.first[c] + self._last_run(c), self.first[c + 1])
            rival[c] = some[run].any() or (self.alone[run] != self.alone[run.start]).any()
        self.matter = rival

    def _last_run(self, c: int) -> int:
        """Where the last run of a group begins, counted from the beginning of the group."""
        ends = self.ends[self.first[c] : self.first[c + 1]]
        return int(np.searchsorted(ends, ends[-1]))

    def split(self) -> tuple[Orders, NDArray[np.int64]]:
        """The orders of the groups that matter, and those of the groups, int (B,), that have too many."""
        some = np.asarray(self.reaches.any(1))
        layout: list[tuple[int, int, int, int]] = []
        tried: list[NDArray[np.int64]] = []
        of: list[int] = []
        many: list[int] = []
        total = 0
        for c in np.flatnonzero(self.matter).tolist():
            begin, n = int(self.first[c]), int(self.sizes[c])
            rankings = _rankings(
                tuple(self.ends[begin : self.first[c + 1]].tolist()), tuple(some[begin : self.first[c + 1]].tolist()), n
            )
            if rankings is None or total + rankings.size > MOST_ROWS:
                many.append(c)
                continue
            layout.append((int(self.all.begins[self.groups[c]]), n, total, len(rankings)))
            tried.append((begin + rankings).ravel())
            of.append(c)
            total += rankings.size
        if not layout:
            states = np.zeros((0, *self.alone.shape[1:]), dtype=np.uint8)
            none = np.zeros(0, dtype=np.int64)
            return Orders(np.zeros((0, 4), dtype=np.int64), none, states, none.astype(np.bool_)), np.array(many, int)
        table, at = np.array(layout, dtype=np.int64), np.concatenate(tried)
        groups = np.repeat(of, table[:, 3])
        sizes = np.repeat(table[:, 1], table[:, 3])
        states, _ = self._states(self.rows[at], sizes, groups, partners=False)
        cut = (self.ends == np.repeat(self.sizes, self.sizes + self.extra)) & np.repeat(
            self.extra > 0, self.sizes + self.extra
        )
        return Orders(table, self.labels[of], states, (~some & ~cut)[at]), np.array(many, dtype=np.int64)

    def layout(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """What ``tie_order_kernels.bound_orders`` is to know of some of the groups: int (B, 4)."""
        begins = self.all.begins[self.groups[chosen]]
        return np.stack((begins, self.sizes[chosen], self.first[chosen], (self.sizes + self.extra)[chosen]), 1)

    def truths(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many truths of some of the groups count in each area: int (B, A)."""
        begins, ends = self._truths_of(chosen)
        counted = self.all.matches.counted[:, self.truth_rows]
        sums = np.zeros((counted.shape[1] + 1, len(counted)), dtype=np.int64)
        np.cumsum(counted.T, axis=0, out=sums[1:])
        return sums[ends] - sums[begins]

    def _truths_of(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        numbers = self.all.numbers[self.groups[chosen]]
        return np.searchsorted(self.truth_numbers, numbers), np.searchsorted(self.truth_numbers, numbers, side="right")

    def _states(
        self, rows: NDArray[np.int64], sizes: NDArray[np.int64], groups: NDArray[np.int64], *, partners: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Matches lists of detections, each anew with the truths of its group, as if it were an image of its own."""
        part = self.all.matches.part
        begins, ends = self._truths_of(groups)
        truths = self.truth_rows[ranges(begins, ends - begins)]
        trial = _trial(part, _picked(part.truths, truths, ends - begins), _picked(part.detections, rows, sizes))
        found = match(trial, self.all.matches.protocol, 1, partners=partners)
        states = np.empty_like(found.states)
        states[found.rows] = found.states
        reached = np.zeros((len(rows), states.shape[2]), dtype=np.bool_)
        if found.partners is not None:
            reached[found.rows] = found.partners != -1
        return states, reached


def _trial(part: Part, truths: Rows, detections: Rows) -> Part:
    return replace(part, names=[""] * (len(truths.first) - 1), ids=None, truths=truths, detections=detections)


def _picked(rows: Rows, chosen: NDArray[np.int64], sizes: NDArray[np.int64]) -> Rows:
    """Some rows, as those of images with so many each, all of class 0."""
    made = {f.name: getattr(rows, f.name)[chosen] for f in fields(rows) if f.name not in ("first", "labels")}
    return replace(rows, first=np.append(0, np.cumsum(sizes)), labels=np.zeros(len(chosen), dtype=np.int64), **made)


@lru_cache(maxsize=4096)
def _rankings(ends: tuple[int, ...], rivals: tuple[bool, ...], n: int) -> Rankings | None:
    """All orders of the rivals of each run, the others at its end: int (orders, n); None where there are too many.

    Where there are more than n, all orders of the last run, of which the first ones stay.
    """
    pieces: list[list[tuple[int, ...]]] = []
    count, at = 1, 0
    while at < n:
        end = ends[at]
        cut = end == n and len(ends) > n
        run = list(range(at, len(ends) if cut else end))
        moving = run if cut else [i for i in run if rivals[i]]
        count *= math.perm(len(moving), end - at) if cut else math.factorial(len(moving))
        if count > MOST_ORDERS:
            return None
        rest = tuple(i for i in run if i not in moving)
        pieces.append([order + rest for order in permutations(moving, end - at if cut else None)])
        at = end
    return np.array([sum(parts, ()) for parts in product(*pieces)], dtype=np.int64).reshape(-1, n)


def ends_of_runs(new: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where the run of each item ends. ``new``: bool, for each item but the first, whether a run begins with it."""
    cuts = np.flatnonzero(new) + 1
    ends = np.append(cuts, len(new) + 1)
    return np.repeat(ends, np.diff(np.append(0, ends)))


def _within(ends: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the run of each item begins, counted as its end is."""
    whole = ends + begins
    first = np.flatnonzero(np.append(True, whole[1:] != whole[:-1])[: len(whole)])
    return np.repeat(first, np.diff(np.append(first, len(whole)))) - begins


def ranges(begins: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """begins[0], begins[0] + 1, … sizes[0] of them, then those of the next."""
    shifts = begins - np.append(0, np.cumsum(sizes))[:-1]
    return np.repeat(shifts, sizes) + np.arange(sizes.sum())
