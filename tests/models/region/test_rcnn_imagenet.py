"""The ImageNet classifier over proposals: what it finds, and what it is asked in vain."""

import pytest
import torch
from skimage import data

from pellucid.errors import PellucidError
from pellucid.models.region.imagenet_proposals import rcnn_imagenet


@pytest.fixture(scope="module")
def model():
    return rcnn_imagenet(proposals=60, max_side=300, crop_size=96)


def test_it_finds_the_cat_and_the_cup(model):
    cat, cup = (said.instances for said in model.predict([data.chelsea(), data.coffee()]))
    assert model.classes[int(cat.labels[0])] in ("tabby", "tiger cat", "Egyptian cat")
    assert model.classes[int(cup.labels[0])] in ("espresso", "cup", "coffee mug")
    assert len(cat) + len(cup) <= 5
    # the cup's middle is in its box, and the cat's face
    for found, (x, y) in ((cup, (300, 130)), (cat, (230, 130))):
        x1, y1, x2, y2 = found.boxes[0].tolist()
        assert x1 < x < x2
        assert y1 < y < y2


def test_score_and_edge_have_a_gradient_to_the_photo(model):
    small = rcnn_imagenet(proposals=40, max_side=150, crop_size=64, score_threshold=0.02)
    pixels = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[:, ::2, ::2] / 255
    with torch.no_grad():
        plain = small([pixels])[0].instances
    photo = pixels.clone().requires_grad_()
    found = small([photo])[0].instances
    assert torch.equal(found.labels, plain.labels)
    assert torch.allclose(found.scores, plain.scores, atol=1e-3)
    assert torch.allclose(found.boxes, plain.boxes, atol=0.1)
    for value in (found.scores[0], found.boxes.sum()):
        (gradient,) = torch.autograd.grad(value, photo, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_nothing_to_find_is_no_object(model):
    photos = [torch.zeros(3, 1, 1), torch.full((3, 40, 60), 0.5), torch.rand(1, 2, 90)]
    for photo, said in zip(photos, model.predict(photos), strict=True):
        assert said.size == tuple(photo.shape[1:])
        assert said.instances.boxes.shape[1] == 4
        assert said.instances.logits.shape == (len(said.instances), 1000)
    model_without = rcnn_imagenet(proposals=5)
    assert len(model_without.detect([torch.rand(3, 20, 20)], [torch.zeros(0, 4)])[0].instances) == 0


def test_it_is_neither_trained_nor_saved(model, tmp_path):
    with pytest.raises(PellucidError, match="needs no training"):
        model.loss([torch.rand(3, 9, 9)], [])
    with pytest.raises(PellucidError, match="load it by its name"):
        model.save(tmp_path / "model.safetensors")
