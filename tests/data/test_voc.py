"""Pascal VOC: its conventions, its layouts, what is wrong with files, and what is written and read again."""

import contextlib
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pellucid.data.dataset import Dataset, Samples
from pellucid.data.defects import DataWarning, Defects
from pellucid.data.formats import recognised
from pellucid.data.images import ImageStore
from pellucid.data.markup_writing import plain
from pellucid.data.opening import find_source, open_dataset
from pellucid.data.voc.classes import VOC_NAMES
from pellucid.data.voc.format import FORMAT
from pellucid.data.voc.maps import palette
from pellucid.data.voc.results import read_results, write_results
from pellucid.errors import PellucidError
from pellucid.structures import FLAGS, Annotations, Classes, Instances, Masks, Sample

DATA = Path(os.environ.get("PELLUCID_DATA", Path(__file__).parents[3] / "shared/data"))
BCCD = DATA / "bccd"

real_data = pytest.mark.skipif(not BCCD.is_dir(), reason=f"no BCCD in {DATA}; set PELLUCID_DATA")
quiet = pytest.mark.filterwarnings("ignore::pellucid.data.defects.DataWarning")
pytestmark = quiet


def object_text(name: str = "cat", box: tuple[object, ...] = (2, 3, 5, 7), more: str = "") -> str:
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name>{more}<bndbox>{corners}</bndbox></object>"


def annotation(*objects: str, size: tuple[object, object] | None = (20, 10), filename: str = "") -> str:
    """``size``: width and height."""
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"<annotation><path>/etc/passwd</path><filename>{filename}</filename>{sides}{''.join(objects)}</annotation>"


