"""``pellucid evaluate MODEL DATA``: the model is run over the data set, and what it says becomes the predictions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.cli.common import check_folder, complain, load_any, progress_bar
from pellucid.cli.running import Running
from pellucid.cli.scoring import opened
from pellucid.data import Dataset, Predictions
from pellucid.data.coco.results import write_results
from pellucid.data.dataset import View
from pellucid.data.defects import Defects
from pellucid.errors import PellucidError
from pellucid.models import PhotoModel
from pellucid.models.predicting import agreeing, predict_each, renamed, united
from pellucid.structures import Annotations, Classes, Sample

_NEEDS = {"coco-segm": "masks", "coco-boundary": "masks", "lvis-segm": "masks", "coco-keypoints": "keypoints"}
"""What the truth has to hold for a protocol."""


@dataclass(frozen=True)
class JudgedModel:
    """A model that was run over a data set: what it said of each image that could be read, in the data's classes.

    ``own``: for each class of the data which of the model's it is, None where it does not know it. ``protocols``: by
    which to score it.
    """

    model: PhotoModel
    dataset: Dataset
    said: Predictions
    protocols: list[str]
    own: list[int | None]


Seen = Callable[[Annotations, Annotations, list[int | None]], object]
"""Told of what is true of an image, what the model says of it, in the data's classes and with its trace, and for each
class of the data which of the model's it is."""


def judged_model(
    model: str,
    data: str,
    split: str | None,
    protocol: str | None,
    running: Running,
    check: Callable[[str], None],
    seen: Seen | None = None,
) -> JudgedModel:
    """Runs a model over a data set.

    ``check``: raises PellucidError for a protocol to which the other options do not fit. ``seen``: see ``Seen``. An
    image that cannot be read is left out on both sides and noted.
    """
    if running.save is not None:
        _check_save(running.save)
    network = load_any(model, None, running.classes, running.device)
    if protocol is None:
        for one in network.protocols:
            check(one)
    dataset = opened(data, split)
    if dataset.without_images:
        raise PellucidError(f"{dataset.title}: has annotations alone and no image, which the model needs")
    classifies = network.task == "classification"
    if classifies != (protocol == "calibration") and protocol is not None:
        fitting = ", ".join(network.protocols) if classifies else "coco"
        raise PellucidError(f"--protocol {protocol}: {network.name} is of {network.task}; score it by {fitting}")
    protocols = [protocol] if protocol is not None else _protocols(network, dataset)
    places = _places(network, dataset)
    classes = dataset.classes
    if classifies:  # a class of which the data have no example may still be the most probable
        classes, places = _united(dataset, network.classes)
    own = [places.index(index) if index in places else None for index in range(len(classes))]
    defects = Defects()
    tell = None if seen is None else lambda index, said: seen(dataset.sample(index).annotations, said, own)
    said, read = _predicted(network, dataset, classes, places, running.batch, defects, tell)
    if len(read) < len(dataset):
        dataset = dataset.subset(read)
    if running.save is not None:
        write_results(said, dataset, running.save)
    if classifies:
        dataset = _Widened(dataset, classes)
    predictions = Predictions(dataset, None, said, defects, network.name)
    return JudgedModel(network, dataset, predictions, protocols, own)


def _check_save(path: Path) -> None:
    if path.suffix.lower() != ".json":
        raise PellucidError(f"--save {path}: results are written as JSON; end the name in .json")
    check_folder(path.parent)


def _protocols(model: PhotoModel, dataset: Dataset) -> list[str]:
    """The model's, without those of which the truth says nothing."""
    made = []
    for protocol in model.protocols:
        need: Any = _NEEDS.get(protocol)
        if need is not None and need not in dataset.holds and len(model.protocols) > 1:
            complain(f"{dataset.title}: has no {need}, so that {protocol} is left out")
        else:
            made.append(protocol)
    return made


def _places(model: PhotoModel, dataset: Dataset) -> list[int | None]:
    """For each of the model's classes which of the data set's it is."""
    own, theirs = model.classes, dataset.classes
    places = agreeing(own, theirs)
    if all(place is None for place in places):
        raise no_class_in_both(model, dataset)
    missing = [name for name, place in zip(own.names, places, strict=True) if place is None]
    if missing and model.task != "classification":
        complain(
            f"{dataset.title}: does not have {len(missing)} of the model's {len(own)} classes ({_some(missing)}); what "
            "is predicted of them is left out"
        )
    known = {place for place in places if place is not None}
    unknown = [name for index, name in enumerate(theirs.names) if index not in known]
    if unknown:
        complain(f"{model.name}: does not know {len(unknown)} of the data's {len(theirs)} classes ({_some(unknown)})")
    return places


def no_class_in_both(model: PhotoModel, dataset: Dataset) -> PellucidError:
    """What to say where a model and a data set have no class in common."""
    own, theirs = _some(model.classes.names), _some(dataset.classes.names)
    return PellucidError(
        f"{model.name}: knows {own}, and {dataset.title} is of {theirs}: no class is in both; name the model's as the "
        "data's are called (--classes FILE)"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _united(dataset: Dataset, own: Classes) -> tuple[Classes, list[int | None]]:
    classes, places = united(dataset.classes, own)
    return classes, list(places)


def _predicted(
    model: PhotoModel,
    dataset: Dataset,
    classes: Classes,
    places: Sequence[int | None],
    batch_size: int,
    defects: Defects,
    tell: Callable[[int, Annotations], object] | None,
) -> tuple[list[Annotations], list[int]]:
    """What the model says of each image that can be read, in the classes given, and which those are."""

    def readers() -> Iterator[Callable[[], Tensor]]:
        for index in range(len(dataset)):
            yield lambda index=index: dataset.sample(index).read_image()  # type: ignore[misc]

    made: list[Annotations] = []
    read: list[int] = []
    with progress_bar() as bar:
        task = bar.add_task("predicting", total=len(dataset))
        for index, said in enumerate(predict_each(model, readers(), batch_size, traced=tell is not None)):
            name = dataset.names[index]
            if isinstance(said, PellucidError):
                defects.add("unreadable", dataset.title, name, f"left out: {said}", "dropped")
            else:
                _note_unknown(said, places, defects, model.name, name)
                named = renamed(said, classes, places)
                if tell is not None:
                    tell(index, named)
                made.append(replace(named, trace=None))
                read.append(index)
            bar.update(task, completed=index + 1)
    unreadable = defects.of("unreadable")
    if not read:
        raise PellucidError(f"{dataset.title}: none of its images can be read; the first: {unreadable[0].what}")
    if unreadable:
        complain(
            f"{dataset.title}: {len(dataset) - len(read)} of {len(dataset)} images cannot be read and are left out of "
            f"the score, such as {unreadable[0].item}"
        )
    return made, read


def _note_unknown(said: Annotations, places: Sequence[int | None], defects: Defects, source: str, image: str) -> None:
    if said.instances is None:
        return
    for label in said.instances.labels.tolist():
        if places[label] is None:
            defects.add("unknown class", source, image, f"class '{said.classes[label]}' is not in the data", "dropped")


class _Widened(View):
    """A data set of classified images, with further classes of which it has no example."""

    def __init__(self, whole: Dataset, classes: Classes) -> None:
        super().__init__(whole)
        self.classes = classes

    def sample(self, index: int) -> Sample:
        sample = self.whole.sample(index)
        said = replace(sample.annotations, classes=self.classes)
        return Sample(sample.name, sample.read_image, said, path=sample.path, id=sample.id)
