"""Scoring detections as they come: image by image or all at once, in one process or in many."""

from collections.abc import Iterable
from dataclasses import replace

from pellucid.errors import PellucidError, nearest
from pellucid.metrics.detection import kernels
from pellucid.metrics.detection.gathering import gather, without_excluded
from pellucid.metrics.detection.matching import Matches, match
from pellucid.metrics.detection.parts import Part
from pellucid.metrics.detection.protocol import Protocol
from pellucid.metrics.detection.protocols import PROTOCOLS
from pellucid.metrics.detection.score import DetectionScore, score_of
from pellucid.metrics.findings import Findings
from pellucid.structures import Annotations, Classes, ObjectColumns, columns_of


class DetectionEvaluator:
    """Takes truths and predictions and gives their score by a protocol.

    ``protocol``: a ``Protocol`` or the name of one. Fed by ``add``, or with whole columns by ``add_columns``;
    evaluators of the same protocol and classes are put together by ``merge``, to exactly what one would have found. It
    can be pickled. ``inclusive``: whether widths of boxes already include their last pixel, as those read from VOC's
    and ImageNet's files do. ``errors``: keep what error types and a confusion matrix need of masks and keypoints, the
    overlaps with other classes; with boxes they need nothing more. ``excluded``: pairs of an image's name and a class
    in it that count neither way (ILSVRC's list).
    """

    def __init__(
        self,
        classes: Classes,
        protocol: Protocol | str = "coco",
        *,
        inclusive: bool = False,
        errors: bool = False,
        excluded: Iterable[tuple[str, int | str]] = (),
    ) -> None:
        self.classes = classes
        self.protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
        self.inclusive = inclusive
        self.errors = errors
        self.excluded = frozenset((name, classes.index(label)) for name, label in excluded)
        self.findings = Findings()
        self.parts: list[Part] = []
        self.seen: set[str] = set()

    def add(
        self, name: str, truth: Annotations, prediction: Annotations | None, *, id: int | str | None = None
    ) -> None:
        """Adds an image. ``prediction``: None where nothing was said of it, which counts as no detection.

        ``id``: the image's own; where all have one that is a number, scores that tie are taken in the order of ids,
        as COCO's code does, else in that of names.
        """
        said = prediction or Annotations(truth.size, self.classes)
        sides = {"truths": truth, "predictions": said}
        columns = [
            columns_of(self.classes, [name], [side], ids=[id], inclusive=self.inclusive, source=what)
            for what, side in sides.items()
        ]
        self.add_columns(columns[0], columns[1])

    def add_columns(self, truths: ObjectColumns, predictions: ObjectColumns) -> None:
        """Adds images in columns, the same images in both. Raises PellucidError for an image that was there before."""
        if list(truths.names) != list(predictions.names):
            raise PellucidError("truths and predictions are not of the same images; give a prediction for each truth")
        self._check_new(truths.names)
        if self.excluded:
            truths, predictions = without_excluded(truths, predictions, self.excluded, self.findings)
        gathered = gather(truths, predictions, self.protocol, self.findings)
        self.parts.append(Part.of(*gathered, self.protocol, across=self.errors))
        self.seen.update(truths.names)

    def merge(self, other: "DetectionEvaluator") -> None:
        """Adds all that another evaluator was fed. Raises PellucidError where an image was fed to both."""
        ours, theirs = (
            (one.protocol, one.classes.names, one.inclusive, one.errors, one.excluded) for one in (self, other)
        )
        if ours != theirs:
            raise PellucidError("evaluators of different protocols, classes or options; merge those of one kind")
        self._check_new(other.seen)
        self.parts += other.parts
        self.seen |= other.seen
        self.findings.take(other.findings)

    def _check_new(self, names: object) -> None:
        fresh = set(names)  # type: ignore[call-overload]
        twice = sorted(fresh & self.seen)
        if twice:
            raise PellucidError(f"image '{twice[0]}' was scored before; feed every image once")

    def whole(self) -> Part:
        """All images so far, in order. Raises PellucidError where there is none."""
        if not self.parts:
            raise PellucidError("no image was scored; feed one or more")
        self.parts = [Part.joined(self.parts)]
        return self.parts[0]

    def matches(self, *, partners: bool = False, protocol: Protocol | None = None) -> Matches:
        """What became of every detection; ``protocol``: another than its own, of the same geometry."""
        return match(self.whole(), protocol or self.protocol, len(self.classes), partners=partners)

    def score(self) -> DetectionScore:
        """The score of all images so far."""
        findings = replace(self.findings, counts=dict(self.findings.counts), examples=dict(self.findings.examples))
        matches = self.matches()
        _note_whole(matches, findings)
        return score_of(matches, self.classes, findings)


def _note_whole(matches: Matches, findings: Findings) -> None:
    """What can only be said when all images are there."""
    if len(matches.rows) == 0:
        findings.add("not one detection, in images", [], "counted as given", len(matches.part))
    per_class = matches.first[1:] - matches.first[:-1]
    lost = per_class[matches.positives[0] == 0].sum()
    if matches.positives.sum() == 0:
        findings.add("not one truth that counts, in images", [], "counted as given", len(matches.part))
    if matches.protocol.geometry == "boxes":
        detections = matches.part.detections
        found = kernels.repeats(matches.rows, matches.first, matches.images, detections.scores, detections.boxes)
        named = [matches.part.names[int(matches.images[place])] for place in found[: findings.keep]]
        findings.add("detections that repeat another to the last digit", named, "kept", len(found))
    findings.add("detections of classes without a truth that counts, which no mean includes", [], "kept", int(lost))


def protocol_named(name: str) -> Protocol:
    """A detection protocol by its name. Raises PellucidError with the nearest for an unknown one."""
    if name not in PROTOCOLS:
        raise PellucidError(f"unknown protocol '{name}'{nearest(name, PROTOCOLS)}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