def put(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def photo(path: Path, size: tuple[int, int] = (20, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (120, 30, 60)).save(path)


def devkit(root: Path, **files: str | bytes) -> Path:
    """A data set of one split, 'train', with the given XML files and an image each."""
    for stem, text in files.items():
        put(root / f"Annotations/{stem}.xml", text)
        photo(root / f"JPEGImages/{stem}.jpg")
    put(root / "ImageSets/Main/train.txt", "\n".join(files))
    return root


def boxes(dataset: Dataset, at: int = 0) -> list[list[float]]:
    found = dataset[at].annotations.instances
    assert found is not None
    return found.boxes.tolist()


@real_data
@pytest.mark.parametrize(
    ("split", "images", "counts", "file"),
    [("train", 205, (209, 2382, 214), "BloodImage_00343"), ("val", 87, (83, 968, 87), "BloodImage_00338")],
)
def test_bccd(split: str, images: int, counts: tuple[int, ...], file: str) -> None:
    with pytest.warns(DataWarning, match="1 box of zero area"):
        data = open_dataset(f"voc:{BCCD}", split=split)
    assert len(data) == images
    assert data.classes.names == ("Platelets", "RBC", "WBC")
    labels = torch.cat([sample.annotations.instances.labels for sample in data])  # type: ignore[union-attr]
    assert torch.bincount(labels).tolist() == list(counts)
    assert len(data.defects) == 1
    (defect,) = data.defects.of("zero area")
    assert Path(defect.file).stem == file
    assert "(RBC)" in defect.item
    assert data[0].image.shape == (3, 480, 640)
    least = min(s.annotations.instances.boxes.min() for s in data)  # type: ignore[union-attr]
    assert least == 0


@real_data
def test_bccd_is_recognised_and_has_its_splits() -> None:
    assert recognised(BCCD) is FORMAT
    assert find_source(BCCD).splits == ["train", "val", "trainval"]
    with pytest.raises(PellucidError, match="train, val, trainval"):
        open_dataset(BCCD)
    assert len(open_dataset(BCCD, split="trainval")) == 292


def test_pixels_are_counted_from_one_and_both_corners_are_inside(tmp_path: Path) -> None:
    whole, single, floats = (1, 1, 20, 10), (4, 5, 4, 5), (1.5, 2.25, 3.75, 4)
    data = open_dataset(devkit(tmp_path, a=annotation(*(object_text(box=b) for b in (whole, single, floats)))))
    assert boxes(data) == [[0, 0, 20, 10], [3, 4, 4, 5], [0.5, 1.25, 3.75, 4]]
    assert data.defects.count("zero area") == 1
    assert data.defects.count("box outside") == 0


def test_counting_from_zero_is_told_from_the_whole_data_set(tmp_path: Path) -> None:
    devkit(tmp_path, a=annotation(object_text(box=(2, 3, 5, 7))), b=annotation(object_text(box=(0, 0, 20, 10))))
    put(tmp_path / "ImageSets/Main/val.txt", "b")
    put(tmp_path / "ImageSets/Main/train.txt", "a")
    assert boxes(open_dataset(tmp_path, "train")) == [[2, 3, 5, 7]]
    assert boxes(open_dataset(tmp_path, "train", boxes="1-based")) == [[1, 2, 5, 7]]
    assert boxes(open_dataset(tmp_path, "val")) == [[0, 0, 20, 10]]
    put(tmp_path / "Annotations/c.xml", annotation(object_text(box=(1, 1, 1, 1)), object_text(box=(1, 1, 2, 2))))
    assert boxes(open_dataset(tmp_path, "train")) == [[1, 2, 5, 7]]
    assert boxes(open_dataset(tmp_path, "train", boxes="0-based")) == [[2, 3, 5, 7]]
    with pytest.raises(PellucidError, match="did you mean '0-based'"):
        open_dataset(tmp_path, "train", boxes="0-base")


def test_flags_scores_parts_and_nested_objects(tmp_path: Path) -> None:
    more = (
        "<pose>Left</pose><truncated>1</truncated><difficult> 1 </difficult><occluded>0</occluded><score>0.25</score>"
    )
    part = f"<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>{object_text('dog', (9, 9, 9, 9))}"
    second = "<crowd>1</crowd><group_of>true</group_of><truncated>Unspecified</truncated><score>1</score>"
    text = annotation(object_text("cat", more=more + part), object_text("sofa", more=second))
    data = open_dataset(devkit(tmp_path, a=text))
    found = data[0].annotations.instances
    assert found is not None
    assert boxes(data) == [[1, 2, 5, 7]] * 2
    assert [data.classes[label] for label in found.labels.tolist()] == ["cat", "sofa"]
    flags = {name: getattr(found, name).tolist() for name in FLAGS}
    expected = {"truncated": [1, 0], "difficult": [1, 0], "crowd": [0, 1], "group_of": [0, 1]}
    assert flags == {name: [bool(v) for v in expected.get(name, [0, 0])] for name in FLAGS}
    assert found.scores is not None
    assert found.scores.tolist() == [0.25, 1]


def test_classes_are_those_of_all_splits(tmp_path: Path) -> None:
    devkit(tmp_path, a=annotation(object_text("zebra")), b=annotation(object_text("ant")))
    put(tmp_path / "ImageSets/Main/train.txt", "a")
    put(tmp_path / "ImageSets/Main/val.txt", "b")
    for split, label in (("train", 1), ("val", 0)):
        data = open_dataset(tmp_path, split)
        assert data.classes.names == ("ant", "zebra")
        assert data[0].annotations.instances.labels.tolist() == [label]  # type: ignore[union-attr]


def test_vocs_own_classes_come_in_its_order(tmp_path: Path) -> None:
    data = open_dataset(devkit(tmp_path, a=annotation(object_text("cat"))))
    assert data.classes.names == VOC_NAMES
    assert len(VOC_NAMES) == 20
    assert list(VOC_NAMES) == sorted(VOC_NAMES)


def test_a_list_of_classes_counts_most(tmp_path: Path) -> None:
    devkit(tmp_path, a=annotation(object_text("cat"), object_text("cow")))
    put(tmp_path / "classes.txt", "dog\n\n cat \n")
    data = open_dataset(tmp_path)
    assert data.classes.names == ("dog", "cat")
    assert [str(d).split(": ", 1)[1] for d in data.defects] == [
        "object 2 (cow): its class is not in the list; correct the name, or add the class to the list"
    ]
    put(tmp_path / "meta/names", "cow\ncat")
    assert open_dataset(tmp_path, classes="meta/names").classes.names == ("cow", "cat")
    for bad in ("../names", "/etc/passwd", "nothing.txt", "meta"):
        with pytest.raises(PellucidError, match="classes="):
            open_dataset(tmp_path, classes=bad)
    put(tmp_path / "classes.txt", "dog\ndog")
    with pytest.raises(PellucidError, match="'dog' twice"):
        open_dataset(tmp_path)


def test_lists_of_one_class_are_no_splits(tmp_path: Path) -> None:
    devkit(tmp_path, a=annotation(), b=annotation())
    put(tmp_path / "ImageSets/Main/cat_train.txt", "a  1\nb -1\n")
    put(tmp_path / "ImageSets/Main/my_fold.txt", "b\n")
    put(tmp_path / "ImageSets/Main/test.txt", "a 1\n")
    assert FORMAT.splits(tmp_path, {}) == ["train", "test", "my_fold"]
    assert list(open_dataset(tmp_path, "test").names) == ["a.jpg"]
    assert len(open_dataset(tmp_path, "my_fold")) == 1


def test_years_of_a_devkit(tmp_path: Path) -> None:
    devkit(tmp_path / "VOCdevkit/VOC2007", a=annotation(object_text()))
    assert len(open_dataset(tmp_path, "train")) == 1
    devkit(tmp_path / "VOCdevkit/VOC2012", a=annotation(), b=annotation())
    for root in (tmp_path, tmp_path / "VOCdevkit"):
        assert recognised(root) is FORMAT
        with pytest.raises(PellucidError, match="VOC2007, VOC2012; name one of them: year=2007"):
            open_dataset(root)
        assert len(open_dataset(root, year=2012)) == 2
        assert len(open_dataset(root, year="VOC2007")) == 1
    with pytest.raises(PellucidError, match="no year '2010'; there are VOC2007, VOC2012"):
        open_dataset(tmp_path, year=2010)


def test_flat_folders(tmp_path: Path) -> None:
    for split, stems in (("train", ("a", "b")), ("valid", ("c",)), ("test", ("d",))):
        for stem in stems:
            put(tmp_path / f"roboflow/{split}/{stem}.xml", annotation(object_text(stem)))
            photo(tmp_path / f"roboflow/{split}/{stem}.jpg")
    assert FORMAT.splits(tmp_path / "roboflow", {}) == ["train", "valid", "test"]
    data = open_dataset(tmp_path / "roboflow", "val")
    assert (list(data.names), data.classes.names) == (["c.jpg"], ("a", "b", "c", "d"))
    alone = open_dataset(tmp_path / "roboflow/train")
    assert (list(alone.names), alone.split) == (["a.jpg", "b.jpg"], None)
    put(tmp_path / "kaggle/annotations/x.xml", annotation(object_text()))
    photo(tmp_path / "kaggle/images/x.png")
    assert open_dataset(tmp_path / "kaggle")[0].path == tmp_path / "kaggle/images/x.png"


@pytest.mark.parametrize(
    ("filename", "image", "name"),
    [
        ("other.jpg", "a.jpg", "a.jpg"),
        ("a", "a.jpg", "a.jpg"),
        ("", "a.PNG", "a.PNG"),
        ("other.jpg", "other.jpg", "other.jpg"),
        ("other", "other.jpeg", "other.jpeg"),
    ],
)
def test_the_image_is_found_by_the_xml_files_name_then_by_its_word(
    tmp_path: Path, filename: str, image: str, name: str
) -> None:
    put(tmp_path / "Annotations/a.xml", annotation(object_text(), filename=filename))
    photo(tmp_path / "JPEGImages" / image)
    data = open_dataset(tmp_path)
    assert data.names[0] == name
    assert data[0].image.shape == (3, 10, 20)


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    photo(tmp_path / "secret.jpg")
    put(tmp_path / "secret.xml", annotation(object_text("secret")))
    root = tmp_path / "set"
    names = ["a", "../secret", "../../secret", str(tmp_path / "secret"), "..\\secret", "x\0y", "C:/secret"]
    devkit(root, a=annotation(object_text()), b=annotation(filename="../../secret.jpg"))
    put(root / "ImageSets/Main/train.txt", "\n".join([*names, "b"]))
    (root / "JPEGImages/b.jpg").unlink()
    data = open_dataset(root)
    assert list(data.names) == ["a.jpg"]
    assert data.defects.count("outside folder") == len(names)
    assert data.defects.count("missing image") == 1
    assert "secret" not in data.classes.names


def test_what_is_missing(tmp_path: Path) -> None:
    devkit(tmp_path, a=annotation(object_text()), b=annotation(object_text()))
    put(tmp_path / "ImageSets/Main/train.txt", "a\nb\na\nno_xml\n")
    photo(tmp_path / "JPEGImages/no_xml.jpg")
    (tmp_path / "JPEGImages/b.jpg").unlink()
    data = open_dataset(tmp_path)
    assert list(data.names) == ["a.jpg"]
    assert sorted(d.kind for d in data.defects) == ["duplicate image", "missing annotation", "missing image"]
    assert {d.action for d in data.defects} == {"dropped"}
    (tmp_path / "JPEGImages/a.jpg").unlink()
    alone = open_dataset(tmp_path)
    assert list(alone.names) == ["a.jpg", "b.jpg"]
    assert alone.defects.count("missing image") == 0
    assert boxes(alone, 1) == [[1, 2, 5, 7]]
    with pytest.raises(PellucidError, match=r"b\.jpg"):
        _ = alone[1].image


def test_a_split_without_any_annotation_is_one_of_images(tmp_path: Path) -> None:
    devkit(tmp_path, a=annotation(object_text()))
    photo(tmp_path / "JPEGImages/t.jpg")
    put(tmp_path / "ImageSets/Main/test.txt", "t")
    data = open_dataset(tmp_path, "test")
    assert (len(data), data.holds, len(data.defects)) == (1, frozenset(), 0)
    assert data[0].annotations.instances is None
    assert data[0].annotations.size == (10, 20)


DEEP = "<annotation>" + "<a>" * 200_000 + "</a>" * 200_000 + "</annotation>"
BOMB = '<!DOCTYPE a [<!ENTITY a "x"><!ENTITY b "&a;&a;">]>' + annotation(object_text("&b;"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"", "unreadable"),
        (annotation(object_text())[:-20], "unreadable"),
        (bytes(range(256)) * 40, "unreadable"),
        (BOMB, "unreadable"),
        ('<!DOCTYPE annotation SYSTEM "file:///etc/passwd">' + annotation(), "unreadable"),
        ('<?xml version="1.0" encoding="no-such"?>' + annotation(), "unreadable"),
        ('<?xml version="1.0" encoding="utf-7"?>' + annotation(), "unreadable"),
        ('<?xml version="1.0" encoding="zlib"?>' + annotation(), "unreadable"),
        (BOMB.encode("utf-16"), "unreadable"),
        (annotation(object_text("caf\xe9")).encode("latin-1"), "unreadable"),
        (annotation(object_text("a\0b")), "unreadable"),
        ("<html><object/></html>", "malformed"),
        ("<a>" * 200_000, "malformed"),
    ],
)
def test_files_that_cannot_be_read_are_dropped(tmp_path: Path, text: str | bytes, kind: str) -> None:
    data = open_dataset(devkit(tmp_path, a=annotation(object_text()), b=text))
    assert list(data.names) == ["a.jpg"]
    assert [(d.kind, Path(d.file).name, d.action) for d in data.defects] == [(kind, "b.xml", "dropped")]
    assert "\n" not in str(next(iter(data.defects)))
    with pytest.raises(PellucidError, match=r"b\.xml"):
        open_dataset(tmp_path, strict=True)


def test_other_encodings_and_depths_are_fine(tmp_path: Path) -> None:
    latin = '<?xml version="1.0" encoding="latin-1"?>' + annotation(object_text("caf\xe9"))
    data = open_dataset(
        devkit(
            tmp_path,
            a=latin.encode("latin-1"),
            b=annotation(object_text("caf\xe9")).encode("utf-16"),
            c=b"\xef\xbb\xbf" + annotation(object_text("caf\xe9")).encode(),
            d=DEEP,
        )
    )
    assert len(data) == 4
    assert data.classes.names == ("caf\xe9",)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e400", "9" * 5000, "", "abc", "1_0", "0x10", "\u0663,5"])
def test_coordinates_that_are_no_numbers(tmp_path: Path, bad: str) -> None:
    text = annotation(object_text(box=(1, 1, bad, 5)), object_text())
    data = open_dataset(devkit(tmp_path, a=text))
    assert boxes(data) == [[1, 2, 5, 7]]
    assert data.defects.count("not a number") == 1


def test_objects_that_lack_something(tmp_path: Path) -> None:
    lacking = "<object><bndbox/></object><object><name>cat</name></object><object/>"
    one_side = "<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>"
    data = open_dataset(devkit(tmp_path, a=annotation(lacking, one_side, object_text(box=(5, 5, 2, 2)), object_text())))
    assert boxes(data) == [[1, 2, 5, 7]]
    assert [(d.kind, d.item) for d in data.defects] == [
        ("missing key", "object 1"),
        ("missing key", "object 2 (cat)"),
        ("missing key", "object 3"),
        ("not a number", "object 4 (cat)"),
        ("negative size", "object 5 (cat)"),
    ]


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (None, "missing key"),
        ((0, 0), "missing key"),
        ((-20, 10), "malformed"),
        (("wide", 10), "malformed"),
        (("nan", "inf"), "malformed"),
        ((1e9, 10), "malformed"),
        (("9" * 5000, 10), "malformed"),
        ((20.5, 10), "malformed"),
    ],
)
def test_sizes_that_are_wrong_are_taken_from_the_image(
    tmp_path: Path, size: tuple[object, object] | None, kind: str
) -> None:
    data = open_dataset(devkit(tmp_path, a=annotation(object_text(box=(1, 1, 400, 10)), size=size)))
    assert data[0].annotations.size == (10, 20)
    assert boxes(data) == [[0, 0, 20, 10]]
    assert [(d.kind, d.action) for d in data.defects] == [(kind, "mended"), ("box outside", "clipped")]


