"""Checking a data set: each planted defect is found with its file and item, and clean data are left in peace."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from pellucid.data.checking import Report, check_dataset
from pellucid.data.checking.boxes import repeated
from pellucid.data.checking.looks import look_at
from pellucid.data.checking.twins import ALIKE, near_groups
from pellucid.data.coco import panoptic
from pellucid.data.coco.writing import write
from pellucid.data.defects import Defect
from pellucid.data.folders import masks
from pellucid.data.images import ImageStore
from pellucid.data.opening import open_dataset
from pellucid.data.splits import unions
from pellucid.errors import PellucidError
from pellucid.structures import read_photo

DATA = Path(os.environ.get("PELLUCID_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
SCENES = "scenes:n=12,seed=3,size=64"

Change = Callable[[dict[str, Any], Path], None]


def needs(name: str) -> Path:
    """The folder of a real data set."""
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not in PELLUCID_DATA")
    return DATA / name


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated scenes as COCO, train and val."""
    folder = tmp_path_factory.mktemp("clean")
    for split in ("train", "val"):
        write(open_dataset(SCENES, split), folder, split, ImageStore("copy"), {}, None)
        # The generated keypoints make it person_keypoints_….json; what follows speaks of objects.
        for path in (folder / "annotations").glob(f"*_{split}.json"):
            content = json.loads(path.read_text())
            path.unlink()
            for image in content["images"]:
                name = image["file_name"].replace("scene", split)
                (folder / split / image["file_name"]).rename(folder / split / name)
                image["file_name"] = name
            (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def planted(clean: Path, tmp_path: Path) -> Callable[..., Report]:
    """Changes a copy of the clean data set and checks it."""

    def make(change: Change, of: str = "train", **more: Any) -> Report:
        folder = tmp_path / "planted"
        shutil.copytree(clean, folder)
        file = folder / "annotations" / f"instances_{of}.json"
        content = json.loads(file.read_text())
        change(content, folder)
        file.write_text(json.dumps(content))
        return check_dataset(f"coco:{folder}", **more)

    return make


def serious(report: Report) -> list[Defect]:
    """What was found, without notes."""
    notes = {kind for kind, severity, _ in report.kinds if severity == "note"}
    return [defect for defect in report.defects if defect.kind not in notes]


def only(report: Report, kind: str) -> Defect:
    """The one defect; fails where there are others, notes apart."""
    (defect,) = serious(report)
    assert defect.kind == kind, str(defect)
    assert report.defects.count(kind) == 1
    assert any(defect.what[:20] in line for line in report.lines(None))
    return defect


def named(content: dict[str, Any], index: int) -> str:
    """The name of the image of an annotation."""
    images = {image["id"]: image["file_name"] for image in content["images"]}
    return str(images[content["annotations"][index]["image_id"]])


def test_clean_data_have_no_defect(clean: Path):
    report = check_dataset(f"coco:{clean}")
    assert serious(report) == []
    assert report.count("error") == report.count("warning") == 0
    assert {name: counts.images for name, counts in report.splits.items()} == {"train": 12, "val": 12}
    assert report.splits["train"].objects == sum(
        len(sample.annotations.instances or ()) for sample in open_dataset(f"coco:{clean}", "train")
    )
    assert check_dataset(f"coco:{clean}", content=False).defects.counts == report.defects.counts


@pytest.mark.parametrize("name", ["panoptic", "masks"])
def test_clean_maps_have_no_defect(name: str, tmp_path: Path):
    writer = {"panoptic": panoptic.write, "masks": masks.write}[name]
    writer(open_dataset(SCENES), tmp_path, "train", ImageStore("copy"), {}, None)
    report = check_dataset(f"{name}:{tmp_path}")
    assert serious(report) == [], report.lines()
    assert report.splits["train"].classes > 3


# --- images


def image_file(content: dict[str, Any], folder: Path, index: int = 3) -> Path:
    return folder / "train" / content["images"][index]["file_name"]


def test_a_missing_image(planted: Callable[..., Report]):
    defect = only(planted(lambda content, folder: image_file(content, folder).unlink()), "missing image")
    assert defect.item == "train_00003.png"
    assert defect.file.endswith("instances_train.json")


def test_no_image_at_all_is_said_once(planted: Callable[..., Report]):
    found = serious(planted(lambda content, folder: shutil.rmtree(folder / "train")))
    assert [(d.kind, d.item) for d in found] == [("missing image", "train")]
    assert "none of its 12 images" in found[0].what


def test_a_truncated_image(planted: Callable[..., Report]):
    def cut(content: dict[str, Any], folder: Path) -> None:
        path = image_file(content, folder)
        path.write_bytes(path.read_bytes()[:-2000])

    defect = only(planted(cut), "damaged image")
    assert defect.file.endswith("train/train_00003.png")
    assert "cut short" in defect.what


def test_images_are_not_opened_without_content(planted: Callable[..., Report]):
    report = planted(lambda content, folder: image_file(content, folder).write_bytes(b"no image"), content=False)
    assert serious(report) == []


def test_an_image_of_another_size(planted: Callable[..., Report]):
    def enlarge(content: dict[str, Any], folder: Path) -> None:
        path = image_file(content, folder)
        Image.open(path).resize((80, 50)).save(path)

    defect = only(planted(enlarge), "size disagrees")
    assert defect.file.endswith("train/train_00003.png")
    assert "80 × 50" in defect.what
    assert "64 × 64" in defect.what


def test_an_image_turned_by_its_exif_tag_is_a_note(planted: Callable[..., Report]):
    def turn(content: dict[str, Any], folder: Path) -> None:
        path = image_file(content, folder)
        image = Image.open(path)
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)

    report = planted(turn)
    assert serious(report) == []
    (defect,) = report.defects.of("rotated")
    assert defect.file.endswith("train/train_00003.png")


