"""Open Images: its tables, its hierarchy and masks, what is wrong with them, and what is written and read again."""

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pellucid.data import tables
from pellucid.data.dataset import Dataset, Samples
from pellucid.data.images import ImageStore
from pellucid.data.markup_writing import plain
from pellucid.data.openimages.format import FORMAT
from pellucid.data.opening import open_dataset
from pellucid.errors import PellucidError
from pellucid.structures import FLAGS, Annotations, Classes, Instances, Masks, Sample

pytestmark = pytest.mark.filterwarnings("ignore::pellucid.data.defects.DataWarning")

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
MASK_HEADER = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
CLASSES = '/m/01,Cat\n/m/02,"Dog, big"\n/m/03,Animal\n'
HELD = ("occluded", "truncated", "group_of", "depiction", "inside")


def put(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def photo(path: Path, size: tuple[int, int] = (40, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def release(root: Path, *rows: str, name: str = "validation-annotations-bbox.csv", images: str = "ab") -> Path:
    put(root / name, "\n".join((HEADER, *rows)) + "\n")
    put(root / "class-descriptions-boxable.csv", CLASSES)
    for image in images:
        photo(root / f"validation/{image}.jpg")
    return root


def boxes(dataset: Dataset, at: int = 0) -> list[list[float]]:
    found = dataset[at].annotations.instances
    assert found is not None
    return found.boxes.tolist()


def test_boxes_and_flags(tmp_path: Path) -> None:
    rows = (
        "b,xclick,/m/02,1,0.25,0.75,0.1,1,0,1,0,0,0",
        "a,xclick,/m/01,1,0,1,0,0.5,1,0,0,1,-1",
        "b,activemil,/m/01,1,0.5,1,0.5,0.75,-1,-1,1,-1,1",
    )
    data = open_dataset(release(tmp_path, *rows))
    assert (data.format, data.split) == ("openimages", "validation")
    assert data.classes.names == ("Cat", "Dog, big", "Animal")
    assert data.classes.index("/m/02") == 1
    assert list(data.names) == ["b.jpg", "a.jpg"]
    assert boxes(data) == [[10, 2, 30, 20], [20, 10, 40, 15]]
    assert boxes(data, 1) == [[0, 0, 40, 10]]
    found = data[0].annotations.instances
    assert found is not None
    assert found.labels.tolist() == [1, 0]
    assert found.scores is None
    flags = {name: getattr(found, name).tolist() for name in FLAGS}
    expected = {"truncated": [1, 0], "group_of": [0, 1], "inside": [0, 1]}
    assert flags == {name: [bool(v) for v in expected.get(name, [0, 0])] for name in FLAGS}
    assert (data[0].id, len(data.defects)) == ("b", 0)


@pytest.mark.parametrize(
    "name",
    [
        "oidv6-validation-annotations-bbox.csv",
        "challenge-2019-validation-detection-bbox.csv",
        "csv/validation-annotations-bbox.csv",
    ],
)
def test_the_releases_names(tmp_path: Path, name: str) -> None:
    release(tmp_path, "a,x,/m/01,1,0,1,0,1,0,0,0,0,0", name=name, images="a")
    (tmp_path / "class-descriptions-boxable.csv").unlink()
    put(tmp_path / "oidv7-class-descriptions-boxable.csv", "LabelName,DisplayName\n" + CLASSES)
    put(tmp_path / "class-descriptions.csv", "/m/09,Other\n")
    data = open_dataset(tmp_path)
    assert (data.classes.names, boxes(data)) == (("Cat", "Dog, big", "Animal"), [[0, 0, 40, 20]])


def test_columns_are_found_by_name_and_flags_may_be_missing(tmp_path: Path) -> None:
    release(tmp_path, images="a")
    put(tmp_path / "validation-annotations-bbox.csv", "YMax,YMin,XMax,XMin,LabelName,ImageID\n1,.5,1,0,/m/01,a\n")
    data = open_dataset(tmp_path)
    assert boxes(data) == [[0, 10, 40, 20]]
    put(tmp_path / "validation-annotations-bbox.csv", "ImageID,LabelName,XMin\na,/m/01,1\n")
    with pytest.raises(PellucidError, match=r"bbox\.csv: has no column 'YMin'; did you mean 'xmin'"):
        open_dataset(tmp_path)


def test_classes_without_descriptions_are_those_of_all_splits(tmp_path: Path) -> None:
    release(tmp_path, "a,x,/m/02,1,0,1,0,1,0,0,0,0,0", images="a")
    put(tmp_path / "train-annotations-bbox.csv", f"{HEADER}\nz,x,/m/01,1,0,1,0,1,0,0,0,0,0\n")
    (tmp_path / "class-descriptions-boxable.csv").unlink()
    data = open_dataset(tmp_path, "val")
    assert data.classes.names == ("/m/01", "/m/02")
    assert FORMAT.splits(tmp_path, {}) == ["train", "validation"]
    put(tmp_path / "my.csv", "/m/02,Dog\n/m/01,Dog\n")
    assert open_dataset(tmp_path, "val", classes="my.csv").classes.names == ("Dog (/m/02)", "Dog (/m/01)")
    for bad in ("../my.csv", "none.csv"):
        with pytest.raises(PellucidError, match="classes="):
            open_dataset(tmp_path, "val", classes=bad)


def test_labels_that_a_person_verified(tmp_path: Path) -> None:
    release(tmp_path, "a,x,/m/01,1,0,1,0,1,0,0,0,0,0")
    rows = "a,verification,/m/01,1\na,verification,/m/02,0\nb,machine,/m/02,0.7\nb,verification,/m/03,1\nb,x,/m/99,1\n"
    put(tmp_path / "validation-annotations-human-imagelabels.csv", "ImageID,Source,LabelName,Confidence\n" + rows)
    data = open_dataset(tmp_path)
    assert data.holds == {"boxes", "labels"}
    assert [(s.annotations.present, s.annotations.absent) for s in data] == [((0,), (1,)), ((2,), ())]
    assert [d.kind for d in data.defects] == ["unknown class"]
    (tmp_path / "validation-annotations-bbox.csv").unlink()
    alone = open_dataset(tmp_path)
    assert alone.holds == {"labels"}
    assert alone[1].annotations.present == (2,)


def test_the_hierarchy(tmp_path: Path) -> None:
    release(tmp_path, "a,x,/m/01,1,0,1,0,1,0,0,0,0,0", images="a")
    kinds = [{"LabelName": "/m/01", "Part": [{"LabelName": "/m/02"}]}, {"LabelName": "/m/02"}, "bad"]
    tree = {"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/03", "Subcategory": kinds}]}
    path = put(tmp_path / "bbox_labels_600_hierarchy.json", json.dumps(tree))
    data = open_dataset(tmp_path)
    assert data.classes.parents == ((2,), (2,), ())
    assert [d.kind for d in data.defects] == ["malformed"]
    for bad in ("{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "[]", '{"Subcategory": 3, "LabelName": []}', "\xff\0"):
        put(path, bad)
        assert not any(open_dataset(tmp_path).classes.parents)


def test_sizes_from_a_table(tmp_path: Path) -> None:
    rows = ("a,x,/m/01,1,0,0.5,0,1,0,0,0,0,0", "b,x,/m/01,1,0,1,0,1,0,0,0,0,0")
    release(tmp_path, *rows, images="")
    with pytest.raises(PellucidError, match=r"sizes=FILE\.csv"):
        open_dataset(tmp_path)
    put(tmp_path / "sizes.csv", "ImageID,Width,Height\na,100,50\nc,7,8\nd,0,5\ne,nan,5\nf,1e400,5\n")
    data = open_dataset(tmp_path, sizes="sizes.csv")
    assert list(data.names) == ["a.jpg", "c.jpg"]
    assert boxes(data) == [[0, 0, 50, 50]]
    assert boxes(data, 1) == []
    assert data.defects.count("missing image") == 1
    assert data.defects.count("malformed") == 3


def test_images_that_are_missing_are_dropped(tmp_path: Path) -> None:
    rows = [
        f"{image},x,/m/01,1,0,1,0,1,0,0,0,0,0" for image in ("a", "q", "../a", "/etc/x", "b", "q", "", "C:x", "a\0")
    ]
    release(tmp_path, *rows, images="abc")
    photo(tmp_path / "a.jpg")
    data = open_dataset(tmp_path)
    assert list(data.names) == ["a.jpg", "b.jpg"]
    kinds = {kind: data.defects.count(kind) for kind in ("missing image", "outside folder", "missing annotation")}
    assert kinds == {"missing image": 1, "outside folder": 5, "missing annotation": 1}
    (tmp_path / "validation/b.jpg").write_bytes(b"no image")
    assert open_dataset(tmp_path).defects.count("damaged image") == 1


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a,x,/m/01,1,nan,1,0,1,0,0,0,0,0", "not a number"),
        ("a,x,/m/01,1,0,inf,0,1,0,0,0,0,0", "not a number"),
        ("a,x,/m/01,1,0,1e400,0,1,0,0,0,0,0", "not a number"),
        (f"a,x,/m/01,1,0,{'9' * 5000},0,1,0,0,0,0,0", "not a number"),
        ("a,x,/m/01,1,,1,0,1,0,0,0,0,0", "not a number"),
        ("a,x,/m/01,1,cat,1,0,1,0,0,0,0,0", "not a number"),
        ("a,x,/m/01,1,0.5,0.4,0,1,0,0,0,0,0", "negative size"),
        ("a,x,/m/01,1,0.5,0.5,0,1,0,0,0,0,0", "zero area"),
        ("a,x,/m/01,1,0.5,1.5,0,1,0,0,0,0,0", "box outside"),
        ("a,x,/m/77,1,0,1,0,1,0,0,0,0,0", "unknown class"),
        ("a,x,,1,0,1,0,1,0,0,0,0,0", "unknown class"),
        ("a,x,/m/01", "malformed"),
    ],
)
def test_rows_that_are_wrong(tmp_path: Path, row: str, kind: str) -> None:
    good = "a,x,/m/02,1,0,1,0,1,0,0,0,0,0"
    data = open_dataset(release(tmp_path, good, row, good, images="a"))
    assert boxes(data)[0] == boxes(data)[-1] == [0, 0, 40, 20]
    assert len(boxes(data)) == (3 if kind == "box outside" else 2)
    assert [(d.kind, d.item.split(" (")[0].split(", ")[-1]) for d in data.defects] == [(kind, "line 3")]