def test_things_that_are_no_files(tmp_path: Path) -> None:
    devkit(tmp_path, a=annotation(object_text()), b=annotation(object_text()))
    (tmp_path / "Annotations/b.xml").unlink()
    (tmp_path / "Annotations/b.xml").mkdir()
    os.mkfifo(tmp_path / "Annotations/c.xml")
    (tmp_path / "Annotations/d.xml").symlink_to("nowhere.xml")
    put(tmp_path / "ImageSets/Main/train.txt", "a\nb\nc\nd")
    (tmp_path / "ImageSets/Main/val.txt").mkdir()
    data = open_dataset(tmp_path, "train")
    assert len(data) == 1
    assert data.defects.count("unreadable") == 3
    with pytest.raises(PellucidError, match="no regular file"):
        open_dataset(tmp_path, "val")
    for path in (tmp_path / "ImageSets", put(tmp_path / "file.xml", annotation())):
        with pytest.raises(PellucidError, match="no VOC data set"):
            open_dataset(f"voc:{path}")


def test_an_unknown_split_of_the_reader_itself(tmp_path: Path) -> None:
    with pytest.raises(PellucidError, match="no split is called"):
        FORMAT.read(devkit(tmp_path, a=annotation()), "vall", Defects(), {})


def test_many_objects_in_a_file(tmp_path: Path) -> None:
    data = open_dataset(devkit(tmp_path, a=annotation(*[object_text()] * 30_000)))
    assert len(boxes(data)) == 30_000


