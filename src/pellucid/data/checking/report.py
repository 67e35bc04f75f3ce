"""What checking found: counts of each split, and the defects by kind, for people and as a record."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pellucid.data.checking.severity import SEVERITIES, Severity, severity_of
from pellucid.data.defects import KINDS, Defect, Defects

_WIDTH = 220
"""Where a line for people is cut: the record has all of it."""


@dataclass(frozen=True)
class Counts:
    """How much a split holds; ``classes``: how many have an example, of ``known``."""

    images: int
    objects: int
    classes: int
    known: int


@dataclass
class Report:
    """``title``: what was checked. ``root``: where. ``splits``: what each holds, '' where there are none.

    ``passed_over``: splits that repeat others, and why they were not checked. ``content``: whether images were opened.
    ``defects``: all that was found.
    """

    title: str
    root: str
    splits: dict[str, Counts]
    defects: Defects
    passed_over: dict[str, str] = field(default_factory=dict)
    content: bool = True

    def count(self, severity: Severity) -> int:
        """How many defects of a severity there are."""
        return sum(n for (kind, action), n in self.defects.counts.items() if severity_of(kind, action) == severity)

    @property
    def kinds(self) -> list[tuple[str, Severity, int]]:
        """Every kind that was found with its worst severity and count, worst and then most frequent first."""
        found: dict[str, tuple[int, int]] = {}
        for (kind, action), n in self.defects.counts.items():
            rank, total = found.get(kind, (len(SEVERITIES), 0))
            found[kind] = min(rank, SEVERITIES.index(severity_of(kind, action))), total + n
        ordered = sorted(found.items(), key=lambda entry: (entry[1][0], -entry[1][1]))
        return [(kind, SEVERITIES[rank], n) for kind, (rank, n) in ordered]

    def lines(self, show: int | None = 10) -> list[str]:
        """For people: the splits, a table of what was found, then each kind with ``show`` of it (None: all)."""
        lines = [self.title, *self._split_lines(), ""]
        kinds = self.kinds
        if not kinds:
            return [*lines, "nothing wrong was found" + ("" if self.content else " (images were not opened)")]
        lines += [f"  {severity:7}  {n:>7,}  {_named(kind, n)}{self._actions(kind)}" for kind, severity, n in kinds]
        for kind, severity, n in kinds:
            found = self.defects.of(kind)
            shown = found if show is None else found[:show]
            if not shown:
                continue
            lines += ["", f"{n:,} {_named(kind, n)} ({severity}): {KINDS[kind].remedy}"]
            lines += [line if show is None else _cut(line) for line in self._by_file(shown)]
            if n > len(shown):
                how = " (--all, or --json)" if len(found) > len(shown) else ""
                lines.append(f"  … and {n - len(shown):,} more{how}")
        return lines

    def _split_lines(self) -> list[str]:
        names = {split: split or "all" for split in self.splits}
        width = max([5, *map(len, names.values())])
        lines = [f"  {'split':{width}}  {'images':>9}  {'objects':>10}  classes"]
        for split, counts in self.splits.items():
            classes = f"{counts.classes} of {counts.known}" if counts.classes < counts.known else f"{counts.known}"
            lines.append(f"  {names[split]:{width}}  {counts.images:>9,}  {counts.objects:>10,}  {classes}")
        return lines + [f"  {split}: {why}" for split, why in self.passed_over.items()]

    def _actions(self, kind: str) -> str:
        counts = {action: n for (k, action), n in self.defects.counts.items() if k == kind}
        done = [(action, n) for action, n in counts.items() if action != "kept"]
        if not done:
            return ""
        if len(counts) == 1:
            return f" ({done[0][0]} when read)"
        return " (" + ", ".join(f"{n:,} {action}" for action, n in done) + " when read)"

    def _by_file(self, defects: list[Defect]) -> Iterator[str]:
        """A line a defect; those of one file stand below it."""
        for file, group in groupby(defects, key=lambda defect: defect.file):
            lines = [self._line(defect) for defect in group]
            short = file.removeprefix(self.root + os.sep) if file != self.root else ""
            if len(lines) > 1 and short:
                yield f"  {short}:"
                yield from (f"    {line}" for line in lines)
            else:
                yield from (f"  {short}: {line}" if short else f"  {line}" for line in lines)

    def _line(self, defect: Defect) -> str:
        what = defect.what.replace(self.root + os.sep, "") if self.root else defect.what
        # Where each image has a file of its own, the file's name says the image's.
        named = _stem(defect.item) == _stem(defect.file)
        return f"{defect.item}: {what}" if defect.item and not named else what

    def record(self) -> dict[str, Any]:
        """All of it, as what JSON can hold."""
        return {
            "dataset": self.title,
            "root": self.root,
            "content": self.content,
            "splits": {
                split or "all": {
                    "images": counts.images,
                    "objects": counts.objects,
                    "classes": counts.classes,
                    "classes_known": counts.known,
                }
                for split, counts in self.splits.items()
            },
            "passed_over": self.passed_over,
            **{f"{severity}s": self.count(severity) for severity in SEVERITIES},
            "kinds": [
                {"kind": kind, "severity": severity, "count": n, "remedy": KINDS[kind].remedy}
                for kind, severity, n in self.kinds
            ],
            "defects": [
                {
                    "kind": defect.kind,
                    "severity": severity_of(defect.kind, defect.action),
                    "file": defect.file,
                    "item": defect.item,
                    "what": defect.what,
                    "action": defect.action,
                }
                for kind, _, _ in self.kinds
                for defect in self.defects.of(kind)
            ],
        }


def _named(kind: str, n: int) -> str:
    return KINDS[kind].one if n == 1 else KINDS[kind].many


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 2] + " …"