def test_a_stray_quote_costs_what_it_swallows_and_no_more(tmp_path: Path) -> None:
    good = "a,x,/m/02,1,0,1,0,1,0,0,0,0,0"
    data = open_dataset(release(tmp_path, good, f'"{good}', *[good] * 9000, images="a"))
    assert data.defects.count("malformed") >= 1
    assert 1 <= len(boxes(data)) < 9000


def test_rows_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PIECE", 3)
    rows = [f"{'ab'[at % 2]},x,/m/01,1,0,{(at + 1) / 40},0,1,0,0,0,0,0" for at in range(10)]
    rows[4] = "b,x"
    data = open_dataset(release(tmp_path, *rows))
    assert [box[2] for box in boxes(data)] == pytest.approx([1, 3, 7, 9])
    assert [box[2] for box in boxes(data, 1)] == pytest.approx([2, 4, 6, 8, 10])
    assert data.defects.of("malformed")[0].item == "line 6"


def masked(tmp_path: Path, *rows: str) -> Path:
    release(tmp_path, "a,x,/m/01,1,0,0.5,0,1,0,0,0,0,0", "a,x,/m/01,1,0.5,1,0,1,0,0,0,0,0", images="a")
    put(tmp_path / "validation-annotations-object-segmentation.csv", "\n".join((MASK_HEADER, *rows)) + "\n")
    pixels = np.zeros((10, 20), bool)
    pixels[5:, 10:] = True
    (tmp_path / "validation-masks").mkdir()
    Image.fromarray(pixels).save(tmp_path / "validation-masks/m.png")
    return tmp_path