def segmented(root: Path, classes: NDArray[np.uint8], objects: NDArray[np.uint8], mode: str = "P") -> Path:
    devkit(root, a=annotation(object_text("person"), object_text("aeroplane")))
    for folder, values in (("SegmentationClass", classes), ("SegmentationObject", objects)):
        (root / folder).mkdir()
        image = Image.fromarray(values)
        if mode == "RGB":
            image = Image.fromarray(palette()[values])
        elif mode == "P":
            image.putpalette(bytes(range(256)) * 3)  # colours that mean nothing: only indices count
        image.save(root / folder / "a.png")
    return root


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_segmentations(tmp_path: Path, mode: str) -> None:
    classes = np.zeros((10, 20), np.uint8)
    classes[2:5, 2:6], classes[6:, 3:], classes[5] = 15, 1, 255
    classes[0, 0] = 40
    objects = np.zeros((10, 20), np.uint8)
    objects[2:5, 2:6], objects[6:, 3:], objects[5] = 1, 2, 255
    data = open_dataset(segmented(tmp_path, classes, objects, mode))
    assert data.holds == {"boxes", "masks", "semantic"}
    assert data.classes.names == (*VOC_NAMES, "background")
    assert data.classes.things == (True,) * 20 + (False,)
    said = data[0].annotations
    assert said.semantic is not None
    assert said.semantic.dtype == torch.int64
    assert said.semantic[3, 3] == VOC_NAMES.index("person")
    assert said.semantic[8, 8] == VOC_NAMES.index("aeroplane")
    assert (said.semantic[0, 0], said.semantic[5, 0], said.semantic[1, 1]) == (255, 255, 20)
    assert said.instances is not None
    assert said.instances.masks is not None
    assert said.instances.masks.to_bool().equal(torch.from_numpy(np.stack((objects == 1, objects == 2))))


