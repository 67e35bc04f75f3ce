"""``pellucid explain``: what it writes, what it prints, and what it says of bad input."""

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import pellucid as package
from pellucid.cli import explain
from pellucid.cli.explain import chosen_methods
from pellucid.errors import PellucidError
from pellucid.explain import METHODS

from .conftest import QUICK, Run, check_whole, left_behind


def test_writes_a_panel_raw_maps_and_a_record(pellucid: Run, photo: Path):
    answer = pellucid("explain", photo, "--method", "Grad-CAM++, saliency", "-k", "2", "--out", "out")
    assert answer.code == 0
    assert answer.err == ""
    first, second = answer.out.splitlines()
    assert first.startswith(f"{photo}: ")
    assert first.count("%") == 3
    assert second == f"  panel {Path('out/cat/panel.png')}"
    record = check_whole(Path("out/cat"))
    assert [m["method"] for m in record["maps"]] == ["saliency", "grad_cam_plus_plus"] * 2
    assert [m["layer"] for m in record["maps"]] == [None, "bn2"] * 2
    for item in record["maps"]:
        with np.load(item["file"]) as saved:
            assert saved["map"].shape == (150, 225)
            assert saved["map"].dtype == np.float32
            assert json.loads(str(saved["record"])) == {k: item[k] for k in ("method", "target", "layer")}
    assert left_behind(Path()) == []


