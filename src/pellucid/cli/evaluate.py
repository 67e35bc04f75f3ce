"""``pellucid evaluate``: how good predictions are, by an official protocol."""

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pellucid.cli.common import check_folder, print_json
from pellucid.cli.running import Running, is_model
from pellucid.cli.scoring import fed, finite, lines_of, note_dropped, opened, predicted
from pellucid.data import Dataset, Predictions
from pellucid.data.tables import read_lines
from pellucid.errors import PellucidError, nearest
from pellucid.metrics.detection.evaluator import DetectionEvaluator, protocol_named
from pellucid.metrics.detection.protocols import PROTOCOLS
from pellucid.metrics.detection.score import DetectionScore
from pellucid.metrics.evaluation import NAMES, Evaluator
from pellucid.metrics.score import Score

_WORST = 100
"""How many of the worst errors JSON lists."""

_RECORDED = ("panoptic", "ilsvrc-loc", "kaggle-loc")
"""The protocols beside those of detections that record what became of every segment or image."""

_SUFFIXES = ("png", "pdf", "svg")


_SUCCESS = ("match", "right")


@dataclass
class _Analyses:
    """What was asked for beside the figures."""

    errors: Any = None
    outcomes: list[dict[str, Any]] | None = None
    intervals: Any = None
    ties: Any = None
    versus: Any = None


@dataclass(frozen=True)
class Asked:
    """What is wanted of a score: the command's options of the same names."""

    per_class: bool
    errors: bool
    waterfall: bool
    bootstrap: int
    seed: int
    ties: bool
    versus: str | None
    boundary: bool
    exclude: Path | None
    plots: Path | None
    plot_format: str


@dataclass
class _Judged:
    """A score and what was made with it."""

    score: Score
    found: _Analyses
    written: list[Path]


def run(
    *,
    truth: str,
    predictions: str,
    protocol: str | None,
    split: str | None,
    drop_unknown: bool,
    running: Running,
    json_output: bool,
    **asked: Any,
) -> None:
    """Scores, prints, and draws. ``asked``: the fields of ``Asked``."""
    wanted = Asked(**asked)
    if wanted.plot_format not in _SUFFIXES:
        raise PellucidError(f"--plot-format {wanted.plot_format}: give {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}")
    if wanted.plots is not None:
        check_folder(wanted.plots)
    if protocol is not None:
        _check(protocol, wanted)
    name, tally = "", None
    if is_model(truth):
        from pellucid.cli.evaluate_model import judged_model

        def check(protocol: str) -> None:
            _check(protocol, wanted)

        if wanted.waterfall:
            from pellucid.metrics.detection.waterfall import WaterfallTally

            tally = WaterfallTally()
        ran = judged_model(truth, predictions, split, protocol, running, check, None if tally is None else tally.add)
        name, dataset, said, protocols = ran.model.name, ran.dataset, ran.said, ran.protocols
    else:
        running.check_absent()
        if wanted.waterfall:
            raise PellucidError("--waterfall: follows objects through a model; give one in place of the truth")
        protocols = [protocol or "coco"]
        _check(protocols[0], wanted)
        dataset = opened(truth, split)
        said = predicted(predictions, dataset, drop_unknown=drop_unknown)
    several = len(protocols) > 1
    judged = {
        one: _judged(
            dataset, said, one, replace(wanted, plots=wanted.plots / one) if several and wanted.plots else wanted
        )
        for one in protocols
    }
    waterfall = None if tally is None else tally.waterfall()
    if json_output:
        records = {one: finite(_record(each.score, each.found, each.written)) for one, each in judged.items()}
        made: dict[str, Any] = {"protocols": records} if several else next(iter(records.values()))
        lost = {} if waterfall is None else {"waterfall": finite(waterfall.record())}
        print_json(({"model": name} if name else {}) | made | lost)
        return
    blocks = [[name]] if name else []
    for each in judged.values():
        blocks += _lines(each.score, each.found, wanted.per_class, each.written)
    if waterfall is not None:
        from pellucid.report.scores.analyses import waterfall_lines

        blocks.append(waterfall_lines(waterfall))
    print(lines_of(blocks))


