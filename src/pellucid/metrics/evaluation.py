"""One call for every protocol: truths and predictions in, a score out."""

import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from pellucid.errors import PellucidError, nearest
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.metrics.detection.protocol import Protocol as DetectionProtocol
from pellucid.metrics.detection.protocols import PROTOCOLS
from pellucid.metrics.score import Score
from pellucid.structures import Annotations, Classes, HasColumns, ObjectColumns, Sample, columns_of
from pellucid.threads import cores

Truths: TypeAlias = "Sequence[Sample] | Sequence[Annotations] | Mapping[str, Annotations]"
"""A data set, or what is said of each image, by name or in order."""

Predictions: TypeAlias = "Sequence[Annotations] | Sequence[Sample] | Mapping[str, Annotations]"
"""What was said of the same images, in the same order or by name."""


class Evaluator(Protocol):
    """What every protocol's evaluator can do: be fed image by image, be merged with another, and give its score.

    ``reads``, if it has it: what of the annotations it needs ("semantic", "boxes" …), so that the rest is not read.
    """

    def add(self, name: str, truth: Annotations, prediction: Annotations | None) -> None: ...
    def merge(self, other: Any) -> None: ...
    def score(self) -> Score: ...


def _semantic(classes: Classes, **options: Any) -> Evaluator:
    from pellucid.metrics.semantic import SemanticEvaluator

    return SemanticEvaluator(classes, **options)


def _panoptic(classes: Classes, **options: Any) -> Evaluator:
    from pellucid.metrics.panoptic import PanopticEvaluator

    return PanopticEvaluator(classes, **options)


def _isbi(classes: Classes, **options: Any) -> Evaluator:
    from pellucid.metrics.electron_microscopy import ElectronMicroscopyEvaluator

    return ElectronMicroscopyEvaluator(classes, **options)


def _localization(classes: Classes, **options: Any) -> Evaluator:
    from pellucid.metrics.localization import LocalizationEvaluator

    return LocalizationEvaluator(classes, **options)


def _kaggle(classes: Classes, **options: Any) -> Evaluator:
    return _localization(classes, kaggle=True, **options)


def _classification(classes: Classes, **options: Any) -> Evaluator:
    from pellucid.metrics.calibration import ClassificationCalibration

    return ClassificationCalibration(classes, **options)


def _pixels(classes: Classes, **options: Any) -> Evaluator:
    from pellucid.metrics.calibration import SegmentationCalibration

    return SegmentationCalibration(classes, **options)


OTHERS: Mapping[str, Callable[..., Evaluator]] = {
    "ilsvrc-loc": _localization,
    "kaggle-loc": _kaggle,
    "panoptic": _panoptic,
    "semantic": _semantic,
    "isbi": _isbi,
    "calibration": _classification,
    "semantic-calibration": _pixels,
}
"""The protocols that are not of detections, each with what makes its evaluator."""

NAMES = (*PROTOCOLS, *OTHERS)
"""The names of all protocols."""


def evaluator(
    classes: Classes, protocol: str | DetectionProtocol = "coco", *, inclusive: bool = False, **options: Any
) -> Evaluator:
    """The evaluator of a protocol. Raises PellucidError for an unknown one, or an option that it does not take."""
    if isinstance(protocol, DetectionProtocol) or protocol in PROTOCOLS:
        make: Callable[..., Evaluator] = DetectionEvaluator
        options = {"protocol": protocol, "inclusive": inclusive, **options}
    elif protocol in OTHERS:
        make = OTHERS[protocol]
        if protocol in ("ilsvrc-loc", "kaggle-loc"):
            options = {"inclusive": not inclusive, **options}
    else:
        raise PellucidError(f"unknown protocol '{protocol}'{nearest(protocol, NAMES)}; there are {', '.join(NAMES)}")
    try:
        return make(classes, **options)
    except TypeError as error:
        raise PellucidError(f"protocol {protocol}: {error}; see the evaluator's own options") from error


def evaluate(
    truths: Truths, predictions: Predictions, protocol: str | DetectionProtocol = "coco", **options: Any
) -> Score:
    """How good predictions are, by one protocol.

    ``truths``: a data set, a sequence of samples or of ``Annotations``, or a mapping from names to them.
    ``predictions``: for the same images, in the same order; or a mapping from names, in which images may be missing.
    ``protocol``: one of ``NAMES``, or a ``Protocol`` of your own. ``options``: what the protocol's evaluator takes. For
    the figures see ``Score``.

    Raises PellucidError where the two are not of the same images, for an unknown protocol, and for what cannot be
    scored; what can be left out is left out and told in ``Score.findings``.
    """
    pairs = Pairs(truths, predictions)
    made = evaluator(pairs.classes, protocol, inclusive=pairs.inclusive, **options)
    pairs.feed(made)
    return made.score()


