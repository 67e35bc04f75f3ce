"""The faithfulness tests' results for people: a table, and in words what fails."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from pellucid.explain import METHODS, Faithfulness


def check_table(checks: Sequence[Faithfulness]) -> str:
    """One row a map: areas, what randomisation leaves, agreement with the truth, and the verdict.

    With two rows to compare with.
    """
    with_truth = any(c.pointing is not None for c in checks)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("  target")
    table.add_column("method")
    for heading in ("deletion ↓", "insertion ↑", "kept ↓", "edges"):
        table.add_column(heading, justify="right")
    if with_truth:
        table.add_column("pointing")
        table.add_column("inside ↑", justify="right")
    table.add_column("verdict")
    last = None
    for c in checks:
        if c.target != last:
            references = [
                ("random order", f"{c.random_deletion:.3f}", f"{c.random_insertion:.3f}", "", ""),
                ("input's edges", "", "", "1.00", "1.00"),
            ]
            for name, *figures in references:
                table.add_row(f"  {c.target}", f"({name})", *figures, *(["", ""] if with_truth else []), "")
        last = c.target
        truth = [("hit" if c.pointing else "miss"), f"{c.energy_inside:.2f}"] if c.energy_inside is not None else []
        table.add_row(
            f"  {c.target}",
            METHODS[c.method].title,
            f"{c.deletion.area:.3f}",
            f"{c.insertion.area:.3f}",
            f"{c.randomisation.kept:.2f}",
            f"{c.randomisation.to_edges:.2f}",
            *truth,
            "passes" if not c.failures else "FAILS: " + c.failures_in_short,
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
        for c in failing[:1]:
            targets = "every target" if len(failing) == len(of_method) else ", ".join(f"'{f.target}'" for f in failing)
            yield f"  {METHODS[method].title} fails on this network, for {targets}: it {'; it '.join(c.failures)}."
    if checks and not any(c.failures for c in checks):
        yield "  No method fails its checks here."
    yield (
        "  deletion, insertion: area under the class's probability as the map's strongest pixels are taken away or put "
        "back;\n  kept: how much of the map is left while a quarter to three quarters of the network, from its output "
        "down, are noise\n  (0.5 and above fails); edges: how much the map looks like the photo's edges."
    )
