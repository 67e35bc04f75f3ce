"""One pass over a data set: what reading it finds wrong, and what only looking at all of it can."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pellucid.data.checking.boxes import check_boxes, check_keypoints
from pellucid.data.checking.classes import Spread, check_classes
from pellucid.data.checking.images import Modes, check_look, check_missing
from pellucid.data.checking.looks import Look, in_threads, look_at
from pellucid.data.checking.maps import Blurred, MapLook, Maps, check_empty, look_at_map
from pellucid.data.checking.masks import Areas, check_masks, in_files
from pellucid.data.checking.report import Counts, Report
from pellucid.data.checking.twins import NEAR, Member, check_listed, check_twins
from pellucid.data.defects import Defects
from pellucid.data.formats import Progress
from pellucid.data.opening import Source, find_source, read_source
from pellucid.data.records import RecordDataset, Records
from pellucid.data.splits import split_named, unions
from pellucid.errors import PellucidError

KEEP = 100_000
"""How many defects of a kind are kept in full; all are counted."""

MOST_NEAR = 12
"""Unrelated photos differ in little more bits than these."""


def check_dataset(
    spec: str | Path,
    split: str | None = None,
    *,
    content: bool = True,
    near: int | None = NEAR,
    progress: Progress | None = None,
    **options: object,
) -> Report:
    """Finds every defect of a data set in one pass: what is broken, missing, contradictory, suspicious or there twice.

    ``spec`` and ``options`` as ``open_dataset`` takes them; ``split``: the only one to check, by default all are.
    ``content``: whether photos, and masks and maps that are image files, are opened at all. ``near``: how many of 64
    bits of a perceptual hash may differ between images that are reported as nearly the same, 0 to 12; None looks for
    none. ``progress``: told how many images are done, and of how many. Raises PellucidError for what cannot be opened.
    """
    if near is not None and not 0 <= near <= MOST_NEAR:
        raise PellucidError(f"near {near}: give the bits that may differ, 0 to {MOST_NEAR}, or None")
    if str(spec).split(":")[0] == "scenes":
        raise PellucidError(f"{spec}: scenes are generated, there is no file to check; write them as a data set first")
    source = find_source(spec, **options)
    checking = _Checking(source, content, progress)
    opened = checking.read([split_named(split, source.splits, source.path)] if split else source.splits)
    checking.total = sum(len(dataset) for dataset in opened.values())
    spreads = {name: checking.check(name, dataset) for name, dataset in opened.items()}
    checking.across(near, list(spreads.values()))
    return Report(
        f"{source.format.name}:{source.path}",
        checking.root,
        {
            name: Counts(len(s.records), len(s.records.labels), int(s.used.sum()), len(s.records.classes))
            for name, s in spreads.items()
        },
        checking.defects,
        checking.passed_over,
        content,
    )


class _Checking:
    def __init__(self, source: Source, content: bool, progress: Progress | None) -> None:
        self.source, self.content, self.progress = source, content, progress
        self.root = str(source.path if source.path.is_dir() else source.path.parent)
        self.defects = Defects(KEEP)
        self.passed_over: dict[str, str] = {}
        self.looks: dict[str, Look] = {}
        self.members: list[Member] = []
        self.modes, self.blurred = Modes(), Blurred()
        self.done = self.total = 0

    def read(self, splits: list[str]) -> dict[str, RecordDataset]:
        """The splits that can be read, without those that only repeat others; '' where there are none."""
        opened: dict[str, RecordDataset] = {}
        found: dict[str, Defects] = {}
        for name in splits or [""]:
            try:
                opened[name], found[name] = read_source(self.source, name or None, KEEP)
            except PellucidError as error:
                if len(splits) < 2:
                    raise
                self.defects.add("unreadable", self.root, name, str(error).removeprefix(f"{self.source.path}: "))
        if not opened:
            raise PellucidError(f"{self.source.path}: no split can be read: {self.defects.found[0].what}")
        repeated = unions({name: _files(dataset.records) for name, dataset in opened.items()})
        self.passed_over = {
            name: f"is {' and '.join(parts)} together, not checked again" for name, parts in repeated.items()
        }
        for name in self.passed_over:
            del opened[name]
        for name in opened:
            _take_new(self.defects, found[name])
        return opened

    def check(self, name: str, dataset: RecordDataset) -> Spread:
        """Checks a split for itself; gives the spread of its classes."""
        records, defects = dataset.records, self.defects
        noted = {(defect.kind, defect.file) for defect in defects}
        check_missing(records, name, defects)
        check_boxes(records, defects)
        check_empty(records, {defect.item for defect in defects.of("no annotations")}, defects)
        spread = Spread.of(name, records)
        mapped = records.semantic is not None or records.panoptic is not None
        spread.mapped = mapped and self.content
        maps = Maps(records, self.blurred, defects) if mapped and self.content else None
        areas = Areas()
        masked = records.mask is not None and records.panoptic is None and (self.content or not in_files(records))
        for image, (size, look, map_look) in enumerate(self._looked_at(records, maps is not None)):
            file = records.files[image]
            if look is not None:
                check_look(records, image, look, noted, defects)
                self.modes.add(records.names[image], look)
            if file:
                self.members.append(Member(name, records.names[image], file, look or Look()))
            if maps is not None and map_look is not None:
                maps.check(image, map_look)
                spread.pixels += map_look.pixels
            if size is not None:
                check_keypoints(records, image, size, defects)
                if masked:
                    check_masks(records, image, size, areas, defects)
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, self.total)
        areas.check(records, defects)
        if maps is not None:
            maps.finish()
        return spread

    def across(self, near: int | None, spreads: list[Spread]) -> None:
        """What only all splits together show."""
        self.modes.check(self.root, self.defects)
        if self.blurred.values:
            _drop(self.defects, "lossy masks")  # said again with figures
            self.blurred.check(self.defects)
        if self.content:
            check_twins(self.members, near, self.defects)
        else:
            check_listed(self.members, self.defects)
        check_classes(spreads, self.root, self.defects)

    def _looked_at(
        self, records: Records, with_maps: bool
    ) -> Iterator[tuple[tuple[int, int] | None, Look | None, MapLook | None]]:
        """For each image its size, None where nothing tells it, and what looking at its files found."""

        def look(image: int) -> tuple[tuple[int, int] | None, Look | None, MapLook | None]:
            file = records.files[image]
            seen = (self.looks.get(file) or look_at(file)) if file and self.content else None
            H, W = records.sizes[image].tolist()
            if (H < 1 or W < 1) and seen is not None:
                H, W = seen.shown
            size = (H, W) if H > 0 and W > 0 else None
            return size, seen, look_at_map(records, image, size) if with_maps and size is not None else None

        images = range(len(records))
        looked: Iterator = in_threads(look, images) if self.content else map(look, images)
        for image, made in enumerate(looked):
            if made[1] is not None:
                self.looks.setdefault(records.files[image], made[1])
            yield made


def _files(records: Records) -> list[str]:
    return [os.path.realpath(file) if file else name for file, name in zip(records.files, records.names, strict=True)]


def _drop(defects: Defects, kind: str) -> None:
    defects.found = [defect for defect in defects.found if defect.kind != kind]
    defects.counts = Counter({key: n for key, n in defects.counts.items() if key[0] != kind})


def _take_new(defects: Defects, others: Defects) -> None:
    """Adds what was found in a split, without what was found in an earlier one in the same words: of shared files."""
    seen = set(defects.found)
    for defect in others.found:
        if defect in seen:
            others.counts[defect.kind, defect.action] -= 1
    others.found = [defect for defect in others.found if defect not in seen]
    others.counts = +others.counts
    defects.take(others)
