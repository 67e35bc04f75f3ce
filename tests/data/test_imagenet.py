"""ImageNet: the challenges' layouts, of which there are often only some parts, and what is written and read again."""

import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pellucid.data.dataset import Dataset, Samples
from pellucid.data.formats import format_named
from pellucid.data.imagenet.format import FORMAT
from pellucid.data.images import ImageStore
from pellucid.data.opening import open_dataset
from pellucid.errors import PellucidError
from pellucid.structures import FLAGS, Annotations, Classes, Instances, Sample

pytestmark = pytest.mark.filterwarnings("ignore::pellucid.data.defects.DataWarning")

TENCH, CRANE, MACHINE = "n01440764", "n02012849", "n03126707"
MAPPING = f"{TENCH} tench, Tinca tinca\n{CRANE} crane\n{MACHINE} crane\n"


def annotation(*objects: tuple[str, tuple[object, ...]], size: tuple[int, int] = (500, 375)) -> str:
    """``size``: width and height."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    texts = [
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, box, strict=True))
        + "</bndbox></object>"
        for name, box in objects
    ]
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{''.join(texts)}</annotation>"


def put(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def photo(path: Path, size: tuple[int, int] = (500, 375)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def kaggle(root: Path) -> Path:
    """CLS-LOC as Kaggle has it: one training image with boxes, one without, one of val."""
    base = root / "ILSVRC"
    put(root / "LOC_synset_mapping.txt", MAPPING)
    put(base / f"Annotations/CLS-LOC/train/{TENCH}/{TENCH}_1.xml", annotation((TENCH, (0, 10, 499, 374))))
    put(base / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml", annotation((CRANE, (1, 2, 3, 4))))
    for name in (f"train/{TENCH}/{TENCH}_1", f"train/{CRANE}/{CRANE}_7", "val/ILSVRC2012_val_00000001", "test/t_1"):
        photo(base / f"Data/CLS-LOC/{name}.JPEG")
    put(base / "ImageSets/CLS-LOC/train_cls.txt", f"{TENCH}/{TENCH}_1 1\n{CRANE}/{CRANE}_7 2\n")
    put(base / "ImageSets/CLS-LOC/train_loc.txt", f"{TENCH}/{TENCH}_1 1\n")
    put(base / "ImageSets/CLS-LOC/val.txt", "ILSVRC2012_val_00000001 1\n")
    put(base / "ImageSets/CLS-LOC/test.txt", "t_1 1\n")
    return root


def said(dataset: Dataset, at: int = 0) -> tuple[list[list[float]], tuple[int, ...]]:
    """Boxes and labels."""
    found = dataset[at].annotations
    return ([] if found.instances is None else found.instances.boxes.tolist()), found.present


def test_kaggles_layout(tmp_path: Path) -> None:
    kaggle(tmp_path)
    for root in (tmp_path, tmp_path / "ILSVRC"):
        assert FORMAT.recognises(root)
        assert FORMAT.splits(root, {}) == ["train_loc", "train_cls", "val", "test"]
    data = open_dataset(f"imagenet:{tmp_path}", "train_cls")
    assert data.classes.names == ("tench", "crane (n02012849)", "crane (n03126707)")
    assert data.classes.source_ids == (TENCH, CRANE, MACHINE)
    assert data.classes.index("Tinca tinca") == data.classes.index(TENCH) == 0
    assert data.holds == {"boxes", "labels"}
    assert list(data.names) == [f"{TENCH}/{TENCH}_1.JPEG", f"{CRANE}/{CRANE}_7.JPEG"]
    assert [said(data, at) for at in range(2)] == [([[0, 10, 500, 375]], (0,)), ([], (1,))]
    assert data[0].image.shape == (3, 375, 500)
    val = open_dataset(f"imagenet:{tmp_path}", "val")
    assert said(val) == ([[1, 2, 4, 5]], (1,))
    test = open_dataset(f"imagenet:{tmp_path}", "test")
    assert (test.holds, said(test)) == (frozenset(), ([], ()))
    assert len(data.defects) + len(val.defects) + len(test.defects) == 0


def test_boxes_end_at_the_border_whichever_way_it_is_written(tmp_path: Path) -> None:
    kaggle(tmp_path)
    path = tmp_path / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    put(path, annotation((CRANE, (0, 0, 499, 374)), (CRANE, (5, 5, 500, 375)), (CRANE, (7, 7, 7, 7))))
    data = open_dataset(f"imagenet:{tmp_path}", "val")
    assert said(data)[0] == [[0, 0, 500, 375], [5, 5, 500, 375], [7, 7, 8, 8]]
    assert [d.kind for d in data.defects] == ["zero area"]
    put(path, annotation((CRANE, (0, 0, 510, 374))))
    assert [d.kind for d in open_dataset(f"imagenet:{tmp_path}", "val").defects] == ["box outside"]


def test_boxes_of_kaggles_table(tmp_path: Path) -> None:
    put(tmp_path / "LOC_synset_mapping.txt", MAPPING)
    rows = (
        f"a,{TENCH} 85 1 499 272 {CRANE} 0 0 3 4 \nb,{TENCH} 1 2 3\n../c,\na,\nd,{TENCH} 1 nan 5 5 n99999999 1 1 2 2\n"
    )
    put(tmp_path / "LOC_val_solution.csv", "ImageId,PredictionString\n" + rows)
    for name in ("a", "d"):
        photo(tmp_path / f"ILSVRC/Data/CLS-LOC/val/{name}.JPEG")
    data = open_dataset(f"imagenet:{tmp_path}", "val")
    assert list(data.names) == ["a.JPEG", "d.JPEG"]
    assert said(data) == ([[85, 1, 500, 273], [0, 0, 4, 5]], (0, 1))
    assert said(data, 1) == ([], (0,))
    kinds = ["malformed", "outside folder", "duplicate image", "unknown class", "not a number"]
    assert [d.kind for d in data.defects] == kinds


def test_the_table_alone(tmp_path: Path) -> None:
    put(tmp_path / "LOC_train_solution.csv", f"ImageId,PredictionString\n{TENCH}_1,{TENCH} 85 1 499 272\n")
    data = open_dataset(f"imagenet:{tmp_path}")
    assert (len(data), data.classes.names) == (0, (TENCH,))  # neither file nor size
    assert [(d.kind, d.item) for d in data.defects] == [("missing image", f"{TENCH}/{TENCH}_1.JPEG")]
    photo(tmp_path / f"Data/CLS-LOC/train/{TENCH}/{TENCH}_1.JPEG")
    assert said(open_dataset(f"imagenet:{tmp_path}")) == ([[85, 1, 500, 273]], (0,))


def test_det(tmp_path: Path) -> None:
    put(tmp_path / "devkit/data/map_det.txt", f"{MACHINE} 1 crane_machine\n{TENCH} 2 fish\n")
    put(tmp_path / "Annotations/DET/train/ILSVRC2014_train_0000/a.xml", annotation((MACHINE, (1, 2, 3, 4))))
    put(tmp_path / "Annotations/DET/val/v.xml", annotation((TENCH, (1, 2, 3, 4)), (MACHINE, (1, 2, 3, 9))))
    for name in ("train/ILSVRC2014_train_0000/a", "train/extra/b", "val/v", "val/w"):
        photo(tmp_path / f"Data/DET/{name}.JPEG")
    put(tmp_path / "ImageSets/DET/train.txt", "ILSVRC2014_train_0000/a 1\nextra/b 2\n")
    put(tmp_path / "ImageSets/DET/train_1.txt", "ILSVRC2014_train_0000/a 1\nextra/b -1\n")
    put(tmp_path / "ImageSets/DET/val.txt", "v 1\nw 2\n")
    assert FORMAT.splits(tmp_path, {}) == ["train", "val"]
    data = open_dataset(tmp_path, "train")
    assert data.format == "imagenet"
    assert data.classes.names == ("crane machine", "fish")
    assert [said(data, at) for at in range(2)] == [([[1, 2, 4, 5]], (0,)), ([], ())]
    val = open_dataset(tmp_path, "val")
    assert said(val) == ([[1, 2, 4, 5], [1, 2, 4, 10]], (1, 0))
    assert [(d.kind, d.item) for d in val.defects] == [("missing annotation", "w")]
    with pytest.raises(PellucidError, match="has no folders of CLS-LOC"):
        open_dataset(tmp_path, "val", task="cls-loc")
    with pytest.raises(PellucidError, match="did you mean 'det'"):
        open_dataset(tmp_path, "val", task="dett")


def test_bare_folders_of_boxes(tmp_path: Path) -> None:
    for wnid in (TENCH, CRANE):
        put(tmp_path / f"Annotation/{wnid}/{wnid}_1.xml", annotation((wnid, (1, 2, 3, 4))))
        photo(tmp_path / f"images/{wnid}/{wnid}_1.JPEG")
    data = open_dataset(tmp_path)
    assert (data.format, data.split, len(data)) == ("imagenet", None, 2)
    assert data.classes.names == (TENCH, CRANE)
    assert said(data, 1) == ([[1, 2, 4, 5]], (1,))


def test_folders_of_images_and_voc_are_not_imagenet(tmp_path: Path) -> None:
    photo(tmp_path / f"folder/train/{TENCH}/a.jpg")
    photo(tmp_path / f"folder/{TENCH}/a.jpg")
    put(tmp_path / "voc/Annotations/a.xml", annotation((TENCH, (1, 2, 3, 4))))
    for root in (tmp_path / "folder", tmp_path / "voc", tmp_path / "nowhere"):
        assert not FORMAT.recognises(root)
        with pytest.raises(PellucidError, match="no ImageNet data set"):
            FORMAT.splits(root, {})
    assert format_named("voc").recognises(tmp_path / "voc")


def test_what_is_wrong_is_noted(tmp_path: Path) -> None:
    base = kaggle(tmp_path) / "ILSVRC"
    lines = (
        "ILSVRC2012_val_00000001 1\nbad 2\n../x 3\n/etc/passwd 4\nILSVRC2012_val_00000001 5\nnothing 6\ngone 7\nd 8\n"
    )
    put(base / "ImageSets/CLS-LOC/val.txt", lines)
    put(base / "Annotations/CLS-LOC/val/bad.xml", annotation()[:-5])
    put(base / "Annotations/CLS-LOC/val/gone.xml", annotation())
    (base / "Annotations/CLS-LOC/val/d.xml").mkdir()
    data = open_dataset(f"imagenet:{tmp_path}", "val")
    assert list(data.names) == ["ILSVRC2012_val_00000001.JPEG"]
    assert sorted(d.kind for d in data.defects) == [
        "duplicate image",
        "missing annotation",
        "missing image",
        "outside folder",
        "outside folder",
        "unreadable",
        "unreadable",
    ]


@pytest.mark.parametrize("text", ["", f"{TENCH} a\n{TENCH} b\n", "../x y\n", "\0\n"])
def test_mappings_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    put(kaggle(tmp_path) / "LOC_synset_mapping.txt", text)
    with pytest.raises(PellucidError, match=r"LOC_synset_mapping\.txt: [^\n]+$"):
        open_dataset(f"imagenet:{tmp_path}", "val")


names = st.text(st.characters(exclude_characters=",", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@st.composite
def data_sets(draw: st.DrawFn) -> Samples:
    """Small data sets of boxes, labels or both."""
    holds = draw(st.sets(st.sampled_from(["boxes", "labels"]), min_size=1))
    unique = draw(st.lists(names, min_size=1, max_size=4, unique_by=str.lower))
    wnids = [f"n0000000{at}" for at in range(len(unique))]
    classes = Classes(tuple(unique), source_ids=tuple(wnids) if draw(st.booleans()) else ())
    K = len(classes)
    samples = []
    for at in range(draw(st.integers(0, 4))):
        H, W, n = (draw(st.integers(1, 40)) for _ in range(3))
        n = n % 4 if "boxes" in holds else 0
        seed = torch.Generator().manual_seed(draw(st.integers(0, 999)))
        corners = torch.rand((2, n, 2), generator=seed)
        low, high = corners.amin(0), corners.amax(0)
        box = torch.cat((low, high + 0.01), 1).clamp(max=1) * torch.tensor((W, H, W, H))
        box = torch.where(torch.rand((n, 4), generator=seed) < 0.3, box.round(), box)
        keep = (box[:, 2:] > box[:, :2]).all(1)
        box = box[keep]
        labels = torch.randint(0, K, (len(box),), generator=seed)
        flags = {name: torch.rand(len(box), generator=seed) < 0.3 for name in FLAGS}
        present = tuple(draw(st.sets(st.integers(0, K - 1)))) if "labels" in holds else ()
        image = torch.randint(0, 256, (3, H, W), generator=seed).byte()
        instances = Instances(box, labels, **flags) if "boxes" in holds else None
        samples.append(Sample(f"x{at}.b", image, Annotations((H, W), classes, instances=instances, present=present)))
    return Samples(samples, classes, holds)  # type: ignore[arg-type]


@given(data=data_sets(), split=st.sampled_from(["train", "val", "mine"]), keeping=st.sampled_from(["copy", "none"]))
@settings(deadline=None, max_examples=80)
def test_what_is_written_is_read_again(data: Samples, split: str, keeping: str) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FORMAT.write(data, Path(folder), split, ImageStore(keeping), {}, None)  # type: ignore[misc]
        again = open_dataset(folder, split)
        assert again.format == "imagenet"
        assert again.classes.names == data.classes.names
        assert [d for d in again.defects if d.kind != "zero area"] == []
        assert len(again) == len(data)
        for old, new in zip(data, again, strict=True):
            if keeping == "copy":
                assert old.image.equal(new.image)
            a, b = old.annotations, new.annotations
            assert set(a.present) <= set(b.present)
            found = set() if a.instances is None else set(a.instances.labels.tolist())
            assert set(b.present) == set(a.present) | found
            if a.instances is None:
                assert b.instances is None
                continue
            assert a.size == b.size
            assert b.instances is not None
            assert a.instances.labels.equal(b.instances.labels)
            assert torch.allclose(a.instances.boxes, b.instances.boxes, atol=1e-3, rtol=0)
            for name in FLAGS:
                assert getattr(a.instances, name).equal(getattr(b.instances, name))


def test_an_image_of_one_class_lies_in_its_folder(tmp_path: Path) -> None:
    classes = Classes(("tench", "red cell, round"), (("Tinca",), ()), source_ids=(TENCH, 7))
    made = [
        Sample(str(at), torch.zeros((3, 4, 5), dtype=torch.uint8), Annotations((4, 5), classes, present=present))
        for at, present in enumerate([(0,), (1,), (0, 1), ()])
    ]
    FORMAT.write(Samples(made, classes, ["labels"]), tmp_path, "val", ImageStore(), {}, None)  # type: ignore[misc]
    mapping = (tmp_path / "LOC_synset_mapping.txt").read_text()
    assert mapping == f"{TENCH} tench, Tinca\nred_cell_round red cell  round\n"
    assert (tmp_path / "ImageSets/CLS-LOC/val.txt").read_text() == f"{TENCH}/0 1\nred_cell_round/1 2\n2 3\n3 4\n"
    again = open_dataset(tmp_path, "val")
    assert [s.annotations.present for s in again] == [(0,), (1,), (0, 1), ()]
    assert again.holds == {"labels"}


VALID = annotation((TENCH, (0, 10, 499, 374)), (CRANE, (0, 0, 1, 1))).encode()


@given(data=st.data())
@settings(deadline=None, max_examples=120)
def test_whatever_the_bytes_nothing_but_our_error_is_raised(data: st.DataObject) -> None:
    originals = {
        "ILSVRC/Annotations/CLS-LOC/val/v.xml": VALID,
        "LOC_synset_mapping.txt": MAPPING.encode(),
        "ILSVRC/ImageSets/CLS-LOC/val.txt": b"v 1\nw 2\nx 3",
        "LOC_val_solution.csv": f'ImageId,PredictionString\nw,{TENCH} 1 2 3 4\n"x",{CRANE} 1 2 3 4'.encode(),
    }
    damaged = data.draw(st.sampled_from(sorted(originals)))
    text = bytearray(originals[damaged])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 12))] = data.draw(st.binary(max_size=6))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = Path(folder)
        for name, content in originals.items():
            put(root / name, bytes(text) if name == damaged else content)
        photo(root / "ILSVRC/Data/CLS-LOC/val/v.JPEG")
        try:
            dataset = open_dataset(f"imagenet:{root}", "val")
        except PellucidError:
            return
        for sample in dataset:
            if sample.path is not None:
                _ = sample.annotations
