"""The faithfulness tests' results for people: a table, and in words what fails."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pellucid.explain import METHODS, Faithfulness
from pellucid.explain.faithfulness import failure_words


def check_table(checks: Sequence[Faithfulness]) -> str:
    """One row a map, under its target: areas, what randomisation leaves, agreement with the truth, and the verdict.

    Each target's first two rows are there to compare with. Names of classes apart, it fits 100 columns.
    """
    with_truth = any(c.pointing is not None for c in checks)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("  target and method", no_wrap=True, overflow="ellipsis", max_width=32)
    for heading in ("deletion ↓", "insertion ↑", "kept ↓", "edges"):
        table.add_column(heading, justify="right", no_wrap=True)
    if with_truth:
        table.add_column("hit", no_wrap=True)
        table.add_column("inside ↑", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for target in dict.fromkeys(c.target for c in checks):
        of_target = [c for c in checks if c.target == target]
        first = of_target[0]
        table.add_row(Text(f"  {target}"))
        table.add_row("    (random order)", f"{first.random_deletion:.3f}", f"{first.random_insertion:.3f}")
        table.add_row("    (the photo's edges)", "", "", "1.00", "1.00")
        for c in of_target:
            truth = [("yes" if c.pointing else "no"), f"{c.energy_inside:.2f}"] if c.energy_inside is not None else []
            table.add_row(
                f"    {METHODS[c.method].title}",
                f"{c.deletion.area:.3f}",
                f"{c.insertion.area:.3f}",
                f"{c.randomisation.kept:.2f}",
                f"{c.randomisation.to_edges:.2f}",
                *truth,
                "FAILS " + c.failures_in_short.replace("no better than chance", "chance") if c.failures else "passes",
            )
    text = io.StringIO()
    Console(file=text, width=140, force_terminal=False, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def check_lines(checks: Sequence[Faithfulness]) -> Iterable[str]:
    """In words: which methods fail on this network, for which targets, and what that means.

    Then what the columns are.
    """
    for method in dict.fromkeys(c.method for c in checks):
        of_method = [c for c in checks if c.method == method]
        failing = [c for c in of_method if c.failures]
        if failing:
            targets = "every target" if len(failing) == len(of_method) else ", ".join(f"'{f.target}'" for f in failing)
            why = "; it ".join(failure_words(failing))
            yield f"  {METHODS[method].title} fails on this network, for {targets}: it {why}."
    if checks and not any(c.failures for c in checks):
        yield "  No method fails its checks here."
    yield (
        "  deletion, insertion: area under the class's probability as the map's strongest pixels are taken\n"
        "  away or put back. kept: how much of the map is left while a quarter to three quarters of the\n"
        "  network, from its output down, are noise (0.5 and above fails). edges: how much the map looks\n"
        "  like the photo's edges."
    )
    if any(c.pointing is not None for c in checks):
        yield (
            "  hit: whether the map's strongest pixel lies in the true region. inside: the share of the map\n"
            "  that lies there."
        )