def test_segmentations_of_some_images(tmp_path: Path) -> None:
    maps = np.zeros((10, 20), np.uint8)
    segmented(tmp_path, maps, maps)
    put(tmp_path / "Annotations/b.xml", annotation())
    photo(tmp_path / "JPEGImages/b.jpg")
    put(tmp_path / "ImageSets/Main/train.txt", "a\nb")
    assert open_dataset(tmp_path).holds == {"boxes"}
    put(tmp_path / "ImageSets/Segmentation/val.txt", "b\na")
    data = open_dataset(tmp_path, "val", kind="segmentation")
    assert (data.holds, list(data.names)) == ({"boxes", "masks", "semantic"}, ["a.jpg"])
    assert data.defects.count("missing annotation") == 1
    with pytest.raises(PellucidError, match="did you mean 'segmentation'"):
        open_dataset(tmp_path, kind="segmentatoin")


def test_maps_alone(tmp_path: Path) -> None:
    photo(tmp_path / "JPEGImages/a.jpg")
    (tmp_path / "SegmentationClass").mkdir()
    Image.fromarray(np.full((10, 20), 3, np.uint8)).save(tmp_path / "SegmentationClass/a.png")
    put(tmp_path / "ImageSets/Segmentation/train.txt", "a")
    put(tmp_path / "classes.txt", "_background_\nwall\nroof\ndoor")
    data = open_dataset(tmp_path)
    assert data.holds == {"semantic"}
    assert data.classes.names == ("_background_", "wall", "roof", "door")
    assert data[0].annotations.semantic.unique().tolist() == [3]  # type: ignore[union-attr]


