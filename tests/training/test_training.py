"""Training: what it leaves, and that it is the same however it is broken off or dealt out."""

import errno
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.models.checkpoints import read_checkpoint
from pellucid.models.stages import Stage
from pellucid.training.progress import Watcher
from pellucid.training.recipe import Recipe
from pellucid.training.recipe_files import read_recipe
from pellucid.training.run_folder import RunFolder
from pellucid.training.state import read_state
from pellucid.training.trainer import Trainer, stage_ends
from pellucid.training.training import Result, resumed, train
from pellucid.training.trouble import InterruptedTrainingError, is_out_of_memory, out_of_memory

from .conftest import Made, lines_of, state_of
from .tiny import Tiny


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


class _Stop(Watcher):
    """Sends a signal's note after so many steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def step(self, epoch: int, loss: float, rate: float, images_per_second: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("killed")


def test_a_training_leaves_a_folder_that_explains_itself(recipe: Made, tmp_path: Path) -> None:
    result = train(recipe(epochs=3, average__decay=0.9, augmentation__name="flip"), out=tmp_path / "run")
    assert {p.name for p in result.folder.path.iterdir()} == {
        *("recipe.yaml", "log.jsonl", "curves.png", "README.md", "resume.pt", "best.safetensors", "last.safetensors"),
        *("samples", "tensorboard"),
    }
    assert len(list(result.folder.samples.iterdir())) == 4
    assert read_recipe(result.folder.recipe) == recipe(epochs=3, average__decay=0.9, augmentation__name="flip")
    log = [json.loads(line) for line in result.folder.log.read_text().splitlines()]
    assert [one["epoch"] for one in log] == [1, 2, 3]
    assert [one["step"] for one in log] == [5, 10, 15]
    for one in log:
        assert one["loss"] == pytest.approx(one["loss_box"] + one["loss_label"], rel=1e-5)
        assert one["scores"]["coco"]["AP"] == one["figure"]
    assert log[0]["best"]
    best = read_checkpoint(result.folder.best).assembly
    assert best is not None
    assert best.notes["epoch"] == result.best_epoch
    assert best.notes["recipe"]["model"] == "tiny"
    # what is saved is the average
    place, held = state_of(result)
    last = read_checkpoint(result.folder.last).tensors
    assert all(torch.equal(value, held["average"]["tensors"][f"network.{name}"]) for name, value in last.items())
    assert not torch.equal(last["box.weight"], held["model"]["network.box.weight"])
    assert place.finished
    again = train(result_recipe(result), resume=result.folder)
    assert again.was_finished
    assert "3 of 3 epochs" in result.folder.readme.read_text()


def result_recipe(result: Result) -> Recipe:
    return read_recipe(result.folder.recipe)


@pytest.mark.parametrize("kill", [1, 4, 5, 8])
def test_a_resumed_training_equals_an_unbroken_one(recipe: Made, tmp_path: Path, kill: int) -> None:
    made = recipe(
        epochs=2,
        state__steps=3,
        average__decay=0.9,
        settings={"dropout": 0.3},
        schedule__cycle_momentum=True,
        augmentation__name="detection",
        augmentation__size=40,
    )
    whole = train(made, out=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        train(made, out=tmp_path / "broken", watcher=_Stop(kill))
    folder = RunFolder(tmp_path / "broken")
    before, _ = read_state(folder.state)
    # step 5 ends the first epoch, whose state is only written after its validation
    assert before.step == {1: 0, 4: 3, 5: 3, 8: 6}[kill]
    other = train(made, resume=folder)
    (place, held), (same, kept) = state_of(whole), state_of(other)
    assert _equal(held["model"], kept["model"])
    assert _equal(held["average"], kept["average"])
    assert _equal(held["optimiser"], kept["optimiser"])
    assert _equal(place.curves, same.curves)
    assert lines_of(whole.folder.log) == lines_of(other.folder.log)


def test_a_signal_writes_the_state(recipe: Made, tmp_path: Path) -> None:
    class Signal(Watcher):
        def step(self, epoch: int, loss: float, rate: float, images_per_second: float) -> None:
            self.count = getattr(self, "count", 0) + 1
            if self.count == 2:
                import signal

                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedTrainingError) as caught:
        train(recipe(state__seconds=0), out=tmp_path / "run", watcher=Signal())
    assert caught.value.number == 15
    assert read_state(tmp_path / "run" / "resume.pt")[0].step == 3


def test_accumulated_batches_equal_a_big_one(recipe: Made, tmp_path: Path) -> None:
    big = state_of(train(recipe(batch_size=4, data__drop_last=False), out=tmp_path / "big"))
    small = state_of(
        train(recipe(batch_size=2, optimiser__accumulate=2, data__drop_last=False), out=tmp_path / "small")
    )
    assert big[0].step == small[0].step == 6
    for name, column in big[0].curves.items():
        assert small[0].curves[name] == pytest.approx(column, abs=1e-5)
    for name, value in big[1]["model"].items():
        torch.testing.assert_close(small[1]["model"][name], value, atol=1e-5, rtol=0)


@pytest.mark.parametrize("precision", ["bf16", "16"])
def test_mixed_precision_learns_and_resumes(recipe: Made, tmp_path: Path, precision: str) -> None:
    made = recipe(precision=precision, state__steps=2)
    whole = train(made, out=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        train(made, out=tmp_path / "broken", watcher=_Stop(4))
    other = train(made, resume=RunFolder(tmp_path / "broken"))
    assert _equal(state_of(whole)[1]["model"], state_of(other)[1]["model"])
    assert all(math.isfinite(one["loss"]) for one in whole.history)


def test_a_loss_that_is_no_number_stops_before_its_step(
    recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = Tiny.loss, [0]

    def loss(self: Tiny, images: Any, truths: Any, seeds: Any = None) -> dict[str, Tensor]:
        calls[0] += 1
        made = original(self, images, truths, seeds)
        return {**made, "loss_box": made["loss_box"] * float("nan")} if calls[0] == 7 else made

    monkeypatch.setattr(Tiny, "loss", loss)
    with pytest.raises(PellucidError) as caught:
        train(recipe(epochs=3), out=tmp_path / "run")
    said = str(caught.value)
    assert said.startswith("epoch 2, step 2: the loss is nan (loss_box) for the images scene_0000")
    assert "\n" not in said
    assert "lower optimiser.learning_rate" in said
    place, held = read_state(tmp_path / "run" / "resume.pt")
    assert (place.epoch, place.batch, place.step) == (1, 1, 6)
    assert all(value.isfinite().all() for value in held["model"].values())
    monkeypatch.setattr(Tiny, "loss", original)  # the same state continues
    assert len(train(recipe(epochs=3), resume=RunFolder(tmp_path / "run")).history) == 3


def test_a_gradient_that_is_no_number_stops_too(recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Tiny.loss

    def loss(self: Tiny, images: Any, truths: Any, seeds: Any = None) -> dict[str, Tensor]:
        made = original(self, images, truths, seeds)
        # 0 whose derivative is infinite
        return {**made, "loss_root": (self.network["box"].weight.sum() * 0).abs().sqrt()}

    monkeypatch.setattr(Tiny, "loss", loss)
    with pytest.raises(PellucidError, match="epoch 1, step 1: the gradient is not finite for the images"):
        train(recipe(), out=tmp_path / "run")


def test_a_full_disk_leaves_the_earlier_state(recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Path.write_bytes, [0]

    def full(self: Path, data: Any) -> int:
        calls[0] += 1
        if calls[0] == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PellucidError) as caught:
        train(recipe(state__steps=2), out=tmp_path / "run")
    assert "No space left on device" in str(caught.value)
    assert "continue with --resume" in str(caught.value)
    assert read_state(tmp_path / "run" / "resume.pt")[0].step == 2
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]


def test_memory_that_is_full_says_what_to_lower(recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(self: Tiny, *given: Any) -> dict[str, Tensor]:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(Tiny, "loss", loss)
    with pytest.raises(PellucidError, match="out of memory with batches of 2; lower one of: --batch-size 1"):
        train(recipe(), out=tmp_path / "run")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes"))
    assert "bf16" not in str(out_of_memory(1, "bf16", 1))


def test_early_stopping_and_the_best_epoch(recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([0.1, 0.3, 0.2, 0.3, 0.25, 0.9])
    from pellucid.training import outcome

    original = outcome.score_all

    def scored(*given: Any) -> Any:
        made = original(*given)
        made[0].summary["AP"] = next(figures)
        return made

    monkeypatch.setattr(outcome, "score_all", scored)
    result = train(recipe(epochs=9, validation__patience=3), out=tmp_path / "run")
    assert [one["best"] for one in result.history] == [True, True, False, False, False]
    assert result.best_epoch == 2
    assert result.stopped == "after epoch 5: 3 validations in a row brought nothing better"
    best = read_checkpoint(result.folder.best).assembly
    assert best is not None
    assert best.notes["epoch"] == 2
    assert train(recipe(epochs=9, validation__patience=3), resume=result.folder).was_finished


def test_frozen_layers_stay_and_multiplied_ones_move_less(recipe: Made, tmp_path: Path) -> None:
    made = recipe(
        epochs=1, optimiser__freeze=["body"], optimiser__multipliers={"box": 0.0}, optimiser__weight_decay=0.0
    )
    result = train(made, out=tmp_path / "run")
    held = state_of(result)[1]["model"]
    torch.manual_seed(made.seed)
    from pellucid.data import open_dataset
    from pellucid.models.recipes import build

    fresh = build("tiny", open_dataset(made.data.train, "train").classes).state_dict()
    moved = {name for name, value in fresh.items() if not torch.equal(value, held[name])}
    assert moved == {"network.label.weight", "network.label.bias"}


def test_without_validation_the_last_is_kept_as_the_best(recipe: Made, tmp_path: Path) -> None:
    heard: list[str] = []

    class Notes(Watcher):
        def note(self, text: str) -> None:
            heard.append(text)

    from pellucid.data import open_dataset

    data = open_dataset("scenes:n=4,size=40", "train")
    result = train(recipe(), out=tmp_path / "run", datasets=(data, None), watcher=Notes())
    assert result.history[-1]["scores"] == {}
    assert result.best_epoch == 0
    assert read_checkpoint(result.folder.best).tensors.keys() == read_checkpoint(result.folder.last).tensors.keys()
    assert result.best is result.history[-1]


def test_images_without_objects_and_one_image(recipe: Made, tmp_path: Path) -> None:
    from pellucid.data.dataset import Samples
    from pellucid.structures import Annotations, Classes, Sample

    classes = Classes(("cat", "dog"))
    blank = [
        Sample(f"{i}.png", torch.full((3, 20, 20), 9, dtype=torch.uint8), Annotations((20, 20), classes))
        for i in range(3)
    ]
    data = Samples(blank, classes, ["boxes"])
    result = train(recipe(batch_size=8), out=tmp_path / "run", datasets=(data, data))
    assert [one["loss"] for one in result.history] == [0.0, 0.0]
    assert result.history[-1]["figure"] is None


def test_data_that_a_model_cannot_learn_from(recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pellucid.data.dataset import Samples
    from pellucid.structures import Annotations, Classes, Sample

    classes = Classes(("cat",))
    one = Sample("a", torch.zeros((3, 8, 8), dtype=torch.uint8), Annotations((8, 8), classes))
    boxes = Samples([one], classes, ["boxes"])
    monkeypatch.setattr(Tiny, "task", "instances")
    with pytest.raises(PellucidError, match="holds no masks, from which tiny learns"):
        train(recipe(), out=tmp_path / "run", datasets=(boxes, None))
    with pytest.raises(PellucidError, match=r"settings.widht: tiny has no such setting; did you mean 'width'"):
        train(recipe(settings={"widht": 3}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_stages_learn_one_after_another_and_finish(
    recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def stages(self: Tiny) -> list[Stage]:
        def begin() -> None:
            begun.append("second")

        return [
            Stage("boxes", 0.5, lambda name: name.startswith(("body", "box"))),
            Stage("labels", 0.5, lambda name: name.startswith("label"), begin),
        ]

    def finish(self: Tiny, dataset: Sequence[Any], progress: Any) -> None:
        progress(1, 1)
        with torch.no_grad():
            self.network["label"].bias.add_(7)

    monkeypatch.setattr(Tiny, "stages", stages, raising=False)
    monkeypatch.setattr(Tiny, "finish", finish, raising=False)
    made = recipe(epochs=4, state__steps=4)
    whole = train(made, out=tmp_path / "whole")
    assert begun == ["second"]
    assert [one["stage"] for one in whole.history] == [0, 0, 1, 1]
    rates = state_of(whole)[0].curves["learning_rate"]
    assert rates[:10] == rates[10:]  # a schedule of its own for each
    with pytest.raises(RuntimeError, match="killed"):
        train(made, out=tmp_path / "broken", watcher=_Stop(14))
    begun.clear()
    other = train(made, resume=RunFolder(tmp_path / "broken"))
    assert begun == ["second"]  # again, so that there is a place for what it had added
    assert _equal(state_of(whole)[1]["model"], state_of(other)[1]["model"])
    assert lines_of(whole.folder.log) == lines_of(other.folder.log)
    assert stage_ends([Stage("a", 0.01), Stage("b", 0.98), Stage("c", 0.01)], 4) == [1, 3, 4]
    with pytest.raises(PellucidError, match="2 are too few for 3 stages"):
        stage_ends([Stage("a", 1.0)] * 3, 2)


def test_what_may_change_when_it_is_resumed(recipe: Made, tmp_path: Path) -> None:
    result = train(recipe(), out=tmp_path / "run")
    more, said = resumed(result.folder, ["optimiser.learning_rate=0.002"], {"epochs": 3})
    assert said == ["epochs: 3, no longer 2", "optimiser.learning_rate: 0.002, no longer 0.01"]
    longer = train(more, resume=result.folder)
    assert [one["epoch"] for one in longer.history] == [1, 2, 3]
    for change in ({"batch_size": 4}, {"data.train": "scenes:n=4"}, {"seed": 2}):
        with pytest.raises(PellucidError, match=r"--resume: .* leave it out, or begin a new training"):
            resumed(result.folder, [], change)
    with pytest.raises(PellucidError, match="holds a training already"):
        train(recipe(), out=tmp_path / "run")
    result.folder.state.write_bytes(result.folder.state.read_bytes()[:300])
    with pytest.raises(PellucidError, match="cannot be read as the state of a training"):
        train(more, resume=result.folder)


def test_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in ("a", "a-2", "a-3"):
        folder = RunFolder.new("a", None)
        assert folder.path == Path("runs") / expected
        folder.recipe.write_text("model: a")
    (tmp_path / "runs" / "a-b").mkdir()
    assert RunFolder.newest("a").path == Path("runs/a-3")
    with pytest.raises(PellucidError, match="there is no training in runs/b"):
        RunFolder.newest("b")


def test_the_trainer_alone_in_python(recipe: Made, tmp_path: Path) -> None:
    from pellucid.data import open_dataset
    from pellucid.training.processes import make_fabric

    made = recipe(epochs=1)
    data = open_dataset(made.data.train, "train")
    model = Tiny(data.classes, {"width": 4, "dropout": 0.0})
    before = nn.utils.parameters_to_vector(model.parameters()).clone()
    folder = RunFolder.new("x", tmp_path / "run")
    place = Trainer(model, made, data, None, folder, make_fabric("cpu")).run()
    assert place.finished
    assert not torch.equal(before, nn.utils.parameters_to_vector(model.parameters()))
    with pytest.raises(PellucidError, match="--device cuda:77"):
        make_fabric("cuda:77")
    with pytest.raises(PellucidError, match="--device gpu"):
        make_fabric("gpu")
