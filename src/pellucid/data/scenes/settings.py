"""The knobs of generated scenes: what each means, its range, and how it is written in a data set's text."""

import re
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from pellucid.data.scenes.ground import STUFF
from pellucid.data.scenes.shapes import SHAPES
from pellucid.errors import PellucidError, nearest

_Kind = Literal["whole", "number", "wholes", "numbers", "size", "names"]
_WORDS = {
    "whole": "a whole number from {low} to {high}",
    "number": "a number from {low} to {high}",
    "wholes": "a whole number, or a range such as 1-6, from {low} to {high}",
    "numbers": "a number, or a range such as 0.1-0.5, from {low} to {high}",
    "size": "one side, or width x height such as 160x120, from {low} to {high} pixels",
}
_NUMBER = r"([0-9]{1,20}(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,3})?|\.[0-9]+)"


def _knob(default: Any, kind: _Kind, low: float = 0, high: float = 1, known: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"kind": kind, "low": low, "high": high, "known": known})


@dataclass(frozen=True)
class SceneSettings:
    """What generated scenes look like; each field is also a key of the text, such as ``n=200,things=2-5``.

    ``n``: images, 1 to 1,000,000. ``seed``: 0 to 2⁶³ − 1. ``size``: (H, W), 16 to 2048 pixels each; as text one side
    or width x height. What is in an image:

    - ``things``: least and most objects, 0 to 100; fewer where no room is left under the rules of ``overlap`` and
      ``min_visible``. A crowd comes on top.
    - ``classes`` and ``stuff``: names of shapes and of grounds; as text joined by +, or a number for the first few.
    - ``regions``: least and most grounds in an image, 1 to 4.
    - ``scale``: smallest and largest diameter, as a share of the image's shorter side, 0.02 to 1; never below 7 pixels.
    - ``overlap``: the largest share of an object that others may hide, 0 to 1.
    - ``cut``: the share of objects that may reach beyond the border, 0 to 1.
    - ``min_visible``: an object of which fewer pixels would be seen is not painted at all, 1 to 100,000.
    - ``crowded``: the probability of one crowd, many small objects of one class that overlap, 0 to 1.
    - ``empty``: the probability of an image without objects, 0 to 1.

    How it is drawn:

    - ``rotation``: the most that an object is turned either way, 0 to 180 degrees. From 36 on it can no longer be seen
      which tip of a star is which, from 45 for square and cross, from 60 for the triangle.
    - ``contrast``: 1 gives colours that stand out from the ground, 0 the ground's own colour.
    - ``textured``: the share of objects with a pattern, 0 to 1. ``clutter``: strength of the ground's texture, 0 to 1.
    - ``blur``: standard deviation in pixels, 0 to 10. ``noise``: standard deviation in grey levels, 0 to 100.
    - ``ignore``: pixels on either side of an object's outline that the semantic map leaves open (255), 0 to 10.

    Raises PellucidError for a value out of its range, and for unknown classes.
    """

    n: int = _knob(200, "whole", 1, 1_000_000)
    seed: int = _knob(0, "whole", 0, 2**63 - 1)
    size: tuple[int, int] = _knob((128, 128), "size", 16, 2048)
    things: tuple[int, int] = _knob((1, 6), "wholes", 0, 100)
    classes: tuple[str, ...] = _knob(tuple(SHAPES), "names", known=tuple(SHAPES))
    stuff: tuple[str, ...] = _knob(tuple(STUFF), "names", known=tuple(STUFF))
    regions: tuple[int, int] = _knob((1, 3), "wholes", 1, 4)
    scale: tuple[float, float] = _knob((0.15, 0.5), "numbers", 0.02, 1)
    overlap: float = _knob(0.5, "number")
    cut: float = _knob(0.15, "number")
    min_visible: int = _knob(10, "whole", 1, 100_000)
    crowded: float = _knob(0.0, "number")
    empty: float = _knob(0.0, "number")
    rotation: float = _knob(30.0, "number", 0, 180)
    contrast: float = _knob(1.0, "number")
    textured: float = _knob(0.4, "number")
    clutter: float = _knob(0.6, "number")
    blur: float = _knob(0.0, "number", 0, 10)
    noise: float = _knob(2.0, "number", 0, 100)
    ignore: int = _knob(0, "whole", 0, 10)

    def __post_init__(self) -> None:
        for knob in fields(self):
            object.__setattr__(self, knob.name, _checked(knob, getattr(self, knob.name)))

    @classmethod
    def read(cls, text: str) -> "SceneSettings":
        """From text: a preset's name, keys with their values, or both, parted by commas; empty for the defaults.

        Raises PellucidError that names the key and its range, with the nearest names for an unknown one.
        """
        known = {knob.name: knob for knob in fields(cls)}
        parts = [part.strip() for part in text.split(",") if part.strip()]
        words = [part for part in parts if "=" not in part]
        for word in words:
            if word not in PRESETS:
                hint = nearest(word, [*PRESETS, *known])
                raise PellucidError(f"scenes: '{word}' is neither key=value nor a preset ({', '.join(PRESETS)}){hint}")
        if len(words) > 1:
            raise PellucidError(f"scenes: '{words[1]}' is a second preset; give one")
        given: dict[str, str] = {}
        for part in parts:
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if equals and key not in known:
                raise PellucidError(f"scenes: unknown key '{key}'{nearest(key, known)}; keys: {', '.join(known)}")
            if key in given:
                raise PellucidError(f"scenes: '{key}' stands twice; give it once")
            if equals:
                given[key] = value
        preset = dict(part.split("=") for word in words for part in PRESETS[word].split(","))
        return cls(**{key: _read(known[key], value) for key, value in {**preset, **given}.items()})

    def __str__(self) -> str:
        """The shortest text that gives the same settings: n, seed, and what differs from the defaults."""
        parts = []
        for knob in fields(self):
            value = getattr(self, knob.name)
            if knob.name in ("n", "seed") or value != knob.default:
                parts.append(f"{knob.name}={_written(knob, value)}")
        return ",".join(parts)


