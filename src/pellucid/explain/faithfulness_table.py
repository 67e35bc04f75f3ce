"""How faithful methods are on a data set: the tests of single maps (``faithfulness``) in the mean, a row a method."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.attribution import Explanation, explain_subject, method_named
from pellucid.explain.faithfulness import Faithfulness, check_subject
from pellucid.explain.objectives import Objective, class_logit
from pellucid.explain.objects import detection
from pellucid.explain.randomisation import Report
from pellucid.explain.rectifiers import UndefinedMethodError
from pellucid.explain.regions import box_region, in_frame
from pellucid.explain.subject import Subject
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Annotations, Instances, Sample

SAME_OBJECT = 0.5
"""The IoU from which on a detection is a true object of its class."""

_RESAMPLINGS = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean over maps, and its 95 % interval: the percentile bootstrap over images, None of a single image."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MethodRow:
    """What the tests say of one method, in the mean of its maps.

    ``pointing``: the share of maps whose strongest pixel lies in the true region, ``inside``: the share of their
    positive sum that lies there; None where no region is known. ``deletion``, ``insertion``: areas. ``better``: the
    share of maps better than a random order by both areas. ``kept``: what randomisation leaves. ``passes``: the share
    of maps that fail no test. ``seconds``: of making a map. ``undefined``: why the method is not defined for the
    network, where it is not; then there are no maps and no figures.
    """

    method: str
    maps: int = 0
    pointing: Estimate | None = None
    inside: Estimate | None = None
    deletion: Estimate | None = None
    insertion: Estimate | None = None
    better: Estimate | None = None
    kept: Estimate | None = None
    passes: Estimate | None = None
    seconds: float | None = None
    undefined: str | None = None


@dataclass(frozen=True)
class FaithfulnessTable:
    """The methods' rows, and what chance would give on the same objectives.

    ``images``: on which there was something to explain; ``without``: on which there was not; ``objectives``: how many
    were explained. ``random_deletion``, ``random_insertion``: the areas for a random order. ``region``: the mean share
    of the frame that the true region has, which is what a map without any shape gets of pointing and inside.
    """

    rows: tuple[MethodRow, ...]
    images: int
    without: int
    objectives: int
    random_deletion: float | None
    random_insertion: float | None
    region: float | None

    def figures(self) -> dict[str, Any]:
        """All of it by name, for JSON."""
        return {
            "images": self.images,
            "images_without": self.without,
            "objectives": self.objectives,
            "random_deletion": self.random_deletion,
            "random_insertion": self.random_insertion,
            "region": self.region,
            "methods": [{name: _plain(value) for name, value in vars(row).items()} for row in self.rows],
        }


def faithfulness_table(
    model: nn.Module,
    samples: Iterable[Sample],
    methods: Sequence[str],
    *,
    objects: int = 4,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    steps: int = 10,
    stages: int = 2,
    seed: int = 0,
    report: Report | None = None,
) -> FaithfulnessTable:
    """Tests methods on the images of a data set, the annotations of which are in the model's classes.

    Of a detector those detections are explained that are true objects (IoU 0.5 or more, the same class, each object
    once), at most ``objects`` of them an image, drawn at random; the true region is the object's mask, or its box where
    the truth has no masks. Of a classifier the most probable class is explained; the region is that of the true objects
    of this class, where there are any. ``options``: of methods, by their names. ``steps``, ``stages``: as in ``check``.

    Raises PellucidError for an unknown method or option, a photo that cannot be read, and where in no image there is
    anything to explain. A method that is not defined for the network has a row that says so.
    """
    names = list(dict.fromkeys(method_named(name).name for name in methods))
    say = report or (lambda text: None)
    undefined: dict[str, str] = {}
    seconds = dict.fromkeys(names, 0.0)
    found: dict[str, list[list[Faithfulness]]] = {name: [] for name in names}
    shares: list[float] = []
    images = without = objectives = 0
    for number, sample in enumerate(samples):
        subject = Subject(model, sample.read_image())
        (said,) = _said(subject)
        generator = torch.Generator().manual_seed(seed + number)
        asked, regions = _questions(said, sample.annotations, objects, generator)
        if not asked:
            without += 1
            continue
        images += 1
        objectives += len(asked)
        made: list[Explanation] = []
        for name in names:
            if name in undefined:
                continue
            say(f"{sample.name}: {name}")
            start = perf_counter()
            try:
                maps = explain_subject(subject, asked, method=name, **(options or {}).get(name, {}))
            except UndefinedMethodError as error:
                undefined[name] = str(error)
                continue
            seconds[name] += perf_counter() - start
            made += maps
        shares += [float(in_frame(one, regions[one.target]).float().mean()) for one in made[: len(asked)] if regions]
        checks = check_subject(
            subject,
            asked,
            made,
            truth=regions or None,
            steps=steps,
            stages=stages,
            seed=seed,
            report=lambda text, name=sample.name: say(f"{name}: {text}"),  # type: ignore[misc]
        )
        for name in names:
            found[name].append([check for check in checks if check.method == name])
    if not images and not without:
        raise PellucidError("faithfulness: there is no image that can be read; give at least one")
    if not images:
        raise PellucidError(
            f"faithfulness: there is nothing to explain in any of the {without} images; the model finds no true object"
        )
    rows = [_row(name, found[name], seconds[name], seed, undefined.get(name)) for name in names]
    checks = [check for own in next((found[n] for n in names if n not in undefined), []) for check in own]
    return FaithfulnessTable(
        rows=tuple(rows),
        images=images,
        without=without,
        objectives=objectives,
        random_deletion=float(np.mean([c.random_deletion for c in checks])) if checks else None,
        random_insertion=float(np.mean([c.random_insertion for c in checks])) if checks else None,
        region=float(np.mean(shares)) if shares else None,
    )


def _said(subject: Subject) -> list[Annotations]:
    said = subject.keep()
    if not all(isinstance(one, Annotations) for one in said):
        raise PellucidError("faithfulness: this network says nothing that is known; give a classifier or a detector")
    return said


def _questions(
    said: Annotations, truth: Annotations, objects: int, generator: torch.Generator
) -> tuple[list[Objective], dict[str, Tensor]]:
    """What to explain of an image, and the true region (H, W) of each objective by its text, where one is known."""
    if said.instances is None:
        label = int(said.probabilities.argmax())
        objective = class_logit(label)
        known = truth.instances
        there = None if known is None else known[known.labels == label]
        return [objective], {str(objective): _region(there, truth.size)} if there is not None and len(there) else {}
    pairs = _true_detections(said.instances, truth.instances)
    chosen = sorted(torch.randperm(len(pairs), generator=generator)[:objects].tolist())
    asked: list[Objective] = []
    regions = {}
    for k, j in (pairs[i] for i in chosen):
        asked.append(detection(k))
        regions[str(asked[-1])] = _region(truth.instances[j], truth.size)  # type: ignore[index]
    return asked, regions


def _true_detections(said: Instances, truth: Instances | None) -> list[tuple[int, int]]:
    """(detection, true object) of each detection that finds one: the surest first, each object once."""
    if truth is None or not len(truth) or not len(said):
        return []
    over = pairwise_iou(said.boxes.detach().cpu(), truth.boxes)
    over[said.labels.cpu()[:, None] != truth.labels] = 0
    over[:, truth.crowd | truth.group_of] = 0
    pairs = []
    for k, row in enumerate(over):
        best = int(row.argmax())
        if float(row[best]) >= SAME_OBJECT:
            pairs.append((k, best))
            over[:, best] = 0
    return pairs


def _region(objects: Instances, size: tuple[int, int]) -> Tensor:
    """Bool (H, W): the objects' masks, or their boxes where there are none."""
    if objects.masks is not None:
        return objects.masks.to_bool().any(0)
    return torch.stack([box_region(box, size) for box in objects.boxes.tolist()]).any(0)