def test_a_mixture_of_pixel_types_is_one_note(planted: Callable[..., Report]):
    def fade(content: dict[str, Any], folder: Path) -> None:
        for index in (2, 5):
            path = image_file(content, folder, index)
            Image.open(path).convert("L").save(path)

    (defect,) = planted(fade).defects.of("mixed modes")
    assert "22 in colour, 2 in grey (train_00002.png, train_00005.png)" in defect.what


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["jpeg", "progressive", "png", "bmp", "webp"]), st.floats(0.02, 1))
def test_an_image_is_damaged_where_it_cannot_be_read(tmp_path_factory: Any, kind: str, share: float):
    pixels = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    name = "jpeg" if kind == "progressive" else kind
    Image.fromarray(pixels).save(buffer, name, progressive=kind == "progressive")
    data = buffer.getvalue()
    path = tmp_path_factory.mktemp("cut") / f"image.{name}"
    path.write_bytes(data[: int(len(data) * share)])
    try:
        read_photo(path)
        readable = True
    except PellucidError:
        readable = False
    look = look_at(str(path))
    assert (look.problem == "") == readable
    if readable:
        assert look.shown == (200, 300)


# --- boxes


def test_what_reading_finds_is_in_the_report(planted: Callable[..., Report]):
    def spoil(content: dict[str, Any], folder: Path) -> None:
        content["annotations"][0]["bbox"][2] = 0
        content["annotations"][1]["category_id"] = 999
        content["annotations"][2]["image_id"] = 12345

        image = content["annotations"][0]["image_id"]
        content["annotations"].append({"id": 900, "image_id": image, "category_id": 1, "bbox": [1, 2, 9, 9]})

    report = planted(spoil)
    assert {d.kind for d in serious(report)} == {"zero area", "unknown class", "unknown image"}
    assert report.count("error") == 3


def again(content: dict[str, Any], index: int, shift: float = 0.0, **more: Any) -> int:
    """Boxes an object a second time; gives the new annotation's id."""
    entry = json.loads(json.dumps(content["annotations"][index]))
    entry["id"] = 5000
    entry["bbox"][0] += shift
    content["annotations"].append(entry | more)
    return int(entry["id"])


def largest(content: dict[str, Any]) -> int:
    return max(range(len(content["annotations"])), key=lambda i: content["annotations"][i]["area"])


def test_an_object_boxed_twice(planted: Callable[..., Report]):
    places = []

    def repeat(content: dict[str, Any], folder: Path) -> None:
        index = largest(content)
        again(content, index, shift=1)
        places.append((named(content, index), content["annotations"][index]["id"]))

    defect = only(planted(repeat), "duplicate box")
    assert defect.item == f"{places[0][0]}, annotation 5000"
    assert f"annotation {places[0][1]}" in defect.what


