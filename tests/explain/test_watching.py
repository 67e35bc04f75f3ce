"""Watching layers: what is recorded, when a pass ends, and that nothing is left behind."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid import PellucidError
from pellucid.explain import watch
from pellucid.explain.watching import LayerCall, first_tensor, layer_names, match_layers

from .networks import random_image


class Block(nn.Module):
    """Two convolutions around one shared in-place rectifier, and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.conv1(x))
        y = self.conv2(y)
        y += x
        return self.relu(y)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.stages = nn.Sequential(*(nn.Sequential(Block(), Block()) for _ in range(2)))
        self.unused = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 5)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))
        return self.fc(F.relu(x).mean((2, 3)))


class Counter:
    """Counts which modules of a network run, without hooks: they are what is tested."""

    def __init__(self, network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        for name, module in network.named_modules():
            monkeypatch.setattr(module, "forward", self._counted(name, module.forward))

    def _counted(self, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self.ran.append(name)
            return forward(*args, **kwargs)

        return run


def hook_count(network: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)


def stepwise(network: Net, x: Tensor) -> dict[str, Tensor]:
    """Some activations by running the layers one after another, each on a copy."""
    with torch.no_grad():
        found = {"stem.0": network.stem[0](x.clone())}
        found["stem.1"] = network.stem[1](found["stem.0"].clone())
        found["stem"] = found["stem.1"].relu()
        block = network.stages[0][0]
        found["stages.0.0.conv1"] = block.conv1(found["stem"].clone())
        found["stages.0.0.relu#0"] = found["stages.0.0.conv1"].relu()
        found["stages.0.0.conv2"] = block.conv2(found["stages.0.0.relu#0"].clone())
        found["stages.0.0.relu#1"] = (found["stages.0.0.conv2"] + found["stem"]).relu()
    return found


@pytest.mark.parametrize("stops", [True, False])
def test_every_activation_is_the_layers_own_whatever_runs_in_place_after_it(stops: bool) -> None:
    network, x = Net(), random_image(2)
    expected = stepwise(network, x)
    with watch(network, list(expected)) as seen:
        _ = seen(x) if stops else network(x)
        found = {name: seen[name].clone() for name in expected}
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_watching_does_not_change_what_the_network_says() -> None:
    network, x = Net(), random_image(2)
    expected = network(x)
    with watch(network, ["stem.*", "stages.*.*", "stages.0.0.relu#0"]):
        assert torch.equal(network(x), expected)


def test_gradients_flow_through_recorded_activations_of_in_place_networks() -> None:
    network, x = Net(), random_image(1)
    with watch(network, ["stem.1"]) as seen:
        score = network(x)[0, 0]
        activation = seen["stem.1"]
    (gradient,) = torch.autograd.grad(score, activation)
    after = nn.Sequential(nn.ReLU(), network.stages, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.fc)
    leaf = activation.detach().requires_grad_()
    (expected,) = torch.autograd.grad(after(leaf.clone())[0, 0], leaf)
    assert torch.allclose(gradient, expected, rtol=0, atol=1e-6)
    assert float(expected.abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("layer", "deepest"),
    [("stem.0", "stem.0"), ("stem", "stem.2"), ("stages.0.1.conv1", "stages.0.1.conv1"), ("fc", "fc")],
)
def test_a_called_watch_runs_nothing_behind_the_deepest_layer(
    layer: str, deepest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Net()
    full = Counter(network, monkeypatch)
    network(random_image())
    upto = full.ran[: full.ran.index(deepest) + 1]
    full.ran.clear()
    with watch(network, [layer, "stem.0"]) as seen:
        seen(random_image())
    assert full.ran == upto


def test_a_watched_activation_shared_by_calls_stops_the_pass_after_the_call_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = Net()
    counter = Counter(network, monkeypatch)
    with watch(network, ["stages.0.0.relu#0"]) as seen:
        seen(random_image())
    assert "stages.0.0.conv1" in counter.ran
    assert "stages.0.0.conv2" not in counter.ran


def test_a_model_called_by_anyone_within_the_block_runs_to_its_end() -> None:
    network = Net()
    with watch(network, ["stem.0"]) as seen:
        assert network(random_image(2)).shape == (2, 5)
        assert seen["stem.0"].shape == (2, 4, 24, 32)


def test_a_watch_holds_the_last_pass_alone() -> None:
    network = Net()
    with watch(network, ["stem.0", "fc"]) as seen:
        seen(random_image(3))
        network(random_image(1))
        assert len(seen["stem.0"]) == 1
        assert len(seen(random_image(2))["fc"]) == 2


def test_a_stopped_pass_does_not_serve_the_layers_of_the_pass_before() -> None:
    network = Net()
    with watch(network, ["stem.0"]) as seen:
        network(random_image())
        first = seen["stem.0"]
        seen(random_image(seed=1))
        assert not torch.equal(seen["stem.0"], first)


def test_a_shared_module_without_a_call_number_is_refused_with_the_calls_it_has() -> None:
    network = Net()
    for run in (lambda seen: seen(random_image()), lambda seen: network(random_image())):
        times = pytest.raises(PellucidError, match=r"called 2 times.*relu#0' to 'stages\.0\.0\.relu#1'")
        with times, watch(network, ["stages.0.0.relu"]) as seen:
            run(seen)
        assert hook_count(network) == 0


def test_a_call_that_is_not_made_is_refused_with_those_that_are() -> None:
    times = pytest.raises(PellucidError, match="is called 2 times in a pass, 0 to 1")
    with times, watch(Net(), ["stages.0.0.relu#2"]) as seen:
        seen(random_image())


@pytest.mark.parametrize("text", ["stem.0#", "stem.0#x", "stem.0#-1", "stem.0#²", "stem.0#1.5"])
def test_what_follows_the_hash_must_be_a_number(text: str) -> None:
    with pytest.raises(PellucidError, match="number of a call"):
        watch(Net(), [text])


def test_a_layer_that_the_pass_does_not_reach_is_named() -> None:
    with pytest.raises(PellucidError, match="'unused' was not reached"), watch(Net(), ["unused"]) as seen:
        seen(random_image())


def test_asking_for_a_layer_that_was_not_watched_names_the_nearest() -> None:
    network = Net()
    with watch(network, ["stages.0.0.conv1"]) as seen:
        seen(random_image())
        with pytest.raises(PellucidError, match=r"did you mean 'stages\.0\.0\.conv1'"):
            seen["stages.0.0.conv2"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("stem", ["stem"]),
        ("stem.*", ["stem.0", "stem.1", "stem.2"]),
        ("stages.*", ["stages.0", "stages.1"]),
        ("stages.*.0.conv?", ["stages.0.0.conv1", "stages.0.0.conv2", "stages.1.0.conv1", "stages.1.0.conv2"]),
        ("stages.1.**.conv1", ["stages.1.0.conv1", "stages.1.1.conv1"]),
        ("stages.[0].1", ["stages.0.1"]),
        (["fc", "stem.0"], ["stem.0", "fc"]),
        (["fc", "f*"], ["fc"]),
        ("stages.0.*.relu#1", ["stages.0.0.relu#1", "stages.0.1.relu#1"]),
    ],
)
def test_globs_stand_for_layers_in_the_networks_order(pattern: str | list[str], expected: list[str]) -> None:
    assert match_layers(Net(), pattern) == expected


def test_a_double_star_matches_every_depth() -> None:
    network = Net()
    assert match_layers(network, "**") == layer_names(network)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("stag", "stages"), ("stem.O", "stem.0"), ("stages.0.0.conv", "stages.0.0.conv1"), ("FC", "fc")],
)
def test_an_unknown_layer_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    with pytest.raises(PellucidError, match=f"unknown layer '{wrong}'.*'{right}'"):
        match_layers(Net(), wrong)


