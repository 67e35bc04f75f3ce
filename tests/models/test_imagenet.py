"""ImageNet's class names: readable, unique, and in the order of timm and torchvision."""

import pytest
from timm.data import ImageNetInfo
from torchvision.models import AlexNet_Weights

from pellucid.errors import PellucidError
from pellucid.models.imagenet import classes_by_count, imagenet_classes
from pellucid.structures import Classes


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (281, "tabby"),
        (282, "tiger cat"),
        (285, "Egyptian cat"),
        (134, "crane (n02012849)"),
        (517, "crane (n03126707)"),
        (638, "maillot (n03710637)"),
        (639, "maillot, tank suit"),
        (264, "Cardigan, Cardigan Welsh corgi"),
        (474, "cardigan (n02963159)"),
    ],
)
def test_names(index, name):
    classes = imagenet_classes()
    assert classes[index] == name
    assert classes.index(name) == index
    synset = ImageNetInfo().index_to_label_name(index)
    assert classes.index(synset) == index


def test_names_are_unique_whatever_the_case():
    classes = imagenet_classes()
    assert len({name.lower() for name in classes}) == len(classes) == 1000
    assert sum("(n0" in name for name in classes) == 4


@pytest.mark.parametrize("shared", ["crane", "maillot", "cardigan"])
def test_shared_names_are_ambiguous(shared):
    with pytest.raises(PellucidError, match="ambiguous"):
        imagenet_classes().index(shared)


def test_the_order_is_torchvisions():
    classes = imagenet_classes()
    for index, category in enumerate(AlexNet_Weights.DEFAULT.meta["categories"]):
        words = category.replace("crane bird", "crane").replace("maillot tank suit", "maillot, tank suit")
        assert words in (classes[index], *classes.synonyms[index])


@pytest.mark.parametrize("count", [1000, 11221, 11821, 21841, 21842, 21843])
def test_every_subset_has_its_names(count):
    classes = classes_by_count(count)
    assert len(classes) == count
    assert "class 0" not in classes.names


def test_other_counts_are_unnamed():
    assert classes_by_count(7) == Classes.unnamed(7)
