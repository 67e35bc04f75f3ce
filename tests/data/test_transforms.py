"""The joint transforms: everything that is said of an image moves with its pixels."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from pellucid.data.dataset import Samples
from pellucid.data.transforms import (
    Affine,
    Blur,
    CentreCrop,
    Colour,
    Compose,
    CropKeepingBoxes,
    Elastic,
    Grey,
    HorizontalFlip,
    Letterbox,
    MixUp,
    Mosaic,
    Noise,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    ResizeLongest,
    ResizeShortest,
    Rotate,
    ScaleJitter,
    Transform,
    Transformed,
    VerticalFlip,
    ZoomOut,
    preset,
    warp,
    warp_annotations,
)
from pellucid.errors import PellucidError
from pellucid.structures import (
    FLAGS,
    Annotations,
    Classes,
    Instances,
    KeypointNames,
    Masks,
    Panoptic,
    Polygons,
    RunLengths,
    Sample,
    Segment,
)

POINTS = KeypointNames(("nose", "left_ear", "right_ear"))
CLASSES = Classes(
    ("disc", "sheet", "body", "floor"), things=(True, True, True, False), keypoints=(None, None, POINTS, None)
)

GEOMETRIC: dict[str, Transform] = {
    "resize": Resize((80, 140)),
    "enlarge": Resize((211, 263)),
    "shortest": ResizeShortest([70, 110], longest=120),
    "longest": ResizeLongest(100),
    "letterbox": Letterbox((140, 110)),
    "horizontal flip": HorizontalFlip(1.0),
    "vertical flip": VerticalFlip(1.0),
    "rotation": Rotate((20, 40)),
    "elastic": Elastic(6.0),
    "crop": RandomCrop((70, 90)),
    "centre crop": CentreCrop((80, 170)),
    "resized crop": RandomResizedCrop(110, scale=(0.4, 0.8)),
    "scale jitter": ScaleJitter(0.6, 1.6, (120, 150)),
    "cropping boxes": CropKeepingBoxes((0.3, 0.5)),
    "zoom out": ZoomOut(2.0, 1.0),
    "chain": Compose([HorizontalFlip(), Rotate(30), ScaleJitter(0.8, 1.3, 128), VerticalFlip()]),
}
PHOTOMETRIC: dict[str, Transform] = {
    "colour": Colour(p=1.0),
    "grey": Grey(1.0),
    "blur": Blur(p=1.0),
    "noise": Noise(p=1.0),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def said(
    size: tuple[int, int],
    masks: np.ndarray,
    labels: list[int] | None = None,
    classes: Classes = CLASSES,
    **more: Tensor,
) -> Annotations:
    """Annotations from exact pixels, bool (N, H, W): later objects lie on top in the maps."""
    labels = [i % 3 for i in range(len(masks))] if labels is None else labels
    ids = np.zeros(size, dtype=np.int64)
    semantic = np.full(size, 3, dtype=np.int64)
    for i, mask in enumerate(masks):
        ids[mask], semantic[mask] = i + 1, labels[i]
    segments = tuple(Segment(i + 1, label) for i, label in enumerate(labels))
    exact = Masks.from_bool(masks)
    return Annotations(
        size,
        classes,
        instances=Instances(
            exact.boxes(),
            torch.tensor(labels, dtype=torch.int64),
            masks=exact,
            areas=exact.areas(),
            ids=torch.arange(1, len(masks) + 1),
            **more,
        ),
        semantic=torch.from_numpy(semantic),
        panoptic=Panoptic(torch.from_numpy(ids), segments),
        present=tuple(sorted(set(labels))),
    )


def equal(one: Annotations, other: Annotations) -> bool:
    """Whether two say the same, numbers to a thousandth."""
    a, b = one.instances, other.instances
    assert a is not None
    assert b is not None
    columns = ("boxes", "labels", "keypoints", "areas", "ids", *FLAGS)
    same = all(
        (getattr(a, c) is None and getattr(b, c) is None)
        or (getattr(a, c).shape == getattr(b, c).shape and torch.allclose(getattr(a, c), getattr(b, c), atol=1e-3))
        if getattr(a, c) is None or getattr(a, c).is_floating_point()
        else torch.equal(getattr(a, c), getattr(b, c))
        for c in columns
    )
    assert a.masks is not None
    assert b.masks is not None
    assert one.semantic is not None
    assert other.semantic is not None
    assert one.panoptic is not None
    assert other.panoptic is not None
    return (
        same
        and one.size == other.size
        and torch.equal(a.masks.to_bool(), b.masks.to_bool())
        and torch.equal(one.semantic, other.semantic)
        and torch.equal(one.panoptic.ids, other.panoptic.ids)
        and one.panoptic.segments == other.panoptic.segments
    )


# A painted picture: what its annotations say can be found again in its colours.

PAINT = {
    "floor": (40, 40, 40),
    "disc": (230, 30, 30),
    "sheet": (30, 200, 60),
    "body": (40, 60, 230),
    "nose": (250, 240, 60),
    "left_ear": (240, 60, 240),
    "right_ear": (60, 240, 240),
}
PLACES = {"nose": (106.5, 58.5), "left_ear": (118.5, 34.5), "right_ear": (93.5, 36.5)}
SIZE = (112, 136)


def painted() -> tuple[Tensor, Annotations]:
    H, W = SIZE
    y, x = np.mgrid[:H, :W] + 0.5
    disc = (x - 38) ** 2 + (y - 36) ** 2 < 22**2
    sheet = (abs(x - 56) < 30) & (abs(y - 86) < 14)
    body = ((x - 106) / 25) ** 2 + ((y - 46) / 28) ** 2 < 1
    image = np.empty((H, W, 3), dtype=np.uint8)
    image[:] = PAINT["floor"]
    for name, region in (("disc", disc), ("sheet", sheet), ("body", body)):
        image[region] = PAINT[name]
    for name, (px, py) in PLACES.items():
        image[(x - px) ** 2 + (y - py) ** 2 < 4.5**2] = PAINT[name]
    keypoints = torch.zeros(3, 3, 3)
    keypoints[2] = torch.tensor([(*PLACES[name], 2) for name in POINTS.names])
    annotations = said(SIZE, np.stack((disc, sheet, body)), keypoints=keypoints)
    return torch.from_numpy(image.transpose(2, 0, 1).copy()), annotations


def check_painted(image: Tensor, made: Annotations, mirrored: bool = False, blend: float = 1.0) -> int:
    """Checks all that is said against the colours; gives the number of objects."""

    def found(*names: str) -> np.ndarray:
        """Pixels of these colours."""
        colours = [blend * np.array(PAINT[name], dtype=float) + (1 - blend) * 128 for name in names]
        distances = [np.abs(pixels - colour).max(-1) for colour in colours]
        return np.minimum.reduce(distances) < 24 * blend

    pixels = image.permute(1, 2, 0).numpy().astype(float)
    H, W = made.size
    assert image.shape == (3, H, W)
    instances, semantic, panoptic = made.instances, made.semantic, made.panoptic
    assert instances is not None
    assert instances.masks is not None
    assert instances.keypoints is not None
    masks = instances.masks.to_bool().numpy()
    close = ndimage.generate_binary_structure(2, 2)
    names = ("left_ear", "right_ear")
    # Marks make blends of their own around them.
    marks = ndimage.binary_dilation(found(*PLACES), close, iterations=3)
    for label, name in enumerate(("disc", "sheet", "body")):
        region = found(name) | (found(*PLACES) if name == "body" else False)
        maps = [] if semantic is None else [semantic.numpy() == label]
        if label in instances.labels:  # else it was dropped, though some of it may be seen
            maps.append(masks[(instances.labels == label).numpy()].any(0))
        if panoptic is not None:
            maps.append(panoptic.semantic().numpy() == label)
        for claimed in maps:
            assert not (region & ~ndimage.binary_dilation(claimed, close) & ~marks).any(), name
            assert not (ndimage.binary_erosion(claimed, close, iterations=2) & ~region & ~marks).any(), name
    for box, mask, area in zip(instances.boxes, masks, instances.areas.tolist(), strict=True):  # type: ignore[union-attr]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        tight = torch.tensor((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), dtype=torch.float32)
        assert (box - tight).abs().max() <= 1
        assert area == mask.sum()
    for points in instances.keypoints[instances.labels == 2]:
        for (x, y, visible), name in zip(points.tolist(), POINTS.names, strict=True):
            if not visible or min(x, y, W - x, H - y) < 8:
                continue
            if mirrored and name in names:
                name = names[1 - names.index(name)]
            spots, _ = ndimage.label(found(name), close)
            assert spots[int(y), int(x)] > 0, name
            cy, cx = ndimage.center_of_mass(spots == spots[int(y), int(x)])
            assert abs(cx + 0.5 - x) < 1, name
            assert abs(cy + 0.5 - y) < 1, name
    return len(masks)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_the_colours_are_where_the_annotations_say(name: str) -> None:
    seen = 0
    for seed in range(4):
        image, annotations = painted()
        if isinstance(GEOMETRIC[name], Compose):
            # Which flips were drawn is not known here: ears of one colour stand for both.
            image, annotations = painted()
            annotations.instances.keypoints[:, 1:] = 0  # type: ignore[union-attr, index]
        moved = GEOMETRIC[name](image, annotations, seeded(seed))
        seen += check_painted(*moved, mirrored="flip" in name)
    assert seen >= 6


def test_the_check_of_colours_can_fail() -> None:
    image, annotations = painted()
    with pytest.raises(AssertionError):
        check_painted(F.horizontal_flip(image), annotations)
    shifted = warp_annotations(annotations, Affine.crop(SIZE, 3, 0, SIZE))
    with pytest.raises(AssertionError):
        check_painted(image, shifted)
    with pytest.raises(AssertionError, match="ear"):
        check_painted(*HorizontalFlip(1.0)(image, annotations, seeded()))


def test_mosaic_shows_what_it_says() -> None:
    mosaic = Mosaic((200, 240), scale=(0.6, 0.9), min_visible=0.0)
    for seed in range(4):
        image, made = mosaic(*painted(), seeded(seed), others=[painted() for _ in range(3)])
        assert image.shape == (3, 200, 240)
        assert made.panoptic is not None
        assert check_painted(image, made) == len(made.panoptic.segments) >= 6


def test_a_mosaic_of_small_samples_keeps_every_object_of_all_four() -> None:
    image, made = Mosaic(400, scale=(0.25, 0.25))(*painted(), seeded(), others=[painted() for _ in range(3)])
    assert check_painted(image, made) == 12
    assert made.instances is not None
    assert made.instances.labels.tolist() == [0, 1, 2] * 4
    assert not made.instances.truncated.any()


def test_mixup_holds_the_objects_of_both() -> None:
    other = torch.full((3, *SIZE), 128, dtype=torch.uint8)
    nothing = Annotations(SIZE, CLASSES, instances=Instances.empty())
    image, made = MixUp(ratio=0.5)(*painted(), seeded(), others=[(other, nothing)])
    assert check_painted(image, made, blend=0.5) == 3
    both_image, both = MixUp(ratio=0.25)(*painted(), seeded(), others=[HorizontalFlip(1.0)(*painted(), seeded())])
    assert both.instances is not None
    assert both.instances.labels.tolist() == [0, 1, 2] * 2
    first = painted()[0].float()
    expected = 0.25 * first + 0.75 * first.flip(2)
    assert (both_image.float() - expected).abs().max() <= 0.5
    semantic = painted()[1].semantic
    assert both.semantic is not None
    assert semantic is not None
    assert torch.equal(both.semantic, torch.where(semantic == semantic.flip(1), semantic, 255))


def test_samples_that_are_wanted_must_be_given() -> None:
    with pytest.raises(PellucidError, match="Mosaic: 3 further samples are needed, 1 given"):
        Mosaic(64)(*painted(), seeded(), others=[painted()])


# Properties

shapes = st.tuples(st.booleans(), *[st.floats(0.0, 1.0)] * 4)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Tensor, Annotations]:
    size = draw(st.integers(12, 60)), draw(st.integers(12, 60))
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    free, masks = np.ones(size, dtype=bool), []
    for is_disc, cx, cy, w, h in draw(st.lists(shapes, max_size=5)):
        cx, cy, w, h = cx * size[1], cy * size[0], 2 + w * size[1] / 3, 2 + h * size[0] / 3
        region = ((x - cx) / w) ** 2 + ((y - cy) / h) ** 2 < 1 if is_disc else (abs(x - cx) < w) & (abs(y - cy) < h)
        masks.append(region & free)  # what is hidden does not count, so that all maps agree
        free &= ~region
    seen = [mask for mask in masks if mask.any()]
    annotations = said(size, np.stack(seen) if seen else np.zeros((0, *size), bool))
    image = torch.randint(0, 256, (3, *size), generator=seeded(size[0]), dtype=torch.uint8)
    instances = annotations.instances
    assert instances is not None
    if draw(st.booleans()) and instances.masks is not None:
        instances.masks = Masks(instances.masks.run_lengths(), size)
    return image, annotations


STEPS: list[Transform] = [
    Resize((31, 47)),
    ResizeShortest(24, longest=60),
    ResizeLongest(50),
    Letterbox((40, 64)),
    HorizontalFlip(1.0),
    VerticalFlip(1.0),
    Rotate(90),
    Elastic(3.0),
    RandomCrop((20, 33)),
    CentreCrop(25),
    RandomResizedCrop(40),
    ScaleJitter(0.3, 2.0, 48),
    CropKeepingBoxes(),
    ZoomOut(2.0),
    *PHOTOMETRIC.values(),
]


@settings(deadline=None, max_examples=150)
@given(scenes(), st.lists(st.sampled_from(STEPS), min_size=1, max_size=4), st.integers(0, 1000))
def test_boxes_masks_and_maps_agree_after_any_chain(
    scene: tuple[Tensor, Annotations], steps: list[Transform], seed: int
) -> None:
    image, annotations = scene
    before, pixels_before = copy.deepcopy(annotations), image.clone()
    pixels, made = Compose(steps)(image, annotations, seeded(seed))
    assert torch.equal(image, pixels_before)
    assert equal(annotations, before)
    assert pixels.shape == (3, *made.size)
    assert pixels.dtype == torch.uint8
    instances, semantic, panoptic = made.instances, made.semantic, made.panoptic
    assert instances is not None
    assert instances.masks is not None
    assert semantic is not None
    assert panoptic is not None
    assert instances.areas is not None
    assert instances.ids is not None
    masks = instances.masks.to_bool()
    assert masks.shape == (len(instances), *made.size)
    assert torch.equal(instances.areas, masks.sum((1, 2)).float())
    assert (instances.areas > 0).all()
    H, W = made.size
    assert ((instances.boxes >= 0) & (instances.boxes <= torch.tensor((W, H, W, H)))).all()
    if len(instances):
        assert (instances.boxes - instances.masks.boxes()).abs().max() <= 1
    listed = {segment.id for segment in panoptic.segments}
    assert listed == set(panoptic.ids.unique().tolist()) - {0}
    for mask, label, id in zip(masks, instances.labels.tolist(), instances.ids.tolist(), strict=True):
        assert torch.equal(panoptic.ids == id, mask)
        assert (semantic[mask] == label).all()
    assert torch.equal(panoptic.semantic()[panoptic.ids > 0], semantic[panoptic.ids > 0])


@settings(deadline=None, max_examples=30)
@given(scenes(), st.sampled_from([HorizontalFlip(1.0), VerticalFlip(1.0)]))
def test_two_flips_change_nothing(scene: tuple[Tensor, Annotations], flip: Transform) -> None:
    image, annotations = scene
    again, made = flip(*flip(image, annotations, seeded()), seeded())
    assert torch.equal(again, image)
    assert equal(made, annotations)


@settings(deadline=None, max_examples=30)
@given(scenes(), st.integers(0, 99), st.sampled_from([*GEOMETRIC.values(), *PHOTOMETRIC.values()]))
def test_a_seed_repeats(scene: tuple[Tensor, Annotations], seed: int, transform: Transform) -> None:
    first, one = transform(*scene, seeded(seed))
    second, two = transform(*scene, seeded(seed))
    assert torch.equal(first, second)
    assert equal(one, two)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 90), st.integers(1, 90), st.integers(0, 99))
def test_letterbox_round_trip(H: int, W: int, h: int, w: int, seed: int) -> None:
    placement = Letterbox((h, w)).placement((H, W))
    corners = torch.tensor(((0.0, 0.0), (W, H)), dtype=torch.float64)
    there = placement.points(corners)
    assert (there >= -1e-9).all()
    assert (there <= torch.tensor((w, h)).double() + 1e-9).all()
    assert bool((there[1] - there[0] >= torch.tensor((w, h)) - 0.5).any())  # it fills the canvas along one side
    points = torch.rand(20, 2, generator=seeded(seed), dtype=torch.float64) * torch.tensor((W, H))
    assert torch.allclose(placement.inverse().points(placement.points(points)), points, atol=1e-9)


def test_elastic_points_go_where_their_pixels_go() -> None:
    for size in ((40, 300), (96, 96), (7, 5)):
        move = Elastic(30.0).move(Annotations(size, CLASSES), seeded(3))
        assert move is not None
        origins = move.origins()
        back = move.points(origins)
        inside = ((origins >= 1) & (origins <= torch.tensor((size[1], size[0])) - 1)).all(-1)
        centres = Affine.resize(size, size).origins()
        assert (back - centres)[inside].abs().max() < 1e-2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
@pytest.mark.parametrize("name", [*GEOMETRIC, *PHOTOMETRIC])
def test_tiny_images_and_images_without_anything(name: str, size: tuple[int, int]) -> None:
    transform = {**GEOMETRIC, **PHOTOMETRIC}[name]
    image = torch.full((3, *size), 7, dtype=torch.uint8)
    for annotations in (
        Annotations(size, CLASSES),
        Annotations(size, CLASSES, instances=Instances.empty(), panoptic=Panoptic(torch.zeros(size).long(), ())),
        said(size, np.zeros((0, *size), bool)),
        said(size, np.ones((1, *size), bool)),
    ):
        pixels, made = transform(image, annotations, seeded())
        assert pixels.shape == (3, *made.size)
        assert (made.instances is None) == (annotations.instances is None)
        assert (made.semantic is None) == (annotations.semantic is None)


# Parity with torchvision

BOXES = torch.tensor(
    [[5.0, 7.0, 30.5, 41.25], [60.0, 20.0, 100.0, 50.0], [0.0, 0.0, 110.0, 90.0], [40.5, 60.0, 44.0, 89.0]]
)


@pytest.mark.parametrize(
    ("move", "theirs"),
    [
        (Affine.flip((90, 110), True), lambda b: F.horizontal_flip(b)),
        (Affine.flip((90, 110), False), lambda b: F.vertical_flip(b)),
        (Affine.resize((90, 110), (47, 201)), lambda b: F.resize(b, [47, 201])),
        (Affine.crop((90, 110), 20, 10, (60, 70)), lambda b: F.crop(b, 10, 20, 60, 70)),
        (Affine.crop((90, 110), -9, -4, (120, 130)), lambda b: F.pad(b, [9, 4, 11, 26])),
        (Affine.rotation((90, 110), 25.0), lambda b: F.clamp_bounding_boxes(F.rotate(b, 25.0))),
    ],
)
def test_boxes_and_pixels_move_as_torchvisions(move: Affine, theirs) -> None:  # type: ignore[no-untyped-def]
    image = torch.randint(0, 256, (3, 12, 15), generator=seeded(), dtype=torch.uint8)
    image = F.resize(image, [90, 110])  # smooth, so that interpolation may differ by little
    boxes = tv_tensors.BoundingBoxes(BOXES, format="XYXY", canvas_size=(90, 110))  # type: ignore[call-arg]
    labels = torch.arange(4) % 3
    annotations = Annotations((90, 110), CLASSES, instances=Instances(BOXES, labels, ids=torch.arange(4)))
    pixels, made = warp(image, annotations, move, min_visible=0.0)
    expected = theirs(boxes).as_subclass(Tensor)
    assert made.instances is not None
    assert made.instances.ids is not None
    assert len(made.instances) >= 3
    assert torch.allclose(made.instances.boxes, expected[made.instances.ids], atol=1e-3)
    same = theirs(tv_tensors.Image(image)) if not (abs(move.matrix[0, 1]) > 0) else None
    if same is not None:
        assert torch.equal(pixels, same.as_subclass(Tensor))
    else:
        turned = F.rotate(image, 25.0, interpolation=v2.InterpolationMode.BILINEAR)
        inner = F.rotate(torch.ones_like(image), 25.0).bool()
        inner = torch.from_numpy(ndimage.binary_erosion(inner[0].numpy(), iterations=2))
        assert (pixels.int() - turned.int())[:, inner].abs().max() <= 1


def test_resized_crop_is_a_crop_that_is_resized() -> None:
    image, annotations = painted()
    move = RandomResizedCrop(60).move(annotations, seeded(5))
    left, top = (-move.matrix[:2, 2] / move.matrix.diagonal()[:2]).round().astype(int).tolist()
    width, height = (60 / move.matrix.diagonal()[:2]).round().astype(int).tolist()
    expected = F.resized_crop(image, top, left, height, width, [60, 60], antialias=True)
    assert torch.equal(move.image(image, 0), expected)


# What stays and what goes


def test_objects_go_below_the_least_visible_share() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 20, 10], [30.0, 0, 40, 10], [12.0, 2, 12, 8]])
    instances = Instances(
        boxes, torch.zeros(4).long(), areas=torch.full((4,), 50.0), crowd=torch.tensor([1, 0, 1, 0]).bool()
    )
    annotations = Annotations((20, 50), CLASSES, instances=instances)

    def kept(min_visible: float) -> Instances:
        cut = warp_annotations(annotations, Affine.crop((20, 50), 9, 0, (20, 41)), min_visible=min_visible).instances
        assert cut is not None
        return cut

    few = kept(0.2)
    assert few.boxes.tolist() == [[0, 0, 11, 10], [21, 0, 31, 10]]
    assert few.truncated.tolist() == [True, False]
    assert few.crowd.tolist() == [False, True]
    assert torch.allclose(few.areas, torch.tensor([27.5, 50.0]))  # type: ignore[arg-type]
    assert kept(0.0).boxes[0].tolist() == [0, 0, 1, 10]
    assert len(kept(0.0)) == 3  # the box without area goes in any case
    assert len(kept(0.101)) == 2


def test_a_mask_decides_on_its_object_not_the_box() -> None:
    mask = np.zeros((1, 20, 20), bool)
    mask[0, :, :2] = mask[0, 19, :] = True  # an L: 58 of the box's 400 pixels
    annotations = said((20, 20), mask, labels=[0])
    cut = warp_annotations(annotations, Affine.crop((20, 20), 2, 0, (19, 18)), min_visible=0.0)
    assert cut.instances is not None
    assert len(cut.instances) == 0  # four fifths of the box are left, but nothing of the mask
    corner = warp_annotations(annotations, Affine.crop((20, 20), 1, 0, (15, 15)), min_visible=0.05).instances
    assert corner is not None
    assert corner.boxes.tolist() == [[0, 0, 1, 15]]
    assert corner.areas.tolist() == [15]  # type: ignore[union-attr]


def test_loose_boxes_stay_loose() -> None:
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 8:12, 8:12] = True
    annotations = said((20, 20), mask)
    assert annotations.instances is not None
    annotations.instances.boxes = torch.tensor([[2.0, 3, 18, 19]])
    flipped = warp_annotations(annotations, Affine.flip((20, 20), False)).instances
    assert flipped is not None
    assert flipped.boxes.tolist() == [[2, 1, 18, 17]]


def test_polygons_stay_polygons_unless_cut() -> None:
    corners = [[[10, 10, 30, 10, 30, 30, 10, 30]], [[50, 10, 70, 10, 60, 40]]]
    polygons = [Polygons.from_lists(parts, (60, 80)) for parts in corners]
    boxes = torch.tensor([[10.0, 10, 30, 30], [50.0, 10, 70, 40]])
    instances = Instances(
        boxes, torch.tensor([0, 1]), masks=Masks(polygons, (60, 80)), areas=torch.tensor([400.0, 300.0])
    )
    annotations = Annotations((60, 80), CLASSES, instances=instances)
    cut = warp_annotations(annotations, Affine.crop((60, 80), 0, 0, (60, 60))).instances
    assert cut is not None
    assert cut.masks is not None
    assert isinstance(cut.masks[0], Polygons)
    assert isinstance(cut.masks[1], RunLengths)
    assert torch.equal(cut.masks.to_bool(), instances.masks.to_bool()[:, :, :60])  # type: ignore[union-attr]
    assert cut.boxes[0].tolist() == [10, 10, 30, 30]
    assert cut.areas.tolist()[0] == 400  # type: ignore[union-attr]
    turned = warp_annotations(annotations, Affine.rotation((60, 80), 45.0)).instances
    assert turned is not None
    assert turned.masks is not None
    assert torch.allclose(turned.boxes[0], torch.tensor((*turned.masks[0].box(),)), atol=1e-3)
    half = warp_annotations(annotations, Affine.resize((60, 80), (30, 40))).instances
    assert half is not None
    assert half.areas.tolist() == [100, 75]  # type: ignore[union-attr]


def test_left_and_right_keypoints_change_places_in_a_mirror() -> None:
    keypoints = torch.tensor([[[5.0, 6, 2], [8, 6, 1], [2, 6, 2]], [[1.0, 1, 2], [0, 0, 0], [3, 1, 2]]])
    instances = Instances(torch.tensor([[0.0, 0, 10, 10]] * 2), torch.tensor([2, 0]), keypoints=keypoints)
    annotations = Annotations((10, 20), CLASSES, instances=instances)
    made = warp_annotations(annotations, Affine.flip((10, 20), True)).instances
    assert made is not None
    assert made.keypoints is not None
    assert made.keypoints[0].tolist() == [[15, 6, 2], [18, 6, 2], [12, 6, 1]]
    assert made.keypoints[1].tolist() == [[19, 1, 2], [0, 0, 0], [17, 1, 2]]  # discs have no left and right
    turned = warp_annotations(annotations, Affine.rotation((10, 20), 180.0)).instances
    assert turned is not None
    assert turned.keypoints is not None
    assert torch.allclose(turned.keypoints[0], torch.tensor([[15.0, 4, 2], [12, 4, 1], [18, 4, 2]]))


def test_keypoints_out_of_the_picture_are_unlabelled() -> None:
    image, annotations = painted()
    _, made = warp(image, annotations, Affine.crop(SIZE, 100, 0, SIZE))
    assert made.instances is not None
    assert made.instances.keypoints is not None
    assert made.instances.keypoints.tolist() == [[[6.5, 58.5, 2], [18.5, 34.5, 2], [0, 0, 0]]]


def test_image_labels_and_scores_stay() -> None:
    image, annotations = painted()
    annotations.logits, annotations.present, annotations.absent = torch.rand(4), (1, 2), (0,)
    _, made = RandomCrop(3)(image, annotations, seeded())
    assert made.logits is annotations.logits
    assert (made.present, made.absent) == ((1, 2), (0,))
    other = copy.copy(annotations)
    other.present, other.absent = (3,), (0, 1)
    _, mixed = MixUp()(image, annotations, seeded(), others=[(image, other)])
    assert (mixed.present, mixed.absent, mixed.logits) == ((1, 2, 3), (0,), None)


def test_ssd_crops_keep_the_objects_whose_centre_is_inside() -> None:
    image, annotations = painted()
    transform, cropped = CropKeepingBoxes((0.5,)), 0
    for seed in range(20):
        move = transform.move(annotations, seeded(seed))
        _, made = transform(image, annotations, seeded(seed))
        assert made.instances is not None
        assert made.instances.ids is not None
        if move is None:
            assert len(made.instances) == 3
            continue
        cropped += 1
        boxes = annotations.instances.boxes  # type: ignore[union-attr]
        centres = move.points(((boxes[:, :2] + boxes[:, 2:]) / 2).double())
        inside = ((centres >= 0) & (centres < torch.tensor((move.target[1], move.target[0])))).all(1)
        assert made.instances.ids.tolist() == (inside.nonzero().flatten() + 1).tolist()
    assert cropped > 3


def test_colours_change_and_annotations_do_not() -> None:
    image, annotations = painted()
    for transform in PHOTOMETRIC.values():
        pixels, made = transform(image, annotations, seeded(2))
        assert made is annotations
        assert not torch.equal(pixels, image)
    grey, _ = Grey(1.0)(image, annotations, seeded())
    assert torch.equal(grey[0], grey[2])


def test_a_wrong_size_is_said() -> None:
    image, annotations = painted()
    with pytest.raises(PellucidError, match="112 × 100 pixels, its annotations say 112 × 136"):
        HorizontalFlip(1.0)(image[:, :, :100], annotations, seeded())
    with pytest.raises(PellucidError, match=r"Resize: size \(0, 4\)"):
        Resize((0, 4))


# Data sets and presets


def painted_data(n: int = 6) -> Samples:
    samples = []
    for i in range(n):
        image, annotations = painted()
        samples.append(Sample(f"{i}.png", image.roll(i, 0), annotations))
    return Samples(samples, CLASSES, ["boxes", "masks", "keypoints", "semantic", "panoptic"], title="painted")


def test_a_transformed_data_set_repeats_by_seed_epoch_and_index() -> None:
    transform = Compose([Colour(), ScaleJitter(0.5, 1.5, 64), Mosaic(96), MixUp()])
    assert transform.needs == 7
    data = Transformed(painted_data(), transform, seed=3)
    again: Transformed = pickle.loads(pickle.dumps(Transformed(painted_data(), transform, seed=3)))
    sample = data[2]
    early = data[4]
    first = sample.image
    again.sample(0).image  # noqa: B018  reading another sample changes nothing
    assert torch.equal(again["2.png"].image, first)
    assert sample.annotations.size == (96, 96)
    assert (data.title, data.classes, data.holds, len(data)) == ("painted", CLASSES, painted_data().holds, 6)
    data.set_epoch(1)
    assert not torch.equal(data[2].image, first)
    assert torch.equal(early.image, again[4].image)  # taken before, it keeps its epoch
    data.set_epoch(0)
    assert torch.equal(data[2].image, first)
    assert not torch.equal(Transformed(painted_data(), transform, seed=4)[2].image, first)


@pytest.mark.parametrize("task", ["classification", "detection", "segmentation", "instance", "panoptic", "keypoints"])
def test_presets(task: str) -> None:
    for train in (True, False):
        image, made = preset(task, train, size=64)(*painted(), seeded(1))
        assert image.shape == (3, *made.size)
        assert max(made.size) == 64
        if not train:
            same, _ = preset(task, train, size=64)(*painted(), seeded(2))
            assert torch.equal(image, same)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(PellucidError, match="task 'detektion' has no preset; did you mean 'detection'"):
        preset("detektion")