def test_an_object_boxed_as_two_classes(planted: Callable[..., Report]):
    def repeat(content: dict[str, Any], folder: Path) -> None:
        index = largest(content)
        other = next(c["id"] for c in content["categories"] if c["id"] != content["annotations"][index]["category_id"])
        again(content, index, category_id=other)

    defect = only(planted(repeat), "duplicate box")
    assert "once as" in defect.what


def test_a_crowd_may_lie_over_its_objects(planted: Callable[..., Report]):
    def surround(content: dict[str, Any], folder: Path) -> None:
        again(content, largest(content), iscrowd=1)

    assert serious(planted(surround)) == []


corners = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(corners, st.integers(0, 1), st.booleans()), max_size=12))
def test_repeated_boxes_are_those_of_a_slow_search(rows: list[Any]):
    boxes = np.array([(x, y, x + w, y + h) for (x, y, w, h), _, _ in rows], dtype=np.float64).reshape(-1, 4)
    labels = np.array([label for _, label, _ in rows], dtype=np.int64)
    flags = np.array([crowd for _, _, crowd in rows], dtype=np.uint8)

    def pixels(box: Any) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = map(int, box)
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    expected = {}
    for b in range(len(rows)):
        for a in range(b):
            one, two = pixels(boxes[a]), pixels(boxes[b])
            overlap = len(one & two) / len(one | two)
            same = overlap > 0.8 if labels[a] == labels[b] else (boxes[a] == boxes[b]).all()
            if same and not flags[a] and not flags[b]:
                expected[b] = max(expected.get(b, 0), overlap)
    found = {b: overlap for _, b, overlap in repeated(boxes, labels, flags)}
    assert found == pytest.approx(expected)


def test_keypoints_out_of_place(planted: Callable[..., Report]):
    def move(content: dict[str, Any], folder: Path) -> None:
        first, second = content["annotations"][:2]
        for entry in content["annotations"]:
            x, y, w, h = entry["bbox"]
            entry["keypoints"] = [x + w / 2, y + h / 2, 2, 0, 0, 0]
        first["keypoints"][:2] = [90, 10]
        x, y, w, h = second["bbox"]
        second["bbox"] = [0, 0, 4, 4]
        second["segmentation"] = [[0, 0, 4, 0, 4, 4, 0, 4]]
        second["area"] = 16
        second["keypoints"][:2] = [50, 50]

    found = serious(planted(move))
    assert [d.kind for d in found] == ["keypoint outside"] * 2
    assert "beyond the image" in found[0].what
    assert "far from the box" in found[1].what


# --- masks


def test_broken_and_empty_masks(planted: Callable[..., Report]):
    def spoil(content: dict[str, Any], folder: Path) -> None:
        content["annotations"][4]["segmentation"] = {"size": [64, 64], "counts": [10, 20]}
        content["annotations"][5]["segmentation"] = {"size": [64, 64], "counts": [64 * 64]}

    report = planted(spoil)
    assert [(d.kind, d.item.split(", ")[1]) for d in serious(report)] == [
        ("bad mask", "annotation 5"),
        ("empty mask", "annotation 6"),
    ]


def test_a_mask_that_misses_its_box(planted: Callable[..., Report]):
    def move(content: dict[str, Any], folder: Path) -> None:
        entry = content["annotations"][largest(content)]
        x, y, w, h = entry["bbox"]
        entry["segmentation"] = [[x, y, x + w / 3, y, x + w / 3, y + h, x, y + h]]
        entry["area"] = round(w / 3) * h

    defect = only(planted(move), "mask misses box")
    assert "its box" in defect.what


def test_an_area_that_is_not_the_masks(planted: Callable[..., Report]):
    def grow(content: dict[str, Any], folder: Path) -> None:
        content["annotations"][largest(content)]["area"] += 77

    assert "pixels" in only(planted(grow), "area disagrees").what


def test_areas_of_boxes_are_said_once(planted: Callable[..., Report]):
    def boxes(content: dict[str, Any], folder: Path) -> None:
        for entry in content["annotations"]:
            entry["area"] = entry["bbox"][2] * entry["bbox"][3]

    assert "area of their box" in only(planted(boxes), "area disagrees").what


# --- maps