def _judged(dataset: Dataset, said: Predictions, protocol: str, asked: Asked) -> _Judged:
    other = protocol_named(asked.versus) if asked.versus is not None else None
    options = _options(protocol, dataset, asked.errors or asked.plots is not None, asked.boundary, asked.exclude)
    judge = fed(dataset, said, protocol, **options)
    score = judge.score()
    note_dropped(score.findings, said)
    found = _Analyses()
    if isinstance(judge, DetectionEvaluator) and isinstance(score, DetectionScore):
        found = _analysed(judge, score, asked.errors, asked.bootstrap, asked.seed, asked.ties)
        if other is not None:
            from pellucid.metrics.differences import differences

            found.versus = differences(dataset.columns(), said.columns(), judge.protocol, other)
    elif asked.errors:
        wrong = [one for one in judge.records() if one.kind not in _SUCCESS]  # type: ignore[attr-defined]
        found.outcomes = [vars(one) | {"class": dataset.classes[one.label]} for one in wrong]
    written: list[Path] = []
    if asked.plots is not None:
        written = _drawn(asked.plots, asked.plot_format, judge, score, found, (dataset, said))
    return _Judged(score, found, written)


def _check(protocol: str, asked: Asked) -> None:
    if protocol not in NAMES:
        raise PellucidError(f"--protocol {protocol}: unknown{nearest(protocol, NAMES)}; there are {', '.join(NAMES)}")
    wanted = {"--bootstrap": asked.bootstrap, "--ties": asked.ties, "--versus": asked.versus}
    named = next((name for name, value in wanted.items() if value), None)
    if named is not None and protocol not in PROTOCOLS:
        raise PellucidError(f"{named}: is of detections, not of {protocol}; leave it out, or choose another --protocol")
    if asked.errors and protocol not in (*PROTOCOLS, *_RECORDED):
        raise PellucidError(f"--errors: {protocol} has figures alone, no list of errors; leave it out")


def _options(protocol: str, dataset: Dataset, across: bool, boundary: bool, exclude: Path | None) -> dict[str, Any]:
    """The evaluator's options, from the command's. Raises PellucidError for one that the protocol does not have."""
    made: dict[str, Any] = {}
    if protocol in PROTOCOLS:
        made["errors"] = across
    if boundary:
        if protocol not in ("semantic", "panoptic"):
            raise PellucidError("--boundary: is of semantic and panoptic; --protocol coco-boundary has it of instances")
        made["boundary"] = True
    if exclude is not None:
        lines = read_lines(exclude)
        if protocol == "ilsvrc-loc":
            made["excluded"] = lines
        elif protocol == "ilsvrc":
            made["excluded"] = [_pair(line, number, exclude, dataset) for number, line in enumerate(lines, 1)]
        else:
            raise PellucidError(f"--exclude: is of ilsvrc and ilsvrc-loc, not of {protocol}; leave it out")
    return made


def _pair(line: str, number: int, path: Path, dataset: Dataset) -> tuple[str, int]:
    """An image and a class: a name, or its number from 1, and the class's id, name or number from 1."""
    words = line.rsplit(None, 1)
    if len(words) != 2:
        raise PellucidError(f"{path}: line {number}: '{line[:80]}' is no image and class; correct it")
    name, label = words
    stems = {known.rsplit(".", 1)[0]: known for known in dataset.names}
    image = name if name in dataset.names else stems.get(name.rsplit(".", 1)[0], "")
    if not image and name.isdecimal() and 1 <= int(name) <= len(dataset):
        image = dataset.names[int(name) - 1]
    if not image:
        raise PellucidError(f"{path}: line {number}: no image is called '{name[:80]}'{nearest(name, dataset.names)}")
    ids = [str(dataset.classes.source_id(k)) for k in range(len(dataset.classes))]
    if label in ids:
        return image, ids.index(label)
    if label.isdecimal() and 1 <= int(label) <= len(ids):
        return image, int(label) - 1
    return image, dataset.classes.index(label)


def _analysed(
    judge: DetectionEvaluator, score: DetectionScore, errors: bool, bootstrap: int, seed: int, ties: bool
) -> _Analyses:
    found = _Analyses()
    if errors:
        from pellucid.metrics.detection.errors import error_types

        found.errors = error_types(judge)
    if bootstrap:
        from pellucid.metrics.detection.bootstrap import bootstrap as resample

        found.intervals = resample(score, bootstrap, seed=seed)
    if ties:
        from pellucid.metrics.detection.ties import tie_range

        found.ties = tie_range(score)
    return found


