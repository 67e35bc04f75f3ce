"""Forward passes for objectives: run once, read many times, and gradients with respect to an input or a layer."""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.objectives import Objective, Pass
from pellucid.explain.rectifiers import RectifierRule, Rule, UndefinedMethodError
from pellucid.explain.subject import Subject, untouched
from pellucid.explain.watching import Watch, watch


def watch_for(subject: Subject, objectives: Sequence[Objective], *more: str) -> Watch | None:
    """A watch of all that the objectives read, and of ``more`` layers, from the first of which gradients are recorded.

    None where there is nothing to watch.
    """
    layers = dict.fromkeys([*more, *(layer for objective in objectives for layer in objective.layers)])
    return watch(subject.network, layers, gradients_from=more[0] if more else None) if layers else None


def run_pass(subject: Subject, batch: Tensor, objectives: Sequence[Objective], seen: Watch | None) -> Pass:
    """One pass, no deeper than the objectives need; ``seen`` must be active."""
    predictions = None
    if any(objective.reads_predictions for objective in objectives):
        if seen is not None:
            seen.begin()
        predictions = subject.remembered(batch) if seen is None else None
        if predictions is None:
            predictions = subject.run(batch, traced=any(objective.traced for objective in objectives))
        if seen is not None:
            seen.check_all_reached()
    elif seen is not None:
        seen(batch, through=subject.run)
    return Pass(seen.activations if seen is not None else {}, predictions, batch, subject.classes)


def finite_values(objective: Objective, forward: Pass) -> Tensor:
    """An objective's values (N,). Raises PellucidError where they are NaN or infinite."""
    values = objective(forward)
    if not torch.isfinite(values).all():
        raise PellucidError(
            f"the network gives {'NaN' if values.isnan().any() else 'infinity'} for '{objective}'; "
            "check its weights and its input"
        )
    return values


def quick(batch: Tensor) -> Tensor:
    """The same batch, laid out in memory (channels last) as convolutions of several images run a third faster."""
    return batch.contiguous(memory_format=torch.channels_last) if len(batch) > 1 and batch.ndim == 4 else batch


@torch.no_grad()
def objective_values(
    subject: Subject, batch: Tensor, objectives: Sequence[Objective], *, probabilities: bool = False
) -> Tensor:
    """(N, K) values of K objectives on a batch in the frame, without gradients.

    ``probabilities``: read a class objective as the class's probability instead of its logit.
    Raises PellucidError where the network gives NaN or infinity.
    """
    batch = quick(batch)
    with untouched(subject.model):
        seen = watch_for(subject, objectives)
        with seen or nullcontext():
            forward = run_pass(subject, batch, objectives, seen)
        columns = [finite_values(as_probability(o) if probabilities else o, forward) for o in objectives]
    return torch.stack(columns, 1)


def as_probability(objective: Objective) -> Objective:
    """An objective's probability where it has one; any other as it is."""
    if objective.probability is None:
        return objective
    return replace(objective, text=f"probability of {objective}", value_of=objective.probability, probability=None)


@torch.no_grad()
def followed(subject: Subject, image: Tensor, objectives: Sequence[Objective]) -> list[Objective]:
    """The objectives as they are asked of changed copies of an image (1, 3, h, w): each means the object it meant."""
    moving = [objective for objective in objectives if objective.following is not None]
    if not moving:
        return list(objectives)
    forward = _pass_over(subject, image, moving)
    return [o if o.following is None else replace(o.following(forward), text=o.text) for o in objectives]


@torch.no_grad()
def likenesses(subject: Subject, image: Tensor, objectives: Sequence[Objective]) -> list[Objective]:
    """How like their objects what the model reports is, in changed copies of an image (1, 3, h, w).

    Raises UndefinedMethodError for an objective that means no object.
    """
    for objective in objectives:
        if objective.likeness is None:
            raise UndefinedMethodError(f"d_rise: '{objective}' is no object; ask for a detection, or one missed")
    forward = _pass_over(subject, image, objectives)
    return [o if o.likeness is None else replace(o.likeness(forward), text=o.text) for o in objectives]


def _pass_over(subject: Subject, image: Tensor, objectives: Sequence[Objective]) -> Pass:
    with untouched(subject.model):
        seen = watch_for(subject, objectives)
        with seen or nullcontext():
            return run_pass(subject, image, objectives, seen)


