"""What the evaluator keeps of the images it was fed: plain arrays, joined and brought into order before matching."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.metrics.detection.gathering import ignored_truths, spared
from pellucid.metrics.detection.overlaps import flat_overlaps
from pellucid.metrics.detection.protocol import Protocol
from pellucid.structures import FLAG_BITS, ObjectColumns


@dataclass
class Rows:
    """Objects of many images: those of image i in the rows first[i] to first[i + 1].

    ``boxes``: float64 (M, 4) xywh. ``numbers``: their places in their images as given. ``values``: scores of
    detections, zeros for truths. ``ignored``, ``crowd``, ``group``: bool (M,), False for detections, as the protocol
    has it; ``flags``: uint8 (M,), as annotated. ``overlaps``: where those with the own class begin in ``Part.given``.
    """

    first: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    areas: NDArray[np.float64]
    numbers: NDArray[np.int64]
    scores: NDArray[np.float64]
    ignored: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    group: NDArray[np.bool_]
    spared: NDArray[np.bool_]
    flags: NDArray[np.uint8]
    overlaps: NDArray[np.int64]

    @property
    def images(self) -> NDArray[np.int64]:
        """int64 (M,): the image of each row."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def _columns(self) -> dict[str, NDArray]:
        return {name: value for name, value in vars(self).items() if name != "first"}

    @classmethod
    def joined(cls, parts: Sequence["Rows"]) -> "Rows":
        """The rows of several, image after image."""
        counts = np.concatenate([np.diff(part.first) for part in parts])
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0]._columns()}
        return cls(np.concatenate(([0], np.cumsum(counts))).astype(np.int64), **columns)

    def in_order(self, images: NDArray[np.int64]) -> "Rows":
        """The same with the images in another order."""
        counts = np.diff(self.first)[images]
        first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        rows = np.repeat(self.first[:-1][images] - first[:-1], counts) + np.arange(first[-1])
        return Rows(first, **{name: column[rows] for name, column in self._columns().items()})


@dataclass
class Part:
    """Some images with their truths and detections. ``given``: overlaps, where they are not of boxes.

    ``across``: whether those with truths of other classes are there too (see ``flat_overlaps``); of boxes they always
    can be had.
    """

    names: list[str]
    ids: list[int | str] | None
    truths: Rows
    detections: Rows
    given: NDArray[np.float64]
    inclusive: bool
    across: bool

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(
        cls, truths: ObjectColumns, detections: ObjectColumns, protocol: Protocol, *, across: bool = False
    ) -> "Part":
        """From gathered columns of the same images. ``across``: keep overlaps with other classes as well."""
        given, starts = np.zeros(0), np.zeros(len(detections.labels), dtype=np.int64)
        if protocol.geometry != "boxes":
            given, starts = flat_overlaps(detections, truths, protocol.geometry, across=across)
        return cls(
            list(truths.names),
            None if truths.ids is None else list(truths.ids),
            _rows(truths, protocol, ignored=ignored_truths(truths, protocol)),
            _rows(detections, protocol, detections.scores, starts, spared=spared(truths, detections, protocol)),
            given,
            truths.inclusive,
            across or protocol.geometry == "boxes",
        )

    @classmethod
    def joined(cls, parts: Sequence["Part"]) -> "Part":
        """All images of several, in the order in which scores that tie are taken: by id, else by name."""
        whole = parts[0] if len(parts) == 1 else cls._joined(parts)
        keys = whole.ids if whole.ids is not None and all(type(i) is int for i in whole.ids) else None
        order: list[int] = (
            sorted(range(len(whole)), key=keys.__getitem__)
            if keys is not None
            else sorted(range(len(whole)), key=lambda i: _natural(whole.names[i]))
        )
        if order == list(range(len(whole))):
            return whole
        at = np.array(order, dtype=np.int64)
        return cls(
            [whole.names[i] for i in order],
            None if whole.ids is None else [whole.ids[i] for i in order],
            whole.truths.in_order(at),
            whole.detections.in_order(at),
            whole.given,
            whole.inclusive,
            whole.across,
        )

    @classmethod
    def _joined(cls, parts: Sequence["Part"]) -> "Part":
        detections = Rows.joined([part.detections for part in parts])
        shifts = np.cumsum([0] + [len(part.given) for part in parts[:-1]])
        detections.overlaps = detections.overlaps + np.repeat(shifts, [len(p.detections.labels) for p in parts])
        ids = [id for part in parts for id in part.ids or []]
        names = [name for part in parts for name in part.names]
        return cls(
            names,
            ids if len(ids) == len(names) else None,
            Rows.joined([part.truths for part in parts]),
            detections,
            np.concatenate([part.given for part in parts]),
            parts[0].inclusive,
            all(part.across for part in parts),
        )


def _rows(
    columns: ObjectColumns,
    protocol: Protocol,
    scores: NDArray[np.float64] | None = None,
    overlaps: NDArray[np.int64] | None = None,
    *,
    ignored: NDArray[np.bool_] | None = None,
    spared: NDArray[np.bool_] | None = None,
) -> Rows:
    M = len(columns.labels)
    none = np.zeros(M, dtype=bool)
    areas, numbers = columns.areas, columns.numbers
    assert areas is not None
    assert numbers is not None
    return Rows(
        first=columns.first,
        boxes=columns.boxes,
        labels=columns.labels,
        areas=areas,
        numbers=numbers,
        scores=np.zeros(M) if scores is None else scores,
        ignored=none if ignored is None else ignored,
        crowd=(columns.flags & FLAG_BITS["crowd"]) != 0 if protocol.crowd == "ignored" else none,
        group=(columns.flags & FLAG_BITS["group_of"]) != 0 if protocol.groups != "as any" else none,
        spared=none if spared is None else spared,
        flags=columns.flags,
        overlaps=np.zeros(M, dtype=np.int64) if overlaps is None else overlaps,
    )


def _natural(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """A key that sorts image 9 before image 10."""
    pieces = re.split(r"(\d+)", name)
    return [(0, int(p)) if i % 2 else (1, p) for i, p in enumerate(pieces) if p or i % 2], name
