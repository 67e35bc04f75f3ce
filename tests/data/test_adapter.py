"""torchvision's transforms.v2 on all that annotations hold: as torchvision itself moves it, and as ours do."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from pellucid import PellucidError, open_dataset
from pellucid.data.transforms import HorizontalFlip, Torchvision

DATA = open_dataset("scenes:n=6,seed=9,size=90x70,crowded=0.3")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("index", range(6))
def test_a_mirror_as_ours(index):
    image, said = DATA[index].image, DATA[index].annotations
    ours = HorizontalFlip(1.0)(image, said, generator())
    theirs = Torchvision(v2.RandomHorizontalFlip(1.0))(image, said, generator())
    assert torch.equal(ours[0], theirs[0])
    a, b = ours[1].instances, theirs[1].instances
    assert torch.equal(a.masks.to_bool(), b.masks.to_bool())
    assert torch.equal(a.boxes, b.boxes)
    assert torch.equal(a.keypoints[..., 2], b.keypoints[..., 2])  # left and right are exchanged
    assert (a.keypoints[..., :2] - b.keypoints[..., :2]).abs().max() <= 0.71 if len(a) else True
    assert torch.equal(ours[1].semantic, theirs[1].semantic)
    assert torch.equal(ours[1].panoptic.ids, theirs[1].panoptic.ids)
    assert torch.equal(a.truncated, b.truncated)


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomRotation((25, 25), fill=114),
        v2.RandomAffine((10, 10), translate=(0.1, 0.1), scale=(0.7, 0.7), shear=(5, 5)),
        v2.RandomPerspective(0.4, p=1.0, fill=3),
        v2.ElasticTransform(40.0),
        v2.RandomResizedCrop((64, 50), scale=(0.3, 0.6)),
        v2.Resize((35, 45)),
        v2.Pad(9, fill=200),
        v2.RandomZoomOut(p=1.0),
        v2.Compose([v2.RandomCrop((50, 60)), v2.ColorJitter(0.3), v2.RandomVerticalFlip(1.0), v2.Resize((80, 96))]),
    ],
    ids=lambda t: type(t).__name__,
)
def test_as_torchvision_moves_it(transform):
    for index, sample in enumerate(DATA):
        image, said = sample.image, sample.annotations
        got, moved = Torchvision(transform, min_visible=0)(image, said, generator(index))
        # The same draw, straight through torchvision: class 0 becomes 1, so that what it fills in stands out.
        seed = int(torch.randint(2**62, (), generator=generator(index)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            theirs = transform(
                {
                    "image": tv_tensors.Image(image),
                    "boxes": tv_tensors.BoundingBoxes(said.instances.boxes, format="XYXY", canvas_size=said.size),
                    "labels": torch.arange(len(said.instances)),
                    "map": tv_tensors.Mask(torch.stack((torch.ones(said.size), said.semantic + 1))),
                }
            )
        assert torch.equal(got, theirs["image"])
        known = theirs["map"][0] == 1
        assert torch.equal(moved.semantic == 255, ~known)
        assert torch.equal(moved.semantic[known], theirs["map"][1][known].long() - 1)
        # Everything else agrees with the semantic map.
        assert torch.equal(moved.panoptic.semantic(), moved.semantic)
        masks, ids = moved.instances.masks.to_bool(), moved.instances.ids.tolist()
        for mask, label in zip(masks, moved.instances.labels.tolist(), strict=True):
            assert (moved.semantic[mask] == label).all()
        assert torch.equal(moved.instances.boxes, moved.instances.masks.boxes())
        assert torch.equal(moved.instances.areas, moved.instances.masks.areas())
        assert set(ids) == {s.id for s in moved.panoptic.segments if s.id in said.instances.ids.tolist()}
        for points, mask, id in zip(moved.instances.keypoints, masks, ids, strict=True):
            row = said.instances.ids.tolist().index(id)
            before = said.instances.masks.to_bool()[row]
            for (x, y, v), (old_x, old_y, _) in zip(
                points.tolist(), said.instances.keypoints[row].tolist(), strict=True
            ):
                # A point that is on its thing stays on it, give or take the pixel that it was drawn from.
                if v == 2 and before[int(old_y), int(old_x)] and not mirrors(transform):
                    assert mask[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3].any()


def mirrors(transform) -> bool:
    """Whether left and right keypoints change places, so that a row is another point than before."""
    return isinstance(transform, v2.Compose)


def test_what_is_drawn_is_the_generators_and_the_global_one_is_left_alone():
    image, said = DATA[0].image, DATA[0].annotations
    transform = Torchvision(v2.RandomRotation(40))
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one = transform(image, said, generator(1))
    assert torch.equal(torch.rand(1), before)
    assert torch.equal(one[0], transform(image, said, generator(1))[0])
    assert not torch.equal(one[0], transform(image, said, generator(2))[0])


def test_what_is_cut_away_is_dropped():
    for sample in DATA:
        said = sample.annotations
        _, moved = Torchvision(v2.CenterCrop((20, 20)))(sample.image, said, generator())
        window = said.instances.masks.to_bool()[:, 25:45, 35:55].flatten(1).sum(1)
        kept = window / said.instances.areas >= 0.05
        assert moved.instances.ids.tolist() == said.instances.ids[kept].tolist()
        assert moved.instances.truncated[moved.instances.areas < said.instances.areas[kept]].all()
        if not kept.any():
            assert len(moved.instances.keypoints) == 0


def test_what_does_not_fit_is_said():
    image, said = DATA[0].image, DATA[0].annotations
    with pytest.raises(PellucidError, match="leave conversion and normalisation to the model"):
        Torchvision(v2.ToDtype(torch.float32, scale=True))(image, said, generator())
    with pytest.raises(PellucidError, match="gives no dictionary"):
        Torchvision(lambda given: given["image"])(image, said, generator())
    with pytest.raises(PellucidError, match="SanitizeBoundingBoxes: leave it out"):
        Torchvision(v2.Compose([v2.CenterCrop((20, 20)), v2.SanitizeBoundingBoxes()]))


def test_images_without_annotations():
    image, said = DATA[0].image, DATA[0].annotations
    plain = type(said)(said.size, said.classes, present=(1,))
    got, moved = Torchvision(v2.Resize((20, 30)))(image, plain, generator())
    assert got.shape == (3, 20, 30)
    assert (moved.size, moved.present, moved.instances, moved.semantic) == ((20, 30), (1,), None, None)
