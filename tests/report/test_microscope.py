"""The microscope: its site is whole, safe and the same however often it was broken off."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.models.classification import Classifier
from pellucid.models.preprocessing import Preprocessing
from pellucid.report.microscope import build, build_microscope
from pellucid.report.microscope.pictures import Photos, contact_sheet, crop
from pellucid.report.microscope.records import Crop, Layer, Site, Unit, read_units, slugs
from pellucid.report.microscope.site import about, write_index, write_layer
from pellucid.report.microscope.stages import default_layers
from pellucid.structures import Classes

NASTY = "<script>alert('1')</script> & \"quoted\" </title>"
CHANNELS = {"conv1": 20, "conv2": 6}
NAMES = [NASTY, "tabby", "éa, b", "a:3", "{{ 7 * 7 }}"]


class Tiny(nn.Module):
    """conv of 20 channels → relu → conv of 6 → pool → linear; one layer is never run."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 20, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(20, 6, 3, stride=2, padding=1)
        self.fc = nn.Linear(6, len(NAMES))
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv2(self.conv1(x).relu_()).relu().mean((2, 3)))


@pytest.fixture
def network() -> Classifier:
    preprocessing = Preprocessing((32, 32), (32, 32), "bilinear", "center", (0.5,) * 3, (0.5,) * 3)
    return Classifier(Tiny().eval(), preprocessing, Classes(tuple(NAMES)), f"tiny {NASTY}")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos & more")
    rng = np.random.default_rng(0)
    for name in ("plain.png", "a <b>'\"&.png", "deep/#1 50%.png"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(path)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return folder


def built(network: nn.Module, photos: Path, out: Path, **changed: Any) -> build.Built:
    options: dict[str, Any] = {"layers": ["conv1", "conv2"], "k": 2, "steps": 2, "size": 16, "batch_size": 2}
    return build_microscope(network, photos, out, **{**options, **changed})


@pytest.fixture(scope="session")
def site(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    out = tmp_path_factory.mktemp("unbroken") / "site"
    preprocessing = Preprocessing((32, 32), (32, 32), "bilinear", "center", (0.5,) * 3, (0.5,) * 3)
    classifier = Classifier(Tiny().eval(), preprocessing, Classes(tuple(NAMES)), f"tiny {NASTY}")
    made = built(classifier, photos, out)
    assert (made.made, made.kept, made.photos) == (26, 0, 3)
    assert list(made.skipped) == [str(photos / "broken.png")]
    return out


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def index_of(site: Path) -> Any:
    text = (site / "search-index.js").read_text(encoding="ascii")
    assert text.startswith("microscope.index(")
    return json.loads(text[len("microscope.index(") : -len(");\n")])


@pytest.mark.parametrize("name", ["index.html", "conv1.html", "conv2.html"])
def test_a_page_refers_to_what_is_there_and_to_nothing_outside(site: Path, name: str) -> None:
    page = Page(site / name)
    references = [t.get("src") or t.get("href") for _, t in page.tags if t.get("src") or t.get("href")]
    assert len(references) > 10
    for reference in references:
        assert reference is not None
        if reference.startswith("data:"):
            continue
        path, _, fragment = reference.partition("#")
        target = site / unquote(path) if path else site / name
        assert target.is_file(), reference
        if fragment:
            assert fragment in [t["id"] for _, t in Page(target).tags if "id" in t], reference
    ids = [t["id"] for _, t in page.tags if "id" in t]
    assert len(ids) == len(set(ids))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", (site / name).read_text(encoding="utf-8"))


def test_a_layer_has_a_tile_for_each_unit_with_pictures_that_keep_their_place(site: Path) -> None:
    for layer, count in CHANNELS.items():
        page = Page(site / f"{layer}.html")
        assert [t["id"] for t in page.of("article")] == [str(c) for c in range(count)]
        assert len(page.of("img")) == 2 * count
        for image in page.of("img"):
            assert image["alt"]
            assert image["width"]
            assert image["height"]
            assert image["loading"] == "lazy"
            with Image.open(site / str(image["src"])) as picture:
                picture.load()
        names = [t.get("aria-label") for t in page.of("article")]
        assert names == [f"{layer}:{c}" for c in range(count)]


def test_a_page_knows_the_record_of_each_unit(site: Path) -> None:
    text = (site / "conv1.html").read_text(encoding="utf-8")
    (given,) = re.findall(r'<script type="application/json" id="layer">(.*?)</script>', text, re.DOTALL)
    view = json.loads(given)
    assert view["channels"] == list(range(20))
    for batch, name in enumerate(view["files"]):
        record = (site / name).read_text(encoding="ascii")
        units = json.loads(record[len("microscope.units(") : -len(");\n")])["units"]
        assert [u["channel"] for u in units] == view["channels"][batch * view["batch"] :][: view["batch"]]
        assert all(len(u["influence"]) == len(NAMES) and len(u["crops"]) == 2 for u in units)
        assert all(abs(sum(u["influence"])) < 1e-3 * max(map(abs, u["influence"])) for u in units)


def test_the_search_index_covers_every_unit_its_classes_and_its_photos(site: Path) -> None:
    index = index_of(site)
    assert index["classes"] == NAMES
    assert sorted(index["photos"]) == ["a <b>'\"&.png", "deep/#1 50%.png", "plain.png"]
    assert {layer["name"]: [u[0] for u in layer["units"]] for layer in index["layers"]} == {
        layer: list(range(count)) for layer, count in CHANNELS.items()
    }
    for layer in index["layers"]:
        for channel, value, pushed, seen in layer["units"]:
            assert (site / layer["page"]).is_file(), channel
            assert np.isfinite(value)
            assert len(seen) == 2
            shares = pushed[1::2]
            assert shares == sorted(shares, reverse=True)
            assert 0 < sum(shares) <= 1000 + len(shares)


def test_names_are_escaped_wherever_they_stand(site: Path) -> None:
    for path in site.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<b>'" not in text
        page = Page(path)
        assert not [
            t for t in page.of("script") if t.get("src") not in (None, "search.js", "search-index.js", "microscope.js")
        ]
        assert len(page.of("script")) == (4 if path.name == "index.html" else 5)
    page = Page(site / "conv1.html")
    assert NASTY in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert any("a <b>'\"&.png" in str(image["alt"]) for image in page.of("img"))


class _KilledError(BaseException):
    """As a signal that nothing catches."""


def interrupted(monkeypatch: pytest.MonkeyPatch, name: str, at: int, *, after: bool) -> None:
    """Makes the ``at``-th call of one of build's functions the last thing that the run does."""
    original: Callable[..., Any] = getattr(build, name)
    calls = 0

    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at and not after:
            raise _KilledError
        made = original(*args, **kwargs)
        if calls == at:
            raise _KilledError
        return made

    monkeypatch.setattr(build, name, called)


@pytest.mark.parametrize(
    ("name", "at", "after", "kept"),
    [
        ("search", 1, True, 0),
        ("synthesize", 1, True, 0),
        ("write_jpeg", 5, True, 0),
        ("write_units", 1, False, 0),
        ("write_units", 1, True, 16),
        ("write_jpeg", 38, False, 16),
        ("write_units", 2, True, 20),
        ("write_layer", 1, False, 20),
        ("class_influence", 3, True, 20),
        ("write_units", 3, True, 26),
        ("write_index", 3, False, 26),
    ],
)
def test_a_run_broken_off_anywhere_is_gone_on_with(
    network: Classifier,
    photos: Path,
    site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    at: int,
    after: bool,
    kept: int,
) -> None:
    out = tmp_path / "site"
    with monkeypatch.context() as patched:
        interrupted(patched, name, at, after=after)
        with pytest.raises(_KilledError):
            built(network, photos, out)
    again = built(network, photos, out)
    assert (again.made, again.kept) == (26 - kept, kept)
    assert files(out) == files(site)


def test_a_layer_is_there_as_soon_as_it_is_done(
    network: Classifier, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, "write_units", 3, after=False)
    with pytest.raises(_KilledError):
        built(network, photos, tmp_path)
    assert (tmp_path / "conv1.html").is_file()
    assert not (tmp_path / "conv2.html").exists()
    page = Page(tmp_path / "index.html")
    assert "Not made yet" in page.text
    assert "conv2.html" not in [t.get("href") for t in page.of("a")]
    assert [len(layer["units"]) for layer in index_of(tmp_path)["layers"]] == [20, 0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (out / "units/conv1/0001.js").write_text("microscope.units({"),
        lambda out: (out / "units/conv1/0001.js").write_bytes(b""),
        lambda out: (out / "units/conv1/0001.js").write_text('microscope.units({"units":[1]});\n'),
        lambda out: (out / "images/conv1/17.jpg").unlink(),
        lambda out: os.truncate(out / "images/conv1/19-crops.jpg", 100),
        lambda out: (out / "units/conv1/0001.js").write_text((out / "units/conv1/0000.js").read_text()),
    ],
)
def test_what_is_damaged_is_made_again(
    network: Classifier, photos: Path, site: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    out = tmp_path / "site"
    shutil.copytree(site, out)
    damage(out)
    again = built(network, photos, out)
    assert (again.made, again.kept) == (4, 22)
    assert files(out) == files(site)


def test_a_full_disk_leaves_what_is_done(
    network: Classifier, photos: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, calls = Image.Image.save, 0

    def save(image: Image.Image, path: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 34:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        saved(image, path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", save)
        with pytest.raises(PellucidError, match=r"images/conv1/18\.jpg: cannot be written .*is the disk full\?"):
            built(network, photos, tmp_path)
    assert not list(tmp_path.rglob(".*"))
    assert not (tmp_path / "images/conv1/18.jpg").exists()
    assert built(network, photos, tmp_path).kept == 16
    assert files(tmp_path) == files(site)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 3}, r"was begun with other steps \(2, now 3\); choose another --out, or delete it"),
        ({"layers": ["conv1"]}, r"other layers \(conv1, conv2, now conv1\)"),
        ({"k": 3}, r"other k \(2, now 3\)"),
        ({"seed": 1}, r"other seed \(0, now 1\)"),
        ({"channels": 4}, r"other channels \(none, now 4\)"),
        ({"size": 24}, r"other size \(16, now 24\)"),
        ({"synthesis": False}, r"other steps \(2, now 0\)"),
    ],
)
def test_other_settings_are_refused(
    network: Classifier, photos: Path, site: Path, changed: dict[str, Any], said: str
) -> None:
    before = files(site)
    with pytest.raises(PellucidError, match=said):
        built(network, photos, site, **changed)
    assert files(site) == before


def test_other_weights_and_other_photos_are_refused(
    network: Classifier, photos: Path, site: Path, tmp_path: Path
) -> None:
    with torch.no_grad():
        network.network.fc.bias[0] += 1
    with pytest.raises(PellucidError, match="begun with other weights"):
        built(network, photos, site)
    with torch.no_grad():
        network.network.fc.bias[0] -= 1
    Image.new("RGB", (40, 40)).save(tmp_path / "one.png")
    with pytest.raises(PellucidError, match=r"begun with other (data|weights)"):
        built(network, tmp_path, site)


def test_a_folder_with_other_files_is_left_alone(network: Classifier, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PellucidError, match="holds other files, and no microscope; choose another --out"):
        built(network, photos, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_site_inside_its_own_data_is_refused(network: Classifier, photos: Path) -> None:
    with pytest.raises(PellucidError, match="lies inside the data"):
        built(network, photos, photos / "site")
    assert not (photos / "site").exists()


def test_what_is_wrong_is_said_in_one_line(network: Classifier, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    (tmp_path / "bad").mkdir()
    with pytest.raises(PellucidError, match="holds no photo"):
        built(network, tmp_path / "bad", out)
    (tmp_path / "bad" / "one.png").write_text("no photo")
    with pytest.raises(PellucidError, match=r"none of the 1 photos can be read; the first: .*one\.png"):
        built(network, tmp_path / "bad", out)
    with pytest.raises(PellucidError, match="unknown layer 'conv9'; did you mean"):
        built(network, photos, out, layers=["conv9"])
    assert not out.exists()
    with pytest.raises(PellucidError, match="layer 'unused' was not reached"):
        built(network, photos, out, layers=["unused"])
    for name, value in {"k": 0, "steps": 0, "channels": 0, "seed": -1}.items():
        with pytest.raises(PellucidError, match=f"{name}={value}: give a whole number"):
            built(network, photos, out, **{name: value})


def test_without_synthesis_and_with_few_channels(network: Classifier, photos: Path, tmp_path: Path) -> None:
    made = built(network, photos, tmp_path, synthesis=False, channels=3, layers=["conv*", "fc"])
    assert (made.made, [len(layer.channels) for layer in made.layers]) == (9, [3, 3, 3])
    page = Page(tmp_path / "conv1.html")
    assert "3 of 20 channels, 16 × 16 positions, each sees 3 × 3 of 32 × 32 pixels" in page.text
    assert len(page.of("img")) == 3
    assert "3 of 5 channels, one value each for the whole image" in Page(tmp_path / "fc.html").text
    assert "synthesised" not in Page(tmp_path / "index.html").text


def test_a_bare_network_shows_indices_and_is_left_as_it_was(photos: Path, tmp_path: Path) -> None:
    network = Tiny().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    made = built(network, photos, tmp_path, layers=["conv2"])
    assert made.made == 6
    assert "class 3" in Page(tmp_path / "conv2.html").text
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_vision_transformer_of_one_size_with_all_that_is_default(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=4).eval()
    preprocessing = Preprocessing((64, 64), (64, 64), "bilinear", "center", (0.5,) * 3, (0.5,) * 3)
    classifier = Classifier(network, preprocessing, Classes.unnamed(4), "vit")
    made = build_microscope(classifier, photos, tmp_path, channels=2, steps=2)
    assert [layer.name for layer in made.layers] == ["patch_embed.proj", "blocks.0", "blocks.1", "blocks.2"]
    with Image.open(tmp_path / "images/blocks.1/1.jpg") as picture:
        assert picture.size == (64, 64)


def test_a_unit_does_not_depend_on_how_many_are_shown(
    network: Classifier, photos: Path, site: Path, tmp_path: Path
) -> None:
    built(network, photos, tmp_path, channels=16)
    for name in ("images/conv1/7.jpg", "images/conv1/15-crops.jpg"):
        assert (tmp_path / name).read_bytes() == (site / name).read_bytes()


def test_progress_counts_units_and_says_what_is_climbed(network: Classifier, photos: Path, tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    built(network, photos, tmp_path, say=lambda *what: said.append(what))
    units = [entry for entry in said if entry[0] != "looking at the photos"]
    assert units[-1][1:] == (26, 26)
    assert [done for _, done, _ in units] == sorted(done for _, done, _ in units)
    assert any(re.fullmatch(r"conv1:16 … 19, step 2 of 2: -?[\d.e-]+", text) for text, _, _ in units)


# Pages from records alone.


def a_site(**changed: Any) -> tuple[Site, Layer]:
    layer = Layer("a.b#1", "a.b_1", (0, 1), 2, (4, 4), (8, 8))
    options = {
        "model": "m",
        "data": "d",
        "photos": 3,
        "classes": ("x", "y"),
        "layers": (layer,),
        "frame": (8, 8),
        "k": 2,
        "size": 16,
        "steps": 2,
        "batch": 16,
    }
    return Site(**{**options, **changed}), layer


def test_odd_units_make_pages(tmp_path: Path) -> None:
    site, layer = a_site()
    units = [
        Unit(0, (Crop("no text \udcff.png", -1.5),), (0.0, 0.0), None, {}),
        Unit(1, (), (-2.0, 2.0), 0.5, {"images/a.b_1/1.jpg": 3}),
    ]
    write_layer(tmp_path, site, layer, units)
    write_index(tmp_path, site, {layer.name: units})
    page = Page(tmp_path / "a.b_1.html")
    assert "Pushes no class" in page.text
    assert "max −1.5" in page.text
    assert "max –" in page.text
    assert "100%" in page.text
    assert about(layer, site) == "2 channels, 4 × 4 positions, each sees the whole image"
    assert index_of(tmp_path)["layers"][0]["units"][1] == [1, None, [1, 1000], []]


def test_records_of_other_shape_are_not_taken(tmp_path: Path) -> None:
    _, layer = a_site()
    assert read_units(tmp_path, layer, 0, (0, 1), 2) is None


def test_file_names_of_layers_are_plain_and_apart() -> None:
    made = slugs(["layer1.0.relu#1", "layer1.0.relu_1", "index", "../etc/passwd", "ä", "A", "a"])
    assert made == ["layer1.0.relu_1", "layer1.0.relu_1-2", "index-2", "_etc_passwd", "_", "A", "a-2"]


def test_a_crop_is_the_receptive_field_and_a_small_one_is_outlined_in_its_surroundings() -> None:
    photo = torch.zeros(3, 140, 210, dtype=torch.uint8)
    photo[0] = torch.arange(210)  # red says the column, green the row
    photo[1] = torch.arange(140)[:, None]

    def at(picture: np.ndarray, y: int, x: int) -> list[int]:
        return [int(v) for v in picture[y, x, :2]]

    whole = crop(photo, (100.0, 20.0, 170.0, 90.0), 35)
    assert whole.shape == (35, 35, 3)
    assert at(whole, 17, 17) == pytest.approx([134.5, 54.5], abs=2)
    assert at(whole, 2, 32) == pytest.approx([164.5, 24.5], abs=2)
    small = crop(photo, (130.0, 50.0, 132.0, 52.0), 60)  # shown within 20 × 20, three pixels each
    assert at(small, 5, 5) == pytest.approx([122.3, 42.3], abs=2)
    outline = np.argwhere((small == 255).all(-1))
    assert outline.min(0).tolist() == [25, 25]
    assert outline.max(0).tolist() == [34, 34]
    corner = crop(photo, (0.0, 0.0, 2.0, 2.0), 60)
    assert at(corner, 50, 50) == pytest.approx([16.3, 16.3], abs=2)
    assert (corner[7, :8] == 255).all()
    beyond = crop(photo, (0.0, 0.0, 210.0, 140.0), 30)
    assert beyond[2, 15].tolist() == [136, 136, 136]
    assert at(beyond, 15, 15) == pytest.approx([108, 73], abs=4)
    sheet = contact_sheet([whole, small[:35, :35]], 2, 2)
    assert sheet.shape == (70, 70, 3)
    assert (sheet[:35, :35] == whole).all()
    assert (sheet[:35, 35:] == small[:35, :35]).all()
    assert (sheet[35:] == 136).all()


def test_photos_are_remembered_within_bounds(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Photos()
    first = known[str(photos / "plain.png")]
    assert known[str(photos / "plain.png")] is first
    monkeypatch.setattr("pellucid.report.microscope.pictures._REMEMBERED", 1)
    known[str(photos / "deep/#1 50%.png")]
    assert known[str(photos / "plain.png")] is not first


@pytest.mark.parametrize(
    ("make", "size", "expected"),
    [
        (lambda: timm.create_model("resnet10t"), 64, ["conv1", "layer1", "layer2", "layer3", "layer4"]),
        (
            lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3),
            64,
            ["patch_embed.proj", "blocks.0", "blocks.1", "blocks.2"],
        ),
        (lambda: timm.create_model("convnext_atto"), 64, ["stem.0", *(f"stages.{i}" for i in range(4))]),
        (
            lambda: torchvision.models.squeezenet1_1(),
            64,
            [f"features.{i}" for i in (0, 3, 4, 6, 7, 9, 10, 11, 12)],
        ),
        (
            lambda: nn.Sequential(*torchvision.models.vgg11().features),
            64,
            ["1", "4", "9", "14", "19"],
        ),
    ],
)
def test_the_default_layers_are_the_stages(make: Callable[[], nn.Module], size: int, expected: list[str]) -> None:
    assert default_layers(make().eval(), (size, size)) == expected


def test_the_default_layers_of_the_embedded_network(embedded: Classifier) -> None:
    assert default_layers(embedded, (224, 224)) == ["conv_stem", *(f"blocks.{i}" for i in range(7))]


def test_a_network_without_positions_has_no_default_layers() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5))
    with pytest.raises(PellucidError, match="no layer whose activation covers the image; name some with --layers"):
        default_layers(network, (8, 8))