def test_masks_are_resized_and_belong_to_the_nearest_box(tmp_path: Path) -> None:
    data = open_dataset(masked(tmp_path, "m.png,a,/m/01,x,0.500400,0.999500,0.000000,0.999531,0.8,"))
    assert data.holds == {"boxes", "masks"}
    masks = data[0].annotations.instances.masks  # type: ignore[union-attr]
    assert masks is not None
    expected = torch.zeros((2, 20, 40), dtype=torch.bool)
    expected[1, 10:, 20:] = True
    assert masks.to_bool().equal(expected)
    (tmp_path / "validation-annotations-bbox.csv").unlink()
    alone = open_dataset(tmp_path)
    assert boxes(alone)[0] == pytest.approx([20.016, 0, 39.98, 19.99062])


def test_masks_that_are_wrong(tmp_path: Path) -> None:
    row = "m.png,a,/m/01,x,0.5,1,0,1,0.8,"
    others = (
        "m.png,a,/m/02,x,0.5,1,0,1,0.8,",
        "m.png,a,/m/01,x,0.3,1,0,1,0.8,",
        "m.png,a,/m/01,x,nan,1,0,1,0.8,",
        "m.png,q,/m/01,x,0.5,1,0,1,0.8,",
        "../m.png,a,/m/01,x,0,0.5,0,1,0.8,",
    )
    data = open_dataset(masked(tmp_path, row, row, *others))
    kinds = {kind: data.defects.count(kind) for kind in ("bad mask", "unknown image", "outside folder")}
    assert kinds == {"bad mask": 4, "unknown image": 1, "outside folder": 1}
    (tmp_path / "validation-masks/m.png").write_text("no image")
    with pytest.raises(PellucidError, match=r"m\.png: is text"):
        _ = data[0].annotations
    (tmp_path / "validation-masks/m.png").unlink()
    with pytest.raises(PellucidError, match=r"segmentation\.csv: m\.png: no such mask"):
        _ = open_dataset(tmp_path)[0].annotations


