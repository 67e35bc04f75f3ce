"""Every format there and back, on generated scenes and on real data: nothing that a format holds is changed by it."""

import warnings
from pathlib import Path

import pytest
import torch

from pellucid import PellucidError, open_dataset
from pellucid.data import Dataset, DataWarning
from pellucid.data.converting import convert
from pellucid.data.formats import NAMES, format_named
from pellucid.data.opening import find_source
from pellucid.data.splits import unions

from .conftest import photo, real

SCENES = "scenes:n=10,seed=5,size=96,crowded=0.3"
WITH_BOXES = ("coco", "voc", "yolo", "openimages", "imagenet", "panoptic")


def quietly(spec, split=None) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return open_dataset(spec, split)


def converted(source, target, **how) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        made = convert(source, target, **how)
    assert len(made.splits) == 1
    return quietly(f"{made.format}:{made.path}")


def by_stem(data: Dataset) -> dict:
    return {Path(sample.name).stem: sample for sample in data}


def in_order(objects, data):
    """The objects sorted by class name and box, for formats that group them by class."""
    keys = [
        (data.classes[int(label)], *[round(v, 1) for v in box.tolist()])
        for label, box in zip(objects.labels, objects.boxes, strict=True)
    ]
    return objects[sorted(range(len(keys)), key=keys.__getitem__)]


@pytest.mark.parametrize("format", WITH_BOXES)
def test_scenes_there_and_back(tmp_path, format):
    truth = open_dataset(SCENES)
    back = converted(SCENES, f"{format}:{tmp_path / 'out'}")
    assert back.format == format
    found = by_stem(back)
    assert len(found) == len(truth)
    for sample in truth:
        other = found[Path(sample.name).stem]
        assert torch.equal(sample.image, other.image)
        said, read = sample.annotations, other.annotations
        assert said.size == read.size
        a, b = in_order(said.instances, truth), in_order(read.instances, back)
        assert len(a) == len(b)
        names = [[data.classes[i] for i in x.labels.tolist()] for data, x in ((truth, a), (back, b))]
        assert names[0] == names[1]
        assert torch.allclose(a.boxes, b.boxes, atol=1e-3)
        for flag in ("crowd", "difficult", "truncated", "occluded"):
            if flag in format_named(format).flags:
                assert torch.equal(getattr(a, flag), getattr(b, flag)), flag
        if "masks" in back.holds and format != "openimages":
            assert torch.equal(a.masks.to_bool(), b.masks.to_bool())
        if "keypoints" in back.holds:
            assert torch.allclose(a.keypoints, b.keypoints, atol=1e-3)
        if "semantic" in back.holds:
            for index, name in enumerate(truth.classes):
                there = back.classes.names.index(name) if name in back.classes.names else -1
                assert torch.equal(said.semantic == index, read.semantic == there), name


def test_real_boxes_through_every_format(tmp_path):
    root = real("coco_mini")
    truth = quietly(root, "val")
    previous = f"coco:{root}"
    for number, format in enumerate(("yolo", "voc", "openimages", "imagenet", "coco")):
        data = converted(previous, f"{format}:{tmp_path / str(number)}", split="val", images="link")
        previous = f"{format}:{tmp_path / str(number)}"
        found = by_stem(data)
        for sample in truth:
            a = in_order(sample.annotations.instances, truth)
            b = in_order(found[Path(sample.name).stem].annotations.instances, data)
            assert [truth.classes[i] for i in a.labels.tolist()] == [data.classes[i] for i in b.labels.tolist()]
            assert torch.allclose(a.boxes, b.boxes, atol=1e-3), format


def test_real_masks_through_coco_and_yolo(tmp_path):
    root = real("coco_mini")
    truth = quietly(root, "val")[:40]
    coco = converted(f"coco:{root}", f"coco:{tmp_path / 'coco'}", split="val", images="none")
    yolo = by_stem(converted(f"coco:{root}", f"yolo:{tmp_path / 'yolo'},labels=segments", split="val", images="link"))
    for index, sample in enumerate(truth):
        a = sample.annotations.instances
        assert torch.equal(a.masks.to_bool(), coco[index].annotations.instances.masks.to_bool())
        assert torch.allclose(a.areas, coco[index].annotations.instances.areas)
        # A line holds one polygon: several parts are joined, and filled by the even-odd rule.
        b = yolo[Path(sample.name).stem].annotations.instances
        differing = (a.masks.to_bool() != b.masks.to_bool()).sum((1, 2))
        assert (differing <= 2 + 0.02 * a.areas).all()


