"""The model-parameter randomisation check.

An explanation of a network must change when the network does (Adebayo et al. 2018).

A map that stays as it was after the weights are replaced by noise does not show what the network learned; an edge
detector, which never looks at the network, is the extreme case and the yardstick.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.attribution import Explanation, explain_subject
from pellucid.explain.objectives import Objective
from pellucid.explain.subject import Subject

Report = Callable[[str], None]
"""Called with a few words at each step of a long check."""

_Key = tuple[str, str | None, str]
"""A map's method, layer and target."""


def weighted_layers(network: nn.Module) -> list[str]:
    """The names of the layers that hold weights of their own, from the input's side to the output's."""
    return [
        name for name, module in network.named_modules() if next(module.parameters(recurse=False), None) is not None
    ]


def randomised(subject: Subject, *, stages: int = 4, seed: int = 0) -> Iterator[tuple[float, Subject]]:
    """Copies of the subject with ever more of its layers randomised, from the output down.

    (share of the layers, subject).

    The first has its topmost layer alone randomised, the last every layer. The caller's model is never touched. Weights
    become gaussian noise of their own deviation, biases 0, normalisations are reset and take their statistics from the
    image, so that signals keep their scale through the noise.
    """
    if stages < 2:
        raise PellucidError(
            f"stages={stages}: give at least 2, so that there is a network between the trained one and pure noise"
        )
    generator = torch.Generator().manual_seed(seed)
    other = copy.copy(subject)
    other.model = copy.deepcopy(subject.model)
    other.network = other.model.network if subject.network is not subject.model else other.model  # type: ignore[assignment]
    from_top = weighted_layers(other.network)[::-1]
    if not from_top:
        raise PellucidError("this network has no weights, so they can't be randomised")
    modules = dict(other.network.named_modules())
    done = 0
    for stage in range(stages + 1):
        upto = max(1, round(len(from_top) * stage / stages))
        for name in from_top[done:upto]:
            _randomise(modules[name], generator)
        done = max(done, upto)
        other.kept = None  # what was said at the stage before
        _refit_statistics(other, [modules[name] for name in from_top[:done]])
        yield done / len(from_top), other


@torch.no_grad()
def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    normalisation = _is_normalisation(module)
    for name, parameter in module.named_parameters(recurse=False):
        if normalisation:
            parameter.fill_(0.0 if name == "bias" else 1.0)
        elif name.endswith("bias"):
            parameter.zero_()
        else:
            spread = float(parameter.float().std()) if parameter.numel() > 1 else float(parameter.abs().max())
            noise = torch.randn(parameter.shape, generator=generator) * (spread if math.isfinite(spread) else 1.0)
            parameter.copy_(noise.to(parameter))


def _is_normalisation(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


@torch.no_grad()
def _refit_statistics(subject: Subject, modules: list[nn.Module]) -> None:
    """Lets randomised batch normalisations take the image's own statistics, layer after layer."""
    norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is not None]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    subject.model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    pair = torch.cat([subject.frame[:1], subject.frame[:1].flip(-1)])  # two, for layers with a single position
    subject.run(pair)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum


