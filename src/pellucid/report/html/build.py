"""Makes a report: scores, errors, and, where there is a model, why it made them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from pellucid.data import Dataset
from pellucid.explain.faithfulness_table import FaithfulnessTable
from pellucid.metrics.detection.bootstrap import bootstrap
from pellucid.metrics.detection.score import DetectionScore
from pellucid.metrics.detection.waterfall import Waterfall
from pellucid.report.html import scoring
from pellucid.report.html.breakdowns import breakdowns_of
from pellucid.report.html.choosing import Chosen, hits, missed, not_found, worst
from pellucid.report.html.content import Case, Content, Marked, Role
from pellucid.report.html.explaining import Reason, explained, reasons_of
from pellucid.report.html.pictures import Window
from pellucid.report.html.sentences import sentence_of
from pellucid.report.html.trust import trust_of
from pellucid.report.outlines import outline_path
from pellucid.structures import Annotations, Instances

IOU = 0.5
"""From which overlap on an object counts as found, in the waterfall and the galleries."""

_REPLICATES = 1000
_INTERVALS_FROM = 10
"""Intervals are drawn from so many images on."""

Say = Callable[[str, int, int], None]
"""Told of progress: what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Explaining:
    """With what errors are explained.

    ``model``: what made the predictions. ``method``: by which method. ``own``: for each class of the data which of the
    model's it is. ``waterfall``: what each stage lost, where the model keeps a trace. ``trust``: how faithful methods
    are on this model, where that was tested.
    """

    model: nn.Module
    method: str
    own: Sequence[int | None]
    waterfall: Waterfall | None
    trust: FaithfulnessTable | None = None


@dataclass(frozen=True)
class Judged:
    """Predictions of a data set, and their scores, the main one first. ``name``: of the model or the predictions."""

    name: str
    dataset: Dataset
    said: Sequence[Annotations]
    scores: Sequence[DetectionScore]


