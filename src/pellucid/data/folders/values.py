"""What the values of mask images mean: class names, colours, void, and masks that a lossy format has blurred."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.data.tables import numbered_lines
from pellucid.errors import PellucidError
from pellucid.structures import IGNORE, Classes
from pellucid.structures.photo import opened_photo

TABLES = ("classes.txt", "class_dict.csv", "label_colors.txt", "labels.txt", "classes.csv", "labelmap.txt", "codes.txt")
VOID = {"void", "ignore", "ignored", "unlabeled", "unlabelled", "unknown", "255"}
"""Names of what is no class, whatever their case."""

_LONGEST = 300
"""Of a line with a name and numbers."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Values:
    """``classes``, and the class index of every pixel value: of single numbers in ``table`` (uint8 (65536,), 255 for
    none), of colours in ``colours``. ``cut``: pixels are cut at 128 first, since a lossy format has blurred them."""

    classes: Classes
    table: NDArray[np.uint8] | None = None
    colours: dict[Colour, int] | None = None
    cut: bool = False
    void: frozenset[int] = frozenset({IGNORE})

    def decode(self, pixels: NDArray) -> NDArray[np.int64]:
        """Pixels of a mask, (H, W) or (H, W, 3), as class indices: int64 (H, W), 255 for what is no class."""
        if self.colours is not None:
            return self._from_colours(pixels)
        if pixels.ndim == 3:
            pixels = pixels[..., 0]
        if self.cut:
            pixels = np.where(pixels >= 128, 255, 0)
        assert self.table is not None
        return self.table[np.clip(pixels, 0, 65535)].astype(np.int64)

    def unknown(self, pixels: NDArray) -> list[str]:
        """The values of a mask that mean nothing here, void left out."""
        if self.colours is not None:
            flat = np.unique(_as_rgb(pixels).reshape(-1, 3), axis=0)
            return [f"{r},{g},{b}" for r, g, b in flat.tolist() if (r, g, b) not in self.colours]
        flat = np.unique(pixels[..., 0] if pixels.ndim == 3 else pixels)
        assert self.table is not None
        known = [self.table[min(v, 65535)] != IGNORE or v in self.void or self.cut for v in flat.tolist()]
        return [str(v) for v, is_known in zip(flat.tolist(), known, strict=True) if not is_known]

    def _from_colours(self, pixels: NDArray) -> NDArray[np.int64]:
        assert self.colours is not None
        wide = _as_rgb(pixels).astype(np.int64)
        codes = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
        known = np.array([r << 16 | g << 8 | b for r, g, b in self.colours], dtype=np.int64)
        labels = np.array(list(self.colours.values()), dtype=np.int64)
        order = np.argsort(known)
        at = np.minimum(np.searchsorted(known[order], codes), len(known) - 1)
        return np.where(known[order][at] == codes, labels[order][at], IGNORE)


def _as_rgb(pixels: NDArray) -> NDArray:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def read_mask(path: Path) -> NDArray:
    """The values of a mask image as they are: (H, W) numbers of grey and palette images, (H, W, 3) of coloured ones."""
    with opened_photo(path) as image:
        if image.mode in ("RGBA", "CMYK", "YCbCr", "LAB", "HSV"):
            return np.array(image.convert("RGB"))
        if image.mode == "1":
            return np.array(image).astype(np.uint8) * 255
        if image.mode in ("LA", "PA", "La"):
            return np.array(image)[..., 0]
        pixels = np.array(image)
    if pixels.dtype.kind == "f":
        raise PellucidError(f"{path}: holds fractions, not class numbers; save it as an 8-bit PNG")
    return np.maximum(pixels.astype(np.int64), 0) if pixels.dtype.kind == "i" else pixels


