"""Makes the pictures of scores in docs/pictures: python docs/make_score_pictures.py"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pellucid import metrics, open_dataset
from pellucid.report.scores import plot_curves, plot_errors
from pellucid.structures import ObjectColumns

PICTURES = Path(__file__).parent / "pictures"


def disturbed(truth: ObjectColumns, seed: int = 0) -> ObjectColumns:
    """The objects of a truth as a poor network finds them: moved, some twice, some as another class, some missed."""
    rng = np.random.default_rng(seed)
    kept = rng.random(len(truth.labels)) < 0.9
    rows = np.sort(np.concatenate((np.flatnonzero(kept), np.flatnonzero(rng.random(len(kept)) < 0.15))))
    found = replace(truth.taken(rows), mask=None, item=None)
    spread = rng.choice([0.02, 0.08, 0.3], (len(rows), 1))
    boxes = found.boxes + rng.normal(size=(len(rows), 4)) * spread * np.tile(found.boxes[:, 2:], 2)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 2)
    other = rng.random(len(rows)) < 0.12
    labels = np.where(other, rng.choice(np.unique(truth.labels), len(rows)), found.labels)
    scores = np.clip(0.9 - spread[:, 0] - 0.3 * other + 0.2 * rng.normal(size=len(rows)), 0.01, 0.99)
    counts = np.bincount(truth.images[rows], minlength=len(truth))
    first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return replace(found, first=first, boxes=boxes, labels=labels, scores=scores)


def main() -> None:
    """Draws the curves of six classes, and what each type of error costs, for disturbed objects of 200 scenes."""
    truth = open_dataset("scenes:n=200,seed=0").columns()
    evaluator = metrics.DetectionEvaluator(truth.classes, "coco")
    evaluator.add_columns(truth, disturbed(truth))
    score = evaluator.score()
    plot_curves(score, PICTURES / "curves.png", classes=list(truth.classes.names[:6]))
    plot_errors(score.errors(), PICTURES / "errors.png")


if __name__ == "__main__":
    main()