names = st.text(min_size=1, max_size=8)


@st.composite
def data_sets(draw: st.DrawFn) -> Samples:
    """Small data sets with all that Open Images holds."""
    chosen = draw(st.sets(st.sampled_from(["boxes", "labels", "masks"]), min_size=1))
    holds = chosen | ({"boxes"} if "masks" in chosen else set())
    unique = draw(st.lists(names, min_size=1, max_size=4, unique_by=plain))
    K = len(unique)
    mids = [f"/m/{at}" for at in range(K)] if draw(st.booleans()) else []
    parents = (
        tuple(tuple(draw(st.sets(st.integers(0, K - 1).filter(lambda p, at=at: p != at)))) for at in range(K))
        if K > 1
        else ()
    )
    classes = Classes(tuple(unique), source_ids=tuple(mids), parents=parents)
    scored = draw(st.booleans())
    samples = []
    for at in range(draw(st.integers(0, 4))):
        H, W = draw(st.sampled_from([(7, 30), (1, 1), (40, 40), (9973, 10007) if "masks" not in holds else (5, 4)]))
        seed = torch.Generator().manual_seed(draw(st.integers(0, 999)))
        n = draw(st.integers(0, 4))
        corners = torch.rand((2, n, 2), generator=seed)
        box = torch.cat((corners.amin(0), corners.amax(0)), 1) * torch.tensor((W, H, W, H))
        box = box[(box[:, 2:] - box[:, :2] > 1e-3).all(1)]
        n = len(box)
        instances = None
        if "boxes" in holds:
            masks = Masks.from_bool(torch.rand((n, H, W), generator=seed) < 0.5) if "masks" in holds else None
            instances = Instances(
                box,
                torch.randint(0, K, (n,), generator=seed),
                scores=torch.rand(n, generator=seed) if scored else None,
                masks=masks,
                **{name: torch.rand(n, generator=seed) < 0.3 for name in HELD},
            )
        present = tuple(draw(st.sets(st.integers(0, K - 1)))) if "labels" in holds else ()
        absent = tuple(sorted(set(range(K)) - set(present)))[:2] if "labels" in holds else ()
        image = torch.zeros((3, H, W), dtype=torch.uint8)
        said = Annotations((H, W), classes, instances=instances, present=present, absent=absent)
        samples.append(Sample(f"x{at}.v1", image, said))
    return Samples(samples, classes, holds)  # type: ignore[arg-type]


