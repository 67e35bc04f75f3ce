"""Search: its rankings against a plain loop over photos, its files, its shards, and its errors."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import pellucid
from pellucid import PellucidError
from pellucid.explain import channel, class_logit, of_predictions, watch
from pellucid.explain.search import Found, Hit, Ranking, crop, crops, search, searching
from pellucid.explain.search.ranking import Scores
from pellucid.models.classification import Classifier

from .networks import Small, random_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, chelsea: Tensor) -> Path:
    """Thirteen photos of several sizes: parts of one."""
    path = tmp_path_factory.mktemp("photos")
    for i in range(13):
        part = chelsea[:, 9 * i : 9 * i + 120 + 4 * i, 20 * i : 20 * i + 150]
        Image.fromarray(part.permute(1, 2, 0).numpy()).save(path / f"{i:02}.png")
    return path


def same(one: Found, two: Found) -> bool:
    """Whether two searches found the same, to the last bit."""

    def plain(found: Found) -> object:
        rankings = {**found.layers, **found.objectives, "classes": found.classes}
        parts = [
            [name, [getattr(r, part).tolist() for part in ("values", "photos", "positions")] if r else None]
            for name, r in rankings.items()
        ]
        boxes = [[found.top(layer, c) for c in (0, len(ranking.values) - 1)] for layer, ranking in found.layers.items()]
        return [found.photos, found.skipped, found.k, parts, boxes, found.fingerprint, list(found.fields)]

    return plain(one) == plain(two)


def one_by_one(model: nn.Module, photos: list[Path], layer: str) -> tuple[Tensor, Tensor]:
    """(photos, C) maxima and their flat positions, each photo alone."""
    values, positions = [], []
    for photo in photos:
        with torch.no_grad(), watch(model.network, [layer]) as seen:
            maps = seen(model.prepare([photo])[0], through=model.from_frame)[layer][0]
        values.append(maps.flatten(1).max(1).values)
        positions.append(maps.flatten(1).argmax(1))
    return torch.stack(values), torch.stack(positions)


def test_every_channels_photos_are_those_of_a_plain_loop(embedded: Classifier, folder: Path) -> None:
    layers = ["conv_stem", "blocks.3.1", "bn2"]
    found = search(embedded, folder, layers, k=4, classes=True, batch_size=5)
    photos = sorted(folder.iterdir())
    assert found.photos == [str(p) for p in photos]
    assert found.model == "tf_efficientnet_lite0"
    for layer in layers:
        values, positions = one_by_one(embedded, photos, layer)
        best, order = values.sort(0, descending=True)
        ranking = found.layers[layer]
        assert torch.allclose(ranking.values.T, best[:4], rtol=1e-4, atol=1e-4)
        clear = (best[:4] - best[1:5] > 1e-3) & (torch.cat([best[:1] + 1, best[:3]]) - best[:4] > 1e-3)
        assert clear.float().mean() > 0.6
        assert torch.equal(ranking.photos.T[clear], order[:4][clear])
        width = found.fields[224, 224][layer].columns.shape[0]
        flat = ranking.positions[..., 0] * width + ranking.positions[..., 1]
        agree = torch.eq(flat.T, positions.gather(0, ranking.photos.T))
        assert agree.float().mean() > 0.99
    assert found.classes is not None
    with torch.no_grad():
        logits = torch.stack([said.logits for said in embedded.predict(photos)])
    assert torch.allclose(found.classes.values.T, logits.sort(0, descending=True).values[:4], rtol=1e-4, atol=1e-4)
    assert (found.classes.positions == -1).all()


def test_a_hits_box_is_where_its_unit_looks(embedded: Classifier, folder: Path) -> None:
    found = search(embedded, folder, "blocks.2.0", k=3)
    for hit in found.top("blocks.2.0", 7):
        photo = torch.from_numpy(np.array(Image.open(hit.photo))).permute(2, 0, 1)
        x1, y1, x2, y2 = hit.box
        frame, (placement,) = embedded.prepare([photo])
        (left, top, right, bottom), (h, w) = placement.box, placement.frame
        # What lies outside the box, in the frame, does not matter to the unit.
        blanked = torch.zeros_like(frame)
        rows = [round((y - top) * h / (bottom - top)) for y in (y1, y2)]
        columns = [round((x - left) * w / (right - left)) for x in (x1, x2)]
        inside = (..., slice(*rows), slice(*columns))
        blanked[inside] = frame[inside]
        assert 10 < rows[1] - rows[0] < 100
        with torch.no_grad(), watch(embedded.network, "blocks.2.0") as seen:
            value = float(seen(blanked, through=embedded.from_frame)["blocks.2.0"][0, 7][hit.position])
        assert value == pytest.approx(hit.value, rel=1e-4)


def test_objectives_layers_and_classes_share_one_pass(embedded: Classifier, folder: Path) -> None:
    photos = sorted(folder.iterdir())
    both = channel("blocks.3.1", 5) + 0.5 * class_logit("tabby")
    passes: list[int] = []
    handle = embedded.network.register_forward_pre_hook(lambda *_: passes.append(1))
    found = search(embedded, photos, ["blocks.3.1"], k=13, objectives=[both, "tabby", most], classes=True)
    handle.remove()
    assert len(passes) == 2 + 1  # two batches, and one image for the receptive fields
    with torch.no_grad(), watch(embedded.network, "blocks.3.1") as seen:
        frames, _ = embedded.prepare(photos)
        said = embedded.from_frame(frames)
        expected = seen["blocks.3.1"][:, 5].mean((1, 2)) + 0.5 * torch.stack([s.logits[281] for s in said])
    hits = found.top_objective(str(both))
    assert [h.value for h in hits] == pytest.approx(expected.sort(descending=True).values.tolist(), rel=1e-3, abs=1e-4)
    assert hits[0].position is None
    assert hits[0].box[:2] == (0, 0)
    assert [h.value for h in found.top_objective("tabby")] == [h.value for h in found.top_class(281)]
    assert len(found.top_objective("most")) == 13


def most(said: object) -> Tensor:
    return said.logits.max()  # type: ignore[attr-defined]


def test_the_pass_ends_at_the_deepest_layer_unless_predictions_are_read() -> None:
    network, images = Small(), list(random_image(3).sigmoid())
    calls: list[str] = []
    network.fc.register_forward_hook(lambda *_: calls.append("fc"))
    search(network, images, ["conv1"], objectives=[channel("bn", 1)])
    assert calls == []
    search(network, images, objectives=[of_predictions(lambda row: row[0])])
    assert calls == ["fc"]


def test_in_place_operations_after_a_layer_change_nothing_that_is_found() -> None:
    class InPlace(Small):
        def forward(self, x: Tensor) -> Tensor:
            x = self.bn(self.conv1(x)).neg_().relu_()
            return self.fc(self.conv2(x).mean((2, 3)))

    network, images = InPlace(), random_image(4).sigmoid()
    found = search(network, images, ["bn"], k=2, objectives=[channel("bn", 2)])
    with torch.no_grad():
        maps = network.bn(network.conv1(images))
    assert torch.allclose(found.layers["bn"].values[:, 0], maps.amax((0, 2, 3)), atol=1e-5)
    assert found.top_objective("bn:2")[0].value == pytest.approx(float(maps[:, 2].mean((1, 2)).max()), abs=1e-5)


class Brightness(nn.Module):
    """A layer whose channels are the photo's own, and one without positions."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.means = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.means(self.maps(x).mean((2, 3)))