def meaning(masks: list[Path], root: Path, table: str | None, names: str | None) -> Values:
    """What the values of some masks mean: by the names given ('+' between them), by a table in the folder, by a look.

    Raises PellucidError for a table that cannot be read, for colours without a table that are too many to be classes,
    and for lossy masks of more than two classes.
    """
    found = _table(root, table)
    if names is not None:
        listed: list[tuple[str, Colour | None]] = [(name, None) for name in names.split("+")]
        found = listed
    some = masks[:: max(1, len(masks) // 64)][:64]
    coloured, seen = _seen(some)
    lossy = any(path.suffix.lower() in (".jpg", ".jpeg") for path in masks[:1])
    if found is not None and all(colour is not None for _, colour in found) and coloured:
        return _by_colour([(name, colour) for name, colour in found if colour is not None])
    if coloured:
        return _by_colour([(f"colour {r},{g},{b}", (r, g, b)) for r, g, b in sorted(_all_colours(masks))])
    if lossy or (len(seen) > 2 and all(v < 32 or v > 223 for v in seen) and len(seen) > 32):
        if any(32 <= v <= 223 for v in seen):
            raise PellucidError(f"{masks[0]}: the masks are JPEGs, whose values are blurred; give lossless ones")
        return _binary([name for name, _ in found] if found else None, cut=True)
    if seen <= {0, 255} and 255 in seen and (found is None or len(found) <= 2):
        return _binary([name for name, _ in found] if found else None, cut=False)
    if found is None:
        top = max((v for v in seen if v != IGNORE), default=0)
        if top >= IGNORE:
            raise PellucidError(f"{masks[0]}: the masks hold values up to {top}; class numbers go up to 254")
        found = [(f"class {i}", None) for i in range(top + 1)]
    return _by_index(found)


def _binary(names: list[str] | None, *, cut: bool) -> Values:
    if names is not None and len(names) != 2:
        raise PellucidError(f"the masks have two values, but {len(names)} classes are named; name two")
    table = np.full(65536, IGNORE, dtype=np.uint8)
    table[0], table[255] = 0, 1
    return Values(Classes(tuple(names or ("background", "foreground"))), table=table, cut=cut)


def _by_index(found: list[tuple[str, Colour | None]]) -> Values:
    table = np.full(65536, IGNORE, dtype=np.uint8)
    names: list[str] = []
    colours: list[Colour] = []
    void = {IGNORE}
    for value, (name, colour) in enumerate(found[:IGNORE]):
        if name.lower() in VOID:
            void.add(value)
            continue
        table[value] = len(names)
        names.append(name if name not in names else f"{name} ({value})")
        if colour is not None:
            colours.append(colour)
    classes = Classes(tuple(names), colours=tuple(colours) if len(colours) == len(names) else ())
    return Values(classes, table=table, void=frozenset(void))


def _by_colour(found: list[tuple[str, Colour]]) -> Values:
    names: list[str] = []
    colours: list[Colour] = []
    by_colour: dict[Colour, int] = {}
    for name, colour in found:
        if name.lower() in VOID:
            by_colour[colour] = IGNORE
            continue
        by_colour[colour] = len(names)
        names.append(name if name not in names else f"{name} {colour}")
        colours.append(colour)
    if not by_colour or len(names) >= IGNORE:
        raise PellucidError(f"{len(names)} colours of classes; there must be 1 to 254: give classes=FILE with them")
    return Values(Classes(tuple(names), colours=tuple(colours)), colours=by_colour)


def _seen(masks: Iterable[Path]) -> tuple[bool, set[int]]:
    """Whether the masks are coloured, and the values of the grey ones."""
    values: set[int] = set()
    for path in masks:
        try:
            pixels = read_mask(path)
        except PellucidError:
            continue
        if pixels.ndim == 3:
            if (pixels[..., :1] != pixels).any():
                return True, values
            pixels = pixels[..., 0]
        values |= set(np.unique(pixels).tolist())
    return False, values


def _all_colours(masks: Iterable[Path]) -> set[Colour]:
    found: set[Colour] = set()
    for path in masks:
        try:
            pixels = _as_rgb(read_mask(path))
        except PellucidError:
            continue
        wide = pixels.astype(np.int64)
        codes = np.unique(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])
        found |= {(c >> 16, c >> 8 & 255, c & 255) for c in codes.tolist()}
        if len(found) >= IGNORE:
            raise PellucidError(
                f"{path}: the masks hold {len(found)} colours and more, too many for classes; "
                "give classes=FILE with 'name r g b' a line, or lossless masks"
            )
    return found


def _table(root: Path, given: str | None) -> list[tuple[str, Colour | None]] | None:
    """Names, and colours where they are told, in index order."""
    if given is not None and not (root / given).is_file():
        raise PellucidError(f"classes={given}: no such file in {root}; give a list of class names, one a line")
    for name in [given] if given else TABLES:
        path = root / name
        if path.is_file():
            return _parse_table(path)
    return None


def _parse_table(path: Path) -> list[tuple[str, Colour | None]]:
    lines = numbered_lines(path, "class names")
    made: list[tuple[str, Colour | None]] = []
    for number, line in enumerate(lines):
        text = line.strip()
        if not text or text.startswith("#") or (number == 0 and re.match(r"(?i)name\W+r\W+g\W+b\b", text)):
            continue
        if len(text) > _LONGEST:  # what follows would take the square of it
            made.append((text, None))
            continue
        after = re.fullmatch(r"(.+?)[\s,;:]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;:]*", text)
        before = re.fullmatch(r"(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(.+)", text)
        if after:
            name, rgb = after[1], (after[2], after[3], after[4])
        elif before:
            name, rgb = before[4], (before[1], before[2], before[3])
        else:
            numbered = re.fullmatch(r"(\d{1,5})[\s,;:]+(.+)", text)
            plain = numbered[2] if numbered and int(numbered[1]) == len(made) else text
            made.append((plain.strip().strip('"'), None))
            continue
        values = tuple(map(int, rgb))
        if max(values) > 255:
            raise PellucidError(f"{path}: line {number + 1}: colour {', '.join(rgb)} is beyond 255; correct it")
        made.append((name.strip().strip('"'), (values[0], values[1], values[2])))
    if not made:
        raise PellucidError(f"{path}: names no class; write one a line")
    return made