def test_defects_of_masks(tmp_path: Path):
    masks.write(open_dataset(SCENES), tmp_path, "train", ImageStore("copy"), {}, None)
    folder = tmp_path / "masks" / "train"

    def change(index: int, how: Callable[[np.ndarray], np.ndarray]) -> None:
        path = folder / f"scene_{index:05}.png"
        Image.fromarray(how(np.array(Image.open(path)))).save(path)

    change(1, lambda values: np.where(np.indices(values.shape)[0] < 3, 77, values).astype(np.uint8))
    change(2, lambda values: values[:-5])
    (folder / "scene_00003.png").write_bytes((folder / "scene_00003.png").read_bytes()[:300])
    found = serious(check_dataset(f"masks:{tmp_path}"))
    assert sorted((d.kind, Path(d.file).name, d.item) for d in found) == [
        ("bad map", "scene_00002.png", "scene_00002.png"),
        ("bad map", "scene_00003.png", "scene_00003.png"),
        ("unknown value", "scene_00001.png", "scene_00001.png"),
    ]
    assert "value 77" in next(d.what for d in found if d.kind == "unknown value")


def test_masks_blurred_by_jpeg_are_said_once(tmp_path: Path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for index in range(4):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{index}.png")
        mask = np.kron(rng.integers(0, 2, (8, 8)), np.ones((8, 8))) * 255
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "masks" / f"{index}.jpg", quality=95)
    found = serious(check_dataset(f"masks:{tmp_path}"))
    assert [d.kind for d in found] == ["lossy masks"]
    assert "4 masks hold" in found[0].what


def test_defects_of_panoptic_maps(tmp_path: Path):
    panoptic.write(open_dataset(SCENES), tmp_path, "train", ImageStore("copy"), {}, None)
    file = tmp_path / "annotations" / "panoptic_train.json"
    content = json.loads(file.read_text())
    entries = content["annotations"]
    entries[0]["segments_info"][-1]["area"] += 5
    entries[1]["segments_info"].append({**entries[1]["segments_info"][-1], "id": 4321})
    lost = entries[2]["segments_info"].pop(0)["id"]
    file.write_text(json.dumps(content))
    found = serious(check_dataset(f"panoptic:{tmp_path}"))
    assert [(d.kind, d.item) for d in sorted(found, key=lambda d: d.item)] == [
        ("area disagrees", f"scene_00000.png, segment {entries[0]['segments_info'][-1]['id']}"),
        ("empty mask", "scene_00001.png, segment 4321"),
        ("unknown value", "scene_00002.png"),
    ]
    assert f"the value {lost}" in found[-1].what


# --- classes


def test_images_without_annotations_and_unused_classes(planted: Callable[..., Report]):
    def thin(content: dict[str, Any], folder: Path) -> None:
        image = content["images"][7]["id"]
        gone = content["annotations"][0]["category_id"]
        content["annotations"] = [
            a for a in content["annotations"] if a["image_id"] != image and a["category_id"] != gone
        ]
        # Images that lost all of theirs lose themselves too.
        left = {a["image_id"] for a in content["annotations"]} | {image}
        content["images"] = [i for i in content["images"] if i["id"] in left]
        content["categories"][[c["id"] for c in content["categories"]].index(gone)]["name"] = "forgotten"

    report = planted(thin)
    assert only(report, "no annotations").item == "train_00007.png"
    unused = [d for d in report.defects.of("unused class") if d.item == "train"]
    assert "forgotten" in unused[0].what


def test_an_image_without_what_nearly_all_others_have(planted: Callable[..., Report]):
    def everywhere(content: dict[str, Any], folder: Path) -> None:
        for image in content["images"][1:]:
            entry = next(a for a in content["annotations"] if a["image_id"] == image["id"])
            entry["category_id"] = 1
        for entry in content["annotations"]:
            if entry["image_id"] == content["images"][0]["id"]:
                entry["category_id"] = 2

    defect = only(planted(everywhere, split="train"), "class missing")
    assert defect.item == "train_00000.png"
    assert "11 of 12 images" in defect.what


