"""Folders: photos a class, and images with masks: layouts, values, colours, void, lossy masks, and what is written."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid import PellucidError, open_dataset
from pellucid.data import DataWarning
from pellucid.data.converting import convert
from pellucid.data.folders.values import _parse_table

from .conftest import photo, real


def mask(path, pixels, mode=None, **saving):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    if mode == "P":
        image.putpalette([i for v in range(256) for i in (v, 255 - v, 7)])
    image.save(path, **saving)
    return path


def test_a_folder_a_class(tmp_path):
    for name in ("train/cat/a.jpg", "train/dog/b.png", "train/dog/deep/c.jpg", "val/dog/d.jpg", "train/.hidden/x.jpg"):
        photo(tmp_path / name, (4, 6))
    data = open_dataset(tmp_path, "train")
    assert (data.format, data.classes.names, data.holds) == ("folder", ("cat", "dog"), {"labels"})
    assert data.names == ["cat/a.jpg", "dog/b.png", "dog/deep/c.jpg"]
    assert [s.annotations.present for s in data] == [(0,), (1,), (1,)]
    assert data[0].annotations.size == (4, 6)
    assert open_dataset(tmp_path, "val")[0].annotations.present == (1,)
    with pytest.raises(PellucidError, match="several splits; name one of them: train, val"):
        open_dataset(tmp_path)
    with pytest.raises(PellucidError, match="no split is called 'tets'"):
        open_dataset(tmp_path, "tets")


def test_photos_without_classes(tmp_path):
    photo(tmp_path / "a.jpg")
    data = open_dataset(tmp_path)
    assert (data.format, data.names, len(data.classes), data.holds) == ("folder", ["a.jpg"], 0, frozenset())
    (tmp_path / "empty").mkdir()
    with pytest.raises(PellucidError, match="holds no photo"):
        open_dataset(f"folder:{tmp_path / 'empty'}")
    with pytest.raises(PellucidError, match="no data set of a known format was recognised"):
        open_dataset(tmp_path / "empty")


def test_folders_are_written(tmp_path):
    for name in ("cat/a.jpg", "cat/b.jpg", "dog/a.jpg"):
        photo(tmp_path / "in" / name)
    convert(tmp_path / "in", f"folder:{tmp_path / 'out'}")
    assert open_dataset(tmp_path / "out", "train").names == ["cat/a.jpg", "cat/b.jpg", "dog/a.jpg"]
    with pytest.raises(PellucidError, match=r"classes? as a whole image; a folder a class needs exactly one"):
        convert("scenes:n=4,seed=0,size=64", f"folder:{tmp_path / 'scenes'}")


@pytest.mark.parametrize("mode", [None, "P"])
def test_class_numbers_with_void(tmp_path, mode):
    photo(tmp_path / "images" / "a.jpg", (2, 3))
    mask(tmp_path / "masks" / "a.png", [[0, 1, 2], [3, 255, 9]], mode)
    (tmp_path / "classes.txt").write_text("sky\nvoid\nroad\ncar\n")
    data = open_dataset(tmp_path)
    assert (data.format, data.classes.names, data.holds) == ("masks", ("sky", "road", "car"), {"semantic"})
    assert data[0].annotations.semantic.tolist() == [[0, 255, 1], [2, 255, 255]]


def test_colours(tmp_path):
    photo(tmp_path / "images" / "a.png", (1, 4))
    mask(tmp_path / "masks" / "a.png", [[[255, 0, 0], [0, 0, 9], [0, 0, 0], [1, 2, 3]]])
    table = "name,r,g,b\nroad,255,0,0\nriver bank,0,0,9\nvoid,0,0,0\n"
    (tmp_path / "class_dict.csv").write_text(table)
    data = open_dataset(tmp_path)
    assert data.classes.names == ("road", "river bank")
    assert data.classes.colours == ((255, 0, 0), (0, 0, 9))
    assert data[0].annotations.semantic.tolist() == [[0, 1, 255, 255]]
    (tmp_path / "class_dict.csv").unlink()
    unnamed = open_dataset(tmp_path)
    assert len(unnamed.classes) == 4
    assert unnamed[0].annotations.semantic.unique().tolist() == [0, 1, 2, 3]
    assert unnamed.classes[3] == "colour 255,0,0"


def test_two_values(tmp_path):
    photo(tmp_path / "images" / "a.jpg", (1, 2))
    mask(tmp_path / "masks" / "a.png", [[0, 255]])
    assert open_dataset(tmp_path)[0].annotations.semantic.tolist() == [[0, 1]]
    assert open_dataset(tmp_path, names="membrane+cell").classes.names == ("membrane", "cell")
    assert open_dataset(f"masks:{tmp_path},names=no+yes").classes.names == ("no", "yes")
    with pytest.raises(PellucidError, match="unknown option 'name'; did you mean 'names'"):
        open_dataset(tmp_path, name="x")


def test_lossy_masks(tmp_path):
    photo(tmp_path / "images" / "a.png", (64, 64))
    truth = np.zeros((64, 64))
    truth[:, 20:50] = 255
    mask(tmp_path / "masks" / "a.jpg", truth, quality=60)
    with pytest.warns(DataWarning, match="1 folder of lossy masks"):
        data = open_dataset(tmp_path)
    assert torch.equal(data[0].annotations.semantic, torch.from_numpy(truth == 255).long())
    noise = np.random.default_rng(0).integers(0, 255, (64, 64))
    mask(tmp_path / "masks" / "a.jpg", noise)
    with pytest.raises(PellucidError, match="JPEGs, whose values are blurred"):
        open_dataset(tmp_path)


def test_layouts_and_lists(tmp_path):
    for split in ("train", "val"):
        photo(tmp_path / "one" / split / "x.jpg", (2, 2))
        mask(tmp_path / "one" / f"{split}annot" / "x.png", [[0, 1], [1, 2]])
    assert open_dataset(tmp_path / "one", "val").names == ["x.jpg"]
    for name in "ab":
        photo(tmp_path / "two" / "images" / f"{name}.jpg", (2, 2))
        mask(tmp_path / "two" / "labels" / f"{name}_mask.png", [[0, 1], [1, 2]])
    (tmp_path / "two" / "val.txt").write_text("b\ngone\n../../a\nb\n")
    with pytest.warns(DataWarning, match="1 missing image"):
        data = open_dataset(tmp_path / "two")
    assert data.names == ["b.jpg"]
    assert data.defects.count("outside folder") == 1
    assert data.defects.count("duplicate image") == 1


def test_masks_of_another_size_and_damaged_ones(tmp_path):
    photo(tmp_path / "images" / "a.jpg", (2, 3))
    path = mask(tmp_path / "masks" / "a.png", [[0, 1], [1, 0]])
    with pytest.raises(PellucidError, match="is 2 × 2 pixels, its image 3 × 2"):
        _ = open_dataset(tmp_path)[0].annotations
    mask(path, np.random.default_rng(0).integers(0, 3, (2, 300)))
    photo(tmp_path / "images" / "a.jpg", (2, 300))
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(PellucidError, match=r"a\.png: damaged or cut short"):
        _ = open_dataset(tmp_path)[0].annotations
    path.unlink()
    with pytest.raises(PellucidError, match="no image with a mask"):
        open_dataset(f"masks:{tmp_path}")


@pytest.mark.parametrize("values", ["numbers", "colours"])
def test_masks_are_written_and_read_again(tmp_path, values):
    spec = "scenes:n=5,seed=4,size=64,ignore=2"
    convert(spec, f"masks:{tmp_path / 'out'},values={values}")
    before, after = open_dataset(spec), open_dataset(tmp_path / "out", "train")
    assert after.classes.names == before.classes.names
    assert after.classes.colours == before.classes.colours
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old.annotations.semantic, new.annotations.semantic)
    looked_at = Image.open(tmp_path / "out" / "masks" / "train" / "scene_00000.png")
    assert looked_at.mode == ("P" if values == "numbers" else "RGB")
    assert all((sample.annotations.semantic == 255).any() for sample in before)


def test_camvid():
    root = real("camvid")
    train, val = open_dataset(root, "train"), open_dataset(root, "val")
    assert (len(train), len(val)) == (367, 101)
    assert train.classes == val.classes
    assert len(train.classes) == 11
    assert "Void" not in train.classes
    counts = torch.zeros(256)
    for sample in val:
        counts += torch.bincount(sample.annotations.semantic.flatten(), minlength=256)
    shares = counts / counts.sum() * 100
    # The README's percentages of pixels in val.
    assert shares[:11].tolist() == pytest.approx(
        [9.18, 25.96, 0.56, 28.95, 8.72, 16.34, 0.89, 3.08, 1.75, 0.65, 2.22], abs=0.006
    )
    assert float(shares[255]) == pytest.approx(1.70, abs=0.006)


def test_isbi_em_and_its_lossy_labels():
    root = real("isbi_em")
    clean = open_dataset(root, "val")
    assert len(clean) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        lossy = open_dataset(f"masks:{root},masks=labels_jpeg", "val")
    membrane = 0.0
    for a, b in zip(clean, lossy, strict=True):
        assert torch.equal(a.annotations.semantic, b.annotations.semantic)
        membrane += float((a.annotations.semantic == 0).float().mean()) / 5
    assert membrane == pytest.approx(0.203, abs=0.0006)


@pytest.mark.parametrize("line", ["a" + " " * 300_000 + "b", "; " * 200_000 + "9", "1 " * 200_000])
def test_long_lines_of_class_names_end(tmp_path, line):
    (tmp_path / "classes.txt").write_text(line)
    assert len(_parse_table(tmp_path / "classes.txt")) == 1
