"""What selective search varies: colour spaces, segmentation thresholds and measures of similarity, by mode."""

from dataclasses import dataclass
from typing import Literal, get_args

from pellucid.ops.selective_search.colour_spaces import ColourSpace

Mode = Literal["fast", "quality"]
MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True)
class Similarity:
    """Which of the four measures are summed, each in [0, 1] (Uijlings et al. 2013, section 3.2)."""

    colour: bool = False
    texture: bool = False
    size: bool = False
    fill: bool = False


COLOUR_TEXTURE_SIZE_FILL = Similarity(colour=True, texture=True, size=True, fill=True)
TEXTURE_SIZE_FILL = Similarity(texture=True, size=True, fill=True)
FILL = Similarity(fill=True)
SIZE = Similarity(size=True)


@dataclass(frozen=True)
class Strategies:
    """Every combination of these is one hierarchy. A threshold k is the least size of a first region as well."""

    colour_spaces: tuple[ColourSpace, ...]
    thresholds: tuple[int, ...]
    similarities: tuple[Similarity, ...]


STRATEGIES: dict[str, Strategies] = {
    "fast": Strategies(("hsv", "lab"), (50, 100), (COLOUR_TEXTURE_SIZE_FILL, TEXTURE_SIZE_FILL)),
    "quality": Strategies(
        ("hsv", "lab", "rgi", "hue", "intensity"),
        (50, 100, 150, 300),
        (COLOUR_TEXTURE_SIZE_FILL, TEXTURE_SIZE_FILL, FILL, SIZE),
    ),
}
"""Eight and eighty hierarchies (Uijlings et al. 2013, section 5.3)."""