def test_of_equal_values_the_earlier_photo_and_position_win_whatever_the_batch() -> None:
    images = [torch.full((3, 4, 6), v) for v in (0.2, 0.7, 0.7, 0.1, 0.7, 0.9, 0.2, 0.9)]
    images[4][1, 2, 5] = images[4][1, 3, 0] = 1
    runs = [search(Brightness(), images, ["maps", "means"], k=4, batch_size=b) for b in (1, 2, 3, 8, 50)]
    for found in runs:
        assert torch.equal(found.layers["maps"].values, runs[0].layers["maps"].values)
        assert found.layers["maps"].photos.tolist() == [[5, 7, 1, 2], [4, 5, 7, 1], [5, 7, 1, 2]]
        assert found.top("maps", 1)[0] == Hit("photo 4", 1.0, (2, 5), (5, 2, 6, 3))
        assert found.top("means", 0)[0] == Hit("photo 5", pytest.approx(0.9), None, (0, 0, 6, 4))
    few = search(Brightness(), images[:2], "maps", k=3)
    assert few.layers["maps"].photos.tolist() == [[1, 0, -1]] * 3
    assert few.layers["maps"].values[0].tolist() == pytest.approx([0.7, 0.2, -torch.inf])
    assert len(few.top("maps", 2)) == 2


