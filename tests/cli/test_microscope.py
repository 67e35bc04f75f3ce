"""``pellucid microscope``: from a folder of photos to a site, and what it says where that cannot be."""

import json
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Run, left_behind

QUICK = ("--layers", "conv_stem,blocks.0", "--channels", "2", "--steps", "1", "--size", "32", "-k", "2")


@pytest.fixture
def data(cat: Image.Image, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    cat.save(folder / "cat.png")
    cat.rotate(90).save(folder / "turned.png")
    return folder


def test_a_site_is_made_and_then_kept(pellucid: Run, data: Path) -> None:
    (data / "broken.png").write_bytes(b"no photo")
    answer = pellucid("microscope", "--data", data, *QUICK, "--out", "site")
    assert answer.code == 0
    assert answer.out == "tf_efficientnet_lite0: 4 units of 2 layers, 2 photos\n  open site/index.html\n"
    (line,) = answer.err.splitlines()
    assert line.startswith(f"pellucid: skipped: {data / 'broken.png'}")
    assert {p.name for p in Path("site").glob("*.html")} == {"index.html", "conv_stem.html", "blocks.0.html"}
    assert not left_behind(Path("site"))

    again = pellucid("microscope", "--data", data, *QUICK, "--out", "site", "--json")
    assert again.items | {"skipped_photos": {}} == {
        "model": "tf_efficientnet_lite0",
        "data": str(data),
        "index": "site/index.html",
        "photos": 2,
        "skipped_photos": {},
        "layers": {"conv_stem": 2, "blocks.0": 2},
        "made": 0,
        "kept": 4,
    }
    assert json.loads(Path("site/settings.json").read_text())["layers"] == ["conv_stem", "blocks.0"]

    other = pellucid("microscope", "--data", data, *QUICK, "--seed", "3", "--out", "site")
    assert other.complaint == "site: was begun with other seed (0, now 3); choose another --out, or delete it"


def test_bad_input_is_one_line_and_code_2(pellucid: Run, data: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no photo" in pellucid("microscope", "--data", empty).complaint
    assert "no such file or folder" in pellucid("microscope", "--data", tmp_path / "dat").complaint
    (empty / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    assert "none of the 1 photos can be read" in pellucid("microscope", "--data", empty).complaint
    unknown = pellucid("microscope", "--data", data, "--layers", "blocks.9").complaint
    assert unknown.startswith("unknown layer 'blocks.9'; did you mean")
    Path("file").write_text("")
    assert "is a file; choose a folder" in pellucid("microscope", "--data", data, "--out", "file").complaint
    inside = pellucid("microscope", "--data", data, "--out", data / "site").complaint
    assert "lies inside the data" in inside
    assert not Path("microscope").exists()
