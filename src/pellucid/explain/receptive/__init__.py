"""Receptive fields, exact: which rows and columns of the image each unit of a layer depends on.

The network itself is run once, on one image, and every tensor operation that it makes is followed beside it: of each
tensor it is known along which of its dimensions the image's rows (and columns) lie, and which interval of them
each index there depends on. So whatever a network computes (padding, strides, dilation, branches, gates) is taken as
it is computed, and no layer needs a rule of its own. An operation without a rule spreads all that its inputs depend on
over all of its output: too large at worst, never too small.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from pellucid.explain.receptive.field import ReceptiveField
from pellucid.explain.receptive.tracing import Tracer
from pellucid.explain.subject import Subject, untouched
from pellucid.explain.watching import watch

__all__ = ["ReceptiveField", "receptive_fields"]


def receptive_fields(model: nn.Module, size: tuple[int, int], layers: str | Iterable[str]) -> dict[str, ReceptiveField]:
    """The receptive fields of layers for a frame of ``size`` (h, w), by one forward pass of one image.

    ``model``: one of Pellucid's own, whose frame its network's input is, or any module that maps (N, 3, h, w) to
    something. ``layers``: names or globs, see ``match_layers``. Exact for convolutions of every kind, pooling, padding,
    resizing, gates, branches and the reshaping between them, whatever their sizes; a layer whose channels differ gets
    the smallest interval that holds them all. Attention counts as reading every token that it may read. Source: the
    recursion of Araujo et al. 2019 ("Computing Receptive Fields of Convolutional Neural Networks"), on intervals.
    Raises PellucidError for an unknown layer and one that is not reached.
    """
    subject = Subject.of_frames(model, torch.full((1, 3, *size), 0.5))
    tracer = Tracer(size)
    with untouched(model), torch.no_grad(), tracer:
        tracer.begin(subject.frame)
        with watch(subject.network, layers, keep=lambda name, activation: tracer.field(activation)) as seen:
            found: dict[str, Any] = seen(subject.frame, through=subject.run)
    return found
