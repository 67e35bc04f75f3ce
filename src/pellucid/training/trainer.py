"""The loop: step after step, epoch after epoch, from wherever a training stands."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pellucid.data import Dataset
from pellucid.errors import PellucidError
from pellucid.models.base import Detector
from pellucid.models.stages import Stage
from pellucid.training.averaging import RunningAverage
from pellucid.training.feed import Feed, Portion, seed_of
from pellucid.training.optimisers import check_patterns, make_optimiser, set_learning, set_rates
from pellucid.training.outcome import Outcome
from pellucid.training.progress import Watcher
from pellucid.training.recipe import Recipe
from pellucid.training.run_folder import RunFolder
from pellucid.training.sources import varied
from pellucid.training.state import Position, on_cpu, read_state, write_state
from pellucid.training.trouble import (
    InterruptedTrainingError,
    Interruption,
    is_out_of_memory,
    not_finite,
    out_of_memory,
)
from pellucid.training.validation import predict_shares


class _Parcel:
    """What a loss is computed from; a class of its own, so that nothing on the way looks into it."""

    def __init__(self, portion: Portion, seeds: list[int]) -> None:
        self.portion, self.seeds = portion, seeds


class _Loss(nn.Module):
    """A detector whose forward pass is its loss, as the wrappers for several processes want it."""

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = model

    def forward(self, parcel: _Parcel) -> dict[str, Tensor]:
        batch = parcel.portion.batch
        return self.model.loss(batch.images, batch.annotations, parcel.seeds)


class Trainer:
    """Trains one model by a recipe, in one folder.

    ``train``: what is learned from, before augmentation. ``val``: what is validated on, None for nothing. Where the
    folder holds a state, ``resume`` goes on from it. All processes do the same; the first one writes.
    """

    def __init__(
        self,
        model: Detector,
        recipe: Recipe,
        train: Dataset,
        val: Dataset | None,
        folder: RunFolder,
        fabric: Fabric,
        watcher: Watcher | None = None,
    ) -> None:
        self.model = model.to(fabric.device)
        self.recipe = recipe
        self.train = train
        self.val = val
        self.folder = folder
        self.fabric = fabric
        self.watcher = watcher or Watcher()
        self.position = Position()
        self.average = RunningAverage(model, recipe.average) if recipe.average.decay else None
        self.outcome = Outcome(folder, recipe, val)
        self.stages = _stages(model)
        self._able = {name for name, parameter in model.network.named_parameters() if parameter.requires_grad}
        self.ends = stage_ends(self.stages, recipe.epochs)
        self._feed = Feed(
            varied(train, recipe), recipe, fabric.global_rank, fabric.world_size, pin=fabric.device.type == "cuda"
        )
        self._loaded: dict[str, Any] = {}
        self._asked = Interruption()
        self._written = time.monotonic()
        settings = recipe.optimiser
        check_patterns(model.network, settings.freeze, "optimiser.freeze")
        check_patterns(model.network, list(settings.multipliers), "optimiser.multipliers")

    @property
    def steps(self) -> int:
        """All steps of the training."""
        return self._feed.steps * self.recipe.epochs

    def resume(self) -> None:
        """Takes up the state of the folder. Raises PellucidError for a state of another model."""
        position, loaded = read_state(self.folder.state)
        for stage in self.stages[: position.stage + 1]:  # what they added is in the state
            if stage.begin is not None:
                stage.begin()
        if position.stage > 0 and self.average is not None:
            self.average = RunningAverage(self.model, self.recipe.average)
        try:
            self.model.load_state_dict(loaded["model"])
            if self.average is not None and loaded["average"]:
                self.average.load_state_dict(loaded["average"])
        except (RuntimeError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise PellucidError(f"{self.folder.state}: does not fit the recipe beside it ({reason})") from error
        if self.recipe.epochs > loaded["recipe"]["epochs"]:  # more of them were asked for
            position.learned = position.finished = False
            position.stopped = ""
        self.position, self._loaded = position, loaded

    def run(self) -> Position:
        """Trains to the end. Raises PellucidError where it cannot go on, InterruptedTrainingError after a signal."""
        rank = self.fabric.global_rank
        try:
            with self._asked, self.outcome.opened(self.position, rank):
                if rank == 0 and not self.folder.state.exists():
                    self._write()
                self.watcher.begin(self.steps, self.position.step, self.recipe.epochs)
                self._learn()
                self._finish()
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                recipe = self.recipe
                raise out_of_memory(recipe.batch_size, recipe.precision, recipe.optimiser.accumulate) from error
            raise
        finally:
            self.watcher.end()
        return self.position

    def _learn(self) -> None:
        place = self.position
        while place.epoch < self.recipe.epochs and not place.stopped and not place.learned:
            number = next(i for i, end in enumerate(self.ends) if place.epoch < end)
            self._enter(number)
            self._epoch(number)
            place.epoch += 1
            place.batch = 0
            place.learned = place.epoch == self.recipe.epochs or bool(place.stopped)
            self._write()
            if self.fabric.global_rank == 0:
                self.outcome.draw(place)

    def _enter(self, number: int) -> None:
        """Makes the stage the one that learns: its parameters, its optimiser, and the state of both."""
        place = self.position
        if getattr(self, "_stage", -1) == number:
            return
        stage = self.stages[number]
        if place.stage != number:
            if stage.begin is not None:
                stage.begin()
                self._able |= {name for name, p in self.model.network.named_parameters() if p.requires_grad}
            place.stage, place.stage_step = number, 0
            place.best, place.best_epoch, place.stale = None, 0, 0
            self._loaded.pop("optimiser", None)
            if self.average is not None and number:
                self.average = RunningAverage(self.model, self.recipe.average)
        set_learning(self.model.network, self._able, self.recipe.optimiser, stage.trainable)
        self._wrapped: Any = None  # the hooks of the stage before must be gone
        self._wrapped = self.fabric.setup_module(_Loss(self.model))
        made = make_optimiser(self.model.network, self.recipe.optimiser)
        held = self._loaded.pop("optimiser", None)
        if held:
            made.load_state_dict(held)
        self._optimiser: Any = self.fabric.setup_optimizers(made)
        scale = self._loaded.pop("precision", None)
        if scale:
            self.fabric.strategy.precision.load_state_dict(scale)
        self._stage = number

    def _epoch(self, number: int) -> None:
        """What is left of the present epoch, and its validation."""
        place, feed = self.position, self._feed
        begun, images = time.perf_counter(), 0
        steps = feed.steps * (self.ends[number] - (self.ends[number - 1] if number else 0))
        self.model.train()
        with contextlib.closing(feed.epoch(place.epoch, place.batch)) as portions:  # type: ignore[type-var]
            for step in portions if place.batch < feed.steps else ():
                rate = set_rates(self._optimiser, self.recipe.optimiser, self.recipe.schedule, place.stage_step, steps)
                values, asked = self._step(step)
                place.note({**values, "learning_rate": rate})
                place.stage_step += 1
                place.batch += 1
                images += self.recipe.batch_size * self.recipe.optimiser.accumulate * self.fabric.world_size
                speed = images / (time.perf_counter() - begun)
                self.outcome.step(place, speed)
                self.watcher.step(place.epoch + 1, values["loss"], rate, speed)
                self._checkpoint(asked)
        spent = time.perf_counter() - begun
        place.seconds += spent
        self._validate(images / spent if images else 0.0)

    def _step(self, portions: Sequence[Portion]) -> tuple[dict[str, float], int]:
        """One step of the optimiser: the mean losses over all images, and the signal that came, if any."""
        place, fabric = self.position, self.fabric
        seed, count = self.recipe.seed, fabric.world_size
        totals: dict[str, Tensor] = {}
        unsure: list[str] = []
        self._optimiser.zero_grad()
        for number, portion in enumerate(portions):
            torch.manual_seed(seed_of(seed, place.step, 1, number * count + fabric.global_rank))
            seeds = [seed_of(seed, place.step, 0, portion.first + i) for i in range(len(portion.batch))]
            last = number == len(portions) - 1
            waits = contextlib.nullcontext() if last or count == 1 else fabric.no_backward_sync(self._wrapped)
            with waits:
                parts: dict[str, Tensor] = self._wrapped(_Parcel(portion, seeds))
                total = torch.stack(list(parts.values())).sum()
                fabric.backward(total * (portion.weight * count))
            for name, value in {"loss": total, **parts}.items():
                totals[name] = totals.get(name, 0.0) + value.detach().double() * portion.weight
            if not bool(torch.isfinite(total)):
                unsure += portion.batch.names
        values, asked = self._shared(totals)
        broken = next((name for name, value in values.items() if value - value != 0), None)
        if broken is not None:
            part = next((name for name, v in values.items() if v - v != 0 and name != "loss"), broken)
            self._stop(f"the loss is {values[broken]} ({part})", self._all_names(unsure))
        norm = fabric.clip_gradients(
            self._wrapped,
            self._optimiser,
            max_norm=self.recipe.optimiser.clip or float("inf"),
            error_if_nonfinite=False,
        )
        # with 16 bits the scaler sees to it
        if self.recipe.precision != "16" and norm is not None and not bool(torch.isfinite(norm)):
            names = [name for portion in portions for name in portion.batch.names]
            self._stop("the gradient is not finite", self._all_names(names))
        self._optimiser.step()
        if self.average is not None:
            self.average.update(self.model)
        return values, asked

    def _shared(self, totals: Mapping[str, Tensor]) -> tuple[dict[str, float], int]:
        """The sums over all processes, and the signal that came to any of them."""
        asked = self._asked.number
        if self.fabric.world_size == 1:
            return {name: float(value) for name, value in totals.items()}, asked
        row = torch.stack(
            [*totals.values(), torch.tensor(float(asked), dtype=torch.float64, device=self.fabric.device)]
        )
        # a signal reaches one process or all; which it was is no matter
        summed: list[float] = self.fabric.all_reduce(row, reduce_op="sum").tolist()  # type: ignore[union-attr]
        return dict(zip(totals, summed, strict=False)), int(asked or (15 if summed[-1] else 0))

    def _all_names(self, names: list[str]) -> list[str]:
        if self.fabric.world_size == 1:
            return names
        found: list[Any] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(found, names)
        return [name for share in found for name in share]

    def _stop(self, what: str, names: list[str]) -> None:
        """Ends at numbers that are none; the parameters are those of before this step."""
        place = self.position
        self._write()
        raise not_finite(what, place.epoch + 1, place.batch + 1, names, self.recipe.precision)

    def _checkpoint(self, asked: int) -> None:
        """Writes the state where it is time, or where a signal came, which then ends it."""
        place, often = self.position, self.recipe.state
        if asked:
            self._write()
            raise InterruptedTrainingError(asked)
        due = often.steps and place.step % often.steps == 0
        if due or (often.seconds and time.monotonic() - self._written > often.seconds):
            self._write()

    def _write(self) -> None:
        if self.fabric.global_rank:
            return
        optimiser = getattr(self, "_optimiser", None)
        tensors = {
            "model": on_cpu(self.model.state_dict()),
            "optimiser": on_cpu(optimiser.state_dict()) if optimiser is not None else self._loaded.get("optimiser"),
            "average": on_cpu(self.average.state_dict()) if self.average is not None else None,
            "precision": dict(self.fabric.strategy.precision.state_dict()),
        }
        write_state(self.folder.state, self.position, tensors, self.recipe.to_dict())
        self._written = time.monotonic()

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within it the model has the weights that are validated and saved."""
        return contextlib.nullcontext() if self.average is None else self.average.applied(self.model)

    def _validate(self, speed: float) -> None:
        """Scores the model where it is time, saves it, and notes the epoch."""
        place, recipe = self.position, self.recipe
        epoch = place.epoch + 1
        is_last = epoch == recipe.epochs
        with self._averaged():
            scored = epoch % recipe.validation.every == 0 or is_last or epoch in self.ends
            self._scored(speed, epoch, scored)
        patience = recipe.validation.patience
        if patience and place.stale >= patience and place.stage == len(self.stages) - 1 and not is_last:
            place.stopped = f"after epoch {epoch}: {place.stale} validations in a row brought nothing better"
            self.watcher.note(f"stopped {place.stopped}")

    def _scored(self, speed: float, epoch: int, scored: bool) -> None:
        place, fabric = self.position, self.fabric
        said: dict[str, Any] = {}
        if self.val is not None and scored:
            begun = time.perf_counter()
            said, skipped = predict_shares(
                self.model,
                self.val,
                self.recipe.batch_size,
                workers=self.recipe.data.workers,
                rank=fabric.global_rank,
                count=fabric.world_size,
                progress=self._heard,
            )
            for line in skipped[:3]:
                self.watcher.note(line)
            place.seconds += time.perf_counter() - begun
        record: Any = None
        if fabric.global_rank == 0:
            record = self.outcome.judged(self.model, place, epoch, said, speed, self._feed.steps)
        place.history.append(fabric.broadcast(record))
        record = place.history[-1]
        if record["best"]:
            place.best, place.best_epoch, place.stale = record["figure"], epoch, 0
        elif record["scores"]:
            place.stale += 1
        if fabric.global_rank == 0:
            self.outcome.keep(self.model, place, said, self.watcher)
        self.watcher.epoch(record, self.recipe.epochs)

    def _heard(self, done: int, total: int) -> None:
        self.watcher.working("validation", done, total)
        if self._asked.number and self.fabric.world_size == 1:
            self._write()
            raise InterruptedTrainingError(self._asked.number)

    def _finish(self) -> None:
        """What is not learned by gradient, once all epochs are done; then there is nothing left."""
        place = self.position
        if place.finished:
            return
        finish = getattr(self.model, "finish", None)
        if finish is not None:
            if self.average is not None:
                self.model.load_state_dict(self.average.tensors)
            self.average = None
            finish(self.train, self._finishing)
            place.best, place.best_epoch = None, 0
            place.history.pop()
            self._scored(0.0, place.epoch, True)
        place.finished = True
        self._write()
        if self.fabric.global_rank == 0:
            self.outcome.draw(place)
        self.fabric.barrier()

    def _finishing(self, done: int, total: int) -> None:
        self.watcher.working("finishing", done, total)
        if self._asked.number and self.fabric.world_size == 1:  # the state of before stands
            raise InterruptedTrainingError(self._asked.number)


def _stages(model: Detector) -> list[Stage]:
    stages = getattr(model, "stages", None)
    return list(stages()) if stages is not None else [Stage("all", 1.0)]


def stage_ends(stages: Sequence[Stage], epochs: int) -> list[int]:
    """After which epoch each stage ends; each has one epoch or more. Raises PellucidError for fewer epochs."""
    if epochs < len(stages):
        raise PellucidError(f"epochs: {epochs} are too few for {len(stages)} stages; give {len(stages)} or more")
    ends: list[int] = []
    total = sum(stage.share for stage in stages)
    passed = 0.0
    for number, stage in enumerate(stages):
        passed += stage.share
        least = (ends[-1] if ends else 0) + 1
        ends.append(min(max(round(epochs * passed / total), least), epochs - (len(stages) - 1 - number)))
    return ends