def test_a_bare_module_sees_photos_at_their_own_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, h, w, generator=generator) for h, w in ((9, 14), (20, 11), (9, 14), (30, 8), (20, 11))]
    network = Small()
    found = search(network, images, ["conv2"], k=5)
    assert set(found.fields) == {(9, 14), (20, 11), (30, 8)}
    for c in range(6):
        hits = found.top("conv2", c)
        assert sorted(hit.photo for hit in hits) == [f"photo {i}" for i in range(5)]
        for hit in hits:
            image = images[int(hit.photo.split()[1])]
            with torch.no_grad(), watch(network, "conv2") as seen:
                maps = seen(image[None])["conv2"][0, c]
            assert hit.value == pytest.approx(float(maps.max()), abs=1e-5)
            assert hit.position == (int(maps.argmax()) // maps.shape[1], int(maps.argmax()) % maps.shape[1])
            y, x = 2 * hit.position[0], 2 * hit.position[1]  # 3×3 of stride 2 on 3×3: five pixels across
            h, w = image.shape[1:]
            assert hit.box == (max(0, x - 2), max(0, y - 2), min(w, x + 3), min(h, y + 3))


def test_layers_of_tokens_and_channels_last() -> None:
    torch.manual_seed(0)
    options = {"num_classes": 5, "img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 3}
    images = torch.rand(3, 3, 64, 64)
    vit = timm.create_model("vit_tiny_patch16_224", **options).eval()
    found = search(vit, images, ["patch_embed", "blocks.1", "head"], k=1)
    with torch.no_grad():
        tokens = vit.patch_embed(images)
    best = tokens.amax(1)
    assert torch.allclose(found.layers["patch_embed"].values[:, 0], best.amax(0), atol=1e-5)
    (hit,) = found.top("patch_embed", 3)
    index = int(tokens[int(best[:, 3].argmax()), :, 3].argmax())
    assert hit.position == (index // 4, index % 4)
    assert hit.box == (index % 4 * 16, index // 4 * 16, index % 4 * 16 + 16, index // 4 * 16 + 16)
    assert found.top("blocks.1", 0)[0].box == (0, 0, 64, 64)
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, img_size=56).eval()
    found = search(swin, torch.rand(2, 3, 56, 56), ["layers.0"], k=1)
    assert found.layers["layers.0"].values.shape == (96, 1)
    assert int(found.layers["layers.0"].positions.max()) <= 13


def test_photos_that_cannot_be_read_are_left_out(embedded: Classifier, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no photo")
    photos = sorted(folder.iterdir())[:4]
    found = search(embedded, [photos[0], tmp_path / "a.png", *photos[1:], tmp_path / "b.jpg"], "blocks.0", k=9)
    assert list(found.skipped) == [str(tmp_path / "a.png"), str(tmp_path / "b.jpg")]
    assert "no such file" in found.skipped[str(tmp_path / "b.jpg")]
    assert set(found.layers["blocks.0"].photos.flatten().tolist()) == {-1, 0, 2, 3, 4}
    with pytest.raises(PellucidError, match=r"none of the photos can be read.*a\.png"):
        search(embedded, [tmp_path / "a.png"], "blocks.0", file=tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


def test_what_a_watch_keeps_is_stored_in_the_activations_place() -> None:
    network, x = Small(), random_image(2)
    given: list[tuple[str, Tensor]] = []

    def keep(name: str, activation: Tensor) -> object:
        given.append((name, activation))
        return activation.shape

    handed_on: list[Tensor] = []
    with torch.no_grad(), watch(network, ["conv1", "bn"], keep=keep) as seen:
        handle = network.bn.register_forward_pre_hook(lambda module, inputs: handed_on.append(inputs[0]))
        output = network(x)
        handle.remove()
        assert seen["conv1"] == seen["bn"] == (2, 6, 24, 32)
        assert seen(x) == dict(seen.activations)
    assert [name for name, _ in given] == ["conv1", "bn", "conv1", "bn"]
    assert handed_on[0] is given[0][1]
    with torch.no_grad():
        assert torch.equal(output, network(x))
    with pytest.raises(ValueError, match="do not go together"):
        watch(network, ["conv1"], gradients_from="conv1", keep=keep)


class _StopError(BaseException):
    pass


def stop_at(count: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        assert total == 13
        if done >= count:
            raise _StopError

    return progress


@pytest.mark.parametrize("kind", ["framed", "bare"])
def test_a_search_that_was_broken_off_goes_on_as_if_it_had_not_been(
    embedded: Classifier, folder: Path, tmp_path: Path, kind: str
) -> None:
    model, layers = (embedded, ["blocks.1", "bn2"]) if kind == "framed" else (Small(), ["conv1", "conv2"])
    options = {"k": 3, "objectives": [channel(layers[0], 1)], "classes": True, "batch_size": 3}
    whole = search(model, folder, layers, **options)
    file = tmp_path / "found.npz"
    for count in (3, 9):
        with pytest.raises(_StopError):
            search(model, folder, layers, file=file, progress=stop_at(count), **options)
        with pytest.raises(PellucidError, match=rf"not finished \({count} of 13 photos\)"):
            Found.read(file)
    seen: list[int] = []
    found = search(model, folder, layers, file=file, progress=lambda done, _: seen.append(done), **options)
    assert seen == [9, 12, 13]
    assert same(found, whole)
    assert same(Found.read(file), whole)
    again = search(model, folder, layers, file=file, **options)
    assert same(again, whole)


def test_the_file_is_written_now_and_then(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SAVE_EVERY", -1.0)
    written: list[int] = []
    monkeypatch.setattr(Found, "save", lambda self, path: written.append(self.done))
    search(Small(), folder, "conv1", batch_size=4, file=tmp_path / "found.npz")
    assert written == [4, 8, 12, 13]


@pytest.mark.parametrize("cuts", [(5,), (1, 6, 7)])
def test_merged_shards_are_the_search_of_all(
    embedded: Classifier, folder: Path, tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    photos = sorted(folder.iterdir())
    photos.insert(4, tmp_path / "missing.png")
    options = {"layers": ["blocks.1", "classifier"], "k": 3, "classes": True, "objectives": ["tabby"], "batch_size": 4}
    whole = search(embedded, photos, **options)
    ends = [0, *cuts, len(photos)]
    merged, *others = (search(embedded, photos[a:b], **options) for a, b in pairwise(ends))
    for other in others:
        merged = merged.merged(other)
    assert same(merged, whole)
    assert same(Found.read(merged.save(tmp_path / "merged.npz")), whole)


def test_only_shards_of_one_search_are_merged(folder: Path) -> None:
    photos, network = sorted(folder.iterdir()), Small()
    one = search(network, photos[:3], "conv1", k=2)
    with pytest.raises(PellucidError, match=r"both searches hold .*02\.png"):
        one.merged(search(network, photos[2:4], "conv1", k=2))
    with pytest.raises(PellucidError, match="other k: 3, not 2"):
        one.merged(search(network, photos[3:], "conv1", k=3))
    with pytest.raises(PellucidError, match="other layers: conv2, not conv1"):
        one.merged(search(network, photos[3:], "conv2", k=2))
    with pytest.raises(PellucidError, match="other weights"):
        one.merged(search(Small(seed=1), photos[3:], "conv1", k=2))


def test_a_file_of_another_search_is_refused(folder: Path, tmp_path: Path) -> None:
    file, network = tmp_path / "found.npz", Small()
    search(network, folder, "conv1", k=2, file=file)
    for model, data, layers, k, why in (
        (network, folder, "conv1", 3, "other k: 2, not 3"),
        (network, folder, "conv*", 2, "other layers: conv1, not conv1, conv2"),
        (Small(seed=2), folder, "conv1", 2, "other weights"),
        (network, sorted(folder.iterdir())[:5], "conv1", 2, "13 photos, not 5"),
    ):
        with pytest.raises(PellucidError, match=rf"found\.npz.*{why}.*give another file"):
            search(model, data, layers, k, file=file)


def test_damaged_and_foreign_files_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "found.npz"
    search(Small(), folder, "conv1", k=2, file=file)
    whole = file.read_bytes()
    cases = {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:200] + bytes(255 - b for b in whole[200:260]) + whole[260:],
        "empty": b"",
        "text": b"hello",
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(PellucidError, match=rf"{name}\.npz: is not a search") as caught:
            Found.read(path)
        assert "\n" not in str(caught.value)
    np.savez(tmp_path / "map.npz", map=np.zeros(3), record=np.array(json.dumps({"method": "saliency"})))
    np.savez(tmp_path / "pickled.npz", record=np.array([{}], dtype=object))
    with np.load(file) as arrays:
        altered = {**arrays, "layers.0.photos": arrays["layers.0.photos"] + 99}
    np.savez(tmp_path / "altered.npz", **altered)
    for name in ("map", "pickled", "altered"):
        with pytest.raises(PellucidError, match=rf"{name}\.npz: is not a search"):
            Found.read(tmp_path / f"{name}.npz")
    with pytest.raises(PellucidError, match="no such file"):
        Found.read(tmp_path / "none.npz")
    with pytest.raises(PellucidError, match=r"end the name with \.npz"):
        search(Small(), folder, "conv1", file=tmp_path / "found.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused_with_the_photos_name(value: float, folder: Path) -> None:
    class Diverging(Brightness):
        def forward(self, x: Tensor) -> Tensor:
            x = x.clone()
            x[x.shape[0] // 2 :, 1, 3, 4] *= value
            return super().forward(x)

    images = list(torch.rand(4, 3, 8, 8))
    for layers in ("maps", "means"):
        with pytest.raises(PellucidError, match=rf"photo 2: the network gives (NaN|infinity) in layer '{layers}'"):
            search(Diverging(), images, layers, batch_size=4)
    with pytest.raises(PellucidError, match=r"photo 2: .* in the logits"):
        search(Diverging(), images, classes=True, batch_size=4)
    with pytest.raises(PellucidError, match=r"photo 2: .* in 'means:1'"):
        search(Diverging(), images, objectives=[channel("means", 1)], batch_size=4)


def test_bad_input_is_refused(embedded: Classifier, folder: Path, tmp_path: Path) -> None:
    network = Small()
    for arguments, why in (
        ((network, folder, "conv3"), "unknown layer 'conv3'.*'conv1'"),
        ((network, tmp_path, "conv1"), "holds no photo"),
        ((network, [], "conv1"), "the list holds no photo"),
        ((network, random_image()[0], "conv1"), "give a folder or a list"),
        ((network, folder), "nothing to search for"),
        ((network, folder, "conv1", 0), "k=0"),
        (("resnet18", folder, "conv1"), "is no network"),
    ):
        with pytest.raises(PellucidError, match=why):
            search(*arguments)
    with pytest.raises(PellucidError, match="stands twice"):
        search(network, folder, objectives=[1, channel("conv1", 0), 1])
    network.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(PellucidError, match="'spare' was not reached"):
        search(network, folder, ["conv1", "spare"])
    with pytest.raises(PellucidError, match="has 6 channels, 0 to 5; there is no channel 6"):
        search(network, folder, objectives=[channel("conv1", 6)])
    found = search(network, folder, ["conv1"], k=1)
    for ask, why in (
        (lambda: found.top("conv2", 0), "layer 'conv2' was not searched; did you mean 'conv1'"),
        (lambda: found.top("conv1", 6), "layer 'conv1' has 6 channels, 0 to 5; there is no channel 6"),
        (lambda: found.top("conv1", -1), "there is no channel -1"),
        (lambda: found.top_class(0), "did not rank classes"),
        (lambda: found.top_objective("x"), "'x' was not searched"),
    ):
        with pytest.raises(PellucidError, match=why):
            ask()
    with pytest.raises(PellucidError, match="the network scores 1000 classes, 0 to 999; there is no class 1000"):
        search(embedded, sorted(folder.iterdir())[:1], classes=True).top_class(1000)


def test_the_model_is_left_as_it_was(folder: Path) -> None:
    network = Small().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(_StopError):
        search(network, folder, "conv1", progress=stop_at(8))
    search(network, folder, "conv1", classes=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(module.training and not module._forward_hooks for module in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_a_stream_of_batches_ranks_as_one_sort(data: st.DataObject) -> None:
    n, channels, k = (data.draw(st.integers(1, top)) for top in (20, 3, 6))
    draw = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=n * channels, max_size=n * channels)
    values = torch.tensor(data.draw(draw)).reshape(n, channels)
    ranking: Ranking | None = None
    start = 0
    while start < n:
        stop = data.draw(st.integers(start + 1, n))
        part = values[start:stop]
        grid = torch.stack([part - 1, part], -1)[:, :, None]  # (N, C, 1, 2): the largest is in column 1
        ranking = Scores.of(part, grid, ranking).into(ranking, torch.arange(start, stop), k)
        start = stop
    assert ranking is not None
    order = values.T.sort(dim=1, descending=True, stable=True).indices[:, :k]
    count = order.shape[1]
    assert torch.equal(ranking.photos[:, :count], order)
    assert torch.equal(ranking.values[:, :count], values.T.gather(1, order))
    assert (ranking.positions[:, :count] == torch.tensor([0, 1])).all()
    assert (ranking.photos[:, count:] == -1).all()


def test_crops_show_the_box_at_its_aspect(tmp_path: Path) -> None:
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[10:30, 20:70] = (200, 30, 40)
    path = tmp_path / "p.png"
    Image.fromarray(pixels).save(path)
    hit = Hit(str(path), 1.0, (0, 0), (20.0, 10.0, 70.0, 30.0))
    (picture,) = crops([hit], 100)
    assert picture.shape == (3, 100, 100)
    assert picture.dtype == torch.uint8
    assert (picture[:, 32:68, 2:98].permute(1, 2, 0) == torch.tensor([200, 30, 40])).all()
    assert (picture[:, :28].permute(1, 2, 0) == torch.tensor([244, 245, 248])).all()
    # A unit that sees a pixel, or nothing but padding, still shows a few pixels.
    for box in ((0.0, 0.0, 1.0, 1.0), (90.0, 60.0, 90.0, 60.0), (44.5, 0.0, 44.5, 60.0)):
        assert crop(replace(hit, box=box), 64).shape == (3, 64, 64)
    floating = torch.full((3, 5, 4), 0.5)
    assert set(crop(replace(hit, photo="photo 3", box=(0, 0, 4, 5)), 20, floating)[0].unique().tolist()) == {128, 244}
    with pytest.raises(PellucidError, match="no such file"):
        crops([replace(hit, photo="photo 3")], 20)


def test_a_data_set_is_searched_by_its_samples(tmp_path):
    data = pellucid.open_dataset("scenes:n=7,size=40,seed=1")
    network = Small().eval()
    found = search(network, data, "conv1", k=2)
    plain = search(network, [sample.image for sample in data], "conv1", k=2)
    assert found.photos == list(data.names)
    for unit in range(len(found.layers["conv1"].values)):
        ours, theirs = found.top("conv1", unit), plain.top("conv1", unit)
        assert [(h.value, h.position, h.box) for h in ours] == [(h.value, h.position, h.box) for h in theirs]
        # Images without a file are cut from all the same.
        assert torch.equal(crop(ours[0], 20), crop(theirs[0], 20))
