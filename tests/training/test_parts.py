"""The averaged weights, the groups of parameters, the steps of an epoch, the data of a recipe."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pellucid.data import open_dataset
from pellucid.data.dataset import Samples
from pellucid.errors import PellucidError
from pellucid.structures import Annotations, Classes, Instances, Sample
from pellucid.training.averaging import RunningAverage
from pellucid.training.feed import Feed, seed_of
from pellucid.training.optimisers import check_patterns, make_optimiser, set_learning, set_rates
from pellucid.training.recipe import Augmentation, Average, Data, Optimiser, Recipe, Schedule
from pellucid.training.sources import _in_order, make_transform, open_sources
from pellucid.training.validation import better

from .conftest import SCENES


def test_the_average_is_its_definition_and_leaves_the_module_as_it_was() -> None:
    module = nn.BatchNorm1d(1)
    average = RunningAverage(module, Average(decay=0.9, ramp=10))
    expected = 1.0
    for step, value in enumerate((3.0, 5.0, 4.0)):
        decay = min(0.9, (1 + step) / (10 + step))
        with torch.no_grad():
            module.weight.fill_(value)
            module.num_batches_tracked.fill_(step)
        average.update(module)
        expected = decay * expected + (1 - decay) * value
    assert average.tensors["weight"].item() == pytest.approx(expected, rel=1e-6)
    assert average.tensors["num_batches_tracked"].item() == 2
    with average.applied(module):
        assert module.weight.item() == average.tensors["weight"].item()
    assert module.weight.item() == 4.0
    other = RunningAverage(module, Average(decay=0.9))
    other.load_state_dict(average.state_dict())
    assert other.updates == 3
    assert other.tensors["weight"].equal(average.tensors["weight"])


def test_parameters_freeze_decay_and_learn_as_told() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2), nn.Linear(2, 2))
    settings = Optimiser(
        "sgd", learning_rate=1.0, weight_decay=0.3, freeze=["3"], multipliers={"*": 0.5, "2": 0.1, "2.bias": 0.2}
    )
    able = {name for name, _ in network.named_parameters()} - {"0.bias"}
    learning = set_learning(network, able, settings, lambda name: not name.startswith("1."))
    assert learning == ["0.weight", "2.weight", "2.bias"]
    optimiser = make_optimiser(network, settings)
    groups = {(g["multiplier"], g["weight_decay"]): len(g["params"]) for g in optimiser.param_groups}
    assert groups == {(0.5, 0.3): 1, (0.1, 0.3): 1, (0.2, 0.0): 1}
    assert set_rates(optimiser, settings, Schedule("cosine"), 5, 10) == pytest.approx(0.5)
    assert [g["lr"] for g in optimiser.param_groups] == pytest.approx([0.25, 0.05, 0.1])
    set_learning(network, able, settings, None)
    norms = {id(p) for p in network[1].parameters()}
    spared = [g for g in make_optimiser(network, settings).param_groups if g["weight_decay"] == 0]
    assert norms <= {id(p) for g in spared for p in g["params"]}
    with pytest.raises(PellucidError, match=r"'nose' fits no parameter; .*the parts are 0, 1, 2, 3"):
        check_patterns(network, ["nose"], "optimiser.freeze")
    with pytest.raises(PellucidError, match="no parameter is left to learn"):
        set_learning(network, able, Optimiser(freeze=["*"]), None)


@pytest.mark.parametrize(("n", "drop_last"), [(13, False), (13, True), (3, True), (8, False)])
def test_steps_hold_the_same_images_however_they_are_dealt_out(n: int, drop_last: bool) -> None:
    data = open_dataset(f"scenes:n={n},size=16", "train")

    def steps(batch: int, count: int, accumulate: int, epoch: int = 1) -> list[list[tuple[int, str, float]]]:
        recipe = Recipe(
            "tiny", batch_size=batch, data=Data(drop_last=drop_last), optimiser=Optimiser(accumulate=accumulate)
        )
        shares = [list(Feed(data, recipe, rank, count).epoch(epoch)) for rank in range(count)]
        assert len({len(share) for share in shares}) == 1
        made = []
        for together in zip(*shares, strict=True):
            assert len({len(portions) for portions in together}) == 1  # all processes work equally often
            images = [
                (portion.first + i, name, portion.weight / len(portion.batch))
                for portions in together
                for portion in portions
                if portion.weight
                for i, name in enumerate(portion.batch.names)
            ]
            made.append(sorted(images))
        return made

    whole = steps(4, 1, 1)
    for batch, count, accumulate in ((2, 2, 1), (2, 1, 2), (1, 2, 2), (1, 4, 1)):
        other = steps(batch, count, accumulate)
        assert [[one[:2] for one in step] for step in other] == [[one[:2] for one in step] for step in whole]
        for step in other:
            assert [one[2] for one in step] == pytest.approx([1 / len(step)] * len(step))


def test_an_epoch_begins_in_its_middle_without_reading_what_was_before() -> None:
    read: list[str] = []
    whole = open_dataset(SCENES, "train")

    def image(name: str) -> torch.Tensor:
        read.append(name)
        return whole[name].image

    samples = [Sample(n, lambda n=n: image(n), lambda n=n: whole[n].annotations) for n in whole.names]
    data = Samples(samples, whole.classes, ["boxes"])
    feed = Feed(data, Recipe("tiny", batch_size=3, optimiser=Optimiser(accumulate=1)))
    names = [portion.batch.names for portions in feed.epoch(2) for portion in portions]
    assert feed.steps == 3
    read.clear()
    data = Samples([Sample(s.name, s._image, s._annotations) for s in samples], whole.classes, ["boxes"])
    feed = Feed(data, Recipe("tiny", batch_size=3))
    later = [portion.batch.names for portions in feed.epoch(2, 2) for portion in portions]
    assert later == names[2:]
    assert set(read) & {name for batch in names[:2] for name in batch} == set()


def test_seeds_differ_and_stay() -> None:
    assert len({seed_of(0, step, 0, p) for step in range(20) for p in range(20)}) == 400
    assert seed_of(1, 2, 3) == seed_of(1, 2, 3) < 2**63


def test_sources_choose_their_splits() -> None:
    found = open_sources(Data(train=SCENES))
    assert (found.train.split, found.val and found.val.split) == ("train", "val")
    found = open_sources(Data(train=SCENES, split="test", val="scenes:n=2,size=40", val_split="train"))
    assert (found.train.split, found.val and found.val.split, found.val and len(found.val)) == ("test", "train", 2)
    held = open_sources(Data(train=SCENES, val_share=0.3))
    assert held.val is not None
    assert (len(held.train), len(held.val)) == (7, 3)
    assert set(held.train.names).isdisjoint(held.val.names)
    assert "3 of its 10 images are held out" in held.notes[0]
    assert open_sources(Data(train=SCENES, val_share=0.3)).val.names == held.val.names  # type: ignore[union-attr]
    with pytest.raises(PellucidError, match="give --data"):
        open_sources(Data())


def _said(names: tuple[str, ...], label: int) -> Samples:
    classes = Classes(names)
    objects = Instances(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([label]))
    return Samples(
        [Sample("a", torch.zeros(3, 8, 8, dtype=torch.uint8), Annotations((8, 8), classes, instances=objects))],
        classes,
        ["boxes"],
        "val",
    )


def test_classes_agree_by_name() -> None:
    classes = Classes(("cat", "dog", "cow"))
    turned = _in_order(_said(("dog", "cat"), 0), classes, "train")
    assert turned.classes is classes
    assert turned[0].annotations.instances.labels.tolist() == [1]  # type: ignore[union-attr]
    assert turned.annotations(0).instances.labels.tolist() == [1]  # type: ignore[union-attr]
    with pytest.raises(PellucidError, match="val: its class 'horse' is not among those of train"):
        _in_order(_said(("cat", "horse"), 0), classes, "train")


def test_augmentations_by_name_and_by_list(tmp_path: Path) -> None:
    assert make_transform(Augmentation("none")) is None
    assert len(make_transform(Augmentation("detection", 64)).transforms) == 5  # type: ignore[union-attr]
    made = make_transform(Augmentation(transforms=["HorizontalFlip", {"Colour": {"hue": 0.2}}]))
    assert made.transforms[1].hue == 0.2  # type: ignore[union-attr]
    for transforms, said in (
        (["Flip"], "'Flip' is no transform; did you mean"),
        ([{"Colour": {"huge": 1}}], "unexpected keyword argument 'huge'"),
        ([{"Colour": 3}], "give its arguments by name"),
        ([3], "'3' is no transform"),
    ):
        with pytest.raises(PellucidError) as caught:
            make_transform(Augmentation(transforms=transforms))
        assert said in str(caught.value)
    with pytest.raises(PellucidError, match="did you mean 'detection'"):
        make_transform(Augmentation("detektion"))


def test_what_is_better() -> None:
    assert better("AP", 0.5, None)
    assert better("AP", 0.5, 0.4)
    assert not better("AP", 0.5, 0.5)
    assert better("localization_error_top1", 0.3, 0.4)
    assert not better("AP", float("nan"), None)