def test_maps_without_images(tmp_path: Path) -> None:
    (tmp_path / "SegmentationClass").mkdir()
    Image.fromarray(np.full((10, 20), 3, np.uint8)).save(tmp_path / "SegmentationClass/a.png")
    put(tmp_path / "ImageSets/Segmentation/train.txt", "a\nb")
    data = open_dataset(tmp_path)
    assert list(data.names) == ["a.jpg"]
    assert data.defects.count("missing image") == 1
    assert data[0].annotations.semantic.shape == (10, 20)  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", ["size", "mode", "text", "gone"])
def test_segmentations_that_cannot_be_read_say_which_file(tmp_path: Path, damage: str) -> None:
    maps = np.zeros((10, 20), np.uint8)
    data = open_dataset(segmented(tmp_path, maps, maps))
    path = tmp_path / "SegmentationClass/a.png"
    if damage == "size":
        Image.new("P", (10, 20)).save(path)
    elif damage == "mode":
        Image.new("1", (20, 10)).save(path)
    elif damage == "text":
        path.write_text("no image")
    else:
        path.unlink()
    with pytest.raises(PellucidError, match=r"SegmentationClass/a\.png: [^\n]+$"):
        _ = data[0].annotations


def test_vocs_palette() -> None:
    # The development kit's colours of background, aeroplane, bicycle, person, tvmonitor and void.
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {at: tuple(palette()[at].tolist()) for at in known} == known
    assert len(np.unique(palette(), axis=0)) == 256


finite = st.floats(0, 1, width=32)
names = st.text(min_size=1, max_size=12)
file_names = st.text(alphabet="aZ0é字 ._-()%&'", max_size=12)


@st.composite
def data_sets(draw: st.DrawFn) -> Samples:
    """Small data sets with all that VOC holds."""
    holds = {"boxes"} | set(draw(st.sets(st.sampled_from(["masks", "semantic"]))))
    unique = draw(st.lists(names, min_size=1, max_size=4, unique_by=plain))
    unique += ["background"] if "semantic" in holds and "background" not in unique else []
    classes = Classes(tuple(unique))
    samples = []
    for at in range(draw(st.integers(0, 3))):
        H, W = draw(st.integers(1, 30)), draw(st.integers(1, 30))
        n = draw(st.integers(0, 4))
        corners = torch.tensor(draw(st.lists(finite, min_size=4 * n, max_size=4 * n))).reshape(n, 4)
        low, high = torch.minimum(corners[:, :2], corners[:, 2:]), torch.maximum(corners[:, :2], corners[:, 2:])
        high = torch.maximum(high, low + 0.01).clamp(max=1)
        low = torch.minimum(low, high - 0.01)
        box = torch.cat((low, high), 1) * torch.tensor((W, H, W, H))
        seed = torch.Generator().manual_seed(draw(st.integers(0, 999)))
        flags = {name: torch.rand(n, generator=seed) < 0.3 for name in FLAGS}
        owner = torch.randint(0, n + 1, (H, W), generator=seed)
        masks = Masks.from_bool(torch.stack([owner == k for k in range(n)])) if n else Masks.empty((H, W))
        instances = Instances(
            box,
            torch.randint(0, len(classes), (n,), generator=seed),
            scores=torch.rand(n, generator=seed),
            masks=masks if "masks" in holds else None,
            **flags,
        )
        semantic = torch.randint(0, len(classes) + 1, (H, W), generator=seed)
        semantic[semantic == len(classes)] = 255
        image = torch.randint(0, 256, (3, H, W), generator=seed).byte()
        said = Annotations((H, W), classes, instances=instances, semantic=semantic if "semantic" in holds else None)
        samples.append(Sample("d/x" + draw(file_names) + str(at), image, said))
    return Samples(samples, classes, holds)  # type: ignore[arg-type]


