"""``pellucid synthesize``, run as a person runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Run, left_behind

QUICK = ("--steps", "3", "--size", "32")


def test_a_channel(pellucid: Run):
    answer = pellucid("synthesize", "blocks.1.0:3", *QUICK, "--snapshots", "1,2")
    assert answer.code == 0, answer.err
    assert answer.err == ""
    made = sorted(p.name for p in Path("synthesized").iterdir())
    stem = "blocks.1.0_3"
    assert made == [f"{stem}-page.png", f"{stem}-step1.png", f"{stem}-step2.png", f"{stem}.json", f"{stem}.png"]
    with Image.open(f"synthesized/{stem}.png") as image:
        assert image.size == (32, 32)
    record = json.loads(Path(f"synthesized/{stem}.json").read_text())
    assert record["images"][0]["value"] == pytest.approx(float(answer.out.split()[1]), rel=1e-3)
    assert len(record["history"]) == record["steps"] == 3
    assert left_behind(Path()) == []


def test_the_same_seed_gives_the_same_file(pellucid: Run):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert pellucid("synthesize", "blocks.0:3", *QUICK, "--seed", seed, "--out", name).code == 0
    a, b, c = (np.asarray(Image.open(f"{name}/blocks.0_3.png")) for name in "abc")
    assert (a == b).all()
    assert not (a == c).all()


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["blocks.1.0:3 + 0.5*logit:tabby", "--transforms", "pad=4,jitter=4"], 1),
        (["blocks.1.0:3", "--diversity", "3"], 3),
        (["logit:tabby", "--to", "logit:espresso", "--diversity", "2"], 2),
        (["blocks.1.0:3", "--to", "blocks.1.0:4"], 6),
        (["blocks.1.0:3", "--parametrisation", "pixels", "--regularise", "tv=1,l2=0.5", "--regularise", "blur=1"], 1),
        (["blocks.1.0:3", "--parametrisation", "maco"], 1),
    ],
)
def test_every_way_of_asking(pellucid: Run, arguments: list[str], count: int):
    answer = pellucid("synthesize", *arguments, *QUICK, "--json")
    assert answer.code == 0, answer.err
    item = answer.items
    assert len(item["images"]) == count
    for image in item["images"]:
        assert Path(image["file"]).is_file()
    assert Path(item["page"]).is_file()


def test_a_dream_and_a_caricature(pellucid: Run, photo: Path):
    assert pellucid("synthesize", "blocks.2", "--dream", photo, "--steps", "2", "--size", "96").code == 0
    with Image.open("synthesized/blocks.2-dream.png") as image:
        assert image.size == (96, 64)
    assert pellucid("synthesize", "blocks.2", "--caricature", photo, *QUICK).code == 0
    assert Path("synthesized/blocks.2-caricature.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["blocks.3.9:1"], "unknown layer 'blocks.3.9'; did you mean"),
        (["blocks.3.1:80"], "layer 'blocks.3.1' has 80 channels, 0 to 79; there is no channel 80"),
        (["blocks.3.1:"], "objective 'blocks.3.1:►': at character 12, expected the number of a channel"),
        (["logit:tabbi"], "unknown class 'tabbi'; did you mean 'tabby'"),
        (["blocks.1", "--transforms", "shear=3"], "transform 'shear=3': give pad=PIXELS"),
        (["blocks.1", "--regularise", "tvv=3"], "--regularise tvv=3: give NAME=WEIGHT, NAME one of tv, l1, l2, blur"),
        (["blocks.1", "--parametrisation", "pixel"], "take fourier, pixels, maco; did you mean 'pixels'"),
        (["blocks.1", "--snapshots", "a"], "--snapshots a: give steps with commas"),
        (["blocks.1", "--snapshots", "900"], "snapshot at step 900: the steps are 1 to 512"),
        (["blocks.1", "--size", "2"], "give 8 to 4096 pixels"),
        (["blocks.1:3", "--caricature", __file__], "is of a layer such as 'blocks.4'"),
        (["blocks.1", "--dream", "a.jpg", "--caricature", "b.jpg"], "exclude each other"),
        (["blocks.1", "--dream", "missing.jpg"], "missing.jpg: no such file"),
        (["blocks.1", "--out", __file__], "is a file; choose a folder"),
    ],
)
def test_what_is_refused_leaves_nothing(pellucid: Run, arguments: list[str], told: str):
    assert told in pellucid("synthesize", *arguments).complaint
    assert list(Path().iterdir()) == []


def test_a_full_disk_leaves_nothing_half_written(pellucid: Run, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert "is the disk full?" in pellucid("synthesize", "blocks.0:3", *QUICK).complaint
    assert [p for p in Path("synthesized").iterdir() if p.is_file()] == []
