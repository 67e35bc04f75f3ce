"""What a training is made of, in plain values: a recipe, from a YAML file or from Python."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pellucid.errors import PellucidError, nearest

OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "one_cycle", "step", "constant")
PRECISIONS = ("32", "bf16", "16")


def _check(fine: bool, key: str, value: object, remedy: str) -> None:
    if not fine:
        raise PellucidError(f"{key}: {value} is out of range; {remedy}")


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise PellucidError(f"{key}: unknown '{value}'{nearest(value, known)}; there are {', '.join(known)}")


@dataclass(frozen=True)
class Data:
    """Where samples come from.

    ``train``, ``val``: data sets as ``open_dataset`` takes them; without ``val`` the split val of ``train``, where it
    has one. ``split``, ``val_split``: which splits. ``val_share``: without any data set to validate on, this share of
    the training images is held out, the same in every run. ``workers``: processes that read images.
    ``group_by_aspect``: wide images and tall ones in batches of their own. ``drop_last``: whether what fills no whole
    step at the end of an epoch is left out.
    """

    train: str = ""
    val: str | None = None
    split: str | None = None
    val_split: str | None = None
    val_share: float = 0.0
    workers: int = 0
    group_by_aspect: bool = False
    drop_last: bool = True

    def __post_init__(self) -> None:
        _check(0 <= self.val_share < 1, "data.val_share", self.val_share, "give 0 or more, below 1")
        _check(0 <= self.workers <= 256, "data.workers", self.workers, "give 0 to 256 processes")


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied before the model resizes them to its own size.

    ``name``: none, flip, or a preset (detection, instance, keypoints …). ``size``: the preset's side in pixels.
    ``transforms``: a list in place of a name: names of transforms, each alone or with its arguments, as in
    ``{Colour: {hue: 0.1}}``.
    """

    name: str = "flip"
    size: int | None = None
    transforms: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check(self.size is None or self.size >= 1, "augmentation.size", self.size, "give pixels, 1 or more")


