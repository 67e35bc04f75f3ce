"""Panoptic quality over a data set."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.findings import Findings
from pellucid.metrics.panoptic.matching import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    KINDS,
    MATCH,
    OUTCOME,
    PanopticError,
    match,
)
from pellucid.metrics.panoptic.overlaps import Overlaps, overlaps, places
from pellucid.metrics.score import Score, mean_defined
from pellucid.structures import Annotations, Classes, Panoptic, Segment

AREAS_DIFFER = "segments whose annotated area is not their number of pixels"


class PanopticEvaluator:
    """Panoptic quality (PQ), the product of segmentation quality (SQ) and recognition quality (RQ), by COCO's rules.

    Takes ``truth.panoptic`` and ``prediction.panoptic`` image by image. A truth and a predicted segment of one class
    match where their IoU is more than 0.5, pixels on void truth left out of the union; for each class PQ is the sum of
    the IoUs of matches over TP + FP/2 + FN/2. Figures are means over the classes that occur at all, in truth or
    prediction. Crowds are never missed; a predicted segment mostly on void and on the crowd of its class is ignored. Of
    several crowds of a class in an image only the last in ``truth.panoptic.segments`` counts, since the reference does
    so and published figures are its. Truth areas are counted from pixels; the reference reads them from JSON.

    ``boundary``: Boundary PQ, where the IoU of a pair is the lesser of its IoU and that of the boundaries, which are
    ``boundary_ratio`` of the image's diagonal wide (0.02; Cityscapes 0.005).

    Kirillov et al., Panoptic Segmentation (2019), section 4; Cheng et al., Boundary IoU (2021).
    """

    reads = ("panoptic", "boxes")

    def __init__(self, classes: Classes, *, boundary: bool = False, boundary_ratio: float = 0.02) -> None:
        if not (math.isfinite(boundary_ratio) and boundary_ratio > 0):
            raise PellucidError(f"boundary_ratio={boundary_ratio}: give a part of the image's diagonal, above 0")
        self.classes = classes
        self.boundary = boundary
        self.boundary_ratio = boundary_ratio
        self._findings = Findings()
        self._outcomes: dict[str, NDArray[np.void]] = {}

    def add(self, name: str, truth: Annotations, prediction: Annotations | None) -> None:
        """Scores one image, ``name``.

        Raises PellucidError where the image was added before, truth or prediction has no panoptic map, the maps differ
        in size, a class is unknown, or the prediction's map and its list of segments do not agree. Truth whose map and
        list do not agree is counted as the reference counts it, and noted.
        """
        if name in self._outcomes:
            raise PellucidError(f"{name}: was scored before; give every image once")
        if truth.panoptic is None:
            raise PellucidError(f"{name}: the truth has no panoptic map; open a panoptic data set")
        if prediction is None or prediction.panoptic is None:
            raise PellucidError(
                f"{name}: no panoptic map is predicted for it; predict one for every image of the truth"
            )
        for said, what in ((truth, "truth"), (prediction, "prediction")):
            if said.classes is not self.classes and said.classes.names != self.classes.names:
                raise PellucidError(f"{name}: the {what} has other classes than are scored; map them first")
        true_ids, said_ids = _pixels(name, truth.panoptic, "truth"), _pixels(name, prediction.panoptic, "prediction")
        if true_ids.shape != said_ids.shape:
            raise PellucidError(
                f"{name}: the predicted map is of {said_ids.shape[1]} × {said_ids.shape[0]} pixels, the true one of "
                f"{true_ids.shape[1]} × {true_ids.shape[0]}; predict at the size of the image"
            )
        true, said_segments = truth.panoptic.segments, prediction.panoptic.segments
        for segments, what in ((true, "true"), (said_segments, "predicted")):
            for segment in segments:
                if not 0 <= segment.label < len(self.classes):
                    raise PellucidError(
                        f"{name}: {what} segment {segment.id} is of class {segment.label}; there are "
                        f"{len(self.classes)}, from 0"
                    )
        known_true, known_said = _ids(true), _ids(said_segments)
        shared = overlaps(true_ids, said_ids, known_true, known_said)
        _check_prediction(name, said_ids, known_said, shared)
        findings = Findings()
        _note_truth(findings, name, truth, true, shared)
        unions = shared.unions()
        ious = shared.pixels / unions
        if self.boundary:
            from pellucid.metrics.panoptic.boundaries import boundary_ious  # scipy, which most scoring does not need

            true_places, said_places = places(true_ids, known_true), places(said_ids, known_said)
            ious = np.minimum(ious, boundary_ious(true_places, said_places, shared, self.boundary_ratio))
        self._outcomes[name] = match(true, said_segments, shared, ious)
        self._findings.take(findings)

    def merge(self, other: "PanopticEvaluator") -> None:
        """Takes in the images of another. Raises PellucidError for other classes or rules, or an image in both."""
        if (self.classes.names, self.classes.things) != (other.classes.names, other.classes.things):
            raise PellucidError("panoptic: the parts were scored with different classes; score both with the same")
        if (self.boundary, self.boundary_ratio) != (other.boundary, other.boundary_ratio):
            raise PellucidError("panoptic: the parts were scored with different boundaries; score both with the same")
        twice = next((name for name in other._outcomes if name in self._outcomes), None)
        if twice is not None:
            raise PellucidError(f"{twice}: was scored in both parts; give every image once")
        self._outcomes |= other._outcomes
        self._findings.take(other._findings)

    def records(self) -> list[PanopticError]:
        """Every match, false positive and false negative, by image name; in an image, matches first."""
        made = []
        for name in sorted(self._outcomes):
            for kind, label, truth, prediction, iou in self._outcomes[name].tolist():
                made.append(PanopticError(name, KINDS[kind], label, truth or None, prediction or None, iou))
        return made

    def score(self) -> Score:
        """The figures so far: ``PQ``, ``SQ``, ``RQ``, each also ``_things`` and ``_stuff``, in [0, 1].

        Of every class ``PQ``, ``SQ`` and ``RQ``, NaN where it never occurs, ``IoU_sum`` over its matches, and the
        counts ``TP``, ``FP``, ``FN``. A class without a match has SQ 0, as in the reference.
        """
        K = len(self.classes)
        parts = list(self._outcomes.values())
        every = np.concatenate(parts) if parts else np.zeros(0, dtype=OUTCOME)
        TP, FP, FN = (
            np.bincount(every["label"][every["kind"] == kind], minlength=K).tolist()
            for kind in (MATCH, FALSE_POSITIVE, FALSE_NEGATIVE)
        )
        matches = every[every["kind"] == MATCH]
        matches = matches[np.argsort(matches["label"], kind="stable")]
        ends = np.searchsorted(matches["label"], np.arange(K + 1))
        sums = [math.fsum(matches["iou"][ends[k] : ends[k + 1]].tolist()) for k in range(K)]
        figures = [_qualities(sums[k], TP[k], FP[k], FN[k]) for k in range(K)]
        things = [self.classes.is_thing(k) for k in range(K)]
        summary = {}
        for suffix, chosen in (("", [True] * K), ("_things", things), ("_stuff", [not thing for thing in things])):
            for quality in ("PQ", "SQ", "RQ"):
                values = [f[quality] for f, wanted in zip(figures, chosen, strict=True) if wanted]
                summary[quality + suffix] = mean_defined(values)
        per_class = {
            class_name: figures[k] | {"IoU_sum": sums[k], "TP": TP[k], "FP": FP[k], "FN": FN[k]}
            for k, class_name in enumerate(self.classes)
        }
        findings = Findings()
        findings.take(self._findings)
        differing = findings.count(AREAS_DIFFER)
        reserved = f"areas of truth segments are counted from pixels; {differing:,} differ from the annotated ones"
        return Score(
            "boundary-panoptic" if self.boundary else "panoptic",
            "Boundary panoptic quality" if self.boundary else "Panoptic quality",
            summary,
            per_class,
            len(self._outcomes),
            findings,
            dict.fromkeys(summary, reserved) if differing else {},
            official="boundary_iou_api" if self.boundary else "panopticapi",
        )


def _pixels(name: str, said: Panoptic, what: str) -> NDArray[np.int64]:
    ids = said.ids.detach().cpu().numpy()
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise PellucidError(f"{name}: the {what}'s map is {ids.dtype} of shape {ids.shape}; give whole ids, (H, W)")
    return ids.astype(np.int64, copy=False)


def _ids(segments: Sequence[Segment]) -> NDArray[np.int64]:
    return np.array([segment.id for segment in segments], dtype=np.int64)


def _check_prediction(name: str, ids: NDArray[np.int64], known: NDArray[np.int64], shared: Overlaps) -> None:
    if shared.prediction_unknown:
        at = int(np.flatnonzero(places(ids, known) == len(known) + 1)[0])
        raise PellucidError(f"{name}: the predicted map has id {ids.flat[at]}, which no segment has; list it, or use 0")
    empty = np.flatnonzero(shared.prediction_areas == 0)
    if len(empty):
        raise PellucidError(f"{name}: predicted segment {known[empty[0]]} has no pixel in the map; leave it out")


def _note_truth(
    findings: Findings, name: str, truth: Annotations, segments: Sequence[Segment], shared: Overlaps
) -> None:
    """Notes what the reference counts without a word: unlisted ids are no void, segments without pixels are missed."""
    if shared.truth_unknown:
        findings.add("images with ids in the true map that no segment has", name, "counted as given")
    empty = [segments[place] for place in np.flatnonzero(shared.truth_areas == 0).tolist()]
    items = [f"{name}, segment {segment.id}" for segment in empty]
    findings.add("true segments without pixels", items, "counted as given")
    objects = truth.instances
    if objects is None or objects.ids is None or objects.areas is None:
        return
    # Objects may come from another file: only those that are clearly these segments say how large they should be.
    place_of = {(segment.id, segment.label): place for place, segment in enumerate(segments)}
    found = [place_of.get(key) for key in zip(objects.ids.tolist(), objects.labels.tolist(), strict=True)]
    if any(place is None for place in found):
        return
    areas = objects.areas.tolist()
    differing = [
        f"{name}, segment {segments[place].id}"
        for place, area in zip(found, areas, strict=True)
        if place is not None and math.isfinite(area) and area != np.float32(shared.truth_areas[place])
    ]
    findings.add(AREAS_DIFFER, differing, "counted as given")


def _qualities(iou: float, TP: int, FP: int, FN: int) -> dict[str, float]:
    if TP + FP + FN == 0:
        return dict.fromkeys(("PQ", "SQ", "RQ"), math.nan)
    halves = TP + 0.5 * FP + 0.5 * FN
    return {"PQ": iou / halves, "SQ": iou / TP if TP else 0.0, "RQ": TP / halves}
