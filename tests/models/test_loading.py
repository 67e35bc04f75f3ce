"""Loading by name and from checkpoints, ours and others'; nothing here touches a network."""

import pickle

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.models import get_pretrained_cfg

from pellucid.errors import PellucidError
from pellucid.models import available, load, weights
from pellucid.models.checkpoints import read_checkpoint
from pellucid.models.imagenet import imagenet_classes
from pellucid.structures import Classes

SMALL = "mobilenetv3_small_050"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Empty caches, and no server that answers; the list of servers that were asked."""
    asked: list[str] = []
    monkeypatch.setattr(weights, "reachable", lambda url, *_: asked.append(url) or False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return asked


def refused(*args, **kwargs) -> str:
    with pytest.raises(PellucidError) as caught:
        load(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def random_logits(model, seed: int = 1) -> torch.Tensor:
    batch = torch.rand(1, 3, *model.preprocessing.size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model.logits(batch)


def test_default_classes_and_preprocessing(offline):
    model = load()
    assert (model.name, model.task, len(model.classes)) == ("tf_efficientnet_lite0", "classification", 1000)
    assert model.preprocessing.mean == (0.5, 0.5, 0.5)
    assert not model.training
    assert offline == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet50", "resnet50: its weights are not on this machine and huggingface.co can't be reached; connect once"),
        ("timm/resnet18.a1_in1k", "resnet18.a1_in1k: its weights"),
        ("gcvit_tiny", "github.com can't be reached"),
        ("torchvision/alexnet", "download.pytorch.org can't be reached"),
        ("alexnet", "download.pytorch.org can't be reached"),
    ],
)
def test_weights_that_are_not_to_be_had(offline, name, said, monkeypatch, capfd):
    monkeypatch.setattr(constants, "ENDPOINT", "https://huggingface.co")
    message = refused(name)
    assert said in message
    assert "tf_efficientnet_lite0" in message
    assert len(offline) == 1
    assert capfd.readouterr() == ("", "")


def test_offline_mode_asks_no_server(offline, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused("resnet50")
    assert offline == []


def test_an_unanswering_server_counts_as_out_of_reach():
    assert not weights.reachable("http://127.0.0.1:9", 2)
    assert not weights.reachable("not a url", 2)


def test_cached_weights_are_found_and_loaded(offline, tmp_path, monkeypatch):
    network = timm.create_model(SMALL)
    path = tmp_path / "model.safetensors"
    save_file(network.state_dict(), path)
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda repository, file, **_: str(path))
    model = load(SMALL)
    for key, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[key])
    path.write_bytes(path.read_bytes()[:1000])
    assert "delete it to download it again" in refused(SMALL)


def test_torchvision_weights_in_the_cache(offline, tmp_path):
    network = torchvision.models.squeezenet1_1()
    url = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url
    weights.cached_url(url).parent.mkdir(parents=True)
    torch.save(network.state_dict(), weights.cached_url(url))
    model = load("torchvision/squeezenet1_1")
    for key, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[key])
    assert model.classes == imagenet_classes()
    assert [m.on_disk for m in available("torchvision/squeezenet1_*")] == [False, True]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnt50", "did you mean 'resnet50'"),
        ("resnet50.a1_in2k", "did you mean 'resnet50.a"),
        ("torchvision/alxnet", "did you mean 'torchvision/alexnet'"),
        ("timm/alexnet", "did you mean 'torchvision/alexnet'"),
        ("qqqqqq", "available()"),
        ("", "unknown model"),
        ("retinanet_resnet50_fpn", "detection network"),
        ("torchvision/fcn_resnet50", "segmentation network"),
        ("vit_small_patch14_dinov2", "gives features, not classes"),
    ],
)
def test_names_that_are_no_classifier(offline, name, said):
    assert said in refused(name)
    assert offline == []


def test_random_weights_come_from_torchs_generator(offline):
    torch.manual_seed(3)
    first = load(SMALL, pretrained=False, classes=["x", "y"])
    torch.manual_seed(3)
    second = load(SMALL, pretrained=False, classes=["x", "y"])
    third = load(SMALL, pretrained=False, classes=["x", "y"])
    assert first.classes.names == ("x", "y")
    assert torch.equal(random_logits(first), random_logits(second))
    assert not torch.equal(random_logits(first), random_logits(third))
    assert offline == []


@pytest.mark.parametrize("name", ["torchvision/squeezenet1_1", SMALL])
def test_saved_models_load_by_their_path_alone(offline, tmp_path, name):
    classes = Classes(("ant", "bee"), (("Formicidae",), ()))
    model = load(name, pretrained=False, classes=classes)
    again = load(model.save(tmp_path / "mine.safetensors"))
    assert (again.classes, again.preprocessing, again.name) == (classes, model.preprocessing, model.name)
    assert torch.equal(random_logits(again), random_logits(model))
    assert not again.training
    assert again.save(tmp_path / "again.safetensors").read_bytes() == (tmp_path / "mine.safetensors").read_bytes()
    assert load(tmp_path / "mine.safetensors", classes=["p", "q"]).classes.names == ("p", "q")
    assert "names are given for 1" in refused(tmp_path / "mine.safetensors", classes=["p"])
    assert "not a resnet18" in refused("resnet18", checkpoint=tmp_path / "mine.safetensors")


def test_networks_that_normalise_themselves_do_so_without_pretraining(offline):
    assert load("torchvision/googlenet", pretrained=False, classes=["a", "b"]).network.transform_input is True


def test_saving_what_cannot_be_opened_again_is_refused(tmp_path):
    model = load(SMALL, pretrained=False)
    with pytest.raises(PellucidError, match="safetensors"):
        model.save(tmp_path / "mine.pt")
    model.architecture = None
    with pytest.raises(PellucidError, match="no architecture"):
        model.save(tmp_path / "mine.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def five():
    """A network of five classes."""
    return timm.create_model(SMALL, num_classes=5).eval()


@pytest.mark.parametrize("nest", ["", "state_dict", "model", "model_state_dict", "state_dict_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "network.", "module.model."])
def test_state_dictionaries_of_others(tmp_path, five, nest, prefix):
    tensors = {prefix + key: value for key, value in five.state_dict().items()}
    torch.save({nest: tensors, "epoch": 3} if nest else tensors, tmp_path / "theirs.pth")
    read = read_checkpoint(tmp_path / "theirs.pth").tensors
    assert list(read) == list(five.state_dict())
    assert all(torch.equal(read[key], value) for key, value in five.state_dict().items())


def test_the_number_of_classes_comes_from_the_checkpoint(tmp_path, five):
    torch.save({"model": five.state_dict()}, tmp_path / "theirs.pth")
    model = load(SMALL, checkpoint=tmp_path / "theirs.pth")
    assert model.classes == Classes.unnamed(5)
    assert model.name == f"{SMALL} (theirs.pth)"
    assert all(torch.equal(value, five.state_dict()[key]) for key, value in model.network.state_dict().items())


def test_names_for_a_checkpoint(tmp_path, five):
    save_file(five.state_dict(), tmp_path / "theirs.safetensors")
    (tmp_path / "names.txt").write_text("ant\nbee\n\n cat \ndög\nemu\n", encoding="utf-8")
    for classes in (tmp_path / "names.txt", str(tmp_path / "names.txt"), ["ant", "bee", "cat", "dög", "emu"]):
        model = load(SMALL, checkpoint=tmp_path / "theirs.safetensors", classes=classes)
        assert model.classes.names == ("ant", "bee", "cat", "dög", "emu")
    (tmp_path / "twice.txt").write_text("ant\nant\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    refusals = {"twice": "'ant' stands twice", "empty": "no class name", "bytes": "not UTF-8", "no": "No such"}
    for name, said in refusals.items():
        message = refused(SMALL, checkpoint=tmp_path / "theirs.safetensors", classes=tmp_path / f"{name}.txt")
        assert said in message
        assert f"{name}.txt" in message
    assert "tells 5 classes apart" in refused(SMALL, checkpoint=tmp_path / "theirs.safetensors", classes=["a"])
    assert "which architecture" in refused(tmp_path / "theirs.safetensors")


def test_checkpoints_that_do_not_fit(tmp_path, five):
    tensors = dict(five.state_dict())
    torch.save(tensors, tmp_path / "whole.pt")
    assert "tensors missing" in refused("resnet18", checkpoint=tmp_path / "whole.pt")
    del tensors["conv_stem.weight"]
    tensors["extra.weight"] = torch.zeros(2)
    tensors["bn1.bias"] = torch.zeros(99)
    torch.save(tensors, tmp_path / "odd.pt")
    message = refused(SMALL, checkpoint=tmp_path / "odd.pt")
    for part in (
        "1 of 244 tensors missing (conv_stem.weight)",
        "1 unexpected (extra.weight)",
        "bn1.bias is 99, not 16",
    ):
        assert part in message


def test_pickled_objects_are_refused(tmp_path, five):
    torch.save(five, tmp_path / "object.pt")
    assert "pickled objects" in refused(SMALL, checkpoint=tmp_path / "object.pt")

    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    assert "evil.pt" in refused(SMALL, checkpoint=tmp_path / "evil.pt")
    torch.save({"model": Evil()}, tmp_path / "evil2.pt")
    assert "pickled objects" in refused(SMALL, checkpoint=tmp_path / "evil2.pt")
    assert not (tmp_path / "ran").exists()


def test_files_that_are_no_checkpoint(tmp_path, five):
    torch.save(five.state_dict(), tmp_path / "whole.pt")
    save_file(five.state_dict(), tmp_path / "whole.safetensors", metadata={"pellucid": "{not json"})
    assert "recipe is damaged" in refused(tmp_path / "whole.safetensors")
    for suffix in ("pt", "safetensors"):
        content = (tmp_path / f"whole.{suffix}").read_bytes()
        for name, part in (("empty", b""), ("cut", content[: len(content) // 2]), ("text", b"hello there\n" * 20)):
            (tmp_path / f"{name}.{suffix}").write_bytes(part)
            message = refused(SMALL, checkpoint=tmp_path / f"{name}.{suffix}")
            assert f"{name}.{suffix}: " in message
            assert ("empty" if name == "empty" else "cut short") in message
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    assert "no state dictionary (found: epoch)" in refused(SMALL, checkpoint=tmp_path / "other.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    assert "no state dictionary (found: Tensor)" in refused(SMALL, checkpoint=tmp_path / "tensor.pt")
    assert "did you mean 'whole.pt'" in refused(SMALL, checkpoint=tmp_path / "whol.pt")
    assert "is a folder" in refused(SMALL, checkpoint=tmp_path)


def test_available(offline):
    models = available()
    assert (models[0].name, models[0].source, models[0].on_disk) == ("tf_efficientnet_lite0", "embedded", True)
    assert models[0].parameters == sum(p.numel() for p in load().parameters())
    assert len({m.name for m in models}) == len(models)
    assert {m.source for m in models} == {"embedded", "timm", "torchvision"}
    assert not any(m.on_disk for m in models[1:])
    assert all(m.name.startswith("torchvision/") for m in available("TORCHVISION/*"))
    assert available("no such*") == []
    assert all(get_pretrained_cfg(m.name).num_classes for m in models if m.source == "timm")


def test_available_sees_the_hub_cache(offline, tmp_path):
    snapshot = tmp_path / "hub" / "models--timm--resnet18.a1_in1k" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert [m.on_disk for m in available("resnet18.a1_in1k")] == [False]
    (snapshot / "model.safetensors").touch()
    assert [m.on_disk for m in available("resnet18.a1_in1k")] == [True]