def report_content(
    judged: Judged,
    *,
    cases: int = 60,
    explaining: Explaining | None = None,
    say: Say = lambda text, done, total: None,
) -> Content:
    """All that a report says.

    ``cases``: so many false positives and missed objects at most, and a third as many hits. Without ``explaining``
    there is no waterfall, and no explanation. ``say``: told of progress.
    """
    truths = [judged.dataset.sample(i).annotations for i in range(len(judged.dataset))]
    main = judged.scores[0]
    intervals = bootstrap(main, _REPLICATES) if len(truths) >= _INTERVALS_FROM else None
    analysis = main.errors()
    waterfall = explaining.waterfall if explaining is not None else None
    images = {name: index for index, name in enumerate(judged.dataset.names)}
    lost = waterfall.objects if waterfall is not None else not_found(truths, judged.said, IOU)
    chosen = [
        *worst(analysis, truths, images, cases),
        *missed(lost, judged.said, cases),
        *hits(truths, judged.said, IOU, (cases + 2) // 3),
    ]
    gallery = _Gallery(judged, truths, explaining)
    made = gallery.cases(chosen, say)
    left_out = (
        [] if explaining is not None else ["Why: without the model nothing can be explained; give its checkpoint."]
    )
    if explaining is not None and waterfall is None:
        left_out.append(f"Where missed objects were lost: {judged.name} keeps no trace of what it considered.")
    if intervals is None:
        left_out.append(f"How sure the figures are: {len(truths)} images are too few for intervals.")
    left_out += [f"Of the data: {line}." for line in main.findings.lines()]
    return Content(
        title=judged.name,
        data=judged.dataset.title,
        facts=_facts(judged, truths, len(lost)),
        scores=tuple(scoring.scores_of(s, intervals if s is main else None) for s in judged.scores),
        curves=scoring.curves_of(main),
        errors=scoring.errors_of(analysis),
        waterfall=scoring.waterfall_of(waterfall, IOU) if waterfall is not None else None,
        calibration=scoring.calibration_of(main),
        confusion=scoring.confusion_of(main),
        per_class=scoring.per_class_of(main),
        breakdowns=breakdowns_of(truths, judged.said, main, IOU),
        trust=trust_of(explaining.trust) if explaining is not None and explaining.trust is not None else None,
        cases=made,
        left_out=tuple(left_out),
    )


def _facts(judged: Judged, truths: Sequence[Annotations], lost: int) -> tuple[tuple[str, str], ...]:
    objects = sum(len(truth.instances) for truth in truths if truth.instances is not None)
    detections = sum(len(one.instances) for one in judged.said if one.instances is not None)
    return (
        ("images", f"{len(truths):,}"),
        ("annotated objects", f"{objects:,}"),
        ("not found at IoU 0.5", f"{lost:,}"),
        ("detections", f"{detections:,}"),
        ("classes", f"{len(judged.dataset.classes):,}"),
    )


class _Gallery:
    """Makes cases of what was chosen, image by image."""

    def __init__(self, judged: Judged, truths: Sequence[Annotations], explaining: Explaining | None) -> None:
        self.judged, self.truths, self.explaining = judged, truths, explaining
        self.classes = judged.dataset.classes

    def cases(self, chosen: Sequence[Chosen], say: Say) -> tuple[Case, ...]:
        """In the order given."""
        by_image: Mapping[int, list[int]] = defaultdict(list)
        for place, one in enumerate(chosen):
            by_image[one.image].append(place)
        made: dict[int, Case] = {}
        for done, (image, places) in enumerate(sorted(by_image.items())):
            say("explaining" if self.explaining is not None else "drawing", done, len(by_image))
            photo = self.judged.dataset.sample(image).read_image()
            mine = [chosen[place] for place in places]
            reasons = self._reasons(photo, mine)
            for place, one, reason in zip(places, mine, reasons, strict=True):
                made[place] = self._case(photo, one, reason)
        say("explaining", len(by_image), len(by_image))
        return tuple(made[place] for place in range(len(chosen)))

    def _reasons(self, photo: Tensor, cases: Sequence[Chosen]) -> list[Reason]:
        if self.explaining is None:
            return [Reason()] * len(cases)
        return reasons_of(self.explaining.model, photo, cases, self.explaining.method, self.explaining.own)

    def _case(self, photo: Tensor, one: Chosen, reason: Reason) -> Case:
        size = (photo.shape[-2], photo.shape[-1])
        about = [one.box, *([one.near.box] if one.near else []), *([reason.by[0]] if reason.by else [])]
        window = Window.around(about, size)
        name = self.classes.names[one.label]
        return Case(
            gallery=one.gallery,
            kind=one.kind,
            label=name,
            score=one.score,
            size=one.size,
            image=self.judged.dataset.names[one.image],
            sentence=sentence_of(one, self.classes, size, self.judged.scores[0].rules.geometry),
            picture=window.jpeg(photo),
            width=window.width,
            height=window.height,
            boxes=tuple(self._marked(one, reason, window)),
            explained=explained(reason, one, window, name),
            way=reason.way,
            reason=one.fate.reason if one.fate is not None else "",
        )

    def _marked(self, one: Chosen, reason: Reason, window: Window) -> list[Marked]:
        """What is drawn: the object and what was said of it, and what else it is about."""
        lost = one.gallery == "missed"
        own = self._outline(self.truths if lost else self.judged.said, one.image, one.box, window)
        made = [Marked("truth" if lost else "said", window.box(one.box), self.classes.names[one.label], one.score, own)]
        near = one.near
        if near is not None and not (lost and reason.by is not None):
            role: Role = "near" if lost or one.kind in ("Both", "Bkg") else "truth"
            outline = self._outline(self.judged.said if lost else self.truths, one.image, near.box, window)
            made.append(Marked(role, window.box(near.box), self.classes.names[near.label], near.score, outline))
        if reason.by is not None and self.explaining is not None:
            box, label, score = reason.by
            names = [i for i, index in enumerate(self.explaining.own) if index == label]
            made.append(Marked("kept", window.box(box), self.classes.names[names[0]] if names else "", score))
        return made

    def _outline(self, of: Sequence[Annotations], image: int, box: tuple[float, ...], window: Window) -> str:
        """The outline of the mask of the object with a box, where it has one."""
        objects = of[image].instances or Instances.empty()
        if objects.masks is None or not len(objects):
            return ""
        gaps = (objects.boxes - objects.boxes.new_tensor([list(box)])).abs().amax(1)
        row = int(gaps.argmin())
        if float(gaps[row]) > 1e-3:
            return ""
        (left, top, _, _), (across, down) = window.region, window.scale
        return outline_path(objects.masks[row], window.scale, (left * across, top * down))
