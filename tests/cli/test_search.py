"""``pellucid search``: what it writes and prints, how it goes on, and what it says of bad input."""

from pathlib import Path

import pytest
from PIL import Image

from pellucid.explain.search import Found, searching

from .conftest import Run, left_behind


@pytest.fixture(scope="module")
def data(cat: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos: parts of one."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(5):
        cat.crop((12 * i, 5 * i, 120 + 15 * i, 100 + 10 * i)).save(folder / f"{i}.png")
    return folder


def is_picture(path: str | Path) -> bool:
    with Image.open(path) as picture:
        picture.load()
        return picture.format == "PNG"


def test_a_layers_channels(pellucid: Run, data: Path):
    answer = pellucid("search", "blocks.3.1", "--data", data, "-k", "3")
    assert answer.code == 0, answer.err
    assert answer.err == ""
    first, layer, *rows, sheet = answer.out.splitlines()
    assert first == f"tf_efficientnet_lite0: 5 photos searched; all is in {Path('found/found.npz')}"
    assert layer == "blocks.3.1: 80 channels, the first 24"
    assert len(rows) == 24
    assert rows[7].split()[0] == "7"
    assert " row " in rows[7]
    assert sheet == f"  sheet {Path('found/blocks.3.1.png')}"
    assert is_picture("found/blocks.3.1.png")
    found = Found.read("found/found.npz")
    assert found.layers["blocks.3.1"].values.shape == (80, 3)
    assert str(data) in rows[7]
    assert left_behind(Path()) == []


def test_json_holds_every_channel_objective_and_class(pellucid: Run, data: Path):
    what = ("blocks.[01]", "blocks.3.1:42 + 0.5*blocks.2.1:7", "logit:tabby", "logit:*")
    record = pellucid("search", *what, "--data", data, "-k", "2", "--out", "o", "--json").items
    assert {name: len(rows) for name, rows in record["layers"].items()} == {"blocks.0": 16, "blocks.1": 24}
    hit = record["layers"]["blocks.1"][3][0]
    assert set(hit) == {"photo", "value", "position", "box"}
    assert len(hit["position"]) == 2
    x1, y1, x2, y2 = hit["box"]
    with Image.open(hit["photo"]) as photo:
        assert 0 <= x1 < x2 <= photo.width
        assert 0 <= y1 < y2 <= photo.height
    assert list(record["objectives"]) == ["blocks.3.1:42 + 0.5*blocks.2.1:7", "tabby"]
    assert record["objectives"]["tabby"][0]["position"] is None
    assert len(record["classes"]) == 1000
    tabby = record["classes"][281]
    assert (tabby["class"], tabby["index"]) == ("tabby", 281)
    assert [h["value"] for h in tabby["top"]] == [h["value"] for h in record["objectives"]["tabby"]]
    assert len(record["sheets"]) == 5
    assert all(is_picture(path) for path in record["sheets"].values())
    assert record["photos"] == 5
    assert record["file"] == str(Path("o/found.npz"))


def test_one_channel_is_ranked_by_its_strongest_position_and_cut_to_what_it_sees(pellucid: Run, data: Path):
    record = pellucid("search", "blocks.3.1:42", "--data", data, "-k", "3", "--json").items
    (name,) = record["channels"]
    assert (name, record["layers"], record["objectives"]) == ("blocks.3.1:42", {}, {})
    found = Found.read("found/found.npz")
    hits = found.top("blocks.3.1", 42)
    assert [hit["value"] for hit in record["channels"][name]] == [hit.value for hit in hits]
    assert [tuple(hit["position"]) for hit in record["channels"][name]] == [hit.position for hit in hits]
    assert is_picture(record["sheets"][name])
    # Every channel of the layer was ranked meanwhile: another one is there at once.
    assert "at its strongest position" in pellucid("search", "blocks.3.1:7", "--data", data, "-k", "3").out


def test_an_objective_lists_its_photos(pellucid: Run, data: Path):
    answer = pellucid("search", "logit:tabby", "--data", data, "-k", "4")
    _, heading, *rows, sheet = answer.out.splitlines()
    assert heading == "tabby:"
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4"]
    values = [float(row.split()[1]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert is_picture(sheet.removeprefix("  sheet "))


def test_shards_are_merged_to_what_one_run_finds(pellucid: Run, data: Path):
    what = ("blocks.0", "logit:tabby", "-k", "2", "--data", data)
    whole = pellucid("search", *what, "--out", "whole", "--json").items
    for part in ("1/2", "2/2"):
        answer = pellucid("search", *what, "--shard", part, "--out", "parts")
        assert answer.code == 0, answer.err
        assert "--merge" in answer.out
    assert {p.name for p in Path("parts").iterdir()} == {"found-1-of-2.npz", "found-2-of-2.npz"}
    files = [word for i in (1, 2) for word in ("--merge", f"parts/found-{i}-of-2.npz")]
    merged = pellucid("search", *files, "--out", "merged", "--json").items
    for name in ("layers", "objectives", "photos", "skipped", "k", "model"):
        assert merged[name] == whole[name]
    assert is_picture("merged/blocks.0.png")
    assert "both searches hold" in pellucid("search", *files[:2], *files[:2]).complaint


def test_an_interrupted_search_goes_on(pellucid: Run, data: Path, monkeypatch: pytest.MonkeyPatch):
    expected = pellucid("search", "blocks.0", "-k", "2", "--data", data, "--out", "whole", "--json").items
    take_in = searching._Run._take_in

    def interrupt(self: searching._Run, indices: range, *more: object) -> None:
        if indices.start >= 2:
            raise KeyboardInterrupt
        take_in(self, range(2), *more)

    def in_pairs(*args: object, **options: object) -> Found:
        return searching.search(*args, **options, batch_size=2)  # type: ignore[arg-type]

    monkeypatch.setattr("pellucid.cli.search.search", in_pairs)
    monkeypatch.setattr(searching._Run, "_take_in", interrupt)
    assert pellucid("search", "blocks.0", "-k", "2", "--data", data).code == 130
    monkeypatch.setattr(searching._Run, "_take_in", take_in)
    assert "not finished (2 of 5 photos)" in pellucid("search", "--merge", "found/found.npz", "--out", "m").complaint
    record = pellucid("search", "blocks.0", "-k", "2", "--data", data, "--json").items
    assert record["layers"] == expected["layers"]
    # What is asked later is another search: said, not mixed up.
    complaint = pellucid("search", "blocks.1", "-k", "2", "--data", data).complaint
    assert "other layers: blocks.0, not blocks.1" in complaint
    assert pellucid("search", "blocks.1", "-k", "1", "--data", data, "--no-resume").code == 0


def test_unreadable_photos_are_left_out_and_named(pellucid: Run, data: Path, cat: Image.Image, tmp_path: Path):
    cat.save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG broken")
    answer = pellucid("search", "blocks.0", "-k", "1", "--data", tmp_path, "--json", "--out", tmp_path / "found")
    assert answer.code == 0
    assert "1 photo left out" in answer.err
    assert list(answer.items["skipped"]) == [str(tmp_path / "bad.png")]
    # The sheets that lie among the photos now are not searched.
    again = pellucid("search", "blocks.0", "-k", "1", "--data", tmp_path, "--json", "--out", tmp_path / "found")
    assert again.items["photos"] == 2
    for path in (tmp_path / "good.png", *(tmp_path / "found").iterdir()):
        path.unlink()
    complaint = pellucid("search", "blocks.1", "--data", tmp_path, "--out", "x").complaint
    assert complaint.startswith("none of the photos can be read: ")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("blocks.9", "--data", "{data}"), "unknown layer 'blocks.9'; did you mean"),
        (("blocks.1:99", "--data", "{data}"), "has 24 channels, 0 to 23; there is no channel 99"),
        (("blocks.x:1", "--data", "{data}"), "unknown layer 'blocks.x'"),
        (("logit:tabbi", "--data", "{data}"), "tabby"),
        (("blocks.1:2 +", "--data", "{data}"), "at character"),
        (("blocks.1", "--data", "nowhere"), "nowhere: no such file or folder"),
        (("blocks.1", "--data", "empty"), "empty: holds no photo"),
        (("blocks.1", "--data", "{data}/0.png"), "is a file; give a folder"),
        (("blocks.1",), "with --data"),
        (("--data", "{data}"), "give what to search for"),
        (("blocks.1", "--data", "{data}", "--shard", "3/2"), "--shard 3/2: give I/N"),
        (("blocks.1", "--data", "{data}", "--shard", "1/9"), "leaves no photo"),
        (("blocks.1", "--data", "{data}", "--out", "{data}/0.png"), "is a file; choose a folder"),
        (("blocks.1", "--data", "{data}", "--merge", "a.npz"), "--merge takes files"),
        (("--merge", "missing.npz"), "missing.npz: no such file"),
        (("--merge", "{data}/0.png"), "is not a search"),
        (("blocks.1", "--data", "{data}", "--device", "warp"), "--device warp"),
    ],
)
def test_bad_input_is_one_line(pellucid: Run, data: Path, arguments: tuple[str, ...], why: str):
    Path("empty").mkdir()
    assert why in pellucid("search", *(a.format(data=data) for a in arguments)).complaint
    assert list(Path().iterdir()) == [Path("empty")]


def test_a_layer_that_the_network_does_not_run_is_named(pellucid: Run, data: Path, monkeypatch: pytest.MonkeyPatch):
    from pellucid.cli import search
    from pellucid.models import load

    network = load()
    network.network.spare = network.network.bn1.__class__(3)
    monkeypatch.setattr(search, "load_model", lambda *_: network)
    assert "layer 'spare' was not reached" in pellucid("search", "spare", "--data", data).complaint
