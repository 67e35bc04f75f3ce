"""``pellucid blocks``: what it writes, what it prints, and what it says of bad input."""

import json
from pathlib import Path

import pytest
from PIL import Image

from pellucid.cli import blocks

from .conftest import Run, left_behind

FAST = ("--steps", "1", "--size", "16", "--cells", "3", "--channels", "2", "--groups", "3")


def test_writes_a_page_and_a_record(pellucid: Run, photo: Path):
    answer = pellucid("blocks", photo, *FAST, "--target", "tabby")
    assert answer.code == 0
    assert answer.err == ""
    first, second, third = answer.out.splitlines()
    assert first.startswith(f"{photo}: ")
    assert second.startswith("  for tabby, at bn2: groups +")
    assert third == f"  page {Path('blocks/cat/blocks.png')}"
    assert sorted(p.name for p in Path("blocks/cat").iterdir()) == ["blocks.png", "record.json"]
    with Image.open("blocks/cat/blocks.png") as page:
        page.load()
    record = json.loads(Path("blocks/cat/record.json").read_text(encoding="utf-8"))
    assert record["target"]["index"] == 281
    assert record["grid"] == {"layer": "blocks.4", "rows": 3, "columns": 3, "pooled": True}
    parts = sum(group["attribution"] for group in record["groups"]) + record["residual"]["attribution"]
    assert parts == pytest.approx(record["attribution"], rel=1e-9)
    assert record["attribution"] == pytest.approx(record["logit"], rel=0.1)
    assert [channel["attribution"] > 0 for channel in record["channels"]] == [True, True, False, False]
    assert left_behind(Path()) == []


def test_json_is_one_list_and_a_bad_photo_does_not_stop_the_others(pellucid: Run, photo: Path):
    answer = pellucid("blocks", "missing.png", photo, *FAST, "--no-grid", "--layer", "blocks.5", "--json")
    assert answer.code == 2
    bad, good = answer.items
    assert bad == {"photo": "missing.png", "error": "missing.png: no such file"}
    assert answer.err == "pellucid: missing.png: no such file\n"
    assert good["layer"] == "blocks.5"
    assert "grid" not in good
    assert good == json.loads(Path("blocks/cat/record.json").read_text(encoding="utf-8"))
    assert good["target"] == good["predictions"][0]


def test_a_layer_that_is_named_is_the_grids_too_and_the_seed_repeats(pellucid: Run, photo: Path):
    wanted = ("blocks", photo, *FAST, "--layer", "blocks.3", "--seed", "3", "--json")
    (first,) = pellucid(*wanted).items
    page = Path(first["page"]).read_bytes()
    assert first["grid"]["layer"] == first["layer"] == "blocks.3"
    (second,) = pellucid(*wanted).items
    assert second == first
    assert Path(second["page"]).read_bytes() == page


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--layer", "blocks.44"), "unknown layer 'blocks.44'; did you mean"),
        (
            ("--layer", "global_pool"),
            "layer 'global_pool' gives shape (1, 1280), which has no positions over the image",
        ),
        (("--target", "tabbby"), "unknown class 'tabbby'; did you mean 'tabby'"),
        (("--groups", "50"), "50 groups: layer 'bn2' has 7 × 7 positions and 1280 channels; give 1 to 49"),
    ],
)
def test_what_is_wrong_with_the_request_is_said_once(pellucid: Run, photo: Path, arguments, complaint):
    answer = pellucid("blocks", photo, photo, *FAST, *arguments)
    assert answer.complaint.startswith(complaint)
    assert not Path("blocks").exists()


def test_an_out_that_cannot_be_written(pellucid: Run, photo: Path):
    Path("taken").write_text("")
    assert "taken is a file; choose a folder" in pellucid("blocks", photo, "--out", "taken").complaint


def test_a_photo_that_is_stopped_leaves_nothing(pellucid: Run, photo: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(blocks, "write_json", stop)
    assert pellucid("blocks", photo, *FAST, "--no-grid").code == 130
    assert not Path("blocks/cat").exists()


def test_help_says_what_it_costs(pellucid: Run):
    answer = pellucid("blocks", "--help")
    assert answer.code == 0
    assert "minutes on two cores" in " ".join(answer.out.split())