PRESETS = {
    "easy": "things=1-3,regions=1-2,scale=0.3-0.6,overlap=0,cut=0,rotation=15,textured=0,clutter=0.25,noise=0",
    "hard": "things=4-14,regions=2-4,scale=0.06-0.5,overlap=0.75,cut=0.3,crowded=0.25,empty=0.03,rotation=180,"
    "contrast=0.55,textured=0.9,clutter=1,blur=0.4,noise=7",
}
"""Knobs turned together, by a name that may stand for them in the text."""


def _checked(knob: "Field[Any]", value: Any) -> Any:
    """A knob's value in its proper type. Raises PellucidError where it is none."""
    kind, low, high = (knob.metadata[name] for name in ("kind", "low", "high"))
    if kind == "names":
        return _names(knob, value)
    single = kind in ("whole", "number")
    values = (value,) if single else value if isinstance(value, tuple | list) else (value, value)
    whole = kind in ("whole", "wholes", "size")
    if len(values) != (1 if single else 2) or not all(_is_number(v, whole=whole) and low <= v <= high for v in values):
        raise _refused(knob, value)
    made = tuple(int(v) if whole else float(v) for v in values)
    if single:
        return made[0]
    if kind != "size" and made[0] > made[1]:
        raise PellucidError(f"scenes: {knob.name}={_written(knob, made)} runs backwards; give the smaller first")
    return made


def _names(knob: "Field[Any]", value: Any) -> tuple[str, ...]:
    known = knob.metadata["known"]
    if not isinstance(value, tuple | list) or not value or not all(isinstance(name, str) for name in value):
        raise PellucidError(f"scenes: {knob.name}={value!r}: give names, of {', '.join(known)}")
    for name in value:
        if name not in known:
            one = "class" if knob.name == "classes" else knob.name
            raise PellucidError(
                f"scenes: {knob.name}: unknown {one} '{name}'{nearest(name, known)}; known: {', '.join(known)}"
            )
    return tuple(name for name in known if name in value)


def _read(knob: "Field[Any]", text: str) -> Any:
    """A knob's value from its text; what is no value of its kind is left for the check to refuse."""
    kind = knob.metadata["kind"]
    text = text.lower()
    if kind == "names":
        known = knob.metadata["known"]
        if not text.isdecimal():
            return tuple(name.strip() for name in text.split("+"))
        if len(text) > 9 or not 1 <= int(text) <= len(known):
            raise PellucidError(
                f"scenes: {knob.name}={text}: give names joined by +, or a number from 1 to {len(known)}"
            )
        return known[: int(text)]
    between = "x" if kind == "size" else "-"
    pattern = _NUMBER if kind in ("whole", "number") else rf"{_NUMBER}(?:\s*{between}\s*{_NUMBER})?"
    found = re.fullmatch(pattern, text)
    if not found:
        raise _refused(knob, text)
    numbers = [_number(group) for group in found.groups() if group is not None]
    if kind in ("whole", "number"):
        return numbers[0]
    return (numbers[-1], numbers[0])[:: 1 if kind == "size" else -1]


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _is_number(value: Any, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or not whole


def _refused(knob: "Field[Any]", value: Any) -> PellucidError:
    low, high = (knob.metadata[bound] for bound in ("low", "high"))
    high = f"{high:,}" if high < 10**9 else "2⁶³ − 1"
    words = _WORDS[knob.metadata["kind"]].format(low=low, high=high)
    said = _written(knob, value) if isinstance(value, tuple) and len(value) == 2 else value
    return PellucidError(f"scenes: {knob.name}={said}: {knob.name} is {words}")


def _written(knob: "Field[Any]", value: Any) -> str:
    kind = knob.metadata["kind"]
    if kind == "names":
        return "+".join(value)
    if kind == "size":
        H, W = value
        return f"{W}" if H == W else f"{W}x{H}"
    values = value if isinstance(value, tuple) else (value,)
    return "-".join(dict.fromkeys(repr(v).removesuffix(".0") for v in values))
