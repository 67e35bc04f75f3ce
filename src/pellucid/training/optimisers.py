"""Which parameters learn, how fast, and by what."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from pellucid.errors import PellucidError, nearest
from pellucid.training.recipe import Optimiser, Schedule
from pellucid.training.schedules import factor, momentum

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
)


def matches(name: str, pattern: str) -> bool:
    """Whether a parameter's name fits a pattern: itself, with * and ?, or a module that it lies in."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def check_patterns(network: nn.Module, patterns: Sequence[str], key: str) -> None:
    """Raises PellucidError for a pattern that fits no parameter."""
    names = [name for name, _ in network.named_parameters()]
    modules = [name for name, _ in network.named_modules() if name]
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            top = list(dict.fromkeys(name.split(".")[0] for name in names))
            raise PellucidError(
                f"{key}: '{pattern}' fits no parameter{nearest(pattern, modules)}; the parts are {', '.join(top)}"
            )


def set_learning(
    network: nn.Module,
    able: set[str],
    settings: Optimiser,
    trainable: Callable[[str], bool] | None,
) -> list[str]:
    """Lets those parameters learn that are able to, that a stage wants, and that no pattern freezes; gives their names.

    ``able``: the names of those that the model itself lets learn. Raises PellucidError where none is left.
    """
    learning = []
    for name, parameter in network.named_parameters():
        wanted = name in able and (trainable is None or trainable(name))
        parameter.requires_grad_(wanted and not any(matches(name, pattern) for pattern in settings.freeze))
        if parameter.requires_grad:
            learning.append(name)
    if not learning:
        raise PellucidError("no parameter is left to learn; freeze less (optimiser.freeze)")
    return learning


def make_optimiser(network: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """An optimiser over the parameters that learn, in groups of one multiplier and one weight decay each.

    Biases and the parameters of norms do not decay. Each group notes its ``multiplier``.
    """
    spared = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in network.named_modules()
        for name, _ in module.named_parameters(recurse=False)
        if isinstance(module, _NORMS) or name == "bias" or "norm" in type(module).__name__.lower()
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if name in spared or parameter.ndim < 2 else settings.weight_decay
            groups.setdefault((multiplier(name, settings), decay), []).append(parameter)
    made = [
        {"params": parameters, "multiplier": times, "weight_decay": decay, "lr": settings.learning_rate * times}
        for (times, decay), parameters in groups.items()
    ]
    if settings.name == "sgd":
        return torch.optim.SGD(made, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.nesterov)
    return torch.optim.AdamW(made, lr=settings.learning_rate, betas=(settings.momentum, settings.beta2))


def multiplier(name: str, settings: Optimiser) -> float:
    """What a parameter's learning rate is multiplied by: the last pattern that fits."""
    found = [times for pattern, times in settings.multipliers.items() if matches(name, pattern)]
    return found[-1] if found else 1.0


def set_rates(
    optimiser: torch.optim.Optimizer, settings: Optimiser, schedule: Schedule, step: int, steps: int
) -> float:
    """Sets the learning rates (and momentum) for a step of a stage; gives the rate of multiplier 1."""
    rate = settings.learning_rate * factor(schedule, step, steps)
    moved = momentum(schedule, step, steps)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["multiplier"]
        if moved is not None and "betas" in group:
            group["betas"] = (moved, group["betas"][1])
        elif moved is not None:
            group["momentum"] = moved
    return rate
