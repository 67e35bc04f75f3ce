"""The data of a training: what is learned from, what is validated on, and how images are varied."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pellucid.data import Dataset, open_dataset
from pellucid.data import transforms as known_transforms
from pellucid.data.dataset import View
from pellucid.data.opening import find_source
from pellucid.data.scenes import SPLITS
from pellucid.data.transforms import Compose, HorizontalFlip, Transform, Transformed, preset
from pellucid.errors import PellucidError, nearest
from pellucid.structures import Annotations, Classes, Sample
from pellucid.training.recipe import Augmentation, Data, Recipe

Progress = Callable[[int, int], None]

_PRESETS = ("classification", "detection", "segmentation", "instance", "panoptic", "keypoints")


@dataclass(frozen=True)
class Sources:
    """``train``: what is learned from, not yet varied. ``val``: what is validated on, None for nothing. ``notes``: what
    a person should know of the choice, a line each."""

    train: Dataset
    val: Dataset | None
    notes: tuple[str, ...] = ()


def open_sources(settings: Data) -> Sources:
    """Opens the data sets of a recipe.

    Raises PellucidError where there is nothing to learn from, and where the classes of the two disagree.
    """
    if not settings.train:
        raise PellucidError("no data to learn from; give --data, such as --data voc:PATH")
    notes: list[str] = []
    splits = _splits(settings.train)
    split, val_split = settings.split, settings.val_split
    if split is None and len(splits) > 1:
        if not any(name.lower().startswith("train") for name in splits):
            raise PellucidError(f"{settings.train}: none of its splits ({', '.join(splits)}) is train; give --split")
        split = "train"
    train = open_dataset(settings.train, split)
    if not len(train):
        raise PellucidError(f"{train.title}: holds no image; nothing can be learned from it")
    if train.without_images:
        raise PellucidError(f"{train.title}: holds annotations alone; give the folder that has the images too")
    if not len(train.classes):
        raise PellucidError(f"{train.title}: names no class; nothing can be learned from it")
    where = settings.val
    if where is None and (val_split is not None or settings.val_share == 0):
        where, val_split = settings.train, val_split or next((n for n in splits if n.lower().startswith("val")), None)
        if val_split is None or val_split == train.split:
            where = None
    if where is not None:
        val = _scored(where, val_split)
        return Sources(train, _in_order(val, train.classes, train.title), tuple(notes))
    if settings.val_share:
        return _held_out(train, settings.val_share)
    notes.append(
        f"{train.title}: has no validation split, so nothing is validated; give --val, or --set data.val_share=0.1"
    )
    return Sources(train, None, tuple(notes))


def _splits(spec: str) -> list[str]:
    if spec == "scenes" or spec.startswith("scenes:"):
        return list(SPLITS)
    return find_source(spec).splits


def _scored(spec: str, split: str | None) -> Dataset:
    """A data set to validate on: as it was annotated, as the command ``evaluate`` has it."""
    splits = _splits(spec)
    if split is None and len(splits) > 1:
        split = next((name for name in splits if name.lower().startswith("val")), None)
        if split is None:
            raise PellucidError(f"{spec}: none of its splits ({', '.join(splits)}) is val; give --val-split")
    generated = spec == "scenes" or spec.startswith("scenes:")
    val = open_dataset(spec, split) if generated else open_dataset(spec, split, as_annotated=True)
    if not len(val):
        raise PellucidError(f"{val.title}: holds no image to validate on; give another --val")
    return val


def _held_out(train: Dataset, share: float) -> Sources:
    """A share of the images set aside, the same in every run; at least one stays on either side."""
    if len(train) < 2:
        raise PellucidError(f"{train.title}: one image cannot be divided; give --val, or data.val_share=0")
    order = np.random.default_rng(0).permutation(len(train))
    count = min(max(1, round(share * len(train))), len(train) - 1)
    held, kept = sorted(order[:count].tolist()), sorted(order[count:].tolist())
    note = f"{train.title}: {count:,} of its {len(train):,} images are held out and validated on"
    return Sources(train.subset(kept), train.subset(held), (note,))


def _in_order(val: Dataset, classes: Classes, title: str) -> Dataset:
    """The data set with the training classes' indices. Raises PellucidError for a class that is not among them."""
    if val.classes.names == classes.names:
        return val
    unknown = [name for name in val.classes if name not in classes.names]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise PellucidError(
            f"{val.title}: its class '{unknown[0]}'{more} is not among those of {title}"
            f"{nearest(unknown[0], classes.names)}; both must have the same classes"
        )
    return _Renumbered(val, classes)


