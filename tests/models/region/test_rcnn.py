"""R-CNN: its crops, what it samples and fits, what it says, and that it learns."""

import numpy as np
import pytest
import torch

from pellucid.data import Samples, open_dataset
from pellucid.data.proposals import with_proposals
from pellucid.errors import PellucidError
from pellucid.models.checkpoints import load_tensors, read_checkpoint
from pellucid.models.recipes import build
from pellucid.models.region.rcnn_crops import Crops, batches, regions_of
from pellucid.models.region.rcnn_fitting import SvmSettings, fit_ridges, fit_svms
from pellucid.models.region.rcnn_photos import View
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Annotations, Classes, Instances, Placement, Sample

CLASSES = Classes(("cat", "dog", "cow"))
BOXES = torch.tensor([[4.0, 4.0, 24.0, 30.0], [20.0, 8.0, 55.0, 36.0], [0.0, 0.0, 60.0, 40.0]])


def small(**settings):
    torch.manual_seed(0)
    return build("rcnn", CLASSES, pretrained=False, **{"crop_size": 64, "proposals": 20, **settings})


def fitted(**settings):
    """A model whose SVMs and regressors are random."""
    model = small(**settings)
    network = model.network
    generator = torch.Generator().manual_seed(1)
    for name in ("svm_weight", "box_weight"):
        buffer = getattr(network, name)
        buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.002)
    for name in ("fitted", "scale", "box_scale"):
        getattr(network, name).fill_(1)
    return model


def truth(boxes, labels, size=(40, 60), proposals=None, **columns):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    columns = {name: torch.tensor(values) for name, values in columns.items()}
    instances = Instances(boxes, torch.tensor(labels, dtype=torch.int64), **columns)
    return Annotations(size, CLASSES, instances=instances, proposals=proposals)


def test_a_crop_shows_the_papers_context():
    # 227 pixels of which 16 on each side are context: a box of 195 × 390 is seen within 227 × 454
    region = regions_of(torch.tensor([[16.0, 32.0, 211.0, 422.0]]))
    assert torch.allclose(region, torch.tensor([[0.0, 0.0, 227.0, 454.0]]), atol=1e-3)


def test_a_crop_is_the_warped_region_and_the_mean_colour_beyond_the_photo():
    image = torch.arange(1.0, 17).reshape(1, 4, 4).repeat(3, 1, 1)
    # the box is the two middle pixels of a crop of four: with its context it is the whole image
    same = Crops(image, 4, 0.25)(torch.tensor([[1.0, 1.0, 3.0, 3.0]]))
    assert torch.allclose(same[0], image)
    # two columns wide and four tall, squeezed in height: each pixel is the mean of two
    squeezed = Crops(image, 2, 0.0)(torch.tensor([[0.0, 0.0, 2.0, 4.0]]))
    assert torch.allclose(squeezed[0, 0], torch.tensor([[3.0, 4.0], [11.0, 12.0]]))
    # of a box at the left border half the crop lies beyond the photo
    beyond = Crops(image, 4, 0.0)(torch.tensor([[-2.0, 0.0, 2.0, 4.0]]))
    assert torch.allclose(beyond[0, 0], torch.cat((torch.zeros(4, 2), image[0, :, :2]), 1))


def test_much_larger_regions_are_means_of_all_their_pixels():
    image = torch.rand(3, 64, 64)
    crop = Crops(image, 4, 0.0)(torch.tensor([[0.0, 0.0, 64.0, 64.0]]))[0]
    assert torch.allclose(crop, torch.nn.functional.avg_pool2d(image[None], 16)[0], atol=1e-5)
    both = Crops(image, 4, 0.0)(torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 64.0, 64.0]]))
    assert torch.allclose(both[0], image[:, :4, :4], atol=1e-5)
    assert torch.allclose(both[1], crop)


def test_batches_cover_everything():
    assert [(part.start, part.stop) for part in batches(5, 2)] == [(0, 1), (1, 3), (3, 5)]
    assert [(part.start, part.stop) for part in batches(0, 2)] == [(0, 0)]


