"""Models over many photos: batch by batch, and what they say in the words of a data set."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.models.base import Detector, PhotoModel
from pellucid.structures import Annotations, Classes, KeypointNames, Photo, read_photo

_LEAST = -1e4
"""The logit of a class that a network does not know: its probability is 0."""


def predict_all(model: PhotoModel, photos: Iterable[Photo], batch_size: int = 4) -> Iterator[Annotations]:
    """What a model says of each photo, in order; photos are read a batch at a time.

    The annotations are on the CPU, without graph, and without the objects' logits and mask logits. Raises PellucidError
    for a photo that cannot be read, and where a batch does not fit into memory.
    """
    for said in predict_each(model, (_reader(photo) for photo in photos), batch_size):
        if isinstance(said, PellucidError):
            raise said
        yield said


def predict_each(
    model: PhotoModel, photos: Iterable[Callable[[], Tensor]], batch_size: int = 4, *, traced: bool = False
) -> Iterator[Annotations | PellucidError]:
    """As ``predict_all``, of functions that each read a photo; for one that fails its error stands in its place.

    ``traced``: with the trace of each photo, where the model keeps one. It holds feature maps: let go of it soon.
    """
    if batch_size < 1:
        raise PellucidError(f"batch size {batch_size}: give 1 or more")
    waiting = iter(photos)
    while batch := list(islice(waiting, batch_size)):
        read = [_tried(one) for one in batch]
        said = iter(_said(model, [one for one in read if isinstance(one, Tensor)], traced))
        yield from (next(said) if isinstance(one, Tensor) else one for one in read)


def _reader(photo: Photo) -> Callable[[], Tensor]:
    return lambda: read_photo(photo)


def _tried(read: Callable[[], Tensor]) -> Tensor | PellucidError:
    try:
        return read()
    except PellucidError as error:
        return error


def _said(model: PhotoModel, photos: list[Tensor], traced: bool) -> list[Annotations]:
    if not photos:
        return []
    try:
        return [_plain(said) for said in model.predict(photos, traced=traced)]
    except (RuntimeError, MemoryError) as error:
        full = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error)
        if not full:
            raise
        H, W = max((tuple(photo.shape[1:]) for photo in photos), key=lambda size: size[0] * size[1])
        remedy = "give a smaller batch size" if len(photos) > 1 else "reduce the photo, or take another device"
        raise PellucidError(
            f"{model.name}: {len(photos)} photos of up to {W} × {H} pixels do not fit into memory; {remedy}"
        ) from error


def _plain(said: Annotations) -> Annotations:
    objects = said.instances
    if objects is not None:
        objects = replace(objects.to("cpu"), logits=None, mask_logits=None)
    return replace(said, instances=objects, logits=None if said.logits is None else said.logits.cpu())


def choosing(model: PhotoModel, score: float | None = None, overlap: float | None = None) -> PhotoModel:
    """The same network, reporting by other thresholds where they are given; see ``Detector.choosing``.

    A model without a score threshold is given back as it is; PellucidError is raised for one without suppression.
    """
    known = model.thresholds if isinstance(model, Detector) else {}
    if overlap is not None and "overlap" not in known:
        raise PellucidError(f"{model.name}: has no suppression by IoU; leave the threshold out")
    given = {"score": score, "overlap": overlap}
    wanted = {name: value for name, value in given.items() if value is not None and name in known}
    return model.choosing(**wanted) if isinstance(model, Detector) and wanted else model


def agreeing(own: Classes, other: Classes) -> list[int | None]:
    """For each class the index of the same in ``other``, by names and synonyms, whatever their case; None without."""
    made = [_index(other, name) for name in own.names]
    met = set(made)
    for index, name in enumerate(other.names):
        found = _index(own, name) if index not in met else None
        if found is not None and made[found] is None:
            made[found] = index
    return made


def _index(classes: Classes, name: str) -> int | None:
    if name not in classes.names and name.strip().isdecimal():
        return None  # a name of digits is no index
    try:
        return classes.index(name)
    except PellucidError:
        return None


def united(data: Classes, own: Classes) -> tuple[Classes, list[int]]:
    """A data set's classes with those that a model alone has behind them, and where each of the model's is among them.

    The new ones have source ids of their own: numbers beyond the data set's, or their names.
    """
    found = agreeing(own, data)
    extra = [index for index, place in enumerate(found) if place is None]
    places = {index: len(data) + number for number, index in enumerate(extra)}
    whole = [places[index] if place is None else place for index, place in enumerate(found)]
    if not extra:
        return data, whole
    names = [own.names[index] for index in extra]
    ids: tuple[int | str, ...] = data.source_ids
    numbers = [id for id in ids if isinstance(id, int)]
    if ids:
        whole_numbers = len(numbers) == len(ids)
        ids = (*ids, *((max(numbers) + 1 + n if whole_numbers else name) for n, name in enumerate(names)))
    synonyms: tuple[tuple[str, ...], ...] = ()
    if data.synonyms or own.synonyms:
        synonyms = (*(data.synonyms or ((),) * len(data)), *(own.synonyms[i] if own.synonyms else () for i in extra))
    points: tuple[KeypointNames | None, ...] = ()
    if data.keypoints or own.keypoints:
        points = (
            *(data.keypoints or (None,) * len(data)),
            *(own.keypoints[i] if own.keypoints else None for i in extra),
        )
    return Classes((*data.names, *names), synonyms, ids, keypoints=points), whole


def renamed(said: Annotations, classes: Classes, places: Sequence[int | None]) -> Annotations:
    """What a model said, in other classes. ``places``: of each of its classes among them; objects of None are dropped.

    Class scores are those of the new classes, of which the ones that the model does not have are improbable.
    """
    table = torch.tensor([-1 if place is None else place for place in places], dtype=torch.int64)
    objects = said.instances
    if objects is not None:
        labels = table[objects.labels]
        objects = replace(objects, labels=labels.clamp(min=0))[labels >= 0]
    logits = said.logits
    if logits is not None:
        known = table >= 0
        logits = torch.full((len(classes),), _LEAST).index_copy(0, table[known], logits[known].float())
    return replace(said, classes=classes, instances=objects, logits=logits)