class Pairs:
    """Truths and predictions brought together, image by image.

    ``names``, ``ids``: the images. ``classes``: the truth's. ``inclusive``: whether its boxes come from a source that
    counts pixels.
    """

    def __init__(self, truths: Truths, predictions: Predictions) -> None:
        for given, reader in (
            (truths, "open_dataset(path, as_annotated=True)"),
            (predictions, "read_predictions(path, truths)"),
        ):
            if isinstance(given, (str, Path)):
                raise PellucidError(f"'{given}' is a path; give what pellucid.data.{reader} reads from it")
        self.truths, self.predictions = truths, predictions
        self.names, self.ids = _names_of(truths)
        if len(self.names) == 0:
            raise PellucidError("no truths; give one image or more")
        found, _ = _names_of(predictions)
        self._by_name = isinstance(predictions, Mapping)
        if self._by_name:
            unknown = sorted(set(found) - set(self.names))
            if unknown:
                raise PellucidError(
                    f"{len(unknown):,} predictions are of images that have no truth, such as '{unknown[0]}'"
                    f"{nearest(unknown[0], self.names)}; remove them, or give their truth"
                )
        elif len(found) != len(self.names):
            raise PellucidError(f"{len(found):,} predictions for {len(self.names):,} images; give one for each")
        classes = getattr(truths, "classes", None)
        self.classes: Classes = classes if isinstance(classes, Classes) else self.truth(0).classes
        self.inclusive = bool(getattr(truths, "inclusive", False))

    def __len__(self) -> int:
        return len(self.names)

    def truth(self, index: int, only: Collection[str] | None = None) -> Annotations:
        """What is true of an image. ``only``: what is wanted of it, if it can be read by itself (see ``Dataset``)."""
        if only is not None and hasattr(self.truths, "annotations"):
            found: Annotations = self.truths.annotations(index, only)
            return found
        return _said(self.truths[self.names[index]] if isinstance(self.truths, Mapping) else self.truths[index])

    def prediction(self, index: int, only: Collection[str] | None = None) -> Annotations | None:
        """What was predicted of an image, None where it is not there. Raises PellucidError for other classes."""
        if isinstance(self.predictions, Mapping):
            found: Any = self.predictions.get(self.names[index])
        else:
            get = getattr(self.predictions, "get", None)
            found = self.predictions[index] if get is None else get(index, only)
        said = None if found is None else _said(found)
        if said is not None and said.classes.names != self.classes.names:
            raise PellucidError(
                f"{self.names[index]}: the prediction's classes are not the truth's "
                f"({_differing(said.classes, self.classes)}); bring them into one order"
            )
        return said

    def feed(self, to: Evaluator, progress: Callable[[int, int], None] | None = None) -> None:
        """Feeds all images to an evaluator: detections in columns, all else image by image."""
        if isinstance(to, DetectionEvaluator):
            to.add_columns(self._columns(self.truths, self.truth), self._columns(self.predictions, self.prediction))
            return
        for index, (truth, prediction) in enumerate(self._read(getattr(to, "reads", None))):
            to.add(self.names[index], truth, prediction)
            if progress is not None:
                progress(index + 1, len(self))

    def _read(self, only: Collection[str] | None) -> Iterator[tuple[Annotations, Annotations | None]]:
        """The pairs in order, read ahead by threads: decoding maps is most of the work, and frees the interpreter."""
        ahead: deque[Future[tuple[Annotations, Annotations | None]]] = deque()
        # Readers hide Pillow's warnings, each for its while; in threads they may restore one another's filters.
        with warnings.catch_warnings(), ThreadPoolExecutor(cores()) as pool:
            try:
                for index in range(len(self)):
                    ahead.append(pool.submit(lambda at: (self.truth(at, only), self.prediction(at, only)), index))
                    if len(ahead) > 2 * cores():
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for waiting in ahead:
                    waiting.cancel()

    def _columns(self, whole: object, one: Callable[[int], Annotations | None]) -> ObjectColumns:
        if isinstance(whole, HasColumns):
            columns = whole.columns()
            if columns.classes.names != self.classes.names:
                raise PellucidError(
                    f"{columns.source}: its classes are not the truth's ({_differing(columns.classes, self.classes)})"
                )
            if list(columns.names) != list(self.names):
                raise PellucidError(
                    f"{columns.source}: is not of the truth's images in their order; match them by name"
                )
            return columns
        found = [one(index) for index in range(len(self))]
        sizes = [(0, 0) if said is None else said.size for said in found]
        said = [
            Annotations(size, self.classes) if there is None else there
            for there, size in zip(found, sizes, strict=True)
        ]
        return columns_of(self.classes, self.names, said, ids=self.ids, inclusive=self.inclusive)


def _said(item: Sample | Annotations) -> Annotations:
    return item.annotations if isinstance(item, Sample) else item


def _names_of(items: object) -> tuple[list[str], list[int | str | None]]:
    """The images' names and ids; numbers in order where they have none."""
    if isinstance(items, Mapping):
        return list(items), [None] * len(items)
    names, ids = getattr(items, "names", None), getattr(items, "ids", None)
    if names is not None:
        return list(names), list(ids) if ids is not None else [None] * len(names)
    assert isinstance(items, Sequence)
    if all(isinstance(item, Sample) for item in items):
        return [item.name for item in items], [item.id for item in items]
    return [f"image {number + 1}" for number in range(len(items))], [None] * len(items)


def _differing(a: Classes, b: Classes) -> str:
    if len(a) != len(b):
        return f"{len(a)}, not {len(b)}"
    k = next(k for k in range(len(a)) if a[k] != b[k])
    return f"class {k} is '{a[k]}', not '{b[k]}'"
