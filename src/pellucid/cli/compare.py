"""``pellucid compare``: whether predictions B are really better than A."""

from dataclasses import replace

from pellucid.cli.common import print_json
from pellucid.cli.scoring import fed, lines_of, note_dropped, opened, predicted
from pellucid.errors import PellucidError, nearest
from pellucid.metrics.detection.protocols import PROTOCOLS
from pellucid.metrics.detection.score import DetectionScore


def run(
    *,
    truth: str,
    a: str,
    b: str,
    protocol: str,
    split: str | None,
    per_class: bool,
    bootstrap: int,
    seed: int,
    drop_unknown: bool,
    json_output: bool,
) -> None:
    """Scores both on the same images, resamples, and prints what differs."""
    from pellucid.metrics.comparing import compare
    from pellucid.report.scores.tables import comparison_lines

    if protocol not in PROTOCOLS:
        raise PellucidError(
            f"--protocol {protocol}: compare takes those of detections{nearest(protocol, PROTOCOLS)}: "
            f"{', '.join(PROTOCOLS)}"
        )
    if bootstrap < 1:
        raise PellucidError("--bootstrap 0: nothing to compare by; give 100 or more")
    dataset = opened(truth, split)
    scores = []
    for spec in (a, b):
        said = predicted(spec, dataset, drop_unknown=drop_unknown)
        score = fed(dataset, said, protocol).score()
        assert isinstance(score, DetectionScore)
        note_dropped(score.findings, said)
        scores.append(score)
    made = compare(scores[0], scores[1], replicates=bootstrap, seed=seed)
    if json_output:
        print_json({"protocol": protocol, "a": a, "b": b, **made.record()})
        return
    head = [f"{scores[0].title}, {scores[0].images:,} images, {bootstrap:,} resamplings", f"A  {a}", f"B  {b}"]
    told = [[f"{name}: {line}" for line in score.findings.lines()] for name, score in zip("AB", scores, strict=True)]
    blocks = [head, comparison_lines(made), *told]
    if per_class:
        main = next(iter(made.figures))
        name = main if all(main in row for row in made.per_class.values()) else "AP"
        rows = {of: row[name] for of, row in made.per_class.items() if name in row}
        blocks.append([f"{name} of each class", *comparison_lines(replace(made, figures=rows))])
    print(lines_of(blocks))
