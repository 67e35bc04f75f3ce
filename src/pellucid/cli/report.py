"""``pellucid report``: one HTML file with a model's scores, its errors, and why it made them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pellucid.cli.common import check_folder, complain, progress_bar
from pellucid.cli.running import Running, is_model
from pellucid.cli.scoring import fed, note_dropped, opened, predicted
from pellucid.data import Dataset, Predictions
from pellucid.errors import PellucidError
from pellucid.explain.attribution import method_named
from pellucid.explain.faithfulness_table import FaithfulnessTable
from pellucid.metrics.detection.protocols import PROTOCOLS
from pellucid.metrics.detection.score import DetectionScore
from pellucid.metrics.detection.waterfall import WaterfallTally
from pellucid.models import PhotoModel
from pellucid.report.html.build import IOU, Explaining, Judged, report_content
from pellucid.report.html.page import write_html
from pellucid.structures import Annotations

_TRUSTED = ("grad_cam", "odam", "saliency", "guided_backprop")
_TRUSTED_OBJECTS = 3
"""The methods that --trust compares, besides the one that explains, and on how many objects of an image."""


def run(
    *,
    truth: str,
    predictions: str,
    out: Path,
    protocol: str | None,
    split: str | None,
    cases: int,
    method: str,
    explain: bool,
    trust: int,
    drop_unknown: bool,
    running: Running,
) -> None:
    """Scores, explains, and writes the page."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise PellucidError(f"--out {out}: a report is one HTML file; end the name in .html")
    check_folder(out.parent)
    if protocol is not None:
        _check(protocol)
    chosen = method_named(method).name
    if is_model(truth):
        judged, explaining = _of_model(truth, predictions, split, protocol, running, chosen, explain)
    else:
        running.check_absent()
        dataset = opened(truth, split)
        said = predicted(predictions, dataset, drop_unknown=drop_unknown)
        judged, explaining = _judged(said.source, dataset, said, [protocol or "coco"]), None
    if explaining is not None and trust:
        explaining = replace(explaining, trust=_trust(explaining, judged.dataset, trust))
    with progress_bar() as bar:
        task = bar.add_task("", total=None)

        def say(text: str, done: int, total: int) -> None:
            bar.update(task, description=text, completed=done, total=total)

        content = report_content(judged, cases=cases, explaining=explaining, say=say)
    write_html(content, out)
    print("\n".join(_lines(content.scores[0], out)))


def _trust(explaining: Explaining, dataset: Dataset, images: int) -> FaithfulnessTable | None:
    """None where there is nothing to test them on."""
    from pellucid.cli.faithfulness import tested

    assert isinstance(explaining.model, PhotoModel)
    names = list(dict.fromkeys((*_TRUSTED, explaining.method)))
    asked = {"images": images, "objects": _TRUSTED_OBJECTS, "masks": 100, "steps": 8, "seed": 0}
    try:
        return tested(explaining.model, dataset, names, **asked)
    except PellucidError as error:
        complain(f"--trust: left out: {error}")
        return None


def _check(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise PellucidError(f"--protocol {protocol}: a report is of detections; give one of {', '.join(PROTOCOLS)}")


def _of_model(
    model: str, data: str, split: str | None, protocol: str | None, running: Running, method: str, explain: bool
) -> tuple[Judged, Explaining | None]:
    from pellucid.cli.evaluate_model import judged_model

    tally = WaterfallTally(IOU)

    def seen(truth: Annotations, said: Annotations, own: list[int | None]) -> None:
        if said.trace is not None:
            tally.add(truth, said, own)

    # one image at a time, as each is explained: the score that is explained is the score that counts, to the last digit
    running = replace(running, batch_size=1)
    ran = judged_model(model, data, split, protocol, running, _check, seen if explain else None)
    judged = _judged(ran.model.name, ran.dataset, ran.said, ran.protocols)
    if not explain:
        return judged, None
    waterfall = tally.waterfall() if hasattr(ran.model, "traced") else None
    return judged, Explaining(ran.model, method, ran.own, waterfall)


def _judged(name: str, dataset: Dataset, said: Predictions, protocols: list[str]) -> Judged:
    scores: list[Any] = [fed(dataset, said, one, errors=True).score() for one in protocols]
    assert all(isinstance(score, DetectionScore) for score in scores)
    note_dropped(scores[0].findings, said)
    return Judged(name, dataset, said, scores)


def _lines(main: Any, out: Path) -> list[str]:
    first = main.values[0] if main.values else None
    interval = f" ({first.low:.3f} to {first.high:.3f})" if first is not None and first.low is not None else ""
    said = f"{main.title}: {first.name} {first.value:.3f}{interval}" if first is not None else main.title
    return [said, f"written: {out} ({out.stat().st_size / 2**20:.1f} MiB)"]
