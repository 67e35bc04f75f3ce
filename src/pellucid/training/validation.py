"""Scoring a model on a data set, by all processes together."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.distributed
from torch import Tensor

from pellucid.data import Dataset
from pellucid.data.loading import Loader
from pellucid.metrics.evaluation import Pairs, evaluator
from pellucid.metrics.score import Score
from pellucid.models.base import Detector
from pellucid.structures import Annotations, Instances

Progress = Callable[[int, int], None]
Said = dict[str, Annotations]

_SCORED = ("boxes", "labels", "scores", "masks", "keypoints")


def predict_shares(
    model: Detector,
    dataset: Dataset,
    batch_size: int,
    *,
    workers: int = 0,
    rank: int = 0,
    count: int = 1,
    progress: Progress | None = None,
) -> tuple[Said, list[str]]:
    """Image → what the model says of it, on the CPU, and why images could not be read.

    Each process sees its share; the first gets all, the others none.
    """
    loader = Loader(dataset, batch_size, workers=workers, shard=(rank, count), unreadable="skip")
    said: Said = {}
    done = 0
    for batch in loader:
        for name, one in zip(batch.names, model.predict(batch.images), strict=True):
            said[name] = _slim(one)
        done += len(batch)
        if progress is not None:
            progress(min(done * count, len(dataset)), len(dataset))
    skipped = list(loader.skipped)
    if count > 1:
        shares: list[Any] | None = [None] * count if rank == 0 else None
        torch.distributed.gather_object((said, skipped), shares, dst=0)
        said, skipped = {}, []
        for share in shares or []:
            said |= share[0]
            skipped += share[1]
    return said, skipped


def _slim(said: Annotations) -> Annotations:
    """What is scored of a prediction."""
    objects = said.instances
    if objects is not None:
        kept: dict[str, Any] = {name: getattr(objects, name) for name in _SCORED}
        objects = Instances(**{k: _plain(v) for k, v in kept.items() if v is not None})
    return Annotations(said.size, said.classes, instances=objects, present=said.present)


def _plain(value: Any) -> Any:
    # a copy, since what inference mode made cannot be used elsewhere
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value


def score_all(dataset: Dataset, said: Said, protocols: Sequence[str]) -> list[Score]:
    """The score of predictions by each protocol."""
    made = []
    for protocol in protocols:
        pairs = Pairs(dataset, said)
        judge = evaluator(pairs.classes, protocol, inclusive=pairs.inclusive)
        pairs.feed(judge)
        made.append(judge.score())
    return made


def main_figure(score: Score) -> str:
    """The figure by which models are compared: the first of the score."""
    return next(iter(score.summary))


def better(figure: str, value: float, best: float | None) -> bool:
    """Whether a value is better than the best so far; of errors the smaller one is. NaN never is."""
    if value != value:
        return False
    if best is None:
        return True
    return value < best if "error" in figure else value > best