def test_json_is_one_list_and_nothing_else(pellucid: Run, photo: Path):
    answer = pellucid("explain", photo, "missing.png", "--target", "tabby", "--method", "grad_cam", "--json")
    assert answer.code == 2
    good, bad = answer.items
    assert good["photo"] == str(photo)
    assert len(good["predictions"]) == 5
    assert set(good["predictions"][0]) == {"class", "index", "probability"}
    probabilities = [p["probability"] for p in good["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    (item,) = good["maps"]
    assert (item["method"], item["target"], item["layer"]) == ("grad_cam", "tabby", "bn2")
    assert Path(item["file"]).is_file()
    assert Path(good["panel"]).is_file()
    assert good == check_whole(Path("explained/cat"))
    assert bad == {"photo": "missing.png", "error": "missing.png: no such file"}
    assert answer.err == "pellucid: missing.png: no such file\n"


def test_check_gives_figures_and_a_table_of_100_columns(pellucid: Run, photo: Path, monkeypatch: pytest.MonkeyPatch):
    original = explain.check_subject
    monkeypatch.setattr(explain, "check_subject", lambda *args, **more: original(*args, **more, steps=2, stages=2))
    answer = pellucid("explain", photo, *QUICK, "--check", "--truth", "40,10,200,140")
    assert answer.code == 0, answer.err
    assert all(len(line) <= 100 for line in answer.out.splitlines() if str(photo) not in line)
    for heading in ("deletion", "insertion", "kept", "edges", "hit", "inside", "verdict"):
        assert heading in answer.out
    figures = check_whole(Path("explained/cat"))["maps"][0]["check"]
    assert all(0 <= figures[name] <= 1 for name in ("deletion", "insertion", "energy_inside"))
    assert -1 <= figures["randomisation_kept"] <= 1
    assert figures["passes"] is (figures["failures"] == [])


def test_targets_by_name_synonym_and_index_are_explained_once_each(pellucid: Run, photo: Path):
    wanted = [word for name in ("tabby", "281", "tabby cat", " TABBY ", "goldfish") for word in ("--target", name)]
    (item,) = pellucid("explain", photo, *wanted, "--method", "grad_cam", "--json").items
    assert [(t["class"], t["index"]) for t in item["targets"]] == [("tabby", 281), ("goldfish", 1)]
    assert [m["target"] for m in item["maps"]] == ["tabby", "goldfish"]


def test_top_k_above_the_five_classes_listed(pellucid: Run, photo: Path):
    (item,) = pellucid("explain", photo, "--method", "grad_cam", "--top-k", "7", "--json").items
    assert len(item["maps"]) == len(item["targets"]) == len(item["predictions"]) == 7


def test_the_network_is_asked_about_classes_whose_file_names_look_the_same(pellucid: Run, photo: Path, tmp_path: Path):
    names = ["a b", "a_b", "A-b", *(f"class {i}" for i in range(997))]
    (tmp_path / "classes.txt").write_text("\n".join(names), encoding="utf-8")
    wanted = [word for name in names[:3] for word in ("--target", name)]
    answer = pellucid("explain", photo, *wanted, "--method", "grad_cam", "--classes", tmp_path / "classes.txt")
    assert answer.code == 0, answer.err
    record = check_whole(Path("explained/cat"))
    assert len({m["file"].lower() for m in record["maps"]}) == 3


def test_photos_of_every_kind_just_work(pellucid: Run, cat: Image.Image, tmp_path: Path):
    cat.convert("L").save(tmp_path / "gray.jpg")
    cat.convert("P").save(tmp_path / "palette.png")
    cat.convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(np.asarray(cat.convert("L")).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    transparent = cat.convert("RGBA")
    transparent.putalpha(128)
    transparent.save(tmp_path / "transparent.png")
    exif = Image.Exif()
    exif[0x112] = 6
    cat.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif)
    cat.crop((0, 0, 1, 1)).save(tmp_path / "one.png")
    cat.resize((12_000, 40)).save(tmp_path / "wide.jpg")
    answer = pellucid("explain", tmp_path, *QUICK, "--json")
    assert answer.code == 0, answer.err
    items = {Path(item["photo"]).name: item for item in answer.items}
    assert len(items) == 8
    assert items["turned.jpg"]["size"] == [225, 150]
    assert items["one.png"]["size"] == [1, 1]
    for item in items.values():
        check_whole(Path(item["panel"]).parent)
    wide = Path(items["wide.jpg"]["panel"]).parent
    with Image.open(wide / "panel.png") as panel:
        assert max(panel.size) < 3000
    with np.load(items["wide.jpg"]["maps"][0]["file"]) as saved:
        assert max(saved["map"].shape) == 2048


def _bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header declares so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_bad_photo_is_one_line_and_the_others_are_done(pellucid: Run, cat: Image.Image, photo: Path, tmp_path: Path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "empty.jpg").touch()
    cat.save(bad / "cut.png")
    (bad / "cut.png").write_bytes((bad / "cut.png").read_bytes()[:3000])
    (bad / "text.png").write_text("no photo")
    (bad / "bomb.png").write_bytes(_bomb(65_000, 65_000))
    (tmp_path / "nothing").mkdir()
    answer = pellucid("explain", bad, "nosuch", tmp_path / "nothing", photo, "void.png", *QUICK, "--json")
    assert answer.code == 2
    *others, good, last = answer.items
    assert good["photo"] == str(photo)
    assert all(set(item) == {"photo", "error"} for item in (*others, last))
    check_whole(Path("explained/cat"))
    told = answer.err.splitlines()
    assert len(told) == 7
    for line, start in zip(
        told,
        [
            f"{bad / 'bomb.png'}: 4,225,000,000 pixels, more than the 178,956,970",
            f"{bad / 'cut.png'}: ",
            f"{bad / 'empty.jpg'}: the file is empty",
            f"{bad / 'text.png'}: is text, not a photo",
            "nosuch: no such file or folder",
            f"{tmp_path / 'nothing'}: holds no photo",
            "void.png: no such file",
        ],
        strict=True,
    ):
        assert line.startswith(f"pellucid: {start}")
    assert sorted(p.name for p in Path("explained").iterdir()) == ["cat"]
    assert left_behind(Path()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--method", "gradcan"], "unknown method 'gradcan'; did you mean 'grad_cam'"),
        (["--method", ","], "--method: names no method"),
        (["--target", "tabbi"], "unknown class 'tabbi'; did you mean 'tabby'"),
        (["--target", "²"], "unknown class '²'"),
        (["--target", "1000"], "class 1000: there are 1000 classes, 0 to 999"),
        (["--layer", "blocks.7"], "unknown layer 'blocks.7'; did you mean 'blocks."),
        (["--layer", "blocks.*"], "layer 'blocks.*' means 7 layers (blocks.0, blocks.1, blocks.2, blocks.3 …)"),
        (["--layer", "blocks.5", "--method", "saliency"], "--layer blocks.5: none of these methods looks at a layer"),
        (["--set", "samples"], "--set samples: give NAME=VALUE, NAME one of baseline, fill"),
        (["--set", "samples=2.5"], "--set samples=2.5: give a whole number from 1"),
        (["--set", "samples=nan"], "--set samples=nan: give a whole number"),
        (["--set", "samples=1e30"], "--set samples=1e30: give a whole number"),
        (["--set", "window=0"], "--set window=0: give a whole number"),
        (["--set", "seed=-1"], "--set seed=-1: give a whole number from 0"),
        (["--set", "noise=much"], "--set noise=much: 'much' is no number"),
        (["--set", "noise=inf"], "--set noise=inf: give a number from 0 to 1"),
        (["--set", "masks=8"], "--set masks=8: give NAME=VALUE, NAME one of baseline, fill"),
        (["--truth", "0,0,9,9"], "--truth is used by the faithfulness tests: give --check with it"),
        (["--check", "--truth", "0,0,9"], "--truth 0,0,9: no such file; give four numbers"),
        (["--device", "nonsense"], "--device nonsense: not available here; use cpu, or auto"),
        (["--device", "meta"], "--device meta: not available here"),
        (["--device", "privateuseone"], "--device privateuseone: not available here"),
        (["--model", "tf_efficientnet_lit0"], "unknown model; did you mean 'tf_efficientnet_lite0'"),
        (["--model", "qqqqqq"], "qqqqqq: unknown model; list the known ones with `pellucid models`"),
        (["--model", "none.safetensors"], "none.safetensors: no such file"),
        (["--checkpoint", "none.pt"], "none.pt: no such file"),
        (["--classes", "none.txt"], "none.txt: cannot be read"),
    ],
)
def test_bad_options_are_one_line_before_any_photo_is_done(pellucid: Run, photo: Path, arguments: list[str], told: str):
    assert told in pellucid("explain", photo, *arguments, "--json").complaint
    assert not Path("explained").exists()


def test_a_truth_that_does_not_fit_the_photo(pellucid: Run, photo: Path, cat: Image.Image, tmp_path: Path):
    cat.resize((9, 9)).save(tmp_path / "small.png")
    answer = pellucid("explain", photo, *QUICK, "--check", "--truth", tmp_path / "small.png")
    assert "the mask is 9×9, the photo 225×150; they must agree" in answer.complaint
    answer = pellucid("explain", photo, *QUICK, "--check", "--truth", "900,900,999,999")
    assert "the region holds no pixel of the 225×150 photo" in answer.complaint


def test_a_network_that_gives_nan(pellucid: Run, photo: Path, tmp_path: Path):
    model = package.load()
    model.save(tmp_path / "sick.safetensors")
    tensors = load_file(tmp_path / "sick.safetensors")
    key = next(k for k in tensors if "conv_stem" in k)
    tensors[key] = torch.full_like(tensors[key], torch.nan)
    save_file(tensors, tmp_path / "sick.safetensors")
    options = ("--model", "tf_efficientnet_lite0", "--checkpoint", tmp_path / "sick.safetensors")
    told = pellucid("explain", photo, *QUICK, *options).complaint
    assert told.startswith(f"{photo}: ")
    assert "its output is not finite" in told
    assert not Path("explained").exists()
    assert "the weights hold NaN" in pellucid("kernels", *options).complaint
    assert not Path("kernels.png").exists()


def test_photos_of_one_name_keep_apart(pellucid: Run, cat: Image.Image, tmp_path: Path):
    for folder, name in (("a", "cat.png"), ("b", "cat.png"), ("b", "Cat.jpg")):
        (tmp_path / folder).mkdir(exist_ok=True)
        cat.save(tmp_path / folder / name)
    photos = [tmp_path / "a", tmp_path / "b", tmp_path / "a" / "cat.png"]
    answer = pellucid("explain", *photos, *QUICK, "--json")
    assert answer.code == 0
    assert len({item["panel"].lower() for item in answer.items}) == 4
    for item in answer.items:
        check_whole(Path(item["panel"]).parent)


def test_odd_file_names(pellucid: Run, cat: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = ["-k.png", 'it\'s "a" cat.png', "кот 猫.png", "[bold]a[b].png", " .png.png"]
    monkeypatch.chdir(tmp_path)
    for name in names:
        cat.save(name)
    answer = pellucid("explain", *QUICK, "--json", "--", *names)
    assert answer.code == 0, answer.err
    assert [item["photo"] for item in answer.items] == names
    for item in answer.items:
        check_whole(Path(item["panel"]).parent)
    assert "кот_猫" in answer.out


def test_what_an_earlier_run_wrote_is_no_photo(pellucid: Run, photo: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(photo.parent)
    for _ in range(2):
        (item,) = pellucid("explain", ".", *QUICK, "--json").items
        assert item["photo"] == "cat.png"
    photo.unlink()
    assert "holds no photo but what an earlier run wrote" in pellucid("explain", ".", *QUICK).complaint


def test_out_must_be_a_folder_that_can_be_written(pellucid: Run, photo: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"{tmp_path / 'file'} is a file; choose a folder" in pellucid("explain", photo, "--out", out).complaint
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):  # root may write anywhere
        assert "may not be written to" in pellucid("explain", photo, "--out", locked / "out").complaint
    assert "cannot write here" in pellucid("explain", photo, *QUICK, "--out", "/proc/nowhere").complaint


def test_a_photo_is_explained_whole_or_not_at_all(pellucid: Run, photo: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise PellucidError("panel.png: cannot be written (No space left on device)")

    monkeypatch.setattr(explain, "draw_panel", full)
    assert "No space left" in pellucid("explain", photo, *QUICK).complaint
    assert list(Path("explained").rglob("*")) == []


def test_methods_are_named_as_people_write_them():
    assert chosen_methods([]) == (["smooth_grad", "integrated_gradients", "grad_cam", "occlusion"], False)
    assert chosen_methods(["RISE,grad-cam", "Guided Backprop"]) == (["guided_backprop", "grad_cam", "rise"], False)
    assert chosen_methods(["saliency,ALL"]) == (list(METHODS), True)


def test_methods_a_network_has_none_of(pellucid: Run, photo: Path, tmp_path: Path):
    torch.manual_seed(0)
    model = package.load("efficientnet_b0", pretrained=False)  # SiLU: the rectifier rules are not defined
    model.save(tmp_path / "silu.safetensors")
    options = ("--model", tmp_path / "silu.safetensors", "-k", "1")
    assert "this network uses SiLU" in pellucid("explain", photo, *options, "--method", "deconvnet").complaint
    quick = ["samples=1", "steps=1", "masks=2", "window=112", "stride=112"]
    more = [word for setting in quick for word in ("--set", setting)]
    answer = pellucid("explain", photo, *options, "--method", "all", *more, "--json")
    assert answer.code == 0, answer.err
    (item,) = answer.items
    assert set(item["skipped"]) == {"deconvnet", "guided_backprop", "guided_grad_cam"}
    assert [m["method"] for m in item["maps"]] == [
        m for m, known in METHODS.items() if m not in item["skipped"] and not known.of_objects
    ]
