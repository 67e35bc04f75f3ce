"""The same image more than once: byte for byte, or nearly so by what it looks like.

Near duplicates are looked for by 64-bit perceptual hashes (Zauner, Implementation and Benchmarking of Perceptual Image
Hash Functions, 2010). Hashes that differ in at most k bits agree in one of k + 1 bands of them (multi-index hashing:
Norouzi, Punjani and Fleet, Fast Search in Hamming Space, CVPR 2012), so that only images that share a band are
compared. A pair counts if thumbnails of the two agree too.
"""

import os
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pellucid.data.checking.looks import SIDE, Look
from pellucid.data.defects import Defects

NEAR = 6
"""By how many of its 64 bits a hash may differ by default. A tenth of the quality, half the size or a fifth more light
cost up to 6; unrelated photos differ in 14 or more."""

ALIKE = 0.97
"""The least correlation of two thumbnails."""

_FLAT = 4.0
"""The standard deviation of a thumbnail's values below which an image is too plain for its hash to mean anything."""

_WINDOW = 2048
"""Where more than these share a band, as in a long video, each is compared with so many next to it."""

_BLOCK = 512
_AT_ONCE = 1 << 14
_DENSE = 1 / 64


@dataclass(frozen=True)
class Member:
    """One image: its split ('' where there are none), name and file, and what looking at it found."""

    split: str
    name: str
    file: str
    look: Look

    def __str__(self) -> str:
        return f"{self.name} of {self.split}" if self.split else self.name


def check_listed(members: list[Member], defects: Defects) -> None:
    """Notes files that stand in two splits, going by their paths alone."""
    by_file: dict[str, list[Member]] = {}
    for member in members:
        by_file.setdefault(os.path.realpath(member.file), []).append(member)
    for group in by_file.values():
        _note_equal(group, defects)


def check_twins(members: list[Member], near: int | None, defects: Defects) -> None:
    """Notes equal images, then groups of nearly the same; ``near`` bits may differ, None: no search."""
    members = [member for member in members if not member.look.problem]
    by_content: dict[bytes, list[Member]] = {}
    for member in members:
        by_content.setdefault(member.look.digest, []).append(member)
    for group in by_content.values():
        _note_equal(group, defects)
    single = [group[0] for group in by_content.values()]
    if near is None or len(single) < 2:
        return
    hashes = np.array([member.look.hash for member in single], dtype=np.uint64)
    thumbnails = np.frombuffer(b"".join(m.look.thumbnail for m in single), dtype=np.uint8).reshape(-1, SIDE * SIDE)
    for rows, (a, b, bits) in near_groups(hashes, thumbnails, near, [member.split for member in single]):
        _note_near([single[row] for row in rows], (single[a], single[b]), bits, defects)


def _note_equal(group: list[Member], defects: Defects) -> None:
    """One line for each further place of an image in its split, and one for each further split."""
    first: dict[str, Member] = {}
    for member in group:
        if member.split in first:
            what = f"is {first[member.split].name} again, {_how(member, first[member.split])}"
            defects.add("same image", member.file, member.split, what)
        else:
            first[member.split] = member
    one, *others = first.values()
    for other in others:
        defects.add("split overlap", other.file, other.split, f"is {one} again, {_how(one, other)}")


def _how(one: Member, two: Member) -> str:
    return "the same file" if os.path.realpath(one.file) == os.path.realpath(two.file) else "byte for byte"


def _note_near(group: list[Member], pair: tuple[Member, Member], bits: int, defects: Defects) -> None:
    splits = list(dict.fromkeys(member.split for member in group))
    one, two = pair
    what = f"looks like {two} ({bits} of 64 bits differ)"
    if len(group) > 2:
        parts = [f"{sum(m.split == split for m in group):,} of {split}" for split in splits if split]
        if len(parts) < 2:
            parts = [f"{len(group):,} images"]
        what += f"; the closest in a chain of {' and '.join(parts)}"
    kind = "split near overlap" if len(splits) > 1 else "near duplicate"
    defects.add(kind, one.file, one.split, what)


