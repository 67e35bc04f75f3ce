"""What stands behind figures, for a terminal: tie ranges, the causes of a difference, the worst errors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pellucid.report.scores.text import WIDTH, cut, interval, number, table, wrapped

if TYPE_CHECKING:
    from pellucid.metrics.detection.errors import ErrorAnalysis
    from pellucid.metrics.detection.ties import Range
    from pellucid.metrics.detection.waterfall import Waterfall
    from pellucid.metrics.differences import Differences

_SAID = 34


def tie_lines(ranges: "Mapping[str, Range]") -> list[str]:
    """The range of each figure over all orders of tied scores."""
    if all(one.low == one.high or one.low != one.low for one in ranges.values()):
        return ["no figure depends on the order of tied scores"]
    rows = [
        [cut(name, 40), number(one.value, 4), interval(one.low, one.high, 4), "" if one.exact else "at most"]
        for name, one in ranges.items()
    ]
    return [
        "by the order of tied scores alone a figure may lie anywhere in its range",
        *table(["figure", "value", "range", ""], rows, left=(0, 2, 3)),
    ]


def difference_lines(found: "Differences") -> list[str]:
    """Why two protocols give different figures: each cause with its effect, and the detections that decide it."""
    first, second = (number(value, 4) for value in found.values)
    lines = wrapped(
        f"{found.figure}: {first} by {found.first}, {second} by {found.second}, {_signed(found.difference)}; of that"
    )
    if not found.causes:
        return [*lines, "nothing: the two have the same rules"]
    rows = [[cause.name, _signed(cause.effect), _signed(cause.alone), f"{cause.changed:,}"] for cause in found.causes]
    lines += table(["cause", "effect", "alone", "detections changed"], rows)
    for cause in found.causes:
        lines += ["", *wrapped(f"{cause.name}: {found.first} {cause.first}; {found.second} {cause.second}")]
        rows = [
            [cut(one.image, _SAID), f"#{one.number + 1}", cut(one.label, 20), number(one.score), one.before, one.after]
            for one in cause.detections
        ]
        if rows:
            head = ["image", "", "class", "score", found.first, found.second]
            lines += [f"  {line}" for line in table(head, rows, left=(0, 2, 4, 5))]
            if cause.changed > len(rows):
                lines.append(f"  … and {cause.changed - len(rows):,} more (--json)")
    return lines


def worst_lines(analysis: "ErrorAnalysis", names: Sequence[str], count: int = 10) -> list[str]:
    """The errors with the highest scores: where they are, and what they belong with."""
    rows = []
    for one in analysis.records.worst(count):
        x1, y1, x2, y2 = one.box
        rows.append(
            [
                one.kind,
                cut(one.image, _SAID),
                f"#{one.number + 1}",
                cut(names[one.label], 18),
                number(one.score),
                f"{x1:.0f},{y1:.0f} – {x2:.0f},{y2:.0f}",
                "" if one.partner_label is None else f"{cut(names[one.partner_label], 14)} {number(one.iou, 2)}",
            ]
        )
    if not rows:
        return []
    head = ["type", "image", "", "class", "score", "box", "belongs with, IoU"]
    return ["the worst errors", *(line[: WIDTH + 20] for line in table(head, rows, left=(0, 1, 3, 5, 6)))]


def waterfall_lines(waterfall: "Waterfall") -> list[str]:
    """Where a detector loses the objects that it does not find: a line a stage, what it lost and what is left."""
    left = waterfall.remaining
    rows = [[reason, f"−{lost:,}" if lost else "0", f"{left[reason]:,}"] for reason, lost in waterfall.lost.items()]
    found = [["found", "", f"{waterfall.found:,}"]]
    total = [["annotated objects", "", f"{waterfall.total:,}"]]
    return [
        f"recall waterfall: {number(waterfall.recall)} of all objects are found",
        *table(["where objects are lost", "lost", "left"], total + rows + found),
    ]


def outcome_lines(outcomes: Sequence[Mapping[str, Any]], count: int = 10) -> list[str]:
    """How many segments or images went wrong, by kind, and the first of them."""
    if not outcomes:
        return ["no errors"]
    counts = Counter(one["kind"] for one in outcomes)
    rows = [
        [one["kind"], cut(one["image"], _SAID), cut(one["class"], 24), number(one["iou"], 2)]
        for one in outcomes[:count]
    ]
    return [
        ", ".join(f"{kind}: {n:,}" for kind, n in counts.most_common()),
        *table(["error", "image", "class", "IoU"], rows, left=(0, 1, 2)),
        *([f"… and {len(outcomes) - count:,} more"] if len(outcomes) > count else []),
    ]


def _signed(value: float) -> str:
    return number(value, 4) if value != value else f"{value + 0.0:+.4f}"
