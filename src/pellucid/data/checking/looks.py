"""Looking at image files: each decoded once, in threads, and only what comparing needs kept of it."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.data.checking.places import told
from pellucid.errors import PellucidError
from pellucid.structures.photo import opened_photo

THREADS = max(2, min(8, os.cpu_count() or 1))
SIDE = 16
"""The side of the thumbnail that near duplicates are compared by."""

_TURNED = {5, 6, 7, 8}
_ENOUGH = 64
"""A JPEG is decoded at the smallest scale that keeps its sides above this: every byte is read all the same."""

Colours = Literal["colour", "grey", "CMYK", "16 bits"]
T = TypeVar("T")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at an image file found.

    ``problem``: the kind of defect where it cannot be read, and ``what`` is wrong; the rest is then empty. ``stored``:
    (H, W) of its pixels. ``orientation``: EXIF's, 1 to 8. ``digest``: of the file's bytes. ``hash``: 64 bits of its
    low frequencies. ``thumbnail``: uint8, ``SIDE`` × ``SIDE`` gray values.
    """

    problem: str = ""
    what: str = ""
    stored: tuple[int, int] = (0, 0)
    orientation: int = 1
    colours: Colours = "colour"
    digest: bytes = b""
    hash: int = 0
    thumbnail: bytes = b""

    @property
    def shown(self) -> tuple[int, int]:
        """(H, W) as the EXIF orientation turns it."""
        H, W = self.stored
        return (W, H) if self.orientation in _TURNED else (H, W)

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether the image is of a size as shown or, where it is turned, as stored."""
        return size == self.shown or size == self.stored


def look_at(file: str) -> Look:
    """Decodes an image file. What is wrong with it becomes part of the answer, not an error."""
    try:
        with opened_photo(Path(file)) as image:
            stored = image.height, image.width
            colours = _colours(image.mode)
            orientation = _orientation(image)
            image.draft("L" if image.mode == "RGB" else image.mode, (_ENOUGH, _ENOUGH))
            image.load()
            small = _small(image)
        digest = hashlib.blake2b(Path(file).read_bytes(), digest_size=16).digest()
    except PellucidError as error:
        _, what = told(error, file)
        kinds = {"no such file": "missing image", "cannot be read": "unreadable"}
        return Look(next((kind for start, kind in kinds.items() if what.startswith(start)), "damaged image"), what)
    except OSError as error:
        return Look("unreadable", f"cannot be read ({error.strerror})")
    return Look(
        stored=stored,
        orientation=orientation,
        colours=colours,
        digest=digest,
        hash=_packed(imagehash.phash(small).hash),
        thumbnail=small.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes(),
    )


def _colours(mode: str) -> Colours:
    if mode.startswith("I") or mode == "F":
        return "16 bits"
    if mode in ("1", "L", "LA", "La"):
        return "grey"
    return "CMYK" if mode == "CMYK" else "colour"


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # damaged metadata say nothing
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _small(image: Image.Image) -> Image.Image:
    """The image in 8 bits of gray, no side above 128."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        low, high = values.min(), values.max()
        image = Image.fromarray(((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))
    factor = max(1, min(image.size) // 128)
    if factor > 1 and image.mode in ("L", "RGB", "RGBA", "CMYK"):
        image = image.reduce(factor)
    gray = image.convert("L")
    if max(gray.size) > 128:
        W, H = gray.size
        scale = 128 / max(W, H)
        gray = gray.resize((max(1, round(W * scale)), max(1, round(H * scale))), Image.Resampling.BOX)
    return gray


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def in_threads(task: Callable[[T], Made], inputs: Iterable[T], threads: int = THREADS) -> Iterator[Made]:
    """What a task makes of each input, in order, a few of them ahead in threads.

    Warnings of the main thread are as before when it ends: Pillow's are hidden within, which threads cannot undo in
    order.
    """
    waiting = iter(inputs)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        ahead: list[Future[Any]] = [pool.submit(task, value) for value in islice(waiting, 8 * threads)]
        try:
            while ahead:
                made = ahead.pop(0).result()
                ahead += [pool.submit(task, value) for value in islice(waiting, 1)]
                yield made
        finally:
            for future in ahead:
                future.cancel()