@given(data=data_sets())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read_again(data: Samples) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root, calls = Path(folder), []
        store = ImageStore()
        FORMAT.write(data, root, "train", store, {}, lambda *done: calls.append(done))  # type: ignore[misc]
        assert calls == [(i + 1, len(data)) for i in range(len(data))]
        again = open_dataset(f"voc:{root}", "train")
        assert len(again) == len(data)
        assert [d for d in again.defects if d.kind != "zero area"] == []
        for old, new in zip(data, again, strict=True):
            assert old.image.equal(new.image)
            compare(old.annotations, new.annotations)


def compare(old: Annotations, new: Annotations) -> None:
    assert old.size == new.size
    assert old.instances is not None
    assert new.instances is not None
    assert len(old.instances) == len(new.instances)
    assert torch.allclose(old.instances.boxes, new.instances.boxes, atol=1e-3, rtol=0)
    assert old.instances.labels.equal(new.instances.labels)
    for name in FLAGS:
        assert getattr(old.instances, name).equal(getattr(new.instances, name)), name
    if len(old.instances):
        assert old.instances.scores.equal(new.instances.scores)  # type: ignore[union-attr, arg-type]
        if old.instances.masks is not None:
            assert old.instances.masks.to_bool().equal(new.instances.masks.to_bool())  # type: ignore[union-attr]
    if old.semantic is not None:
        assert old.semantic.equal(new.semantic)  # type: ignore[arg-type]


def some(n: int, classes: Classes, masks: Masks | None = None, **fields: object) -> Annotations:
    instances = Instances(torch.tensor([[1.0, 2, 5, 6]]).repeat(n, 1), torch.zeros(n, dtype=torch.int64), masks=masks)
    return Annotations((10, 20), classes, instances=instances, **fields)  # type: ignore[arg-type]


def test_later_masks_lie_on_top_and_too_many_are_left_out(tmp_path: Path) -> None:
    classes = Classes(("cell",))
    pixels = np.zeros((260, 10, 20), bool)
    pixels[:, 0, 0] = True
    said = some(260, classes, Masks.from_bool(pixels))
    data = Samples([Sample("a.png", torch.zeros((3, 10, 20), dtype=torch.uint8), said)], classes, ["boxes", "masks"])
    with pytest.warns(DataWarning, match="6 masks were left out"):
        FORMAT.write(data, tmp_path, "train", ImageStore(), {}, None)  # type: ignore[misc]
    masks = open_dataset(tmp_path)[0].annotations.instances.masks.to_bool()  # type: ignore[union-attr]
    assert masks.nonzero().tolist() == [[253, 0, 0]]


def test_too_many_classes_for_a_map(tmp_path: Path) -> None:
    for count, fits in ((254, True), (255, False)):
        classes = Classes.unnamed(count)
        said = some(0, classes, semantic=torch.full((10, 20), 253))
        data = Samples([Sample("a", torch.zeros((3, 10, 20), dtype=torch.uint8), said)], classes, ["semantic"])
        if fits:
            FORMAT.write(data, tmp_path, "train", ImageStore(), {}, None)  # type: ignore[misc]
            assert open_dataset(tmp_path)[0].annotations.semantic.unique().tolist() == [253]  # type: ignore[union-attr]
        else:
            with pytest.raises(PellucidError, match="255 classes does not fit"):
                FORMAT.write(data, tmp_path, "train", ImageStore(), {}, None)  # type: ignore[misc]


@real_data
def test_bccd_written_and_read_again_is_the_same(tmp_path: Path) -> None:
    old = open_dataset(BCCD, "val")[:20]
    FORMAT.write(old, tmp_path, "val", ImageStore("link"), {}, None)  # type: ignore[misc]
    new = open_dataset(tmp_path, "val")
    assert (list(new.names), new.classes.names) == (list(old.names), old.classes.names)
    for a, b in zip(old, new, strict=True):
        assert a.annotations.instances.boxes.equal(b.annotations.instances.boxes)  # type: ignore[union-attr]
        assert a.annotations.instances.truncated.equal(b.annotations.instances.truncated)  # type: ignore[union-attr]
    first = (tmp_path / f"Annotations/{Path(old.names[0]).stem}.xml").read_text()
    assert "<xmin>260</xmin>" in first or "." not in first.split("<bndbox>", 1)[1].split("</annotation>")[0]


