"""Confidence intervals of COCO's twelve figures over images. Claim: 1,000 replicates in seconds, ≥ 20 × hotcoco.

Truth and detections as in ``detections.py``: 5,000 images, 500,000 detections, 80 classes; read and matched beforehand.
hotcoco has no interval of one result: its ``compare`` draws images for two results at once. Both contestants compare
the data with itself, which spares nobody any work. hotcoco draws fewer replicates, since 1,000 take it minutes, and its
seconds are scaled up, but for those of a comparison without replicates. Pellucid's time includes what hotcoco leaves
out: intervals of every class, and the range over orders of ties.

Give numbers of replicates to make it shorter or longer: ``python benchmarks/bootstrap.py 1000 20``.
"""

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hotcoco

import detections
from pellucid import open_dataset
from pellucid.data.coco.results import result_columns
from pellucid.data.defects import Defects
from pellucid.metrics.comparing import compare
from pellucid.metrics.detection.bootstrap import bootstrap
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.metrics.detection.score import DetectionScore

from common import print_ratios, setup

ROUNDS = 3


def ours(truth: Path, results: Path) -> DetectionScore:
    data = open_dataset(f"coco:{truth}", as_annotated=True)
    evaluator = DetectionEvaluator(data.classes, "coco")
    evaluator.add_columns(data.columns(), result_columns(str(results), data, Defects()))
    return evaluator.score()


def theirs(truth: Path, results: Path) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        there = hotcoco.COCO(str(truth))
        judge = hotcoco.COCOeval(there, there.load_res(str(results)), "bbox")
        judge.evaluate()
        judge.accumulate()
    return judge


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Makes the data, matches it, and times the replicates alone."""
    setup()
    replicates, fewer = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (1000, 20)
    with tempfile.TemporaryDirectory() as name:
        paths = detections.make(Path(name))
        score, judge = ours(*paths), theirs(*paths)
    compare(score, score, replicates=2)  # warm up
    seconds: dict[str, list[float]] = {"pellucid, bootstrap": [], "pellucid, compare": []}
    scaled = f"hotcoco, compare ({fewer} replicates, scaled)"
    seconds[scaled] = []
    for _ in range(ROUNDS):
        seconds["pellucid, bootstrap"].append(seconds_of(lambda: bootstrap(score, replicates)))
        seconds["pellucid, compare"].append(seconds_of(lambda: compare(score, score, replicates=replicates)))
        none = seconds_of(lambda: hotcoco.compare(judge, judge, n_bootstrap=0))
        some = seconds_of(lambda: hotcoco.compare(judge, judge, n_bootstrap=fewer))
        seconds[scaled].append(none + (some - none) * replicates / fewer)
    print_ratios(f"{replicates} replicates of {detections.IMAGES} images", seconds, "pellucid, compare")


if __name__ == "__main__":
    main()