def _record(score: Score, found: _Analyses, written: list[Path]) -> dict[str, Any]:
    made, names = score.record(), list(score.per_class)
    made["errors"] = None
    if found.outcomes is not None:
        made["errors"] = {"counts": Counter(one["kind"] for one in found.outcomes), "worst": found.outcomes[:_WORST]}
    if found.errors is not None:
        made["errors"] = found.errors.record(worst=_WORST)
        for one in itertools.chain.from_iterable(made["errors"]["worst"].values()):
            one["class"] = names[one["label"]]
            one["partner_class"] = None if one["partner_label"] is None else names[one["partner_label"]]
    made["intervals"] = None if found.intervals is None else found.intervals.record()
    if found.ties is not None:
        made["ties"] = {name: one.record() for name, one in found.ties.items()}
    if found.versus is not None:
        made["versus"] = found.versus.record()
    if written:
        made["plots"] = [str(path) for path in written]
    return made


def _lines(score: Score, found: _Analyses, per_class: bool, written: list[Path]) -> list[list[str]]:
    from pellucid.report.scores.analyses import difference_lines, outcome_lines, tie_lines, worst_lines
    from pellucid.report.scores.tables import error_lines, per_class_lines, summary_lines

    blocks = [[f"{score.title}, {score.images:,} images"], summary_lines(score, found.intervals)]
    if per_class:
        blocks.append(per_class_lines(score))
    if found.errors is not None:
        blocks += [error_lines(found.errors), worst_lines(found.errors, list(score.per_class))]
    if found.outcomes is not None:
        blocks.append(outcome_lines(found.outcomes))
    if found.ties is not None:
        blocks.append(tie_lines(found.ties))
    if found.versus is not None:
        blocks.append(difference_lines(found.versus))
    blocks.append([f"written: {path}" for path in written])
    return blocks


def _drawn(
    folder: Path,
    suffix: str,
    judge: Evaluator,
    score: Score,
    found: _Analyses,
    pair: tuple[Dataset, Predictions],
) -> list[Path]:
    """The plots that the protocol has; gives their paths."""
    from pellucid.report import scores as drawing

    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []

    def draw(name: str, plot: Callable[..., object], *what: object, **options: object) -> None:
        path = folder / f"{name}.{suffix}"
        plot(*what, path, **options)
        made.append(path)

    if isinstance(judge, DetectionEvaluator) and isinstance(score, DetectionScore):
        from pellucid.metrics.detection.confusion import confusion
        from pellucid.metrics.detection.errors import error_types

        draw("curves", drawing.plot_curves, score)
        draw("mean_curve", drawing.plot_mean_curve, score)
        draw("errors", drawing.plot_errors, found.errors or error_types(judge))
        draw("confusion", drawing.plot_confusion, confusion(judge))
        curve = score.calibration()
        if curve is not None:
            draw("reliability", drawing.plot_reliability, curve, title="Detections: precision at each score")
        if found.intervals is not None:
            draw("intervals", drawing.plot_intervals, score, found.intervals)
    elif score.protocol == "semantic":
        draw("confusion", drawing.plot_confusion, _pixels(judge, score))
    curve = _pixel_calibration(*pair) if score.protocol in ("semantic", "isbi") else None
    if curve is not None:
        draw("reliability", drawing.plot_reliability, curve, title="Pixels: accuracy at each confidence")
    if not made:
        raise PellucidError(f"--plots: there is none for {score.protocol}; leave it out")
    return made


def _pixel_calibration(dataset: Dataset, predictions: Predictions) -> Any:
    """The same of pixels, where probabilities were predicted; else None."""
    from pellucid.metrics.calibration import SegmentationCalibration

    calibration = SegmentationCalibration(dataset.classes)
    for index, name in enumerate(dataset.names):
        said = predictions.get(index)
        if said is None or said.semantic_probabilities is None:
            return None
        calibration.add(name, dataset[index].annotations, said)
    return calibration.curve


def _pixels(judge: Any, score: Score) -> Any:
    """The confusion of pixels, in the shape that the plot takes."""
    import numpy as np

    from pellucid.metrics.detection.confusion import Confusion

    none = np.zeros((1, judge.confusion.shape[1]), dtype=np.int64)  # no pixel of the truth is of no class
    return Confusion(np.concatenate((judge.confusion, none)), (*score.per_class, "no class"), math.nan, math.nan)