VALID = annotation(object_text("cat", more="<truncated>1</truncated>"), object_text("dog"), filename="a.jpg").encode()


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_whatever_the_bytes_nothing_but_our_error_is_raised(data: st.DataObject) -> None:
    text = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 30))
        text[at : at + length] = data.draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b"<object>", b"</object>", b"<name>", b"&#0;", b"1e999"]))
        )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = devkit(Path(folder), a=bytes(text), b=VALID)
        dataset = open_dataset(f"voc:{root}", "train")
        assert "b.jpg" in dataset.names
        for sample in dataset:
            assert sample.annotations.instances is not None


@given(text=st.binary(max_size=60), classes=st.binary(max_size=30))
@settings(deadline=None, max_examples=60)
def test_whatever_the_lists(text: bytes, classes: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = devkit(Path(folder), a=VALID)
        put(root / "ImageSets/Main/train.txt", text)
        put(root / "classes.txt", classes)
        with contextlib.suppress(PellucidError):
            assert set(open_dataset(f"voc:{root}", "train").names) <= {"a.jpg"}


def predictions(data: Dataset) -> list[Annotations]:
    made = []
    for at in range(len(data)):
        n = at % 3
        instances = Instances(
            torch.tensor([[0.0, 1.25, 7.5, 9]]).repeat(n, 1) + at,
            torch.arange(n) % len(data.classes),
            scores=torch.rand(n, generator=torch.Generator().manual_seed(at)),
        )
        made.append(Annotations(data.size(at), data.classes, instances=instances))
    return made


def results_set(tmp_path: Path) -> Dataset:
    stems = {f"img {i}": annotation(object_text("cat"), size=(90, 80)) for i in range(5)}
    devkit(tmp_path, **stems)
    return open_dataset(tmp_path)


def test_results_are_written_as_the_challenge_takes_them_and_read_again(tmp_path: Path) -> None:
    data = results_set(tmp_path / "set")
    said = predictions(data)
    paths = write_results(said, data, tmp_path / "out")
    assert len(paths) == 20
    assert paths[0].name == "comp4_det_train_aeroplane.txt"
    first = paths[0].read_text().splitlines()[0].rsplit(" ", 5)
    assert first[0] == "img 1"
    assert first[2:] == ["2", "3.25", "8.5", "10"]
    for where in (tmp_path / "out", paths):
        again = read_results(where, data)
        for old, new in zip(said, again, strict=True):
            assert old.instances.boxes.allclose(new.instances.boxes, atol=1e-4)  # type: ignore[union-attr]
            assert old.instances.labels.equal(new.instances.labels)  # type: ignore[union-attr]
            assert old.instances.scores.equal(new.instances.scores)  # type: ignore[union-attr, arg-type]
            assert new.size == (80, 90)


@pytest.mark.parametrize(
    ("name", "line", "match"),
    [
        ("comp4_det_train_cat.txt", "img 9 0.5 1 1 2 2", r"cat\.txt: line 2: no image is called 'img 9'; did you mean"),
        ("comp4_det_train_cat.txt", "img 1 nan 1 1 2 2", r"cat\.txt: line 2: .*no number"),
        ("comp4_det_train_cat.txt", "img 1 0.5 1 1 2 1e400", r"cat\.txt: line 2: .*no number"),
        ("comp4_det_train_cat.txt", "0.5 1 1 2 2", r"cat\.txt: line 2: 5 parts"),
        ("comp4_det_train_catt.txt", "img 1 0.5 1 1 2 2", "no class is called 'catt'; did you mean 'cat'"),
    ],
)
def test_results_that_are_wrong_name_file_and_line(tmp_path: Path, name: str, line: str, match: str) -> None:
    data = results_set(tmp_path / "set")
    path = put(tmp_path / name, f"img 1 0.5 1 1 2 2\n{line}\n")
    for where in (path, tmp_path, [path]):
        with pytest.raises(PellucidError, match=match):
            read_results(where, data)


def test_results_of_the_wrong_form(tmp_path: Path) -> None:
    data = results_set(tmp_path / "set")
    with pytest.raises(PellucidError, match="1 predictions for 5 images"):
        write_results(predictions(data)[:1], data, tmp_path / "out")
    unscored = [some(1, data.classes)] * 5
    with pytest.raises(PellucidError, match="no scores"):
        write_results(unscored, data, tmp_path / "out")
    with pytest.raises(PellucidError, match="holds no results of 'train'"):
        read_results(tmp_path, data)
    write_results(predictions(data), data, tmp_path / "out")
    write_results(predictions(data), data, tmp_path / "out", challenge="comp3")
    with pytest.raises(PellucidError, match="results of comp3, comp4"):
        read_results(tmp_path / "out", data)