class _Renumbered(View):
    """Objects and image labels of a data set under the indices of other classes of the same names."""

    def __init__(self, whole: Dataset, classes: Classes) -> None:
        super().__init__(whole)
        self.classes = classes
        self.places = torch.tensor([classes.names.index(name) for name in whole.classes], dtype=torch.int64)

    def sample(self, index: int) -> Sample:
        own = self.whole.sample(index)
        return Sample(own.name, lambda: own.image, lambda: self._renumbered(own.annotations), path=own.path, id=own.id)

    def annotations(self, index: int, only: Any = None) -> Annotations:
        return self._renumbered(self.whole.annotations(index, only))

    def _renumbered(self, said: Annotations) -> Annotations:
        objects = said.instances
        places = self.places.tolist()
        return Annotations(
            said.size,
            self.classes,
            instances=None if objects is None else replace(objects, labels=self.places[objects.labels]),
            present=tuple(places[i] for i in said.present),
            absent=tuple(places[i] for i in said.absent),
            proposals=said.proposals,
        )


def varied(dataset: Dataset, recipe: Recipe) -> Dataset:
    """A data set seen through the recipe's augmentation, drawn anew in every epoch."""
    transform = make_transform(recipe.augmentation)
    return dataset if transform is None else Transformed(dataset, transform, seed=recipe.seed)


def make_transform(settings: Augmentation) -> Transform | None:
    """The transform of a recipe; None for none. Raises PellucidError for an unknown name or argument."""
    if settings.transforms:
        return Compose([_named(one) for one in settings.transforms])
    if settings.name == "none":
        return None
    if settings.name == "flip":
        return HorizontalFlip()
    if settings.name not in _PRESETS:
        names = ("none", "flip", *_PRESETS)
        raise PellucidError(
            f"augmentation.name: unknown '{settings.name}'{nearest(settings.name, names)}; there are {', '.join(names)}"
        )
    return preset(settings.name, True, settings.size)


def _transforms() -> dict[str, Any]:
    kinds = {name: getattr(known_transforms, name) for name in known_transforms.__all__}
    return {
        name: kind
        for name, kind in kinds.items()
        if inspect.isclass(kind) and is_dataclass(kind) and issubclass(kind, Transform) and kind is not Compose
        if not inspect.isabstract(kind)
    }


def _named(one: Any) -> Transform:
    name, arguments = (one, {}) if isinstance(one, str) else next(iter(one.items())) if _single(one) else ("", {})
    known = _transforms()
    if name not in known:
        raise PellucidError(
            f"augmentation.transforms: '{one}' is no transform{nearest(str(name), known)}; give a name, or "
            "{NAME: {argument: value}}, of " + ", ".join(known)
        )
    given = {} if arguments is None else arguments
    if not isinstance(given, dict):
        raise PellucidError(f"augmentation.transforms: {name}: give its arguments by name, such as {{p: 0.5}}")
    try:
        made: Transform = known[name](**{key: _as_tuple(value) for key, value in given.items()})
    except TypeError as error:
        reason = str(error).replace(f"{name}.__init__() ", "")
        takes = ", ".join(inspect.signature(known[name]).parameters)
        raise PellucidError(f"augmentation.transforms: {name}: {reason}; it takes {takes}") from error
    return made


def _single(one: Any) -> bool:
    return isinstance(one, dict) and len(one) == 1


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def with_proposals(dataset: Dataset, cache: Path, progress: Progress | None) -> Dataset:
    """A data set whose annotations carry proposals, kept in a file beside the run."""
    from pellucid.data.proposals import with_proposals as propose

    made: Dataset = propose(dataset, cache=cache, progress=progress)
    return made
