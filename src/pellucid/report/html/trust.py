"""How far explanations of a model can be believed, as a table of a report."""

import math

from pellucid.explain import METHODS
from pellucid.explain.faithfulness_table import Estimate, FaithfulnessTable
from pellucid.report.html.content import Table

_ABOUT = (
    "A faithful map has a lower deletion and a higher insertion than pixels in random order, and is gone when the "
    "network becomes noise: kept below 0.5. Hit and inside: whether its strongest point, and how much of it, lies in "
    "the true object."
)


def trust_of(found: FaithfulnessTable) -> Table:
    """A row each method, below what chance would give."""

    def value(estimate: Estimate | None) -> float:
        return math.nan if estimate is None else estimate.value

    def plain(number: float | None) -> float:
        return math.nan if number is None else number

    by_chance = (plain(found.region), plain(found.region), plain(found.random_deletion), plain(found.random_insertion))
    rows: list[tuple[str | int | float, ...]] = [("by chance", *by_chance, math.nan, math.nan, math.nan)]
    for row in found.rows:
        if row.undefined is None:
            figures = (row.pointing, row.inside, row.deletion, row.insertion, row.better, row.kept, row.passes)
            rows.append((METHODS[row.method].title, *map(value, figures)))
    headings = ("method", "hit", "inside", "deletion", "insertion", "better than chance", "kept", "passes")
    title = f"Methods tested on {found.objectives} objects in {found.images} images"
    return Table(title, headings, tuple(rows), _ABOUT)
