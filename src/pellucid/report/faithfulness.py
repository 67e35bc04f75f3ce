"""How faithful methods are on a data set, for people: a table, and how to read it."""

import io
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from pellucid.explain import METHODS
from pellucid.explain.faithfulness_table import Estimate, FaithfulnessTable, MethodRow
from pellucid.explain.randomisation import RandomisationCheck


def faithfulness_text(table: FaithfulnessTable) -> str:
    """A row a method, below what chance would give; each mean with half the width of its 95 % interval."""
    with_region = table.region is not None
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column("method", no_wrap=True)
    for heading in ("hit ↑", "inside ↑") if with_region else ():
        drawn.add_column(heading, no_wrap=True)
    for heading in ("deletion ↓", "insertion ↑", "better ↑", "kept ↓", "passes ↑"):
        drawn.add_column(heading, no_wrap=True)
    drawn.add_column("s", justify="right", no_wrap=True)
    region = [_number(table.region)] * 2 if with_region else []
    drawn.add_row("(chance)", *region, _number(table.random_deletion), _number(table.random_insertion))
    for row in table.rows:
        if row.undefined is None:
            drawn.add_row(METHODS[row.method].title, *_cells(row, with_region), f"{row.seconds:.2g}")
    text = io.StringIO()
    Console(file=text, width=140, force_terminal=False, color_system=None).print(drawn)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def faithfulness_lines(table: FaithfulnessTable) -> Iterator[str]:
    """What there is no row of, and how to read the columns."""
    for row in table.rows:
        if row.undefined is not None:
            yield f"{METHODS[row.method].title} left out: {row.undefined}"
    if table.without:
        plural = "s" if table.without > 1 else ""
        yield f"{table.without} image{plural} without anything to explain."
    yield (
        "Read a row against chance: a faithful map has a lower deletion and a higher insertion than a random order of\n"
        "the pixels, for most objects (better), and does not outlive the network: kept below "
        f"{RandomisationCheck.LIMIT:g}."
    )
    if table.region is not None:
        yield (
            "hit: how often the strongest pixel lies in the true region; inside: how much of it lies there; chance\n"
            "is the region's share of the photo. Neither is proof: a network may well look at what is around an object."
        )
    yield "±: half of the 95 % interval, over images. s: seconds a map."


def _cells(row: MethodRow, with_region: bool) -> list[str]:
    wanted = [row.pointing, row.inside] if with_region else []
    return [_estimate(one) for one in (*wanted, row.deletion, row.insertion, row.better, row.kept, row.passes)]


def _estimate(found: Estimate | None) -> str:
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} ±{(found.high - found.low) / 2:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
