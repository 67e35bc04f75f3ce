"""Training in stages: what learns when, for models that do not learn everything at once."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A part of the training with an optimiser and a schedule of its own.

    ``share``: of the epochs; a model's stages add up to 1. ``trainable``: whether a parameter of the network learns, by
    its name; None for all that can. ``begin``: what is done to the model just before. What it adds must be in the
    model's state dictionary: a resumed run calls it again, and then takes up the state.
    """

    name: str
    share: float
    trainable: Callable[[str], bool] | None = None
    begin: Callable[[], None] | None = None