@dataclass(frozen=True)
class Optimiser:
    """What changes the parameters.

    ``weight_decay``: none on biases and norms. ``momentum``: of sgd; the first beta of adamw. ``clip``: the longest
    gradient (the norm over all parameters), 0 for any. ``accumulate``: how many batches make one step. ``freeze``:
    patterns (``backbone.*``) of the parameters that do not learn. ``multipliers``: pattern → what the learning rate is
    multiplied by; where several fit, the last counts.
    """

    name: str = "adamw"
    learning_rate: float = 4e-4
    weight_decay: float = 0.05
    momentum: float = 0.9
    beta2: float = 0.999
    nesterov: bool = False
    clip: float = 10.0
    accumulate: int = 1
    freeze: list[str] = field(default_factory=list)
    multipliers: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("optimiser.name", self.name, OPTIMISERS)
        _check(self.learning_rate > 0, "optimiser.learning_rate", self.learning_rate, "give more than 0, such as 4e-4")
        _check(self.weight_decay >= 0, "optimiser.weight_decay", self.weight_decay, "give 0 or more")
        _check(0 <= self.momentum < 1, "optimiser.momentum", self.momentum, "give 0 or more, below 1")
        _check(0 <= self.beta2 < 1, "optimiser.beta2", self.beta2, "give 0 or more, below 1")
        _check(self.clip >= 0, "optimiser.clip", self.clip, "give 0 (none) or more")
        _check(self.accumulate >= 1, "optimiser.accumulate", self.accumulate, "give 1 or more")
        _check(not self.nesterov or self.momentum > 0, "optimiser.nesterov", self.nesterov, "it wants a momentum")
        for pattern, factor in self.multipliers.items():
            _check(factor >= 0, f"optimiser.multipliers.{pattern}", factor, "give 0 or more")


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves over the steps of a stage.

    ``name``: cosine, one_cycle, step or constant. ``warmup``: steps, or below 1 a share of all, in which it rises from
    ``warmup_start`` times itself (one_cycle rises by itself). ``floor``: cosine ends at this share of the learning
    rate. ``milestones``: shares of all steps (below 1), or steps, after which ``step`` multiplies by ``gamma``.
    ``peak``, ``start_divisor``, ``end_divisor``: one_cycle reaches the learning rate after this share of the steps,
    begins at it divided by the first, and ends at that divided by the second; with ``cycle_momentum`` the momentum
    falls from 0.95 to 0.85 meanwhile, and rises again.
    """

    name: str = "one_cycle"
    warmup: float = 0.0
    warmup_start: float = 0.001
    floor: float = 0.0
    milestones: list[float] = field(default_factory=lambda: [0.67, 0.92])
    gamma: float = 0.1
    peak: float = 0.3
    start_divisor: float = 25.0
    end_divisor: float = 1e4
    cycle_momentum: bool = False

    def __post_init__(self) -> None:
        _one_of("schedule.name", self.name, SCHEDULES)
        _check(self.warmup >= 0, "schedule.warmup", self.warmup, "give steps, or a share below 1")
        _check(0 <= self.warmup_start <= 1, "schedule.warmup_start", self.warmup_start, "give 0 to 1")
        _check(0 <= self.floor <= 1, "schedule.floor", self.floor, "give 0 to 1")
        _check(0 < self.gamma <= 1, "schedule.gamma", self.gamma, "give more than 0, to 1")
        _check(0 < self.peak < 1, "schedule.peak", self.peak, "give a share between 0 and 1")
        for name in ("start_divisor", "end_divisor"):
            _check(getattr(self, name) >= 1, f"schedule.{name}", getattr(self, name), "give 1 or more")
        _check(all(m > 0 for m in self.milestones), "schedule.milestones", self.milestones, "give more than 0 each")


@dataclass(frozen=True)
class Average:
    """The running average of the weights, which is validated and saved in place of them.

    ``decay``: how much of the average stays at each step; 0 for none. ``ramp``: in step t it is at most
    (1 + t) / (ramp + t), so that the random beginning is soon forgotten.
    """

    decay: float = 0.0
    ramp: float = 10.0

    def __post_init__(self) -> None:
        _check(0 <= self.decay < 1, "average.decay", self.decay, "give 0 (none) or more, below 1, such as 0.999")
        _check(self.ramp >= 1, "average.ramp", self.ramp, "give 1 or more")


@dataclass(frozen=True)
class Validation:
    """When it is scored: ``every`` so many epochs, and at the end. ``patience``: training stops when so many
    validations in a row brought nothing better; 0 for never."""

    every: int = 1
    patience: int = 0

    def __post_init__(self) -> None:
        _check(self.every >= 1, "validation.every", self.every, "give 1 or more epochs")
        _check(self.patience >= 0, "validation.patience", self.patience, "give 0 (never) or more")


@dataclass(frozen=True)
class State:
    """How often the state for ``--resume`` is written beside the end of every epoch: after so many ``steps``, or
    ``seconds``; 0 for never."""

    steps: int = 0
    seconds: float = 120.0

    def __post_init__(self) -> None:
        _check(self.steps >= 0, "state.steps", self.steps, "give 0 (never) or more")
        _check(self.seconds >= 0, "state.seconds", self.seconds, "give 0 (never) or more")


@dataclass(frozen=True)
class Recipe:
    """Everything that a training is made of; two runs of one recipe are the same on the same machine.

    ``model``: a recipe of ``pellucid.models``. ``backbone``: its network, by default the embedded one; ``pretrained``
    with its published weights. ``weights``: a checkpoint to begin with, or 'torchvision' for its published detector;
    what the network is made of is then as there. ``settings``: the model's own. ``batch_size``: images of each process
    at a time. ``precision``: 32, bf16 or 16 (mixed).
    """

    model: str
    backbone: str | None = None
    pretrained: bool = True
    weights: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    data: Data = field(default_factory=Data)
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch_size: int = 4
    epochs: int = 12
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    precision: str = "32"
    average: Average = field(default_factory=Average)
    validation: Validation = field(default_factory=Validation)
    state: State = field(default_factory=State)
    seed: int = 0

    def __post_init__(self) -> None:
        _check(1 <= self.batch_size <= 100_000, "batch_size", self.batch_size, "give 1 or more images")
        _check(1 <= self.epochs <= 1_000_000, "epochs", self.epochs, "give 1 or more")
        _check(0 <= self.seed < 2**63, "seed", self.seed, "give a whole number, 0 or more")
        _one_of("precision", self.precision, PRECISIONS)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values, for YAML."""
        return asdict(self)

    def with_data(self, **changes: Any) -> "Recipe":
        """The same with other data."""
        return replace(self, data=replace(self.data, **changes))
