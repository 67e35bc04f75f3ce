"""Text on pictures: measured, shortened, wrapped, and free of characters that the fonts cannot draw."""

import unicodedata
from functools import cache, lru_cache

from matplotlib import font_manager
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

DPI = 72
"""At 72 dots an inch a point is a pixel, so that sizes of text and of pictures are in one unit."""

# Fonts for scripts that DejaVu Sans lacks, used where they are installed.
_FURTHER_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "Noto Sans",
    "Noto Sans Devanagari",
    "Noto Emoji",
    "Symbola",
)
_MISSING = "□"


@cache
def _families() -> tuple[str, ...]:
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in _FURTHER_FAMILIES if name in installed))


@cache
def _drawable() -> frozenset[int]:
    """The code points that some font in use has a glyph for."""
    found: set[int] = set()
    for family in _families():
        found.update(font_manager.get_font(font_manager.findfont(font(family=(family,)))).get_charmap())
    return frozenset(found)


def font(size: float = 12, bold: bool = False, family: tuple[str, ...] | None = None) -> FontProperties:
    """A font of ``size`` pixels; every property is given, so that a user's rcParams change nothing."""
    weight = "bold" if bold else "normal"
    return FontProperties(
        family=list(family or _families()), size=size, weight=weight, style="normal", variant="normal", stretch="normal"
    )


@lru_cache(maxsize=4096)
def drawable(text: str) -> str:
    """The text on one line, with a box for every character that no font in use has; joiners and controls dropped."""
    known = _drawable()
    kept: list[str] = []
    for character in " ".join(unicodedata.normalize("NFC", text).split()):
        if unicodedata.category(character) in ("Cc", "Cf", "Cs") or 0xFE00 <= ord(character) <= 0xFE0F:
            continue
        kept.append(character if ord(character) in known else _MISSING)
    return "".join(kept)


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


@lru_cache(maxsize=16384)
def width_of(text: str, size: float, bold: bool = False) -> float:
    """The width in pixels that a drawable text takes."""
    if not text:
        return 0.0
    return float(_renderer().get_text_width_height_descent(text, font(size, bold), ismath=False)[0])


def shortened(text: str, width: float, size: float, bold: bool = False) -> str:
    """The text made drawable and, where it is wider than ``width`` pixels, cut and ended by '…'."""
    text = drawable(text)
    if width_of(text, size, bold) <= width:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if width_of(text[:middle].rstrip(" ,;.") + "…", size, bold) <= width:
            fits = middle
        else:
            too_long = middle
    return text[:fits].rstrip(" ,;.") + "…"


def wrapped(text: str, width: float, size: float, lines: int = 2, bold: bool = False) -> list[str]:
    """The text made drawable in at most ``lines`` lines of ``width`` pixels; the last is shortened where it must be."""
    words = drawable(text).split(" ")
    made: list[str] = []
    while words and len(made) < lines - 1:
        count = len(words)
        while count > 1 and width_of(" ".join(words[:count]), size, bold) > width:
            count -= 1
        made.append(shortened(" ".join(words[:count]), width, size, bold))
        words = words[count:]
    if words:
        made.append(shortened(" ".join(words), width, size, bold))
    return [line for line in made if line]