def test_imbalance_is_one_note(planted: Callable[..., Report]):
    def multiply(content: dict[str, Any], folder: Path) -> None:
        for entry in content["annotations"][1:]:
            entry["category_id"] = 1
        content["annotations"][0]["category_id"] = 2
        image = content["images"][0]["id"]
        content["annotations"] += [
            {"id": 9000 + i, "image_id": image, "category_id": 1, "bbox": [i % 8 * 8, i // 8 * 8, 7, 7]}
            for i in range(64)
        ]

    report = planted(multiply, split="train")
    (defect,) = report.defects.of("imbalance")
    assert "to 1" in defect.what


# --- the same image twice


def copied(content: dict[str, Any], folder: Path, source: str, change: Callable[[Image.Image], Image.Image]) -> None:
    """Puts a changed copy of an image in the place of train's scene 6."""
    change(Image.open(folder / source)).save(image_file(content, folder, 6))


def test_the_same_image_twice_in_a_split(planted: Callable[..., Report]):
    def copy(content: dict[str, Any], folder: Path) -> None:
        shutil.copy(image_file(content, folder, 2), image_file(content, folder, 6))

    defect = only(planted(copy), "same image")
    assert defect.file.endswith("train/train_00006.png")
    assert "train_00002.png" in defect.what


def test_the_same_image_in_two_splits(planted: Callable[..., Report]):
    def copy(content: dict[str, Any], folder: Path) -> None:
        shutil.copy(folder / "val" / "val_00002.png", image_file(content, folder, 6))

    report = planted(copy)
    defect = only(report, "split overlap")
    assert defect.file.endswith("val/val_00002.png")
    assert "is train_00006.png of train again" in defect.what
    assert report.count("error") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((48, 48)).resize((64, 64)),
        lambda image: ImageEnhance.Brightness(image.convert("RGB")).enhance(1.1),
        lambda image: image.convert("RGB").quantize(24).convert("RGB"),
    ],
)
def test_nearly_the_same_image_in_two_splits(
    planted: Callable[..., Report], change: Callable[[Image.Image], Image.Image]
):
    report = planted(lambda content, folder: copied(content, folder, "val/val_00002.png", change))
    defect = only(report, "split near overlap")
    assert "train_00006.png" in defect.file + defect.what
    assert "val_00002.png" in defect.file + defect.what
    assert report.count("error") == 0


def test_near_duplicates_are_not_looked_for_where_none_are_wanted(planted: Callable[..., Report]):
    def copy(content: dict[str, Any], folder: Path) -> None:
        copied(content, folder, "val/val_00002.png", lambda image: image.resize((60, 60)).resize((64, 64)))

    assert serious(planted(copy, near=None)) == []


def test_one_folder_as_train_and_val(tmp_path: Path):
    open_scenes = open_dataset(SCENES)
    write(open_scenes, tmp_path, "train", ImageStore("copy"), {}, None)
    (file,) = (tmp_path / "annotations").iterdir()
    shutil.copy(file, file.with_name("instances_val.json"))
    shutil.move(file, file.with_name("instances_train.json"))
    os.symlink(tmp_path / "train", tmp_path / "val")
    for content in (True, False):
        report = check_dataset(f"coco:{tmp_path}", content=content)
        assert report.defects.count("split overlap") == 12


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 8), st.integers(2, 40))
def test_near_groups_are_those_of_a_slow_search(seed: int, near: int, n: int):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    thumbnails = rng.integers(0, 255, (n, 256), dtype=np.uint8)
    for row in range(1, n):
        if rng.random() < 0.5:
            bits = rng.choice(64, rng.integers(0, 11), replace=False)
            other = int(rng.integers(0, row))
            hashes[row] = hashes[other] ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64))
            if rng.random() < 0.8:
                thumbnails[row] = thumbnails[other]
    flat = thumbnails[0].copy()
    flat[:] = 100
    if rng.random() < 0.3:
        thumbnails[rng.integers(0, n)] = flat
    group = list(range(n))
    varied = thumbnails.astype(float).std(1) > 4
    for a in range(n):
        for b in range(a):
            apart = int(hashes[a] ^ hashes[b]).bit_count()
            alike = varied[a] and varied[b] and np.corrcoef(thumbnails[a], thumbnails[b])[0, 1] >= ALIKE
            if apart <= near and alike:
                old, new = group[a], group[b]
                group = [new if g == old else g for g in group]
    expected = [[i for i in range(n) if group[i] == g] for g in dict.fromkeys(group)]
    found = near_groups(hashes, thumbnails, near, ["train"] * n)
    assert sorted(rows for rows, _ in found) == sorted(rows for rows in expected if len(rows) > 1)
    for rows, (a, b, bits) in found:
        assert {a, b} <= set(rows)
        assert bits == int(hashes[a] ^ hashes[b]).bit_count() <= near


def test_splits_that_only_repeat_others_are_passed_over():
    one, two = {"a", "b"}, {"c"}
    assert list(unions({"train": one, "val": two, "trainval": one | two})) == ["trainval"]
    assert unions({"train": one, "val": one}) == {}
    assert unions({"train": one, "val": two, "more": one | {"d"}}) == {}
    assert unions({"train": one, "val": {"a"}}) == {}