def test_real_maps(tmp_path):
    camvid, panoptic = real("camvid"), real("panoptic_sample")
    truth = quietly(camvid, "val")
    back = converted(f"masks:{camvid}", f"masks:{tmp_path / 'masks'}", split="val", images="link")
    assert back.classes.names == truth.classes.names
    for index in range(0, 101, 10):
        assert torch.equal(truth[index].annotations.semantic, back[index].annotations.semantic)
    truth = quietly(panoptic)
    back = converted(f"panoptic:{panoptic}", f"panoptic:{tmp_path / 'panoptic'}")
    for a, b in zip(truth, back, strict=True):
        assert torch.equal(a.annotations.panoptic.ids, b.annotations.panoptic.ids)
        assert a.annotations.panoptic.segments == b.annotations.panoptic.segments
        assert torch.equal(a.annotations.instances.boxes, b.annotations.instances.boxes)


def test_all_splits_but_those_that_others_make_up(tmp_path):
    root = real("bccd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        made = convert(f"voc:{root}", f"yolo:{tmp_path / 'out'}", images="none")
    assert made.splits == {"train": (205, 2805), "val": (87, 1138)}
    assert unions({"a": ["1"], "b": ["2"], "ab": ["1", "2"], "c": ["3"]}) == {"ab": ["a", "b"]}
    assert unions({"a": ["1"], "b": ["1"]}) == {}


def test_what_is_lost_is_told(tmp_path):
    made = convert(SCENES, f"yolo:{tmp_path / 'out'}")
    assert any("masks (say labels=segments" in what for what in made.lost)
    assert any("'crowd'" in what for what in made.lost)
    assert not any("'crowd'" in what for what in convert(SCENES, f"coco:{tmp_path / 'coco'}").lost)


def test_images_are_copied_linked_or_left_out(tmp_path):
    for name in ("cat/a.jpg", "dog/a.jpg"):
        photo(tmp_path / "in" / name)
    for how in ("copy", "link", "none"):
        convert(tmp_path / "in", f"folder:{tmp_path / how}", images=how)
        found = sorted(p for p in (tmp_path / how).rglob("*.jpg"))
        assert len(found) == (0 if how == "none" else 2)
        assert all(path.is_symlink() == (how == "link") for path in found)
        assert all(path.read_bytes() == (tmp_path / "in" / path.parent.name / "a.jpg").read_bytes() for path in found)
    with pytest.raises(PellucidError, match="images 'move'; give one of copy, link, none"):
        convert(tmp_path / "in", f"folder:{tmp_path / 'x'}", images="move")


def test_all_or_nothing(tmp_path):
    photo(tmp_path / "in" / "cat" / "a.jpg")
    (tmp_path / "in" / "cat" / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "kept.txt").write_text("mine")
    with pytest.raises(PellucidError, match="is there already and not empty"):
        convert(tmp_path / "in", f"folder:{tmp_path / 'taken'}")
    with pytest.raises(PellucidError, match=r"b\.jpg"):
        convert(tmp_path / "in", f"folder:{tmp_path / 'out'}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "taken"]
    assert (tmp_path / "taken" / "kept.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("out", "say the format too, as in coco:out"),
        ("cocoa:out", "unknown format 'cocoa'; did you mean 'coco'"),
        ("yolo:out,labels=lines", "labels=lines; give one of"),
        ("yolo:out,label=boxes", "unknown option 'label'; did you mean 'labels'"),
        ("yolo:/proc/out", "cannot be made here|not empty"),
    ],
)
def test_targets_that_cannot_be(tmp_path, monkeypatch, target, what):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PellucidError, match=what):
        convert("scenes:n=2,size=32", target)
    assert list(tmp_path.iterdir()) == []


def test_what_a_format_cannot_hold_at_all(tmp_path):
    photo(tmp_path / "in" / "cat" / "a.jpg")
    with pytest.raises(PellucidError, match="of which yolo can hold nothing"):
        convert(tmp_path / "in", f"yolo:{tmp_path / 'out'}")


def test_every_format_recognises_what_it_wrote(tmp_path):
    for name in NAMES:
        source: object = SCENES
        if name == "folder":
            photo(tmp_path / "photos" / "cat" / "a.jpg")
            source = tmp_path / "photos"
        convert(source, f"{name}:{tmp_path / name}")
        assert find_source(tmp_path / name).format.name == name