def test_a_name_like_no_other_is_refused_with_the_top_layers() -> None:
    with pytest.raises(PellucidError, match="its top layers are stem, stages, unused, fc"):
        match_layers(Net(), "zzzzz")


def test_a_network_without_layers_says_so() -> None:
    with pytest.raises(PellucidError, match="no named layers"):
        match_layers(nn.Identity(), "x")


def test_the_text_of_a_call_is_read_back() -> None:
    for text in ("layer1.0.relu", "layer1.0.relu#0", "a#12"):
        assert str(LayerCall.parse(text)) == text


Pair = namedtuple("Pair", ["size", "first"])


def _outputs(x: Tensor) -> dict[str, Any]:
    return {
        "tensor": x,
        "tuple": (x, x + 1),
        "list": [x],
        "named tuple": Pair(3, x),
        "mapping": {"size": 3, "out": x},
        "ordered": OrderedDict(out=x),
        "nested": [{"inner": (None, x)}],
    }


class Wrapping(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        return _outputs(x)[self.kind]


class Around(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Conv2d(3, 2, 1), Wrapping(kind))

    def forward(self, x: Tensor) -> Any:
        output = self.inside(x)
        tensor = first_tensor(output)
        assert tensor is not None
        tensor.zero_()  # in place, on whatever was handed on
        return type(output), output


@pytest.mark.parametrize("kind", list(_outputs(torch.zeros(1))))
def test_the_first_tensor_of_any_output_is_recorded_and_its_kind_handed_on(kind: str) -> None:
    network, x = Around(kind).eval(), random_image()
    with torch.no_grad():
        expected = network.inside[0](x)
        with watch(network, ["inside.1"]) as seen:
            given, output = network(x)
            assert torch.equal(seen["inside.1"], expected)
    assert given is type(_outputs(x)[kind])
    if kind == "named tuple":
        assert output.size == 3


def test_a_layer_that_gives_no_tensor_is_refused() -> None:
    class Silent(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "nothing"

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.silent = Silent()

        def forward(self, x: Tensor) -> Tensor:
            self.silent(x)
            return x

    with pytest.raises(PellucidError, match="gives no tensor"), watch(Outer(), ["silent"]) as seen:
        seen(random_image())


class _Odd(BaseException):
    pass


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, _Odd, torch.cuda.OutOfMemoryError])
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("from_layer", [None, "stem.0"])
def test_nothing_is_left_behind_when_the_pass_is_broken_off(
    kind: type[BaseException], grad: bool, from_layer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Net()

    def fail(*_: Any) -> Tensor:
        raise kind("stop")

    monkeypatch.setattr(network.stages[1], "forward", fail)
    with torch.set_grad_enabled(grad):
        with pytest.raises(kind), watch(network, ["stem.0", "fc"], gradients_from=from_layer) as seen:
            seen(random_image())
        assert torch.is_grad_enabled() == grad
    assert hook_count(network) == 0


def test_no_hook_is_left_after_a_block_nor_by_a_watch_never_entered() -> None:
    network = Net()
    watch(network, ["**"])
    assert hook_count(network) == 0
    with watch(network, ["stages.*"]) as seen:
        assert hook_count(network) > 0
        seen(random_image())
    assert hook_count(network) == 0


def test_the_networks_own_hooks_stay_and_what_they_return_is_what_is_seen() -> None:
    network = Net()
    handle = network.stem[0].register_forward_hook(lambda module, given, output: output * 0 + 7)
    with watch(network, ["stem.0"]) as seen:
        seen(random_image())
        assert bool((seen["stem.0"] == 7).all())
    assert hook_count(network) == 1
    handle.remove()


def test_a_network_that_catches_every_exception_is_still_stopped() -> None:
    class Catching(Net):
        def forward(self, x: Tensor) -> Tensor:
            try:
                return super().forward(x)
            except Exception:
                return torch.zeros(1)

    with watch(Catching(), ["stem.0"]) as seen:
        assert set(seen(random_image())) == {"stem.0"}


def test_a_watch_can_be_used_again_but_not_twice_at_once() -> None:
    network = Net()
    seen = watch(network, ["stem.0"])
    with seen:
        with pytest.raises(RuntimeError, match="already active"):
            seen.__enter__()
        seen(random_image())
    with seen:
        assert seen(random_image(2))["stem.0"].shape[0] == 2
    assert hook_count(network) == 0


def test_two_watches_of_one_network_do_not_disturb_each_other() -> None:
    network, x = Net(), random_image()
    expected = stepwise(network, x)
    with watch(network, ["stem.0"]) as one, watch(network, ["stem.1"]) as other:
        network(x)
        assert torch.equal(one["stem.0"], expected["stem.0"])
        assert torch.equal(other["stem.1"], expected["stem.1"])


def test_gradients_from_a_layer_record_nothing_before_it_and_everything_after() -> None:
    network, x = Net(), random_image()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad(), watch(network, ["stem.1", "stages.0", "stem.0"], gradients_from="stem.1") as seen:
        output = network(x)
        assert not seen["stem.0"].requires_grad
        assert seen["stem.1"].is_leaf
        assert seen["stem.1"].requires_grad
        assert seen["stages.0"].grad_fn is not None
        assert output.grad_fn is not None
        (gradient,) = torch.autograd.grad(output[0, 0], seen["stem.1"])
    assert float(gradient.abs().max()) > 0
    assert torch.is_grad_enabled()


def test_gradients_from_must_be_among_the_watched_layers() -> None:
    with pytest.raises(PellucidError, match="'fc' is not among the watched ones: stem"):
        watch(Net(), ["stem"], gradients_from="fc")


def test_grad_mode_is_what_it_was_after_a_block_with_gradients_from() -> None:
    with torch.no_grad():
        with watch(Net(), ["stem.0"], gradients_from="stem.0") as seen:
            seen(random_image())
        assert not torch.is_grad_enabled()
