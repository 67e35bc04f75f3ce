"""Search: one pass over a data set that ranks its photos for every channel, class and objective at once."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.forward import quick
from pellucid.explain.grids import as_grid
from pellucid.explain.objectives import Asked, Objective, Pass, as_objective
from pellucid.explain.receptive import receptive_fields
from pellucid.explain.search import files
from pellucid.explain.search.found import Found, Geometry
from pellucid.explain.search.ranking import Ranking, Scores
from pellucid.explain.search.reading import read_ahead
from pellucid.explain.subject import Subject, is_framed, logits_of, untouched
from pellucid.explain.watching import Watch, match_layers, watch
from pellucid.structures import Classes, Photo, Sample, find_photos

Progress = Callable[[int, int], None]

SAVE_EVERY = 30.0
"""Seconds between two writings of the file."""


def search(
    model: nn.Module,
    data: str | Path | Sequence[Photo | Sample],
    layers: str | Iterable[str] = (),
    k: int = 9,
    *,
    objectives: Sequence[Asked] = (),
    classes: bool = False,
    batch_size: int = 8,
    file: str | Path | None = None,
    progress: Progress | None = None,
) -> Found:
    """The k photos of a data set in which each channel, class or objective is strongest, by one pass over it.

    ``model``: a Classifier, or any module; a bare module sees each photo at its own size. ``data``: a folder, photos
    (paths, PIL images, arrays, tensors), or a data set as ``open_dataset`` gives it. ``layers``: names or globs, see
    ``match_layers``; a photo counts once a channel, at the position where the channel is largest (Zeiler and Fergus
    2014, section 3; Zhou et al. 2015). ``objectives``: what ``as_objective`` takes. ``classes``: whether to rank the
    photos by every class's logit too.

    The pass ends at the deepest layer where neither classes nor objectives read the predictions. Memory is that of one
    batch and of the rankings. Photos that cannot be read are left out and listed in ``.skipped``.

    ``file``: a .npz that is written now and then, at the end, and when the search is broken off; where it exists, the
    search goes on from there. ``progress``: called with the numbers of photos done and of all.

    Of equal values the earlier photo's counts, and an incomplete batch is filled up by repetition, so that the result
    does not depend on where a search was broken off or how the photos were divided among several. Photos of mixed
    sizes under a bare module run in smaller batches, with the rounding that this entails.

    Raises PellucidError for an unknown layer and one not reached, a layer without a place in the image, NaN or infinity
    (naming the photo; −∞ in a channel that has finite values elsewhere is none), a folder without photos or where none
    can be read, and a ``file`` that holds another search.
    """
    if k < 1 or batch_size < 1:
        raise PellucidError(f"k={k}, batch_size={batch_size}: both must be at least 1")
    if file is not None and Path(file).suffix != ".npz":
        raise PellucidError(f"{file}: searches are written as .npz; end the name with .npz")
    photos, names = _listed(data)
    question = _Question.of(model, layers, objectives, classes)
    kept = {name: p for name, p in zip(names, photos, strict=True) if not isinstance(p, (str, Path))}
    start = replace(
        question.begin(names, k), sources={n: p for n, p in kept.items() if getattr(p, "path", None) is None}
    )
    found = start if file is None else _continued(start, Path(file))
    run = _Run(question, photos, found, batch_size, None if file is None else Path(file), progress)
    return run.to_the_end()


def _listed(data: str | Path | Sequence[Photo | Sample]) -> tuple[list[Photo | Sample], list[str]]:
    """The photos and their names."""
    if isinstance(data, Tensor) and data.ndim == 4:
        data = list(data)
    if isinstance(data, (str, Path)):
        photos: list[Photo | Sample] = list(find_photos([data]))
    elif isinstance(data, Sequence):
        photos = list(data)
    else:
        raise PellucidError(f"data: give a folder or a list of photos, not a single {type(data).__name__}")
    if not photos:
        raise PellucidError("data: the list holds no photo; give at least one")
    return photos, [_name(photo, index) for index, photo in enumerate(photos)]


def _name(photo: Photo | Sample, index: int) -> str:
    if isinstance(photo, Sample):
        return photo.name if photo.path is None else str(photo.path)
    return str(photo) if isinstance(photo, (str, Path)) else f"photo {index}"


def _continued(start: Found, file: Path) -> Found:
    """What an earlier run left in the file, if it asked the same."""
    if not file.exists():
        return start
    before = files.read(file)
    remedy = "give another file, or remove this one to search anew"
    try:
        start.check_same(before, f"{file}: the search in it")
    except PellucidError as error:
        raise PellucidError(f"{error}; {remedy}") from None
    if start.photos != before.photos:
        differing = next((b for a, b in zip(start.photos, before.photos, strict=False) if a != b), "")
        what = f"{len(before.photos)} photos, not {len(start.photos)}" if not differing else f"such as {differing}"
        raise PellucidError(f"{file}: the search in it is of other photos ({what}); {remedy}")
    return replace(before, sources=start.sources)


@dataclass(frozen=True)
class _Question:
    """What is asked of a network."""

    model: nn.Module
    layers: list[str]
    objectives: list[Objective]
    classes: bool

    @classmethod
    def of(
        cls,
        model: nn.Module,
        layers: str | Iterable[str],
        objectives: Sequence[Asked],
        classes: bool,
    ) -> "_Question":
        if not isinstance(model, nn.Module):
            raise PellucidError(
                f"a {type(model).__name__} is no network; give a torch.nn.Module or what pellucid.load returns"
            )
        network: nn.Module = model.network if is_framed(model) else model
        wanted = [as_objective(given) for given in objectives]
        texts = [str(objective) for objective in wanted]
        for text in texts:
            if texts.count(text) > 1:
                raise PellucidError(f"objective '{text}' stands twice; give each once, under a text of its own")
        matched = match_layers(network, layers)
        if not (matched or wanted or classes):
            raise PellucidError("nothing to search for; give layers, objectives, or classes=True")
        return cls(model, matched, wanted, classes)

    @property
    def reads_predictions(self) -> bool:
        """Whether a pass must run to its end."""
        return self.classes or any(objective.reads_predictions for objective in self.objectives)

    @property
    def objective_layers(self) -> list[str]:
        """The layers whose whole activations are needed."""
        return list(dict.fromkeys(layer for objective in self.objectives for layer in objective.layers))

    def begin(self, names: list[str], k: int) -> Found:
        """A search that has seen no photo; how many channels the layers have shows with the first."""
        known = getattr(self.model, "classes", None)
        return Found(
            model=str(getattr(self.model, "name", type(self.model).__name__)),
            fingerprint=fingerprint(self.model),
            k=k,
            photos=names,
            layers={layer: Ranking.empty(0, k) for layer in self.layers},
            classes=Ranking.empty(0, k) if self.classes else None,
            objectives={str(objective): Ranking.empty(1, k) for objective in self.objectives},
            skipped={},
            class_names=list(known.names) if isinstance(known, Classes) else None,
            geometry=Geometry.unknown(len(names)),
        )


def fingerprint(model: nn.Module) -> str:
    """A hash over the names, the shapes and some values of all weights: the same on every device."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().flatten()
        some = flat[:: max(1, len(flat) // 64)].cpu()
        digest.update(some.to(torch.float64 if some.is_floating_point() else torch.int64).numpy().tobytes())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class _Batch:
    """What one pass said of some photos."""

    layers: dict[str, Scores]
    classes: Scores | None
    objectives: dict[str, Scores]

    def all(self) -> dict[str, Scores]:
        """By a name of their own."""
        named = {f"layer {name}": scores for name, scores in self.layers.items()}
        named |= {f"objective {text}": scores for text, scores in self.objectives.items()}
        return named | ({"classes": self.classes} if self.classes is not None else {})


class _Run:
    """One run of a search.

    What it found is replaced as a whole after every batch, so that it can be broken off at any moment.
    """

    def __init__(
        self,
        question: _Question,
        photos: list[Photo | Sample],
        found: Found,
        batch_size: int,
        file: Path | None,
        progress: Progress | None,
    ) -> None:
        self.question = question
        self.photos = photos
        self.found = found
        self.batch_size = batch_size
        self.file = file
        self.progress = progress
        self.names: list[str] = []  # of the photos in the pass under way
        self.batch = torch.zeros(0)  # their frames, and what fills the batch up

    def to_the_end(self) -> Found:
        began = self.found.done
        try:
            with untouched(self.question.model), torch.no_grad():
                self._pass_over_photos()
                self._add_fields()
        except BaseException:
            if self.file is not None and self.found.done > began:
                with suppress(PellucidError):  # what broke the search off is the news
                    self.found.save(self.file)
            raise
        self._check_some_were_read()
        if self.file is not None:
            self.found.save(self.file)
        return self.found

    def _pass_over_photos(self) -> None:
        n, done = len(self.photos), self.found.done
        if self.progress is not None:
            self.progress(done, n)
        saved = time.monotonic()
        bare = not is_framed(self.question.model)
        with (
            closing(read_ahead(self.photos[done:], self.batch_size, as_they_are=bare)) as reading,
            self._watch() as seen,
        ):
            for start in range(done, n, self.batch_size):
                stop = min(start + self.batch_size, n)
                self._take_in(range(start, stop), [next(reading) for _ in range(start, stop)], seen)
                if self.file is not None and stop < n and time.monotonic() - saved > SAVE_EVERY:
                    self.found.save(self.file)
                    saved = time.monotonic()
                if self.progress is not None:
                    self.progress(stop, n)

    def _watch(self) -> Any:
        wanted = dict.fromkeys([*self.question.layers, *self.question.objective_layers])
        network = self.question.model.network if is_framed(self.question.model) else self.question.model
        return watch(network, wanted, keep=self._keep) if wanted else nullcontext()

    def _take_in(self, indices: range, read: list[Tensor | PellucidError], seen: Watch | None) -> None:
        """Runs some photos and ranks them."""
        skipped = {
            self.found.photos[i]: str(e) for i, e in zip(indices, read, strict=True) if isinstance(e, PellucidError)
        }
        photos = {i: photo for i, photo in zip(indices, read, strict=True) if isinstance(photo, Tensor)}
        batches, order = [], []
        for group in self._groups(photos):
            batches.append(self._run(group, [photos[i] for i in group], seen, fill=len(group) == len(photos)))
            order += group
        found = replace(self.found, skipped=self.found.skipped | skipped, done=indices.stop)
        self.found = self._ranked(found, batches, order) if batches else found

    def _groups(self, photos: dict[int, Tensor]) -> list[list[int]]:
        """Photos that can share a batch: all of them, or for a bare module those of one size."""
        by_size: dict[Any, list[int]] = {}
        for i, photo in photos.items():
            by_size.setdefault(None if is_framed(self.question.model) else (photo.shape, photo.dtype), []).append(i)
        return list(by_size.values())

    def _run(self, indices: list[int], photos: list[Tensor], seen: Watch | None, fill: bool) -> _Batch:
        question, model = self.question, self.question.model
        if is_framed(model):
            frames, placements = model.prepare(photos)
            subject = Subject.of_frames(question.model, frames)
            subject.placements = placements
        else:
            subject = Subject(model, torch.stack(photos))
        for index, placement in zip(indices, subject.placements, strict=True):
            self.found.geometry.set(index, placement)
        n, batch = len(indices), subject.frame
        if fill and n < self.batch_size:
            # Kernels, and with them the last bit of every value, are chosen by the batch's size.
            batch = batch[torch.arange(self.batch_size, device=batch.device) % n]
            subject.placements = [subject.placements[i % n] for i in range(self.batch_size)]
        self.names = [self.found.photos[i] for i in indices]
        self.batch = quick(batch)
        predictions = None
        if question.reads_predictions:
            if seen is not None:
                seen.begin()
            predictions = subject.run(self.batch, traced=any(o.traced for o in question.objectives))
            if seen is not None:
                seen.check_all_reached()
        elif seen is not None:
            seen(self.batch, through=subject.run)
        kept: dict[str, Any] = seen.activations if seen is not None else {}
        forward = Pass(
            {name: kept[name][1] for name in question.objective_layers}, predictions, self.batch, subject.classes
        )
        return _Batch(
            layers={name: kept[name][0] for name in question.layers},
            classes=self._plain(logits_of(predictions), "the logits") if question.classes else None,
            objectives={str(o): self._plain(o(forward)[:, None], f"'{o}'") for o in question.objectives},
        )

    def _keep(self, name: str, activation: Tensor) -> tuple[Scores | None, Tensor | None]:
        """What is needed of a layer, while its activation is there: each channel's best; for objectives all of it."""
        scores = self._best(name, activation) if name in self.question.layers else None
        # A copy: what comes after the layer may work in place.
        return scores, activation.clone() if name in self.question.objective_layers else None

    def _best(self, name: str, activation: Tensor) -> Scores:
        if activation.ndim < 2 or len(activation) != len(self.batch):
            raise PellucidError(
                f"layer '{name}' gives shape {tuple(activation.shape)} for {len(self.batch)} images, "
                "not one activation for each; choose another layer"
            )
        activation = activation[: len(self.names)]
        ranking = self.found.layers[name]
        if activation.ndim == 2:
            return self._plain(activation, f"layer '{name}'")
        h, w = self.batch.shape[-2:]
        grid = as_grid(activation, h / w, name)
        values = grid.amax((2, 3))
        self._check_finite(values, f"layer '{name}'")
        if len(ranking.values) not in (0, values.shape[1]):
            raise PellucidError(
                f"layer '{name}' has {values.shape[1]} channels for {self.names[0]} but {len(ranking.values)} for "
                "photos of another size; search photos of one size"
            )
        return Scores.of(values, grid, ranking if len(ranking.values) else None)

    def _plain(self, values: Tensor, what: str) -> Scores:
        values = values[: len(self.names)]
        self._check_finite(values, what)
        return Scores.of(values, None, None)

    def _check_finite(self, values: Tensor, what: str) -> None:
        finite = torch.isfinite(values).all(1)
        if not finite.all():
            at = int((~finite).nonzero()[0])
            kind = "NaN" if values[at].isnan().any() else "infinity"
            raise PellucidError(
                f"{self.names[at]}: the network gives {kind} in {what}; check its weights and the photo"
            )

    def _ranked(self, found: Found, batches: list[_Batch], order: list[int]) -> Found:
        photos = torch.tensor(sorted(order))
        place = torch.tensor(order).argsort()
        together = {name: Scores.together([batch.all()[name] for batch in batches], place) for name in batches[0].all()}

        def into(name: str, ranking: Ranking) -> Ranking:
            return together[name].into(ranking if len(ranking.values) else None, photos, found.k)

        return replace(
            found,
            layers={name: into(f"layer {name}", ranking) for name, ranking in found.layers.items()},
            classes=None if found.classes is None else into("classes", found.classes),
            objectives={text: into(f"objective {text}", ranking) for text, ranking in found.objectives.items()},
        )

    def _check_some_were_read(self) -> None:
        if len(self.found.skipped) >= len(set(self.found.photos)):
            first, why = next(iter(self.found.skipped.items()))
            more = "" if len(self.found.photos) == 1 else f" (and {len(self.found.photos) - 1} more alike)"
            raise PellucidError(f"none of the photos can be read{more}: {why if first in why else f'{first}: {why}'}")

    def _add_fields(self) -> None:
        """The receptive fields for every frame size among the ranked photos: one pass of one image each."""
        fields = dict(self.found.fields)
        for size in sorted(self.found.frames_needed() - set(fields)):
            fields[size] = receptive_fields(self.question.model, size, self.question.layers)
        self.found = replace(self.found, fields=fields).with_needed_fields()
