"""What ``evaluate`` and ``compare`` share: opening truth and predictions, and feeding an evaluator."""

import math
from collections.abc import Sequence
from typing import Any

from pellucid.cli.common import progress_bar
from pellucid.cli.data_options import told_in_one_line
from pellucid.data import Dataset, Predictions, open_dataset, read_predictions
from pellucid.data.defects import KINDS
from pellucid.metrics.evaluation import Evaluator, Pairs, evaluator
from pellucid.metrics.findings import Findings


def opened(truth: str, split: str | None) -> Dataset:
    """The truth, every box as it was annotated."""
    with told_in_one_line():
        if truth == "scenes" or truth.startswith("scenes:"):
            return open_dataset(truth, split)
        return open_dataset(truth, split, as_annotated=True)


def predicted(spec: str, dataset: Dataset, *, drop_unknown: bool) -> Predictions:
    """Predictions of the images of the truth."""
    with told_in_one_line():
        return read_predictions(spec, dataset, drop_unknown=drop_unknown)


def fed(dataset: Dataset, predictions: Predictions, protocol: str, **options: Any) -> Evaluator:
    """An evaluator of a protocol that was fed all images."""
    pairs = Pairs(dataset, predictions)
    made = evaluator(pairs.classes, protocol, inclusive=pairs.inclusive, **options)
    with progress_bar() as bar:
        task = bar.add_task("images", total=len(pairs))
        pairs.feed(made, lambda done, total: bar.update(task, completed=done, total=total))
    return made


def note_dropped(findings: Findings, predictions: Predictions) -> None:
    """Adds to a score's findings what reading the predictions left out."""
    for (kind, action), count in predictions.defects.counts.items():
        named = [f"{defect.item}: {defect.what}" for defect in predictions.defects.of(kind)[: findings.keep]]
        findings.add(f"predictions: {KINDS[kind].many}", named, "dropped" if action == "dropped" else "kept", count)


def lines_of(blocks: Sequence[Sequence[str]]) -> str:
    """Blocks of lines with an empty line between them."""
    return "\n\n".join("\n".join(block) for block in blocks if block)


def finite(value: Any) -> Any:
    """A record with null for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