def edges(frame: Tensor) -> Tensor:
    """(N, h, w) ≥ 0: the Sobel gradient's magnitude of an image (N, 3, h, w), its channels averaged.

    What any network's input looks like.
    """
    grey = frame.mean(1, keepdim=True)
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).to(frame) / 8
    kernels = torch.stack([sobel, sobel.T])[:, None]
    return F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels).square().sum(1).sqrt()


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation of two maps (h, w), −1 to 1, ties averaged; 0 where one is constant."""
    from scipy.stats import rankdata

    ranks = [torch.from_numpy(rankdata(m.detach().cpu().double().numpy().ravel())) for m in (a, b)]
    centred = [r - r.mean() for r in ranks]
    norm = float(centred[0].norm() * centred[1].norm())
    return float(centred[0] @ centred[1]) / norm if norm > 0 else 0.0


def similarity(a: Tensor, b: Tensor, window: int = 7) -> float:
    """Structural similarity (Wang et al. 2004) of two strength maps (h, w), each scaled to [0, 1] as panels do."""
    from skimage.metrics import structural_similarity

    scaled = []
    for strength in (a, b):
        strength = strength.detach().float().cpu()
        strength = strength.clamp(min=0)
        top = float(torch.quantile(strength.flatten(), 0.995)) or float(strength.max())
        scaled.append((strength / top if top > 0 else strength).clamp(0, 1).numpy())
    side = min(window, *a.shape)
    side -= 1 - side % 2
    if side < 3:
        return rank_correlation(a, b)
    return float(structural_similarity(*scaled, data_range=1.0, win_size=side))


@dataclass(frozen=True)
class RandomisationCheck:
    """How much of a map is left as more and more of the network becomes noise.

    ``shares``: the share of the layers randomised, from the output down, at each stage; the first is the topmost layer
    alone, the last is 1. ``similarities``: the map's similarity to itself there (the lower of SSIM and rank
    correlation, −1 to 1). ``to_edges``: its similarity, on the network as it is, to the input's edges, which never
    change and so keep a similarity of 1.
    """

    shares: tuple[float, ...]
    similarities: tuple[float, ...]
    to_edges: float

    LIMIT: ClassVar[float] = 0.5

    @property
    def kept(self) -> float:
        """The mean similarity while a quarter to three quarters of the layers are noise.

        1 for the input's edges, near 0 for a faithful map.
        """
        return sum(self.similarities[1:-1]) / len(self.similarities[1:-1])

    @property
    def passes(self) -> bool:
        """Whether less than half of the map survives a network whose deciding layers are noise."""
        return self.kept < self.LIMIT


def likeness(a: Tensor, b: Tensor) -> float:
    """The lower of SSIM and rank correlation of two maps (h, w).

    High only where both the structure and the order of the pixels agree.
    """
    return min(similarity(a, b), rank_correlation(a, b))


def randomisation_checks(
    subject: Subject,
    objectives: Sequence[Objective],
    explanations: Sequence[Explanation],
    *,
    places: Mapping[str, Tensor] | None = None,
    stages: int = 4,
    seed: int = 0,
    report: Report,
) -> list[RandomisationCheck]:
    """How much of each map is left on networks of noise, in the explanations' order.

    ``objectives``: as they are asked of networks that find other objects, or none (``forward.followed``), by the maps'
    targets. ``places``: bool (h, w) of the frame for objectives of objects, to the box around which the comparison is
    kept: the question itself says where to look, and a map that is empty elsewhere on both networks would seem to stay.
    Methods that need many passes are run with fewer of them, on the network as it is as well.
    """

    def cut(strength: Tensor, target: str) -> Tensor:
        place = (places or {}).get(target)
        return strength if place is None else strength[_around(place.any(1)), _around(place.any(0))]

    report("maps of the network as it is")
    # Where a detector's own choice of layers was explained, noise makes its own too: it may read an object elsewhere.
    plan: dict[_Key, str | None] = {(e.method, e.layer, e.target): None for e in explanations}
    original = {key: made for key, made in _maps(subject, objectives, plan).items() if made.layer == key[1]}
    plan = {key: None if key in original else key[1] for key in plan}
    original |= _maps(subject, objectives, {key: layer for key, layer in plan.items() if key not in original})
    shares: list[float] = []
    similarities: dict[_Key, list[float]] = {key: [] for key in plan}
    for share, noise in randomised(subject, stages=stages, seed=seed):
        report(f"maps with {share:.0%} of the layers randomised")
        shares.append(share)
        if subject.kept is not None:
            noise.keep()
        for key, made in _maps(noise, objectives, plan).items():
            both = [cut(one.strength(), key[2]) for one in (original[key], made)]
            similarities[key].append(likeness(both[0], both[1]))
    outline = edges(subject.frame)[0]
    to_edges = {key: likeness(cut(own.strength(), key[2]), cut(outline, key[2])) for key, own in original.items()}
    keys = [(e.method, e.layer, e.target) for e in explanations]
    return [RandomisationCheck(tuple(shares), tuple(similarities[key]), to_edges[key]) for key in keys]


def _around(marked: Tensor) -> slice:
    """From the first to the last that is marked."""
    there = marked.nonzero()[:, 0]
    return slice(int(there[0]), int(there[-1]) + 1)


def _maps(
    subject: Subject, objectives: Sequence[Objective], plan: Mapping[_Key, str | None]
) -> dict[_Key, Explanation]:
    """The planned maps, each made at the layer given for it; those of one method and layer share their passes."""
    settings: dict[str, dict[str, Any]] = {
        "rise": {"masks": 128},
        "d_rise": {"masks": 64},
        "occlusion": {"stride": max(1, min(subject.frame.shape[-2:]) // 7)},
        "smooth_grad": {"samples": 8},
        "integrated_gradients": {"steps": 8},
    }
    found: dict[_Key, Explanation] = {}
    for method, layer in dict.fromkeys((key[0], layer) for key, layer in plan.items()):
        keys = {key[2]: key for key, own in plan.items() if (key[0], own) == (method, layer)}
        asked = [objective for objective in objectives if str(objective) in keys]
        options = settings.get(method, {})
        found |= {
            keys[made.target]: made for made in explain_subject(subject, asked, method=method, layer=layer, **options)
        }
    return found