def input_gradients(
    subject: Subject, batch: Tensor, objectives: Sequence[Objective], *, rule: Rule | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Each objective's values (N,) and gradient (N, 3, h, w) with respect to a batch in the frame, by one forward pass.

    ``rule``: how rectifiers pass gradients on (plain backpropagation by default). Raises PellucidError where an
    objective does not depend on the image, where the rule is not defined for the network, and where the network gives
    NaN or infinity.
    """
    with untouched(subject.model), torch.enable_grad():
        x = batch.detach().clone().requires_grad_()
        seen = watch_for(subject, objectives)
        mode = RectifierRule(rule) if rule is not None else None
        with seen or nullcontext(), mode or nullcontext():
            forward = run_pass(subject, x, objectives, seen)
        if mode is not None:
            mode.check()
        values = [finite_values(objective, forward) for objective in objectives]
        gradients = _gradients(values, x, objectives, "the image")
    return [v.detach() for v in values], gradients


def layer_gradients(
    subject: Subject, batch: Tensor, objectives: Sequence[Objective], layer: str
) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """Values (N,), the layer's activation, and each objective's gradient with respect to it, from one forward pass.

    What runs before the layer is not recorded, parameters are frozen, and backpropagation ends at the layer: the cost
    is a forward pass and the way back from the objective to the layer, once for each objective.
    Raises PellucidError for an unknown layer, and where an objective does not depend on it.
    """
    with untouched(subject.model), torch.no_grad():
        seen = watch_for(subject, objectives, layer)
        assert seen is not None
        with seen:
            # Values are read inside the pass's own grad mode, which the watch turned on at the layer.
            forward = run_pass(subject, batch.detach(), objectives, seen)
            with torch.enable_grad():
                values = [finite_values(objective, forward) for objective in objectives]
        activation = forward.activations[layer]
        what = f"layer '{layer}'"
        gradients = _gradients_at_once(values, activation, objectives, what) or _gradients(
            values, activation, objectives, what
        )
    return [v.detach() for v in values], activation.detach(), gradients


def _gradients(values: list[Tensor], source: Tensor, objectives: Sequence[Objective], what: str) -> list[Tensor]:
    gradients = []
    for i, (value, objective) in enumerate(zip(values, objectives, strict=True)):
        found = None
        if value.requires_grad:
            last = i == len(values) - 1
            ones = torch.ones_like(value)
            (found,) = torch.autograd.grad(value, source, ones, retain_graph=not last, allow_unused=True)
        if found is None:
            raise PellucidError(f"'{objective}' does not depend on {what}: no gradient reaches it")
        gradients.append(checked_gradient(found, objective, what))
    return gradients


_BATCHED_ELEMENTS = 2**24
"""The most numbers that gradients taken all at once may hold."""


def _gradients_at_once(
    values: list[Tensor], source: Tensor, objectives: Sequence[Objective], what: str
) -> list[Tensor] | None:
    """As ``_gradients``, by one backward pass for all objectives; None where that cannot be done.

    For many classes it reads the last layer's weights once instead of once a class. An operation that autograd cannot
    batch, an objective that no gradient reaches, or too little memory are left to the other way.
    """
    if len(values) < 2 or len(values) * source.numel() > _BATCHED_ELEMENTS or not all(v.requires_grad for v in values):
        return None
    with torch.enable_grad():
        stacked = torch.stack(values)
    ones = torch.eye(len(values)).to(stacked)[:, :, None].expand(-1, -1, stacked.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a slow fallback warns
        try:
            (found,) = torch.autograd.grad(stacked, source, ones, retain_graph=True, is_grads_batched=True)
        except (RuntimeError, UserWarning):
            return None
    if not all(gradient.any() for gradient in found):
        return None
    return [checked_gradient(gradient, o, what) for gradient, o in zip(found, objectives, strict=True)]


def checked_gradient(gradient: Tensor, objective: Objective, what: str) -> Tensor:
    """The gradient without graph. Raises PellucidError where it is NaN or infinite."""
    # A finite sum has finite terms, and costs a fifth of looking at each; only a sum that overflows is looked into.
    if not torch.isfinite(gradient.sum()) and not torch.isfinite(gradient).all():
        raise PellucidError(
            f"the gradient of '{objective}' is NaN or infinite at {what}; check the network's weights and its input"
        )
    return gradient.detach()