def _row(
    method: str, images: Sequence[Sequence[Faithfulness]], seconds: float, seed: int, undefined: str | None
) -> MethodRow:
    if undefined is not None:
        return MethodRow(method, undefined=undefined)

    def mean(values: Sequence[Sequence[float]]) -> Estimate:
        return _estimate(values, seed)

    with_region = [[check for check in own if check.energy_inside is not None] for own in images]
    known = any(with_region)
    count = sum(len(own) for own in images)
    return MethodRow(
        method=method,
        maps=count,
        pointing=mean([[float(bool(c.pointing)) for c in own] for own in with_region]) if known else None,
        inside=mean([[c.energy_inside or 0.0 for c in own] for own in with_region]) if known else None,
        deletion=mean([[c.deletion.area for c in own] for own in images]),
        insertion=mean([[c.insertion.area for c in own] for own in images]),
        better=mean([[float(c.better_than_chance) for c in own] for own in images]),
        kept=mean([[c.randomisation.kept for c in own] for own in images]),
        passes=mean([[float(not c.failures) for c in own] for own in images]),
        seconds=seconds / count,
    )


def _estimate(images: Sequence[Sequence[float]], seed: int) -> Estimate:
    """The mean of all values, and its interval over resampled images: those of one image stand and fall together."""
    images = [own for own in images if own]
    sums = np.array([sum(own) for own in images])
    counts = np.array([len(own) for own in images])
    value = float(sums.sum() / counts.sum())
    if len(images) < 2:
        return Estimate(value)
    drawn = np.random.default_rng(seed).integers(len(images), size=(_RESAMPLINGS, len(images)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def _plain(value: Any) -> Any:
    return vars(value) if isinstance(value, Estimate) else value
