"""What a report says, before it is a page: plain values that whoever writes HTML can lay out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Box = tuple[float, float, float, float]
Gallery = Literal["wrong", "missed", "right"]
Size = Literal["small", "medium", "large"]
Role = Literal["said", "truth", "kept", "near"]
"""Of a box in a picture: what the model said; the object; the detection that suppressed it; what else is near."""


@dataclass(frozen=True)
class Value:
    """A figure of the summary; ``low`` and ``high``: its 95 % interval, None where there is none."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scores:
    """The figures of one protocol, the first being the main one. ``note``: why they may differ from official ones."""

    protocol: str
    title: str
    values: tuple[Value, ...]
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A class's precision at each recall: ``points`` (recall, precision), falling score; and its average precision."""

    name: str
    points: tuple[tuple[float, float], ...]
    average_precision: float


@dataclass(frozen=True)
class Curves:
    """Precision and recall at one IoU. ``lines``: a class each, best first."""

    threshold: float
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class ErrorType:
    """A type of error: Cls, Loc, Both, Dupe, Bkg or Miss. ``cost``: the AP that mending them all would bring."""

    kind: str
    name: str
    count: int
    cost: float
    meaning: str


@dataclass(frozen=True)
class Stage:
    """A stage of the recall waterfall: how many objects it lost, and how many are left after it."""

    reason: str
    lost: int
    remaining: int


@dataclass(frozen=True)
class Waterfall:
    """All true objects, what each stage lost of them, and how many are ``found``: ``total`` − Σ lost."""

    total: int
    found: int
    iou: float
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Bin:
    """Detections of similar scores: their mean ``score``, the share that is ``right``, and how many."""

    score: float
    right: float
    count: int


@dataclass(frozen=True)
class Calibration:
    """Whether a score means what it says. ``error``: the expected calibration error, 0 to 1."""

    bins: tuple[Bin, ...]
    error: float


@dataclass(frozen=True)
class Confusion:
    """``counts``: a row each true class, then background; a column each predicted class, then background (missed).

    ``names``: of the classes.
    """

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    iou: float
    score: float


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; a float is shown with three decimals, NaN as a dash. ``about``: what it says."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
    about: str = ""


@dataclass(frozen=True)
class Marked:
    """A box in a picture's pixels: its class, its score where it has one, and its mask's outline as an SVG path."""

    role: Role
    box: Box
    label: str
    score: float | None = None
    outline: str = ""


@dataclass(frozen=True)
class Explained:
    """Why: a map over the picture, and what its test says.

    ``method``: its title. ``heat``: a PNG with transparency, to be stretched over the picture. ``of``: what is
    explained, in words. ``tests``: name → what it says, in words: 'energy inside the box' → '71 %'. ``passes``: whether
    the map orders the pixels better than chance; None where that was not tested.
    """

    method: str
    heat: bytes
    of: str
    tests: Mapping[str, str] = field(default_factory=dict)
    passes: bool | None = None


@dataclass(frozen=True)
class Case:
    """One error, or one hit, as a gallery shows it.

    ``kind``: Cls, Loc, Both, Dupe, Bkg, Miss or Right. ``label``: the class said, or missed. ``sentence``: what
    happened. ``picture``: JPEG of the surroundings, ``width`` × ``height`` pixels. ``boxes``: in its pixels. ``way``:
    the steps from the class score back to the anchor, (name, text) each. ``reason``: of a missed object, the stage that
    lost it.
    """

    gallery: Gallery
    kind: str
    label: str
    score: float | None
    size: Size
    image: str
    sentence: str
    picture: bytes
    width: int
    height: int
    boxes: tuple[Marked, ...]
    explained: Explained | None = None
    way: tuple[tuple[str, str], ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Content:
    """All that a report says. What a model or its data do not have is None or empty, and the page leaves it out.

    ``title``: the model's name, or the predictions'. ``facts``: (name, value) each: data, images, objects, settings.
    ``per_class``, ``breakdowns`` (by size, by crowding), ``trust`` (faithfulness of the explanations): tables.
    ``left_out``: what this report cannot say, and why, a sentence each.
    """

    title: str
    data: str
    facts: tuple[tuple[str, str], ...]
    scores: tuple[Scores, ...]
    curves: Curves | None = None
    errors: tuple[ErrorType, ...] = ()
    waterfall: Waterfall | None = None
    calibration: Calibration | None = None
    confusion: Confusion | None = None
    per_class: Table | None = None
    breakdowns: tuple[Table, ...] = ()
    trust: Table | None = None
    cases: tuple[Case, ...] = ()
    left_out: tuple[str, ...] = ()
