"""What is wrong with truths and predictions: counted by kind, with the first ones named, and what was done about it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["dropped", "kept", "counted as given"]


@dataclass
class Findings:
    """Counts and examples of each kind of fault. Two of them add up with ``take``."""

    keep: int = 3
    counts: dict[tuple[str, Action], int] = field(default_factory=dict)
    examples: dict[tuple[str, Action], list[str]] = field(default_factory=dict)

    def add(
        self, what: str, example: str | Iterable[str], action: Action = "dropped", count: int | None = None
    ) -> None:
        """Notes faults of one kind.

        ``what``: in the plural, such as 'detections with a score that is no number'. ``example``: the item, such as
        'image 12.jpg, object 3', or several. ``count``: how many there are, where not all are named.
        """
        named = [example] if isinstance(example, str) else list(example)
        count = len(named) if count is None else count
        if count == 0:
            return
        key = what, action
        self.counts[key] = self.counts.get(key, 0) + count
        known = self.examples.setdefault(key, [])
        known.extend(named[: self.keep - len(known)])

    def take(self, other: "Findings") -> None:
        """Adds all that another holds."""
        for (what, action), count in other.counts.items():
            self.add(what, other.examples.get((what, action), []), action, count)

    def count(self, what: str) -> int:
        """How many of a kind, whatever was done about them."""
        return sum(n for (kind, _), n in self.counts.items() if kind == what)

    def lines(self) -> list[str]:
        """One line a kind: 'detections with a score that is no number: 5 (dropped), such as 12.jpg, object 3'."""
        made = []
        for (what, action), n in self.counts.items():
            named = "; ".join(self.examples[what, action])
            some = (
                f", such as {named}"
                if named and n > len(self.examples[what, action])
                else f": {named}"
                if named
                else ""
            )
            made.append(f"{what}: {n:,} ({action}){some}")
        return made

    def record(self) -> list[dict[str, object]]:
        """As JSON takes it."""
        return [
            {"what": what, "action": action, "count": n, "examples": list(self.examples[what, action])}
            for (what, action), n in self.counts.items()
        ]