def test_boxes_travel_between_photo_and_frame():
    # a photo of 100 × 50 (width × height), halved, in a larger frame
    view = View(torch.zeros(3, 40, 60), Placement((50, 100), (40, 60), (0.0, 0.0, 120.0, 80.0)))
    assert view.image.shape == (3, 25, 50)
    assert view.to_view(torch.tensor([[10.0, 20.0, 30.0, 40.0]])).tolist() == [[5, 10, 15, 20]]
    assert view.to_photo(torch.tensor([[5.0, 10.0, 15.0, 20.0]])).tolist() == [[10, 20, 30, 40]]
    # a frame that begins 4 pixels left of the photo
    shifted = View(torch.zeros(3, 20, 20), Placement((20, 16), (20, 20), (-4.0, 0.0, 16.0, 20.0)))
    assert shifted.image.shape == (3, 20, 16)
    assert shifted.to_photo(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist() == [[1, 2, 3, 4]]


def planted(random, images=6, rows=400):
    """Features of two classes along two axes, and few negatives that are hard: the others are far away."""
    far = [random.normal(0, 0.3, (rows, 8)) - np.eye(8)[2] * 6 for _ in range(images)]
    for f in far:
        f[:2] = random.normal(0, 0.1, (2, 8)) + np.eye(8)[0] * 1.5
    positives = [random.normal(0, 0.2, (30, 8)) + np.eye(8)[k] * 4 for k in (0, 1)]
    return positives, [f.astype(np.float32) for f in far]


def test_svms_tell_planted_classes_apart_and_mining_finds_the_hard_negatives():
    positives, features = planted(np.random.default_rng(0))
    negative = [np.ones((400, 3), bool) for _ in features]
    positives.append(np.zeros((0, 8)))
    told = []
    weights, biases = fit_svms(
        positives, features, negative, SvmSettings(c=1.0), lambda done, total: told.append((done, total))
    )
    assert all((positives[k] @ weights[k] + biases[k] > 0).all() for k in (0, 1))
    assert all((f @ weights[:2].T + biases[:2] < 0).all() for f in features)
    # a class without positives is below all others, everywhere
    assert (features[0] @ weights[2] + biases[2] < -5).all()
    assert told[0] == (1, 12)

    # the 12 hard ones of 2,400 are mostly not among the first 500 drawn; with easy ones alone they would pass
    easy = [mask.copy() for mask in negative]
    for mask in easy:
        mask[:2] = False
    blind, offset = fit_svms(positives, features, easy, SvmSettings(c=1.0))
    assert max((f[:2] @ blind[0] + offset[0]).max() for f in features) > 0


def test_svms_never_learn_from_what_is_no_negative():
    positives, features = planted(np.random.default_rng(1), images=2)
    none = [np.zeros((400, 2), bool) for _ in features]
    weights, biases = fit_svms(positives, features, none)
    assert all((positives[k] @ weights[k] + biases[k] > 0).all() for k in (0, 1))
    with pytest.raises(PellucidError, match="no images"):
        fit_svms(positives, [], [])


def test_ridges_recover_a_planted_map_and_shrink_with_strength():
    random = np.random.default_rng(0)
    planted_map = random.normal(size=(2, 4, 5))
    features, labels = random.normal(size=(400, 5)), np.arange(400) % 2
    deltas = np.einsum("nd,ncd->nc", features, planted_map[labels]) + 0.5
    weights, biases = fit_ridges(features, labels, deltas, 3, strength=1e-3)
    assert np.allclose(weights[:2], planted_map, atol=1e-3)
    assert np.allclose(biases[:2], 0.5, atol=1e-3)
    assert not weights[2].any()
    assert not biases[2].any()
    # λ is held against the sum of squares: 200 rows of unit variance leave about 200 / (200 + 200)
    halved, _ = fit_ridges(features, labels, deltas, 3, strength=200)
    assert np.abs(halved[:2] / planted_map).mean() == pytest.approx(0.5, abs=0.1)


def test_before_and_after_fitting_detections_are_sorted_and_inside():
    photo = torch.rand(3, 40, 60)
    for model in (small(score_threshold=0.0), fitted()):
        said = model.detect([photo], [BOXES])[0]
        found = said.instances
        assert said.size == (40, 60)
        assert len(found)
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert found.logits.shape == (len(found), 3)
        own = found.logits.gather(1, found.labels[:, None])[:, 0]
        if bool(model.network.fitted):
            assert torch.allclose(found.scores, torch.sigmoid(3 * own))
        else:
            assert all(any(torch.allclose(box, given) for given in BOXES) for box in found.boxes.detach())
        assert float(found.boxes.detach().min()) >= 0
        assert float(found.boxes.detach()[:, 2].max()) <= 60


def test_score_and_left_edge_have_a_gradient_to_the_photo():
    model = fitted()
    for what in ("score", "edge"):
        photo = torch.rand(3, 40, 60, requires_grad=True)
        found = model.detect([photo], [BOXES[:2]])[0].instances
        (found.scores[0] if what == "score" else found.boxes[0, 0]).backward()
        assert photo.grad.isfinite().all()
        assert photo.grad.abs().sum() > 0


def test_with_a_graph_it_says_the_same_as_without():
    model, photo = fitted(chunk=2), torch.rand(3, 40, 60)
    with torch.no_grad():
        plain = model.detect([photo], [BOXES])[0].instances
    graph = model.detect([photo], [BOXES])[0].instances
    assert torch.equal(plain.labels, graph.labels)
    assert torch.allclose(plain.scores, graph.scores, atol=1e-4)
    assert torch.allclose(plain.boxes, graph.boxes, atol=1e-2)


def test_odd_photos_and_no_proposals():
    model = small(score_threshold=0.0)
    photos = [torch.rand(3, 1, 1), torch.zeros(1, 30, 8, dtype=torch.uint8), torch.rand(3, 3, 90)]
    for photo, said in zip(photos, model.predict(photos), strict=True):
        assert said.size == tuple(photo.shape[1:])
        assert said.instances.boxes.isfinite().all()
    none = model.detect([torch.rand(3, 20, 20)], [torch.zeros(0, 4)])[0].instances
    assert len(none) == 0
    assert none.logits.shape == (0, 3)
    assert model.predict([]) == []
    with pytest.raises(PellucidError, match="1 images but proposals for 0"):
        model.detect([torch.rand(3, 20, 20)], [])


def test_photos_are_made_smaller_and_their_boxes_are_not():
    model = small(max_side=32, score_threshold=0.0)
    batch, placements = model.prepare([torch.rand(3, 64, 32), torch.rand(3, 10, 20)])
    assert batch.shape == (2, 3, 32, 20)
    assert torch.equal(batch[1, :, 10:], torch.full((3, 22, 20), 0.5))
    seen = []
    model.propose = lambda image: seen.append(image.shape) or torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    boxes = [said.instances.boxes[0].tolist() for said in model.from_frame(batch, placements)]
    assert seen == [(3, 32, 16), (3, 10, 20)]
    assert boxes[0] == pytest.approx([0, 0, 16, 16], abs=1e-3)
    assert boxes[1] == pytest.approx([0, 0, 8, 8], abs=1e-3)


def test_samples_are_truths_near_proposals_and_background():
    model = small(samples=6, positive_share=0.5)
    proposals = torch.tensor(
        [[10.0, 10, 31, 30], [10.0, 10, 50, 30], [40.0, 20, 58, 38], [0.0, 0, 9, 9], [41.0, 0, 60, 20]]
    )
    said = truth([[10, 10, 30, 30], [40, 0, 60, 20]], [1, 2], crowd=[False, True], proposals=proposals)
    view = View(torch.zeros(3, 40, 60), Placement.whole(40, 60))
    boxes, classes = model._samples(view, said, 0)
    # IoU .5 is positive; what lies on the crowd is left out
    assert boxes.tolist() == [[10, 10, 30, 30], *proposals[[0, 1, 2, 3]].tolist()]
    assert classes.tolist() == [1, 1, 1, 3, 3]


def test_the_loss_is_the_mean_over_images_and_reaches_every_parameter():
    model = small().train()
    images = [torch.rand(3, 40, 60), torch.rand(3, 40, 60)]
    truths = [truth([[10, 10, 30, 30]], [1], proposals=BOXES), truth([], [], proposals=BOXES)]
    both = model.loss(images, truths, [1, 2])["classification"]
    parts = [model.loss([i], [t], [s])["classification"] for i, t, s in zip(images, truths, (1, 2), strict=True)]
    assert float(both.detach()) == pytest.approx(float(sum(parts).detach()) / 2, rel=1e-4)
    nothing = truth([], [], proposals=torch.zeros(0, 4))
    zero = model.loss(images[:1], [nothing])["classification"]
    assert float(zero.detach()) == 0
    zero.backward()
    assert all(p.grad is not None for p in model.network.parameters() if p.requires_grad)
    with pytest.raises(PellucidError, match="of class 3; there are 3"):
        model.loss(images[:1], [truth([[1, 1, 9, 9]], [3])])
    with pytest.raises(PellucidError, match="give each image its own"):
        model.loss(images[:1], [truth([[1, 1, 9, 9]], [1], size=(9, 9))])


def test_bad_settings_are_told():
    for setting in ({"crop_size": 0}, {"context": 0.5}, {"positive_share": 2}, {"passes": 0}, {"ridge": 0}):
        with pytest.raises(PellucidError, match=next(iter(setting))):
            small(**setting)


def test_finishing_without_objects_changes_nothing():
    model = small()
    empty = Samples([Sample("a", torch.zeros(3, 40, 60), truth([], [], proposals=BOXES))], CLASSES, ("boxes",))
    model.finish(empty)
    assert not bool(model.network.fitted)


def test_it_learns_four_scenes_and_is_saved_whole(tmp_path):
    scenes = open_dataset("scenes:n=4,things=2-3,size=96,scale=0.25-0.5,seed=1,cut=0,overlap=0.1")
    scenes = with_proposals(scenes, limit=60, progress=lambda done, total: None)
    images, truths = [sample.image for sample in scenes], [sample.annotations for sample in scenes]
    torch.manual_seed(0)
    model = build("rcnn", scenes.classes, crop_size=64, proposals=60, samples=16, positive_share=0.5)
    optimiser = torch.optim.AdamW([p for p in model.network.parameters() if p.requires_grad], 5e-4)
    model.train()
    for step in range(8):
        optimiser.zero_grad()
        model.loss(images, truths, [4 * step + i for i in range(4)])["classification"].backward()
        optimiser.step()

    def places(said):
        """Of every true object, the IoU of the best detection of its class that is believed."""
        made = []
        for wanted, found in zip(truths, (one.instances for one in said), strict=True):
            for box, label in zip(wanted.instances.boxes, wanted.instances.labels, strict=True):
                own = found[(found.labels == label) & (found.scores > 0.4)]
                made.append(float(pairwise_iou(own.boxes, box[None]).max()) if len(own) else 0.0)
        return np.array(made)

    proposals = [sample.annotations.proposals for sample in scenes]
    model.eval()
    with torch.no_grad():
        before = places(model.detect(images, proposals))
        model.finish(scenes)
        said = model.detect(images, proposals)
    after = places(said)
    assert bool(model.network.fitted)
    assert (before > 0.5).mean() >= 0.7
    assert (after > 0.5).mean() >= 0.8
    assert after.mean() > before.mean()  # the regressors

    file = read_checkpoint(model.save(tmp_path / "rcnn.safetensors"))
    told = file.assembly
    again = build(told.recipe, told.classes, told.backbone, pretrained=False, **told.settings)
    load_tensors(again.network, file.tensors, "file", "rcnn")
    with torch.no_grad():
        for one, other in zip(said, again.detect(images, proposals), strict=True):
            assert torch.equal(one.instances.labels, other.instances.labels)
            assert torch.allclose(one.instances.boxes, other.instances.boxes)
