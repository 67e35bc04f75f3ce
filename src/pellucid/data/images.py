"""The image files of a data set: finding them, their size without their pixels, putting them into a new data set."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import numpy as np
from PIL import Image
from torch import Tensor

from pellucid.errors import PellucidError, nearest
from pellucid.files import written_whole
from pellucid.structures import Sample, read_photo
from pellucid.structures.photo import SUFFIXES, opened_photo

Keeping = Literal["copy", "link", "none"]
"""What becomes of the images when a data set is written: copied, linked to where they lie, or left out."""

_TURNED = {5, 6, 7, 8}
"""The EXIF orientations that exchange width and height."""


def oriented_size(path: Path) -> tuple[int, int]:
    """(H, W) of an image file as it is shown, from its header alone. Raises PellucidError as ``read_photo`` does."""
    with opened_photo(path) as image:
        width, height = image.size
        return (width, height) if _is_turned(image) else (height, width)


def _is_turned(image: Image.Image) -> bool:
    with suppress(Exception):  # damaged metadata say nothing
        return image.getexif().get(0x0112) in _TURNED
    return False


def read_sized(path: Path, size: tuple[int, int], said_by: str) -> Tensor:
    """The pixels of an image whose size is known: uint8 (3, H, W).

    Annotators' tools that ignore the EXIF orientation give the size of the pixels as stored; the image is then read as
    stored too, so that boxes lie where they were drawn. Raises PellucidError where neither way gives ``size``.
    """
    pixels = read_photo(path)
    H, W = pixels.shape[1:]
    if tuple(size) == (H, W):
        return pixels
    if tuple(size) == (W, H):
        with opened_photo(path) as image:
            if _is_turned(image):
                return read_photo(np.array(image.convert("RGB")))
    raise PellucidError(
        f"{path}: is {W} × {H} pixels, but {said_by} says {size[1]} × {size[0]}; correct the size, or restore the image"
    )


def stem_of(name: str) -> str:
    """An image's file name without folder and suffix; one without an image's suffix keeps what it has."""
    base = PurePosixPath(name).name
    return base[: base.rindex(".")] if base.lower().endswith(SUFFIXES) else base


def inside(name: str) -> bool:
    """Whether a file's name in a data set is a plain relative path that stays in its folder."""
    if not name or "\0" in name or len(name) > 1024:
        return False
    path = PurePosixPath(name.replace("\\", "/"))
    if any(len(part.encode(errors="surrogatepass")) > 255 for part in path.parts):
        return False  # longer than any file's name may be
    return not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0] if path.parts else False


class ImageFinder:
    """Finds image files by the names that annotations give, listing each folder once.

    ``folders``: where to look, the first that has the file. A name that the folder has with another suffix, or in
    other case, is found too, since annotators' tools are careless with both.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = list(dict.fromkeys(folders))
        self._exact: dict[Path, frozenset[str]] = {}
        self._by_stem: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> str:
        """The path of an image, '' where no folder has it."""
        parts = PurePosixPath(name.replace("\\", "/"))
        for folder in self.folders:
            place = folder / parts.parent if len(parts.parts) > 1 else folder
            if parts.name in self._names(place):
                return os.path.join(place, parts.name)
        for folder in self.folders:
            place = folder / parts.parent if len(parts.parts) > 1 else folder
            stem = parts.stem if parts.suffix.lower() in SUFFIXES else parts.name
            known = self._stems(place).get(stem.lower())
            if known is not None:
                return os.path.join(place, known)
        return ""

    def _names(self, folder: Path) -> frozenset[str]:
        if folder not in self._exact:
            try:
                with os.scandir(folder) as entries:
                    self._exact[folder] = frozenset(entry.name for entry in entries)
            except (OSError, ValueError):
                self._exact[folder] = frozenset()
        return self._exact[folder]

    def _stems(self, folder: Path) -> dict[str, str]:
        if folder not in self._by_stem:
            names = sorted(n for n in self._names(folder) if n.lower().endswith(SUFFIXES) and not n.startswith("."))
            self._by_stem[folder] = {os.path.splitext(n)[0].lower(): n for n in reversed(names)}
        return self._by_stem[folder]


def photos_in(folder: Path) -> list[str]:
    """The names of the photos that lie directly in a folder, sorted; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.lower().endswith(SUFFIXES) and not e.name.startswith(".")]
    except (OSError, ValueError):
        return []
    return sorted(names)


class ImageStore:
    """Puts the images of samples into the folder of a new data set.

    ``keeping``: see ``Keeping``. Samples without a file of their own are written as PNG, whatever ``keeping`` says but
    for ``none``. Names are unique in the folder: what would collide is numbered.
    """

    def __init__(self, keeping: str = "copy") -> None:
        if keeping not in get_args(Keeping):
            known = get_args(Keeping)
            raise PellucidError(f"images '{keeping}'{nearest(keeping, known)}; give one of {', '.join(known)}")
        self.keeping = keeping
        self._taken: dict[Path, set[str]] = {}

    def name(self, sample: Sample, folder: Path) -> str:
        """A file name for the sample's image that no other has in ``folder``; its stem is unique there too."""
        base = PurePosixPath(sample.name.replace("\\", "/")).name
        suffix = sample.path.suffix if sample.path is not None else PurePosixPath(base).suffix
        stem = base[: -len(PurePosixPath(base).suffix)] if PurePosixPath(base).suffix.lower() in SUFFIXES else base
        # What no folder takes, or hides, or what lists of names would lose.
        stem = "".join("_" if c in "/\\\0" or not c.isprintable() else c for c in stem).strip(" .") or "_"
        suffix = suffix if suffix.lower() in SUFFIXES else ".png"
        taken, made, number = self._taken.setdefault(folder, set()), stem, 1
        while made.lower() in taken:
            number += 1
            made = f"{stem}-{number}"
        taken.add(made.lower())
        return made + (suffix if sample.path is not None or self.keeping == "none" else ".png")

    def put(self, sample: Sample, target: Path) -> None:
        """Puts the sample's image at ``target``. Raises PellucidError where it can't be read or written."""
        if self.keeping == "none":
            return
        if sample.path is None:
            with written_whole(target) as temporary:
                Image.fromarray(sample.image.permute(1, 2, 0).numpy()).save(temporary, format="PNG")
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.keeping == "link":
                target.symlink_to(os.path.realpath(sample.path))
            else:
                shutil.copyfile(sample.path, target)
        except OSError as error:
            reason = error.strerror or error
            raise PellucidError(f"{sample.path}: cannot be put at {target} ({reason}); try --images copy") from error
