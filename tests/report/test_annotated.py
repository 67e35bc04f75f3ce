"""Drawn annotations and contact sheets: what lies where, what stays readable, and what odd input leads to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from pellucid.data import Dataset, Samples, open_dataset
from pellucid.errors import PellucidError
from pellucid.report.annotated import caption_parts, default_layers, draw_annotations
from pellucid.report.colours import INK, PAPER, Pixels
from pellucid.report.contact_sheet import chosen_indices, compose_sheet, contact_sheet
from pellucid.report.page import Page
from pellucid.report.palette import CYCLE, distinct, instance_colours, letters_on, luminance, to_oklab
from pellucid.report.regions import blend, mask_outline
from pellucid.report.tags import Wish, place_tags
from pellucid.report.tally import Tally
from pellucid.structures import (
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

Tidy = Callable[[Page], None]
PETS = Classes(("cat", "dog", "grass"), things=(True, True, False))
GREY = 120


def grey(H: int, W: int) -> Tensor:
    return torch.full((3, H, W), GREY, dtype=torch.uint8)


def boxed(H: int, W: int, boxes: list[list[float]], labels: list[int] | None = None, **more: object) -> Annotations:
    made = Instances(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels if labels is not None else [0] * len(boxes)),
        **more,  # type: ignore[arg-type]
    )
    return Annotations((H, W), PETS, instances=made)


def changed(picture: Pixels) -> np.ndarray:
    """bool (h, w): where a drawing on grey is no longer that grey."""
    return np.abs(picture.astype(int) - GREY).max(2) > 6


def apart(one: object, other: object) -> float:
    """The distance of two colours in OKLab."""
    return float(np.linalg.norm(to_oklab(np.array(one)) - to_oklab(np.array(other))))


def test_a_boxs_line_lies_on_its_border_and_nowhere_else():
    annotations = boxed(100, 200, [[20, 30, 120, 80]])
    picture = draw_annotations(grey(100, 200), annotations, size=(800, 800), names=False)
    assert picture.shape == (400, 800, 3)
    marked = changed(picture)
    for y in (120, 320):
        assert marked[y, 80:480].all()
    for x in (80, 480):
        assert marked[120:320, x].all()
    assert not marked[130:310, 90:470].any()
    outside = marked.copy()
    outside[115:326, 75:486] = False
    assert not outside.any()


@given(
    x1=st.floats(-20, 120),
    y1=st.floats(-20, 90),
    width=st.floats(0, 150),
    height=st.floats(0, 100),
)
@example(x1=0.0, y1=1.0, width=0.5, height=0.0)
@settings(deadline=None, max_examples=30)
def test_whatever_box_leaves_its_mark_if_any_of_it_is_in_the_picture(x1: float, y1: float, width: float, height: float):
    annotations = boxed(80, 100, [[x1, y1, x1 + width, y1 + height]])
    picture = draw_annotations(grey(80, 100), annotations, size=(300, 300), names=False)
    box = annotations.instances.boxes[0].tolist()  # type: ignore[union-attr]
    inside = box[0] < 100 and box[1] < 80 and box[2] > 0 and box[3] > 0
    assert changed(picture).any() == inside


def test_a_mask_is_filled_within_its_outline_and_leaves_its_hole():
    y, x = np.mgrid[:100, :100]
    distance = np.hypot(x - 50, y - 50)
    mask = (distance < 40) & (distance > 15)
    annotations = boxed(100, 100, [[10, 10, 90, 90]], masks=Masks([mask], (100, 100)))
    picture = draw_annotations(grey(100, 100), annotations, size=(400, 400), layers=["masks"], names=False)
    marked = changed(picture)
    Y, X = np.mgrid[:400, :400]
    distance = np.hypot(X + 0.5 - 202, Y + 0.5 - 202)  # pixel 50 of the image has its middle at 4 × 50.5
    assert marked[(distance < 152) & (distance > 68)].all()
    assert not marked[(distance > 168) | (distance < 52)].any()
    # The outline is stronger than the fill.
    difference = np.abs(picture.astype(int) - GREY).sum(2)
    assert difference[202, 360:364].max() > difference[202, 330] + 40


def test_polygons_run_lengths_and_pixels_give_the_same_outline():
    polygon = Polygons((60, 80), (np.array([[10, 10], [70, 15], [60, 50], [15, 45]], dtype=np.float32),))
    pixels = polygon.to_mask()
    for scale in ((0.5, 0.5), (1.0, 1.0), (4.0, 4.0), (3.0, 2.0)):
        extents = []
        for mask in (polygon, pixels, RunLengths.from_mask(pixels)):
            outline = mask_outline(mask, scale)
            assert outline is not None
            extents.append(outline.get_extents().extents)
        np.testing.assert_allclose(extents[1], extents[2])
        np.testing.assert_allclose(extents[0] / (scale * 2), extents[1] / (scale * 2), atol=1.2)
        np.testing.assert_allclose(extents[0] / (scale * 2), (10, 10, 70, 50), atol=1.2)


def test_masks_without_pixels_and_of_one_pixel():
    one = np.zeros((50, 50), dtype=bool)
    one[20, 30] = True
    empty = Polygons((50, 50), ())
    assert mask_outline(empty, (2, 2)) is None
    assert mask_outline(np.zeros((50, 50), dtype=bool), (2, 2)) is None
    outline = mask_outline(one, (8.0, 8.0))
    assert outline is not None
    x1, y1, x2, y2 = outline.get_extents().extents
    assert 236 < x1 < 244 < x2 < 252
    assert 156 < y1 < 164 < y2 < 172


def test_neighbours_and_objects_of_one_class_have_colours_that_differ():
    boxes = np.array([[x * 30, y * 30, x * 30 + 28, y * 30 + 28] for y in range(4) for x in range(5)], dtype=float)
    labels = np.arange(20) % 3
    colours = instance_colours(boxes, labels)
    for i in range(20):
        for j in range(i):
            near = max(abs(boxes[i, :2] - boxes[j, :2])) <= 30
            if near:
                assert apart(colours[i], colours[j]) > 0.12
    few = instance_colours(boxes[:6], np.zeros(6, int))
    assert len(set(few)) == 6


def test_colours_do_not_depend_on_the_order_of_the_objects():
    random = np.random.default_rng(0)
    corner, side = random.uniform(0, 400, (60, 2)), random.uniform(5, 90, (60, 2))
    boxes, labels = np.concatenate((corner, corner + side), 1), random.integers(0, 4, 60)
    order = random.permutation(60)
    colours = instance_colours(boxes, labels)
    assert [colours[i] for i in order] == instance_colours(boxes[order], labels[order])


def test_the_cycle_is_of_distinct_colours_that_show_on_light_and_on_dark():
    cycle = distinct(CYCLE)
    assert distinct(50)[:CYCLE] == cycle
    assert min(apart(a, b) for i, a in enumerate(cycle) for b in cycle[:i]) > 0.055
    assert all(0.15 < luminance(colour) < 0.85 for colour in cycle)
    assert len(set(distinct(150))) == 150


@given(st.tuples(*[st.integers(0, 255)] * 3))
@settings(deadline=None, max_examples=60)
def test_letters_stand_out_from_their_tag(colour: tuple[int, int, int]):
    letters, ground = luminance(letters_on(colour)), luminance(colour)
    light, dark = max(letters, ground), min(letters, ground)
    assert (light + 0.05) / (dark + 0.05) >= 4.0
    assert letters_on((255, 255, 255)) == INK
    assert letters_on((0, 0, 60)) == PAPER


@given(st.lists(st.tuples(*[st.floats(-10, 310)] * 4), min_size=1, max_size=40), st.booleans())
@settings(deadline=None, max_examples=40)
def test_tags_stay_inside_and_apart(corners: list[tuple[float, float, float, float]], inner: bool):
    wishes = [
        Wish("a cat", "0.87", (255, 0, 0), (min(a, c), min(b, d), max(a, c), max(b, d)), inner)
        for a, b, c, d in corners
    ]
    taken = (0.0, 180.0, 120.0, 200.0)
    tags = place_tags(wishes, 300, 200, 11, [taken])
    places = [taken, *((t.x, t.y, t.x + t.width, t.y + t.height) for t in tags)]
    for i, (x1, y1, x2, y2) in enumerate(places):
        assert 0 <= x1 < x2 <= 300
        assert 0 <= y1 < y2 <= 200
        assert not any(x1 < p[2] and p[0] < x2 and y1 < p[3] and p[1] < y2 for p in places[:i])


def test_tags_of_many_small_objects_leave_the_picture_to_be_seen():
    random = np.random.default_rng(1)
    corner = random.uniform(0, 780, (300, 2))
    side = random.uniform(3, 40, (300, 2))
    boxes = np.concatenate((corner, corner + side), 1)
    wishes = [Wish("pedestrian", "", (255, 0, 0), tuple(box)) for box in boxes.tolist()]
    tags = place_tags(wishes, 820, 820, 14)
    assert 6 <= len(tags) < 100
    assert sum(tag.width * tag.height for tag in tags) < 0.08 * 820 * 820
    marked = changed(draw_annotations(grey(820, 820), boxed(820, 820, boxes.tolist()), size=(820, 820)))
    for x1, y1, x2, y2 in boxes.round().astype(int).clip(0, 818).tolist():
        assert marked[y1 : y2 + 2, x1 : x2 + 2].any()


def test_a_long_name_is_cut_and_keeps_its_score():
    (tag,) = place_tags([Wish("a very long name " * 20, "0.87 (?)", (0, 0, 0), (10, 50, 60, 90))], 300, 200, 12)
    assert tag.text.startswith("a very l")
    assert tag.text.endswith("… 0.87 (?)")
    assert tag.x + tag.width <= 300
    assert place_tags([Wish("cat", "", (0, 0, 0), (0, 0, 4, 4))], 4, 4, 12) == []


@pytest.mark.parametrize("name", ["猫", "кошка", "γάτα", "a\nb", "$x_1$ %", "👩‍🚀", "e\u0301"])
def test_names_in_any_script_are_drawn(name: str):
    annotations = Annotations(
        (60, 80), Classes((name,)), semantic=torch.zeros((60, 80), dtype=torch.int64), present=(0,)
    )
    instances = boxed(60, 80, [[10, 20, 70, 50]], scores=torch.tensor([0.5])).instances
    plain = draw_annotations(grey(60, 80), annotations, layers=[], size=(320, 320))
    drawn = draw_annotations(grey(60, 80), annotations, layers=["semantic", "labels"], size=(320, 320))
    assert changed(drawn).mean() > changed(plain).mean()
    tagged = Annotations((60, 80), Classes((name,)), instances=instances)
    assert (
        draw_annotations(grey(60, 80), tagged, size=(320, 320))
        != draw_annotations(grey(60, 80), tagged, size=(320, 320), names=False, scores=False)
    ).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (2, 2)])
def test_tiny_images_and_tiny_drawings(size: tuple[int, int]):
    H, W = size
    annotations = boxed(H, W, [[0, 0, W, H]], masks=Masks([np.ones(size, bool)], size), scores=torch.tensor([0.5]))
    annotations.semantic = torch.zeros(size, dtype=torch.int64)
    annotations.panoptic = Panoptic(torch.ones(size, dtype=torch.int64), (Segment(1, 2),))
    annotations.present = (1,)
    for layers in (["boxes", "masks", "labels"], ["semantic", "labels"], ["panoptic"]):
        for room in (1024, 40, 5, 1):
            picture = draw_annotations(grey(H, W), annotations, layers=layers, size=(room, room))  # type: ignore[arg-type]
            assert max(picture.shape[:2]) == room
            assert changed(picture).any()


def test_nothing_said_leaves_the_photo_as_it_is():
    empty = Annotations((40, 50), PETS, instances=Instances.empty())
    assert not changed(draw_annotations(grey(40, 50), empty, size=(100, 100))).any()
    assert not changed(draw_annotations(grey(40, 50), Annotations((40, 50), PETS), size=(100, 100))).any()


def test_what_is_no_number_is_left_out():
    points = torch.full((2, 2, 3), float("nan"))
    boxes = [[float("nan"), 0, 10, 10], [5.0, 5, 30, 30]]
    annotations = boxed(40, 50, boxes, scores=torch.tensor([0.5, float("nan")]), keypoints=points)
    assert changed(draw_annotations(grey(40, 50), annotations, size=(200, 200))).any()


def test_a_huge_photo_is_drawn_at_the_size_of_the_drawing():
    H, W = 4000, 6000
    mask = np.zeros((H, W), bool)
    mask[1000:3000, 1500:4500] = True
    annotations = boxed(H, W, [[1500, 1000, 4500, 3000]], masks=Masks([RunLengths.from_mask(mask)], (H, W)))
    annotations.semantic = torch.from_numpy(mask.astype(np.int64))
    for layers in (["boxes", "masks"], ["semantic"]):
        picture = draw_annotations(grey(H, W), annotations, layers=layers, names=False, legend=False, size=(600, 600))  # type: ignore[arg-type]
        assert picture.shape == (400, 600, 3)
        assert changed(picture)[105:295, 155:445].all()
        assert apart(picture[200, 300], picture[50, 50]) > 0.05


def test_a_semantic_map_is_coloured_by_class_with_own_colours_and_ignore_apart():
    semantic = torch.zeros((60, 90), dtype=torch.int64)
    semantic[:, 30:60] = 1
    semantic[:, 60:] = 255
    classes = Classes(("sky", "road"), colours=((0, 0, 255), (255, 255, 0)))
    annotations = Annotations((60, 90), classes, semantic=semantic)
    picture = draw_annotations(grey(60, 90), annotations, size=(900, 900), legend=False).astype(int)
    sky, road = picture[300, 100], picture[300, 450]
    assert sky[2] > sky[0] + 60
    assert road[0] > road[2] + 60
    void = picture[200:400, 650:850]
    assert void.mean() < GREY
    assert void.std() > 8  # hatched
    border = picture[300, 296:304].sum(1)
    assert border.max() > max(sky.sum(), road.sum()) - 1
    with_legend = draw_annotations(grey(60, 90), annotations, size=(900, 900)).astype(int)
    assert (with_legend[:40, :40] != picture[:40, :40]).any()
    assert (with_legend[400:, :] == picture[400:, :]).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.77, 1.0, 2.0, 3.3]))
@settings(deadline=None, max_examples=20)
def test_regions_keep_their_places_at_any_size(seed: int, scale: float):
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 4, (5, 7))
    places = np.kron(blocks, np.ones((12, 12), np.int64))
    h, w = round(60 * scale), round(84 * scale)
    colours = distinct(4)
    made = blend(np.full((h, w, 3), GREY, np.uint8), places, colours, [1.0] * 4, [False] * 4)
    for y in range(5):
        for x in range(7):
            at = (int((y * 12 + 6) * h / 60), int((x * 12 + 6) * w / 84))
            assert made.places[at] == blocks[y, x]
            if scale >= 0.77:
                assert np.abs(made.pixels[at].astype(int) - colours[blocks[y, x]]).max() <= 12


def test_things_of_a_panoptic_map_differ_and_stuff_has_its_classs_colour():
    ids = torch.ones((60, 100), dtype=torch.int64)
    ids[10:50, 10:40], ids[10:50, 40:70] = 2, 3
    ids[:, 90:] = 0
    segments = (Segment(1, 2), Segment(2, 0), Segment(3, 0))
    annotations = Annotations((60, 100), PETS, panoptic=Panoptic(ids, segments))
    picture = draw_annotations(grey(60, 100), annotations, size=(1000, 1000), names=False, scores=False)
    assert apart(picture[300, 250], picture[300, 550]) > 0.08
    assert apart(picture[550, 300], picture[300, 250]) > 0.05
    assert picture[300, 950].mean() < GREY
    tagged = draw_annotations(grey(60, 100), annotations, size=(1000, 1000))
    assert (tagged[280:320, 220:280] != picture[280:320, 220:280]).any()
    by_class = draw_annotations(grey(60, 100), annotations, size=(1000, 1000), names=False, colours="classes")
    assert apart(by_class[300, 250], by_class[300, 550]) == 0


def test_keypoints_are_dots_white_where_hidden_and_joined_by_the_skeleton():
    classes = Classes(("stick",), keypoints=(KeypointNames(("a", "b", "c"), ((0, 1), (1, 2))),))
    points = torch.tensor([[[10.0, 10, 2], [50, 10, 1], [50, 50, 0]]])
    instances = Instances(torch.tensor([[5.0, 5, 55, 55]]), torch.tensor([0]), keypoints=points)
    annotations = Annotations((60, 60), classes, instances=instances)
    picture = draw_annotations(grey(60, 60), annotations, layers=["keypoints"], size=(600, 600))
    marked = changed(picture)
    assert marked[100, 100]
    assert marked[100, 110:490].all()  # the line from a to b
    assert not marked[300:, :].any()  # nothing at c, which is not labelled
    alone = Instances(torch.tensor([[5.0, 5, 55, 55]]), torch.tensor([0]), keypoints=points[:, 1:2])
    hidden = draw_annotations(
        grey(60, 60), Annotations((60, 60), PETS, instances=alone), layers=["keypoints"], size=(600, 600)
    )
    assert (hidden[100, 500] > 245).all()
    assert (hidden[94:107, 494:507].astype(int).max(2) - hidden[94:107, 494:507].min(2)).max() > 40  # its coloured rim
    assert picture[100, 100].max() - picture[100, 100].min() > 40


def test_boxes_of_crowds_groups_and_difficult_objects_are_dashed():
    for flag in ("crowd", "group_of", "difficult"):
        annotations = boxed(100, 100, [[10, 10, 90, 90]], **{flag: torch.tensor([True])})
        line = changed(draw_annotations(grey(100, 100), annotations, size=(500, 500), names=False))[50, 60:440]
        assert 0.3 < line.mean() < 0.95
    solid = changed(draw_annotations(grey(100, 100), boxed(100, 100, [[10, 10, 90, 90]]), size=(500, 500), names=False))
    assert solid[50, 60:440].all()


def test_image_labels_stand_in_a_caption():
    annotations = Annotations((50, 50), PETS, present=(0,), absent=(1, 2), logits=torch.tensor([2.0, 0.0, -9.0]))
    assert caption_parts(annotations)[:3] == ["cat", "no: dog, grass", "cat 0.88"]
    marked = changed(draw_annotations(grey(50, 50), annotations, size=(300, 300)))
    assert marked[285:, :20].mean() > 0.97  # a letter's edge may have the photo's own grey
    assert not marked[:270].any()


def test_what_is_drawn_by_default():
    objects = boxed(50, 50, [[1, 1, 9, 9]])
    assert default_layers(objects) == ("boxes", "masks", "keypoints")
    objects.present = (0,)
    assert "labels" not in default_layers(objects)
    objects.present = (0, 1)
    assert "labels" in default_layers(objects)
    objects.panoptic = Panoptic(torch.ones((50, 50), dtype=torch.int64), (Segment(1, 1),))
    assert default_layers(objects) == ("panoptic", "keypoints", "labels")
    assert default_layers(Annotations((5, 5), PETS)) == ("semantic",)


def test_bad_input_is_refused_in_a_line():
    with pytest.raises(PellucidError, match=r"unknown layer 'boxs'; did you mean 'boxes'\?"):
        draw_annotations(grey(9, 9), boxed(9, 9, []), layers=["boxs"])  # type: ignore[list-item]
    with pytest.raises(PellucidError, match="9 × 8 pixels cannot be drawn on one of 9 × 9"):
        draw_annotations(grey(9, 9), boxed(8, 9, []))
    with pytest.raises(PellucidError, match="give uint8"):
        draw_annotations(torch.zeros(3, 9, 9), boxed(9, 9, []))
    with pytest.raises(PellucidError, match="sides of 1 to 32,000"):
        draw_annotations(grey(9, 9), boxed(9, 9, []), size=(0, 10))


def test_the_photo_and_the_annotations_are_left_as_they_were():
    photo, annotations = grey(50, 50), boxed(50, 50, [[1, 1, 40, 40]], scores=torch.tensor([0.5], requires_grad=True))
    before = annotations.instances.boxes.clone()  # type: ignore[union-attr]
    draw_annotations(photo, annotations)
    assert (photo == GREY).all()
    assert (annotations.instances.boxes == before).all()  # type: ignore[union-attr]


# --- contact sheets ---


def made_samples(count: int, broken: int | None = None) -> Dataset:
    def unreadable() -> Tensor:
        raise PellucidError("somewhere/far/away.jpg: damaged after 7 bytes; restore it")

    samples = []
    for i in range(count):
        H, W = (40 + 7 * i, 60)
        samples.append(
            Sample(
                f"folder/{i}.png",
                unreadable if i == broken else grey(H, W),
                boxed(H, W, [[5, 5, 30, 30], [20, 10, 50, 35]], [i % 2, 1]),
            )
        )
    return Samples(samples, PETS, ("boxes",), title="pets")


@pytest.mark.parametrize(("count", "columns"), [(1, None), (2, None), (5, None), (12, None), (7, 5), (1, 9)])
def test_sheets_of_any_shape_are_tidy(count: int, columns: int | None, assert_tidy: Tidy):
    sheet = compose_sheet(made_samples(20), count=count, columns=columns)
    assert_tidy(sheet.page)
    assert len(sheet.tiles) == count
    assert sheet.layers == ("boxes",)
    texts = [entry.text for entry in sheet.page._texts]
    assert texts[0] == "pets"
    assert texts[1] == f"20 images, 3 classes; {count} shown with boxes"
    assert any(text.startswith("2 objects: ") for text in texts)


def test_an_image_that_cannot_be_read_gets_a_tile_that_says_why(tmp_path: Path, assert_tidy: Tidy):
    sheet = compose_sheet(made_samples(4, broken=2), count=4)
    assert_tidy(sheet.page)
    assert [bool(tile.trouble) for tile in sheet.tiles] == [False, False, True, False]
    texts = " ".join(entry.text for entry in sheet.page._texts)
    assert "damaged after 7 bytes" in texts
    assert "cannot be shown" in texts
    path = contact_sheet(made_samples(4, broken=2), count=4, path=tmp_path / "sheet.png")
    with Image.open(path) as picture:
        assert picture.size == (sheet.page.width, sheet.page.height)


def test_all_unreadable_still_makes_a_sheet(assert_tidy: Tidy):
    assert_tidy(compose_sheet(made_samples(1, broken=0)).page)


def test_images_are_spread_evenly_or_drawn_with_a_seed():
    assert chosen_indices(100, 4) == [0, 25, 50, 75]
    assert chosen_indices(3, 12) == [0, 1, 2]
    drawn = chosen_indices(100, 10, seed=3)
    assert drawn == chosen_indices(100, 10, seed=3)
    assert drawn != chosen_indices(100, 10, seed=4)
    assert len(set(drawn)) == 10
    assert [t.name for t in compose_sheet(made_samples(9), indices=[7, 2]).tiles] == ["folder/7.png", "folder/2.png"]


def test_sheets_of_scenes_say_what_the_tiles_hold(assert_tidy: Tidy):
    scenes = open_dataset("scenes:n=6,seed=3,size=48")
    sheet = compose_sheet(scenes, count=6)
    assert_tidy(sheet.page)
    assert sheet.layers == ("keypoints", "panoptic")
    semantic = compose_sheet(scenes, count=2, layers=["semantic"])
    assert_tidy(semantic.page)
    again = compose_sheet(open_dataset("scenes:n=6,seed=3,size=48"), count=6)
    assert (again.page.rendered() == sheet.page.rendered()).all()


def test_bad_sheets_are_refused(tmp_path: Path):
    with pytest.raises(PellucidError, match="pets: holds no image to show"):
        compose_sheet(made_samples(0))
    with pytest.raises(PellucidError, match="give 1 to 400"):
        compose_sheet(made_samples(2), indices=[0, 1] * 300)
    with pytest.raises(PellucidError, match=r"end the name in \.png"):
        contact_sheet(made_samples(1), path=tmp_path / "sheet.jpg")


def test_tallies_in_words():
    cats = boxed(10, 10, [[0, 0, 1, 1]] * 3, [1, 0, 1])
    assert Tally.of(cats).line(PETS) == "3 objects: 2 dog, 1 cat"
    assert Tally.of(boxed(10, 10, [[0, 0, 1, 1]])).line(PETS) == "1 object: 1 cat"
    assert Tally.of(boxed(10, 10, [])).line(PETS) == "no objects"
    assert Tally.of(Annotations((1, 1), PETS, present=(1,), absent=(0,))).line(PETS) == "dog; no: cat"
    assert Tally.of(Annotations((1, 1), PETS)).line(PETS) == "no annotations"
    semantic = torch.tensor([[0] * 300 + [2, 255]])
    assert Tally.of(Annotations((1, 302), PETS, semantic=semantic)).line(PETS) == "cat 100 %, grass < 1 %"
    both = Tally.of(cats) + Tally.of(boxed(10, 10, [[0, 0, 1, 1]]))
    assert both.objects == {0: 2, 1: 2}
