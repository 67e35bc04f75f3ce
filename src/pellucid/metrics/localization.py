"""Classification with localization: is the right class named, and is the object where the guess says it is?"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.findings import Findings
from pellucid.metrics.score import Score
from pellucid.structures import Annotations, Classes, Instances

THRESHOLD = 0.5
MOST_GUESSES = 5

Boxes = NDArray[np.float64]
Kind = Literal["right", "wrong place", "wrong class", "no guess"]


@dataclass(frozen=True, slots=True)
class LocalizationOutcome:
    """How the guesses for one image fared.

    ``label``: the image's class. ``kind``: 'right'; 'wrong place', where a guess has the class but none of these has a
    place; 'wrong class', where none has the class; 'no guess'. ``guess``: the place of the guess that tells, from 0:
    the first right one; of a wrong place the best placed of those with the class; of a wrong class the best placed of
    all; None where there is none. ``guessed``: its class. ``iou``: its highest IoU with a true box, NaN where there is
    no true box. ``class_guess``: the place of the first guess with the class, None where none has it. ``located``:
    whether the image counts in the localization error.
    """

    image: str
    label: int
    kind: Kind
    guess: int | None
    guessed: int | None
    iou: float
    class_guess: int | None
    located: bool


class LocalizationEvaluator:
    """ILSVRC's error of classification with localization (CLS-LOC).

    A guess is a class and a box. An image is right if one of its first ``top_k`` guesses has its class and an IoU of at
    least 0.5 with one of the boxes of that class (texts say more than half, the development kit takes the half too);
    the error is the share of images that are not. The classification error asks for the class alone.

    Truth: ``truth.present``, or else the one class of ``truth.instances``; the boxes are its instances of that class.
    Guesses: ``prediction.instances`` by falling score, in the order given where scores are equal or missing.

    ``kaggle``: Kaggle's rules: one ``error``, no exclusions. ``excluded``: names of images that leave the localization
    error, with or without suffix. ``inclusive``: boxes go from pixel to pixel, as in ILSVRC's files, so that 1 is added
    to widths, heights and intersections; give False for boxes whose far corner already includes the last pixel, as
    Pellucid's readers of ImageNet and VOC make them.

    Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge (2015), section 4, and its development kit.
    """

    reads = ("boxes", "labels")

    def __init__(
        self,
        classes: Classes,
        *,
        top_k: int = 5,
        kaggle: bool = False,
        excluded: Collection[str] = (),
        inclusive: bool = True,
    ) -> None:
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= MOST_GUESSES:
            raise PellucidError(
                f"top_k={top_k!r}: give a whole number from 1 to {MOST_GUESSES}, the guesses an image may have"
            )
        if isinstance(excluded, str):
            raise PellucidError(f"excluded={excluded!r}: give the names of images as a list")
        if kaggle and excluded:
            raise PellucidError("Kaggle's rules exclude no image; leave out kaggle=True or the excluded ones")
        self.classes = classes
        self.top_k = top_k
        self.kaggle = kaggle
        self.excluded = frozenset(excluded)
        self.inclusive = inclusive
        self._findings = Findings()
        self._outcomes: dict[str, LocalizationOutcome] = {}

    def add(self, name: str, truth: Annotations, prediction: Annotations | None) -> None:
        """Scores one image, ``name``. No prediction is five wrong guesses, and noted.

        Raises PellucidError where the image was added before, the truth has no class or several, the sizes or the
        classes of truth and prediction differ, or a guess is of no class.
        """
        if name in self._outcomes:
            raise PellucidError(f"{name}: was scored before; give every image once")
        for said, what in ((truth, "truth"), (prediction, "prediction")):
            if said is not None and said.classes is not self.classes and said.classes.names != self.classes.names:
                raise PellucidError(f"{name}: the {what} has other classes than are scored; map them first")
        if prediction is not None and tuple(prediction.size) != tuple(truth.size):
            raise PellucidError(
                f"{name}: predicted at {tuple(prediction.size)} pixels (H, W), the image is of {tuple(truth.size)}; "
                "give boxes in pixels of the image"
            )
        findings = Findings()
        label = self._label(name, truth)
        boxes = self._true_boxes(name, truth, label, findings)
        labels, guessed = self._guesses(name, prediction, findings)
        ious = _best_ious(guessed, boxes, self.inclusive)
        excluded = name in self.excluded or PurePath(name).stem in self.excluded
        located = len(boxes) > 0 and not excluded
        self._outcomes[name] = _outcome(name, label, labels, ious, located)
        self._findings.take(findings)

    def merge(self, other: "LocalizationEvaluator") -> None:
        """Takes in the images of another. Raises PellucidError for other classes or rules, or an image in both."""
        if self.classes.names != other.classes.names:
            raise PellucidError("ilsvrc-loc: the parts were scored with different classes; score both with the same")
        rules = ("top_k", "kaggle", "excluded", "inclusive")
        differing = next((rule for rule in rules if getattr(self, rule) != getattr(other, rule)), None)
        if differing is not None:
            raise PellucidError(
                f"ilsvrc-loc: the parts were scored with different {differing}; score both with the same"
            )
        twice = next((name for name in other._outcomes if name in self._outcomes), None)
        if twice is not None:
            raise PellucidError(f"{twice}: was scored in both parts; give every image once")
        self._outcomes |= other._outcomes
        self._findings.take(other._findings)

    def records(self) -> list[LocalizationOutcome]:
        """What became of every image, by name."""
        return [self._outcomes[name] for name in sorted(self._outcomes)]

    def score(self) -> Score:
        """The figures so far, shares of images from 0 to 1, of all and of each class.

        ``localization_error_topK`` and ``classification_error_topK`` for K = 1 and ``top_k``; by Kaggle's rules
        ``error``, the localization error of ``top_k``. NaN where no image counts.
        """
        every = list(self._outcomes.values())
        of_class: list[list[LocalizationOutcome]] = [[] for _ in self.classes]
        for outcome in every:
            of_class[outcome.label].append(outcome)
        findings = Findings()
        findings.take(self._findings)
        known = self._outcomes.keys() | {PurePath(name).stem for name in self._outcomes}
        findings.add("excluded images that were not scored", sorted(self.excluded - known))
        return Score(
            "ilsvrc-loc",
            "ILSVRC localization" + (" (Kaggle)" if self.kaggle else ""),
            self._errors(every),
            {name: self._errors(own) for name, own in zip(self.classes, of_class, strict=True)},
            len(every),
            findings,
            official="Kaggle's competition" if self.kaggle else "ILSVRC development kit",
        )

    def _errors(self, outcomes: list[LocalizationOutcome]) -> dict[str, float]:
        located = [o for o in outcomes if o.located]
        if self.kaggle:
            return {"error": _share_wrong(located, self.top_k)}
        depths = sorted({1, self.top_k})
        return {f"localization_error_top{k}": _share_wrong(located, k) for k in depths} | {
            f"classification_error_top{k}": _share_misnamed(outcomes, k) for k in depths
        }

    def _label(self, name: str, truth: Annotations) -> int:
        said = truth.present
        if not said and truth.instances is not None:
            said = tuple(truth.instances.labels.tolist())
        labels = sorted(set(said))
        if not labels:
            raise PellucidError(f"{name}: the truth names no class; an image needs one")
        if len(labels) > 1:
            raise PellucidError(f"{name}: the truth names {len(labels)} classes; by these rules an image has one")
        if not 0 <= labels[0] < len(self.classes):
            raise PellucidError(f"{name}: the truth is of class {labels[0]}; there are {len(self.classes)}, from 0")
        return int(labels[0])

    def _true_boxes(self, name: str, truth: Annotations, label: int, findings: Findings) -> Boxes:
        instances = truth.instances or Instances.empty()
        boxes = _boxes(instances)[(instances.labels == label).cpu().numpy()]
        sound = _sound(boxes)
        findings.add("true boxes without extent", [name] * int((~sound).sum()))
        if not sound.any():
            findings.add("images without a box of their class, left out of the localization error", name)
        return boxes[sound]

    def _guesses(self, name: str, prediction: Annotations | None, findings: Findings) -> tuple[list[int], Boxes]:
        """Classes and boxes of the first ``top_k`` guesses."""
        instances = prediction.instances if prediction is not None else None
        if instances is None or len(instances) == 0:
            findings.add("images without a guess, counted as wrong", name, "counted as given")
            return [], np.zeros((0, 4))
        rows = np.arange(len(instances))
        if instances.scores is not None:
            scores = instances.scores.detach().double().cpu().numpy()
            lost = np.isnan(scores)
            findings.add("guesses with a score that is no number", [f"{name}, guess {i}" for i in rows[lost].tolist()])
            rows = rows[~lost]
            rows = rows[np.argsort(-scores[rows], kind="stable")]
        if len(rows) > MOST_GUESSES:
            findings.add(f"guesses beyond the first {MOST_GUESSES}", name, count=len(rows) - MOST_GUESSES)
        rows = rows[: self.top_k]
        labels = instances.labels.cpu().numpy()[rows].tolist()
        boxes = _boxes(instances)[rows]
        for row, label, sound in zip(rows.tolist(), labels, _sound(boxes).tolist(), strict=True):
            if not 0 <= label < len(self.classes):
                raise PellucidError(f"{name}: guess {row} is of class {label}; there are {len(self.classes)}, from 0")
            if not sound:
                findings.add("guesses whose box has no extent", f"{name}, guess {row}", "counted as given")
        return labels, boxes


def _outcome(name: str, label: int, labels: list[int], ious: NDArray[np.float64], located: bool) -> LocalizationOutcome:
    if not labels:
        return LocalizationOutcome(name, label, "no guess", None, None, 0.0, None, located)
    named = [i for i, guessed in enumerate(labels) if guessed == label]
    right = [i for i in named if ious[i] >= THRESHOLD]
    kind: Kind = "right" if right else "wrong place" if named else "wrong class"
    candidates = named or list(range(len(labels)))
    guess = right[0] if right else max(candidates, key=lambda i: ious[i] if ious[i] == ious[i] else -1.0)
    first = named[0] if named else None
    return LocalizationOutcome(name, label, kind, guess, labels[guess], float(ious[guess]), first, located)


def _share_wrong(outcomes: list[LocalizationOutcome], k: int) -> float:
    wrong = sum(o.kind != "right" or o.guess is None or o.guess >= k for o in outcomes)
    return wrong / len(outcomes) if outcomes else math.nan


def _share_misnamed(outcomes: list[LocalizationOutcome], k: int) -> float:
    wrong = sum(o.class_guess is None or o.class_guess >= k for o in outcomes)
    return wrong / len(outcomes) if outcomes else math.nan


def _boxes(instances: Instances) -> Boxes:
    made: Boxes = instances.boxes.detach().double().cpu().numpy()
    return made


def _sound(boxes: Boxes) -> NDArray[np.bool_]:
    """(N,) whether the corners are numbers, and in order; a box of one pixel has both corners the same."""
    made: NDArray[np.bool_] = np.isfinite(boxes).all(1) & (boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])
    return made


def _best_ious(guesses: Boxes, truths: Boxes, inclusive: bool) -> NDArray[np.float64]:
    """(N,) the highest IoU of each guess with a true box, 0 for one without extent, NaN where there is no true box."""
    if len(truths) == 0:
        return np.full(len(guesses), np.nan)
    one = 1.0 if inclusive else 0.0
    sound = _sound(guesses)
    guesses = np.where(sound[:, None], guesses, 0.0)
    low = np.maximum(guesses[:, None, :2], truths[None, :, :2])
    high = np.minimum(guesses[:, None, 2:], truths[None, :, 2:])
    shared = np.clip(high - low + one, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2] + one).prod(1) for boxes in (guesses, truths)]
    unions = areas[0][:, None] + areas[1][None] - shared
    ious = np.divide(shared, unions, out=np.zeros_like(shared), where=unions > 0)
    best: NDArray[np.float64] = np.where(sound, ious.max(1), 0.0)
    return best
