"""What goes over the wire: the JSON of requests and of answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Box = Annotated[list[Pixel], Field(min_length=4, max_length=4)]
Point = Annotated[list[Pixel], Field(min_length=2, max_length=2)]
Number = Annotated[int, Field(ge=0, le=1_000_000)]
Name = Annotated[str, Field(max_length=200)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ThresholdsAsked(_Asked):
    """By which a detector chooses; what is left out stays as it is in the model."""

    score: Share | None = None
    overlap: Share | None = None

    def given(self) -> dict[str, float]:
        """Those that were given."""
        return {name: float(value) for name, value in self.model_dump().items() if value is not None}


class ObjectTarget(_Asked):
    """Something of an object that is reported."""

    kind: Literal["object"]
    number: Number
    part: Literal["score", "mask", "keypoint", "left", "top", "right", "bottom"] = "score"
    pixel: Point | None = None
    keypoint: Number | None = None


class MissedTarget(_Asked):
    """What speaks for an object that is not reported, at a box or at a point."""

    kind: Literal["missed"]
    box: Box | None = None
    point: Point | None = None
    class_: Name | None = Field(default=None, alias="class")


class ClassTarget(_Asked):
    """A class of a classifier."""

    kind: Literal["class"]
    class_: Name = Field(alias="class")


class InsteadTarget(_Asked):
    """Why one class and not another, of an object or of the photo."""

    kind: Literal["instead"]
    number: Number | None = None
    class_: Name = Field(alias="class")
    other: Name


Target = Annotated[ObjectTarget | MissedTarget | ClassTarget | InsteadTarget, Field(discriminator="kind")]


class ExplanationAsked(_Asked):
    """What is to be explained, and how."""

    target: Target
    method: Name = "grad_cam"
    layer: Name | None = None
    thresholds: ThresholdsAsked | None = None


class Nothing(_Asked):
    """An empty object."""


class Refusal(BaseModel):
    """One clear line."""

    error: str


class Method(BaseModel):
    """``layered``: takes a layer. ``quick``: answers at once. ``signed``: see ``Explanation``."""

    name: str
    title: str
    about: str
    layered: bool
    quick: bool
    signed: bool


class Model(BaseModel):
    """The model that is served."""

    name: str
    task: str
    classes: list[str]
    thresholds: dict[str, float]
    parts: list[str]
    methods: list[Method]
    default_method: str
    keypoints: list[str]
    limits: dict[str, int]
    device: str


class Object(BaseModel):
    """An object that is reported."""

    model_config = ConfigDict(populate_by_name=True)

    number: int
    class_: str = Field(alias="class")
    score: float
    box: list[float]
    keypoints: list[list[float]] | None
    has_mask: bool


class ClassProbability(BaseModel):
    """A class of a classifier."""

    name: str
    probability: float


class Photo(BaseModel):
    """What the model says of a photo."""

    id: str
    name: str
    width: int
    height: int
    seconds: float
    waited: float
    thresholds: dict[str, float]
    objects: list[Object]
    classes: list[ClassProbability]


class Objects(BaseModel):
    """The objects by some thresholds."""

    objects: list[Object]
    thresholds: dict[str, float]
    milliseconds: float


class Outlines(BaseModel):
    """SVG paths of masks, and keypoints (x, y, score), by the objects' numbers."""

    outlines: dict[str, str]
    keypoints: dict[str, list[list[float]]]


class Step(BaseModel):
    """One step of the way to a prediction."""

    name: str
    text: str
    box: list[float] | None
    score: float | None


class Explanation(BaseModel):
    """A map over the photo, and what it is a map of."""

    id: str
    title: str
    target: str
    layer: str | None
    heat: str
    value: float | None
    sentence: str
    steps: list[Step]
    inside: float | None
    pointing: bool | None
    box: list[float] | None
    seconds: float
    waited: float
    unit_layer: str | None


class Curve(BaseModel):
    """See ``explain.faithfulness.Curve``."""

    shares: list[float]
    values: list[float]
    area: float


class Check(BaseModel):
    """Deletion and insertion of one map, and the same by chance."""

    deletion: Curve
    insertion: Curve
    random_deletion: float
    random_insertion: float
    passes: bool
    sentence: str
    seconds: float


class Unit(BaseModel):
    """A channel of a layer."""

    channel: int
    activation: float
    strongest: list[float]


class Units(BaseModel):
    """The strongest channels at a place."""

    layer: str
    units: list[Unit]


class UnitHeat(BaseModel):
    """Where a channel is active."""

    heat: str
    peak: list[float]


class Health(BaseModel):
    """How the server is."""

    status: str
    waiting: int
    photos: int


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "What was asked for makes no sense, in one line."},
    403: {"model": Refusal, "description": "Asked by a page of another site."},
    404: {"model": Refusal, "description": "Not there, or forgotten."},
    405: {"model": Refusal, "description": "Not a method of this address."},
    413: {"model": Refusal, "description": "Too much."},
    422: {"model": Refusal, "description": "Not of the form that is asked for, in one line."},
    500: {"model": Refusal, "description": "A fault of the server."},
    503: {"model": Refusal, "description": "Too busy at the moment."},
}