@given(data=data_sets(), keeping=st.sampled_from(["copy", "none"]))
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_again(data: Samples, keeping: str) -> None:
    large = any(sample.annotations.size[0] > 100 for sample in data)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = ImageStore("none" if large else keeping)
        FORMAT.write(data, Path(folder), "my-split", store, {}, None)  # type: ignore[misc]
        if len(data) == 0:
            return
        again = open_dataset(folder)
        assert (again.format, again.split, len(again)) == ("openimages", "my-split", len(data))
        assert again.holds == data.holds
        assert again.classes.names == tuple(plain(name) or f"class {at}" for at, name in enumerate(data.classes.names))
        if any(data.classes.parents):
            assert list(map(set, again.classes.parents)) == list(map(set, data.classes.parents))
        assert len(again.defects) == 0
        for old, new in zip(data, again, strict=True):
            compare(old.annotations, new.annotations)


def compare(old: Annotations, new: Annotations) -> None:
    assert old.size == new.size
    assert set(old.present) == set(new.present)
    assert set(old.absent) == set(new.absent)
    if old.instances is None:
        assert new.instances is None
        return
    assert new.instances is not None
    assert old.instances.labels.equal(new.instances.labels)
    assert torch.allclose(old.instances.boxes, new.instances.boxes, atol=1e-3, rtol=0)
    for name in HELD:
        assert getattr(old.instances, name).equal(getattr(new.instances, name)), name
    if len(old.instances):
        if old.instances.scores is not None and new.instances.scores is not None:
            assert torch.allclose(old.instances.scores, new.instances.scores, atol=1e-7)
        assert (old.instances.scores is None) == (new.instances.scores is None)
        if old.instances.masks is not None:
            assert old.instances.masks.to_bool().equal(new.instances.masks.to_bool())  # type: ignore[union-attr]


ORIGINALS = {
    "val-annotations-bbox.csv": f"{HEADER}\na,x,/m/01,1,0,0.5,0,1,0,0,0,0,0\na,x,/m/02,1,0,0.5,0,1,0,0,0,0,0\n",
    "val-annotations-object-segmentation.csv": f"{MASK_HEADER}\nm.png,a,/m/01,x,0,0.5,0,1,0.8,\n",
    "val-annotations-human-imagelabels.csv": "ImageID,Source,LabelName,Confidence\na,x,/m/01,1\na,x,/m/03,0\n",
    "class-descriptions-boxable.csv": CLASSES,
    "bbox_labels_600_hierarchy.json": '{"LabelName": "/m/03", "Subcategory": [{"LabelName": "/m/01"}]}',
    "val-image-sizes.csv": "ImageID,Width,Height\na,40,20\nb,7,9\n",
}


@given(data=st.data(), damaged=st.sampled_from(sorted(ORIGINALS)))
@settings(deadline=None, max_examples=150)
def test_whatever_the_bytes_nothing_but_our_error_is_raised(data: st.DataObject, damaged: str) -> None:
    text = bytearray(ORIGINALS[damaged].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        some = st.one_of(st.binary(max_size=6), st.sampled_from([b'"', b",", b"\n", b"\0", b"1e999", b"[" * 3000]))
        text[at : at + data.draw(st.integers(0, 20))] = data.draw(some)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = Path(folder)
        for name, content in ORIGINALS.items():
            put(root / name, bytes(text) if name == damaged else content)
        photo(root / "val/a.jpg")
        (root / "masks").mkdir()
        Image.new("1", (4, 4), 1).save(root / "masks/m.png")
        try:
            for sample in open_dataset(f"openimages:{root}", "val"):
                _ = sample.annotations
        except PellucidError as error:
            told = str(error)
        else:
            told = ""
        assert "\n" not in told


def test_things_that_are_no_files(tmp_path: Path) -> None:
    release(tmp_path, "a,x,/m/01,1,0,1,0,1,0,0,0,0,0", images="a")
    put(tmp_path / "validation-annotations-human-imagelabels.csv", "")
    data = open_dataset(tmp_path)
    assert [d.kind for d in data.defects] == ["unreadable"]
    (tmp_path / "validation/a.jpg").unlink()
    (tmp_path / "validation/a.jpg").mkdir()
    photo(tmp_path / "validation/z.jpg")
    assert len(open_dataset(tmp_path)) == 0
    with pytest.raises(PellucidError, match="no Open Images data set"):
        FORMAT.read(tmp_path / "validation", None, data.defects, {})
    assert not FORMAT.recognises(tmp_path / "class-descriptions-boxable.csv")
