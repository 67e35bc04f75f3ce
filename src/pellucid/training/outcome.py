"""What a training leaves: figures, checkpoints, the log, curves and pictures."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from pellucid.data import Dataset
from pellucid.errors import PellucidError
from pellucid.models.base import Detector
from pellucid.structures import Annotations
from pellucid.training.progress import Watcher
from pellucid.training.recipe import Recipe
from pellucid.training.run_folder import RunFolder, finite
from pellucid.training.state import Position
from pellucid.training.validation import Said, better, main_figure, score_all

_SAMPLES = 12
_SECONDS = 5.0


class Outcome:
    """Judges epochs and writes what they leave; used by the first process alone."""

    def __init__(self, folder: RunFolder, recipe: Recipe, val: Dataset | None) -> None:
        self.folder, self.recipe, self.val = folder, recipe, val
        self._events: Any = None
        self._figure = ""
        self._drawn = -_SECONDS

    @contextlib.contextmanager
    def opened(self, place: Position, rank: int) -> Iterator[None]:
        """Brings the folder to where the training stands, and writes TensorBoard's events within it."""
        if rank:
            yield
            return
        self.folder.write_log(place.history)
        self._explain(place)
        try:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(self.folder.events, purge_step=place.step or None)
        except (ImportError, OSError):
            self._events = None  # the same curves stand in curves.png
        try:
            yield
        finally:
            if self._events is not None:
                with contextlib.suppress(OSError, RuntimeError):
                    self._events.close()

    def step(self, place: Position, speed: float) -> None:
        """Notes a step for TensorBoard."""
        self._event({name: column[-1] for name, column in place.curves.items()}, place.step)
        self._event({"images_per_second": speed}, place.step)

    def _event(self, values: dict[str, float], step: int) -> None:
        if self._events is None:
            return
        try:
            for name, value in values.items():
                if value == value:
                    self._events.add_scalar(name, value, step)
        except (OSError, RuntimeError):
            self._events = None

    def judged(
        self, model: Detector, place: Position, epoch: int, said: Said, speed: float, steps: int
    ) -> dict[str, Any]:
        """The epoch's line of the log: mean losses, figures, and whether it is the best so far."""
        record: dict[str, Any] = {"epoch": epoch, "step": place.step, "stage": place.stage}
        for name, column in place.curves.items():
            values = [value for value in column[-steps:] if value == value]
            record[name] = (column[-1] if name == "learning_rate" else sum(values) / len(values)) if values else None
        record |= {"images_per_second": round(speed, 3), "seconds": round(place.seconds, 1)}
        record |= {"scores": {}, "figure": None, "best": False}
        if self.val is not None and said:
            scores = score_all(self.val, said, model.protocols)
            record["scores"] = {one.protocol: dict(finite(one.summary)) for one in scores}
            self._figure = main_figure(scores[0])
            value = scores[0].summary[self._figure]
            record["figure"] = finite(float(value))
            record["best"] = better(self._figure, value, place.best)
            self._event(
                {f"{p}/{n}": v for p, f in record["scores"].items() for n, v in f.items() if v is not None}, place.step
            )
        return record

    def keep(self, model: Detector, place: Position, said: Said, watcher: Watcher) -> None:
        """Saves the model as the last one, and as the best where it is, or where none was ever scored."""
        record = place.history[-1]
        notes = {"recipe": self.recipe.to_dict(), "epoch": record["epoch"], "scores": record["scores"]}
        self.folder.save(model, self.folder.last, notes)
        if record["best"] or not place.best_epoch:
            self.folder.save(model, self.folder.best, notes)
        if said and (record["best"] or not place.best_epoch):
            self._pictures(said, watcher)

    def _pictures(self, said: Said, watcher: Watcher) -> None:
        from pellucid.report.contact_sheet import chosen_indices
        from pellucid.report.learning import draw_pairs

        assert self.val is not None
        pairs = []
        for index in chosen_indices(len(self.val), _SAMPLES):
            sample = self.val.sample(index)
            with contextlib.suppress(PellucidError):  # one that cannot be read was told of before
                empty = Annotations(sample.annotations.size, self.val.classes)
                pairs.append((sample, said.get(sample.name, empty)))
        if pairs:
            draw_pairs(pairs, self.folder.samples)

    def draw(self, place: Position) -> None:
        """Writes the log, the curves and the page; the curves not more often than every few seconds, and at the end."""
        self.folder.write_log(place.history)
        self._explain(place)
        if not place.learned and time.monotonic() - self._drawn < _SECONDS:
            return
        from pellucid.report.learning import plot_learning

        self._drawn = time.monotonic()
        plot_learning(
            place.curves, place.history, self.folder.curves, title=f"{self.recipe.model}, {self.recipe.data.train}"
        )

    def _explain(self, place: Position) -> None:
        if not self._figure:
            scores: dict[str, Any] = next((one["scores"] for one in place.history if one["scores"]), {})
            self._figure = next(iter(next(iter(scores.values()), {})), "")
        self.folder.explain(self.recipe, place.history, place.best_epoch, self._figure)