# --- the report


def test_the_report_groups_and_cuts(planted: Callable[..., Report]):
    def spoil(content: dict[str, Any], folder: Path) -> None:
        for entry in content["annotations"][:5]:
            bad = {**entry, "id": entry["id"] + 800, "bbox": [1, 1, 5, -5]}
            content["annotations"].append(bad)
        content["annotations"][6]["area"] += 99

    report = planted(spoil)
    lines = report.lines(2)
    table = [line.split() for line in lines if line.startswith(("  error", "  warning"))]
    assert [row[:2] for row in table] == [["error", "5"], ["warning", "1"]]
    assert "  … and 3 more (--all, or --json)" in lines
    assert sum("negative size" in line for line in lines) == 2
    assert not any("more" in line for line in report.lines(None))
    assert sum("annotation " in line for line in report.lines(None)) == 6
    record = json.loads(json.dumps(report.record()))
    assert (record["errors"], record["warnings"], len(record["defects"])) == (5, 1, 6 + record["notes"])
    assert record["splits"]["train"]["images"] == 12


def test_odd_images_and_no_images(tmp_path: Path):
    for index, (mode, size) in enumerate([("1", (1, 1)), ("P", (3000, 2)), ("CMYK", (9, 9)), ("I;16", (30, 20))]):
        (tmp_path / "a" / "class").mkdir(parents=True, exist_ok=True)
        Image.new(mode, size).save(tmp_path / "a" / "class" / f"{index}.{'jpg' if mode == 'CMYK' else 'png'}")
    report = check_dataset(f"folder:{tmp_path / 'a'}")
    assert serious(report) == []
    assert "CMYK" in report.defects.of("mixed modes")[0].what
    empty = tmp_path / "empty.json"
    empty.write_text('{"images": [], "annotations": [], "categories": []}')
    assert len(check_dataset(f"coco:{empty}").defects) == 0


def test_what_cannot_be_checked(tmp_path: Path):
    with pytest.raises(PellucidError, match="generated"):
        check_dataset("scenes:n=2")
    with pytest.raises(PellucidError, match="no such file"):
        check_dataset(tmp_path / "nowhere")
    with pytest.raises(PellucidError, match="0 to 12"):
        check_dataset(tmp_path, near=40)


# --- real data


def numbers(defects: list[Defect]) -> set[int]:
    return {int(Path(d.file).stem.split("_")[1]) for d in defects}


def test_bccd():
    report = check_dataset(f"voc:{needs('bccd')}")
    assert list(report.passed_over) == ["trainval"]
    assert numbers(report.defects.of("zero area")) == {343, 338}
    assert numbers(report.defects.of("duplicate box")) == {13, 20, 100, 251, 403, 104, 331}
    assert report.defects.count("duplicate box") == 7
    lacking = report.defects.of("class missing")
    red = {134, 150, 224, 250, 258, 267, 268, 322, 147, 152, 330, 350}
    assert numbers([d for d in lacking if "no RBC" in d.what]) == red
    # 228 lacks its white cell, and that of 133 is labelled as a platelet.
    assert numbers([d for d in lacking if "no WBC" in d.what]) == {228, 133}
    assert len(lacking) == 14
    # One field of view, focused anew: 37 is of val, 38 of train.
    assert numbers(report.defects.of("split near overlap")) == {38}
    assert len(report.defects) == 2 + 7 + 14 + 1


def test_coco_mini():
    report = check_dataset(f"coco:{needs('coco_mini')}")
    areas = report.defects.of("area disagrees")
    assert sum("train2017" in d.file for d in areas) == 13
    assert sum("val2017" in d.file for d in areas) == 11
    assert all("(a crowd)" in d.what for d in areas)
    assert {d.item for d in report.defects.of("no annotations")} == {"000000058636.jpg", "000000226111.jpg"}
    assert len(serious(report)) == 13 + 11 + 2


def test_panoptic_sample():
    assert serious(check_dataset(f"panoptic:{needs('panoptic_sample')}")) == []


def test_isbi_em():
    folder = needs("isbi_em")
    assert serious(check_dataset(f"masks:{folder}")) == []
    found = serious(check_dataset(f"masks:{folder}", masks="labels_jpeg"))
    assert [d.kind for d in found] == ["lossy masks"]
    assert "54 gray values" in found[0].what