def near_groups(
    hashes: NDArray[np.uint64], thumbnails: NDArray[np.uint8], near: int, parts: list[str]
) -> list[tuple[list[int], tuple[int, int, int]]]:
    """Groups of images that look alike, each image linked to one at least of its group.

    ``hashes``: (N,). ``thumbnails``: (N, P). ``parts``: the split of each. Gives the indices of each group and two of
    it that are linked, with the bits in which they differ: of two splits where there are such, and then the nearest.
    """
    values = thumbnails.astype(np.float32)
    values -= values.mean(1, keepdims=True)
    spread = np.sqrt((values**2).mean(1))
    values /= np.maximum(spread, 1e-6)[:, None] * np.sqrt(thumbnails.shape[1])
    usable = np.flatnonzero(spread >= _FLAT)
    usable = usable[np.argsort(hashes[usable], kind="stable")]
    forest = _Forest(values)
    edges = np.linspace(0, 64, near + 2).round().astype(int).tolist()
    bands = [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]
    for band, mask in enumerate(bands):
        keys = hashes[usable] & mask
        order = np.argsort(keys, kind="stable")
        for run in np.split(usable[order], np.flatnonzero(np.diff(keys[order])) + 1):
            for start in range(0, len(run) - 1, _BLOCK):
                left, right = run[start : start + _BLOCK], run[start : start + _BLOCK + _WINDOW]
                differ = hashes[left, None] ^ hashes[None, right]
                bits = _bits(differ)
                found = (bits <= near) & (np.arange(len(left))[:, None] < np.arange(len(right)))
                if found.any():
                    for earlier in bands[:band]:
                        found &= (differ & earlier) != 0
                    forest.link(left, right, found, bits)
    return forest.groups(parts)


def _bits(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits of each are set (Warren, Hacker's Delight, section 5-1)."""
    fives, threes, ones = (np.uint64(v) for v in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    x = values - ((values >> np.uint64(1)) & fives)
    x = (x & threes) + ((x >> np.uint64(2)) & threes)
    x = (x + (x >> np.uint64(4))) & ones
    return ((x * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


class _Forest:
    """Which images are linked, each group a tree. ``values``: their thumbnails, of unit length."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.parent = np.arange(len(values))
        self.links: list[tuple[int, int, int]] = []

    def link(
        self, left: NDArray[np.int64], right: NDArray[np.int64], found: NDArray[np.bool_], bits: NDArray[np.int64]
    ) -> None:
        """Links the pairs that were ``found``, bool (L, R), of hashes that differ in ``bits``, if thumbnails agree."""
        if found.mean() > _DENSE:
            found = found & (self.values[left] @ self.values[right].T >= ALIKE)
        at, to = np.nonzero(found)
        order = np.argsort(bits[at, to], kind="stable")
        for start in range(0, len(order), _AT_ONCE):
            piece = order[start : start + _AT_ONCE]
            a, b, n = left[at[piece]], right[to[piece]], bits[at[piece], to[piece]]
            apart = self._roots(a) != self._roots(b)
            a, b, n = a[apart], b[apart], n[apart]
            agree = (self.values[a] * self.values[b]).sum(1) >= ALIKE
            for x, y, differing in zip(a[agree].tolist(), b[agree].tolist(), n[agree].tolist(), strict=True):
                one, two = self._root(x), self._root(y)
                if one != two:
                    self.parent[two] = one
                    self.links.append((min(x, y), max(x, y), differing))

    def _roots(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        above = self.parent[at]
        while (above != at).any():
            at, above = above, self.parent[above]
        return at

    def _root(self, at: int) -> int:
        while (above := int(self.parent[at])) != at:
            self.parent[at] = self.parent[above]
            at = above
        return at

    def groups(self, parts: list[str]) -> list[tuple[list[int], tuple[int, int, int]]]:
        """Each group with one of its links, in the order of their first images."""
        found: dict[int, list[tuple[int, int, int]]] = {}
        for link in self.links:
            found.setdefault(self._root(link[0]), []).append(link)
        made = []
        for links in found.values():
            rows = sorted({row for a, b, _ in links for row in (a, b)})
            made.append((rows, min(links, key=lambda link: (parts[link[0]] == parts[link[1]], link[2], link[:2]))))
        return sorted(made)
