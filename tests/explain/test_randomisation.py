"""The randomisation check: what becomes noise, in which order, and that the caller's model never does."""

import pytest
import torch
from torch import nn

from pellucid import PellucidError
from pellucid.explain import attribute, check
from pellucid.explain.randomisation import (
    RandomisationCheck,
    edges,
    likeness,
    randomised,
    rank_correlation,
    similarity,
    weighted_layers,
)
from pellucid.explain.subject import Subject
from pellucid.models.classification import Classifier

from .networks import Small, random_image
from .test_attribution import left_as_it_was


def subject() -> Subject:
    return Subject(Small(), random_image(1)[0])


def test_layers_are_those_with_weights_of_their_own_from_input_to_output() -> None:
    assert weighted_layers(Small()) == ["conv1", "bn", "conv2", "fc"]
    nested = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), nn.BatchNorm2d(4))
    assert weighted_layers(nested) == ["0.0", "1"]


def test_stages_run_from_the_topmost_layer_to_the_whole_network() -> None:
    own = subject()
    original = {name: tensor.clone() for name, tensor in own.network.state_dict().items()}
    changed: list[set[str]] = []
    shares = []
    for share, noise in randomised(own, stages=4):
        shares.append(share)
        state = noise.network.state_dict()
        changed.append({name.split(".")[0] for name in original if not torch.equal(original[name], state[name])})
    assert shares == [0.25, 0.25, 0.5, 0.75, 1.0]
    assert changed == [{"fc"}, {"fc"}, {"fc", "conv2"}, {"fc", "conv2", "bn"}, {"fc", "conv2", "bn", "conv1"}]


def test_weights_become_noise_of_their_own_deviation_and_normalisations_are_reset() -> None:
    own = subject()
    wide = nn.Linear(6, 4000)
    with torch.no_grad():
        wide.weight.normal_(3.0, 0.7, generator=torch.Generator().manual_seed(0))
    own.network.fc = wide
    noise = list(randomised(own, stages=2))[-1][1].network
    weight = noise.fc.weight.detach()
    assert float(weight.std()) == pytest.approx(0.7, rel=0.03)
    assert float(weight.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(noise.fc.bias.abs().max()) == 0
    assert bool((noise.bn.weight == 1).all())
    assert bool((noise.bn.bias == 0).all())


def test_reset_normalisations_take_the_images_statistics() -> None:
    own = subject()
    noise = list(randomised(own, stages=2))[-1][1]
    with torch.no_grad():
        pair = torch.cat([own.frame, own.frame.flip(-1)])
        arriving = noise.network.conv1(pair)
    assert torch.allclose(noise.network.bn.running_mean, arriving.mean((0, 2, 3)), atol=1e-5)
    assert noise.network.bn.momentum == 0.1
    assert not any(module.training for module in noise.network.modules())


def test_the_callers_model_is_never_touched() -> None:
    network, image = Small().train(), random_image(1)[0]
    network.bn.eval()
    with left_as_it_was(network, image):
        for _, noise in randomised(Subject(network, image), stages=3):
            assert noise.model is not network
            ours = {id(t) for t in (*network.parameters(), *network.buffers())}
            assert not ours & {id(t) for t in (*noise.network.parameters(), *noise.network.buffers())}
        check(network, image, [1], [attribute(network, image, 1, method="grad_cam")], stages=2, steps=2)


def test_our_own_models_network_is_the_copys_own(embedded: Classifier, chelsea: torch.Tensor) -> None:
    own = Subject(embedded, chelsea)
    with left_as_it_was(embedded):
        _, noise = next(randomised(own))
        assert noise.network is noise.model.network
        assert noise.network is not embedded.network
        before, after = (s.run(s.frame)[0].logits for s in (own, noise))
        assert before is not None
        assert after is not None
        assert not torch.allclose(before, after)


def test_a_seed_repeats_the_noise() -> None:
    def last(seed: int) -> torch.Tensor:
        return list(randomised(subject(), stages=2, seed=seed))[-1][1].network.fc.weight.detach()

    assert torch.equal(last(0), last(0))
    assert not torch.equal(last(0), last(1))


def test_a_network_without_weights_is_refused() -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    with pytest.raises(PellucidError, match="no weights"):
        next(randomised(Subject(Mean(), random_image(1)[0])))


def test_an_edge_detector_keeps_similarity_1_at_every_stage() -> None:
    own = subject()
    outline = edges(own.frame)[0]
    for _, noise in randomised(own):
        assert likeness(outline, edges(noise.frame)[0]) == pytest.approx(1.0, abs=1e-6)


def test_edges_of_a_step_lie_on_the_step_and_nowhere_else() -> None:
    image = torch.zeros(1, 3, 6, 8)
    image[..., 4:] = 1.0
    found = edges(image)[0]
    assert torch.allclose(found[:, 3:5], torch.full((6, 2), 0.5))
    assert float(found[:, :3].abs().max()) == float(found[:, 5:].abs().max()) == 0
    assert torch.allclose(edges(image.transpose(2, 3))[0], found.T)


def test_rank_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr

    generator = torch.Generator().manual_seed(0)
    a = torch.rand(9, 7, generator=generator).mul(5).round()  # with ties
    b = a + torch.rand(9, 7, generator=generator) * 3
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a.flatten(), b.flatten()).statistic, abs=1e-12)
    assert rank_correlation(a, a.exp()) == pytest.approx(1)
    assert rank_correlation(b, -b) == pytest.approx(-1)
    assert rank_correlation(a, torch.ones(9, 7)) == 0


def test_similarity_is_1_for_a_map_and_its_multiple_and_small_for_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(32, 40, generator=generator), torch.rand(32, 40, generator=generator)
    assert similarity(a, 7 * a) == pytest.approx(1, abs=1e-5)
    assert abs(similarity(a, b)) < 0.2
    assert similarity(torch.zeros(32, 40), torch.zeros(32, 40)) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 3), (4, 6)])
def test_tiny_maps_are_compared_too(shape: tuple[int, int]) -> None:
    a = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    assert -1 <= likeness(a, a.flip(0)) <= 1
    if a.numel() > 1:
        assert likeness(a, a) == pytest.approx(1, abs=1e-5)


def test_what_is_kept_is_the_mean_between_the_ends() -> None:
    done = RandomisationCheck((0.1, 0.25, 0.5, 0.75, 1.0), (1.0, 0.6, 0.4, 0.2, 0.9), 0.3)
    assert done.kept == pytest.approx(0.4)
    assert done.passes
    assert not RandomisationCheck((0.1, 0.5, 1.0), (0.0, 0.5, 0.0), 0.3).passes
