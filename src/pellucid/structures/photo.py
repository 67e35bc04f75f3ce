"""Photos: reading one from whatever holds it, and finding those of a folder."""

import io
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pellucid.errors import PellucidError, nearest

Photo: TypeAlias = str | Path | Image.Image | np.ndarray | Tensor
"""A path, a PIL image, an array (channels last: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)) or a tensor (channels first:
(3, H, W) or (1, H, W)). Arrays and tensors are uint8 in 0…255 or floating point in [0, 1]."""

MAX_PIXELS = 178_956_970
"""The most pixels (width × height) that a photo file may declare: Pillow's own limit, half a gigabyte of RGB.

A small file that declares more is a decompression bomb; it is refused by its header, before any pixel is decoded.
"""

# fmt: off
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif",
    ".tga", ".ico", ".jpe", ".jfif", ".mpo", ".dib", ".qoi",
)
"""The file name endings by which a folder's photos are known, whatever their case."""

# Formats that run other programs (EPS) or hold no raster photo are left out, so that no file can reach their readers.
_FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "MPO", "PPM", "JPEG2000", "AVIF", "TGA", "ICO", "ICNS", "PCX",
    "SGI", "QOI", "DDS", "PSD",
)
# fmt: on

_NOT_PHOTOS = (
    (rb"....ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", "is a HEIC photo, which is not read; convert it to JPEG or PNG"),
    (rb"....ftypavi[fs]", "is an AVIF photo, which this Pillow does not read; convert it to JPEG or PNG"),
    (rb"....ftyp", "is a video, not a photo; save one of its frames as JPEG or PNG"),
    (rb"%PDF", "is a PDF document, not a photo; save its picture as JPEG or PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "is a PostScript drawing, not a photo; save it as PNG"),
    (
        rb"(?i)\s*(<!doctype html|<html)",
        "is a web page, perhaps the error page of a download; download the photo again",
    ),
    (rb"(?i)\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", "is an SVG drawing, not a photo; save it as PNG"),
    (rb"PK\x03\x04|\x1f\x8b", "is an archive, not a photo; unpack it"),
    (rb"\x93NUMPY", "is a NumPy array, not a photo; load it and give the array"),
    (rb"version https://git-lfs", "is a Git LFS pointer, not the photo itself; fetch it with: git lfs pull"),
    (rb"[\t\n\r\x20-\x7e\x80-\xff]*\Z", "is text, not a photo; give a JPEG or PNG"),
)


def read_photo(photo: Photo) -> Tensor:
    """Reads a photo as RGB: uint8 (3, H, W); floating-point arrays, tensors and files stay float32 (3, H, W) in [0, 1].

    Files and PIL images of any mode (gray, palette, CMYK, 16-bit, …) become RGB: transparency is laid on white, 16-bit
    values keep their high byte, the EXIF orientation is applied, and only the first frame of an animation is read.
    Float tensors keep their graph and their device. Raises PellucidError, in one line, for what is missing, unreadable,
    damaged, too large (``MAX_PIXELS``) or of another shape, type or range than ``Photo`` says.
    """
    if isinstance(photo, (str, Path)):
        with opened_photo(Path(photo)) as image:
            return _from_pil(image, str(photo))
    if isinstance(photo, Image.Image):
        name = str(getattr(photo, "filename", "") or "PIL image")
        with _in_one_line(name):
            return _from_pil(photo, name)
    if isinstance(photo, np.ndarray):
        return _from_array(photo)
    if isinstance(photo, Tensor):
        return _from_tensor(photo)
    raise PellucidError(f"a photo is a path, a PIL image, an array or a tensor, not a {type(photo).__name__}")


def photo_from_bytes(data: bytes, name: str, limit: int = MAX_PIXELS) -> Tensor:
    """As ``read_photo``, of a photo's file in memory. ``name``: what errors call it. ``limit``: the most pixels."""
    with opened_bytes(data, name, limit) as image:
        return _from_pil(image, name, limit)


def find_photos(paths: Iterable[str | Path]) -> list[Path]:
    """The photos that a list of files and folders names: files as given and in order, folders as what they hold.

    A folder stands for the files in it and below it with one of ``SUFFIXES``, sorted by path; hidden files and folders
    are skipped. A file is returned unseen, even where it is missing, so that one bad file does not stop the rest:
    ``read_photo`` reports it. Raises PellucidError for a folder without a photo and for a missing path without a
    suffix.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(_photos_below(path))
            if not inside:
                raise PellucidError(f"{path}: holds no photo (looked for {', '.join(SUFFIXES)})")
            found += inside
        elif path.suffix or path.exists():
            found.append(path)
        else:
            raise PellucidError(f"{path}: no such file or folder{nearest_beside(path)}")
    return found


def _photos_below(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise PellucidError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")

    seen = set()
    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [f for f in folders if not f.startswith(".")]
        yield from (Path(root, f) for f in files if not f.startswith(".") and f.lower().endswith(SUFFIXES))


def nearest_beside(path: Path) -> str:
    """The end of an error message about a path that is not there: what its folder has of a similar name."""
    try:
        return nearest(path.name, sorted(p.name for p in path.parent.iterdir()))
    except (OSError, ValueError):
        return ""


@contextmanager
def opened_photo(path: Path) -> Iterator[Image.Image]:
    """The image of a file, its header read and its size checked, nothing decoded."""
    try:
        if path.is_dir():
            raise PellucidError(f"{path}: is a folder; give a photo in it, or use find_photos for all of them")
        if path.exists() and not path.is_file():
            raise PellucidError(f"{path}: is not a regular file; give a photo file")
        with open(path, "rb") as file:
            start = file.read(4096)
    except FileNotFoundError as error:
        raise PellucidError(f"{path}: no such file{nearest_beside(path)}") from error
    except OSError as error:
        raise PellucidError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    except ValueError as error:
        raise PellucidError(f"{str(path)!r}: not a file name ({error}); check the path") from error
    if not start:
        raise PellucidError(f"{path}: the file is empty (0 bytes); download or save it again")
    with _opened(path, str(path), start, MAX_PIXELS) as image:
        yield image


@contextmanager
def opened_bytes(data: bytes, name: str, limit: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """As ``opened_photo``, of a photo's file in memory. ``name``: what errors call it. ``limit``: the most pixels."""
    if not data:
        raise PellucidError(f"{name}: the file is empty (0 bytes); download or save it again")
    with _opened(io.BytesIO(data), name, data[:4096], limit) as image:
        yield image


@contextmanager
def _opened(source: Path | io.BytesIO, name: str, start: bytes, limit: int) -> Iterator[Image.Image]:
    Image.init()
    formats = [f for f in _FORMATS if f in Image.OPEN]
    with _in_one_line(name, start, limit), Image.open(source, formats=formats) as image:
        _check_size(image, name, limit)
        yield image


@contextmanager
def _in_one_line(name: str, start: bytes = b"", limit: int = MAX_PIXELS) -> Iterator[None]:
    """Turns whatever Pillow raises on bad image bytes, which is many kinds, into PellucidError; hides its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except PellucidError:
            raise
        except UnidentifiedImageError as error:
            raise PellucidError(f"{name}: {_what_it_is(start)}") from error
        except Image.DecompressionBombError as error:
            pixels = re.search(r"\d+", str(error))
            raise _too_large(name, f"{int(pixels[0]):,} pixels" if pixels else "its size", limit) from error
        except MemoryError as error:
            raise PellucidError(f"{name}: does not fit in memory; reduce it first") from error
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            if "MAX_TEXT" in reason or "decompressed data too large" in reason.lower():
                what, remedy = (
                    "its text decompresses to far more than a photo's should",
                    "save it again without metadata",
                )
            else:
                what, remedy = f"damaged or cut short ({reason})", "download or save it again"
            raise PellucidError(f"{name}: {what}; {remedy}") from error


def _what_it_is(start: bytes) -> str:
    for pattern, what in _NOT_PHOTOS:
        if re.match(pattern, start, re.DOTALL):
            return what
    return "is not an image of a format that is read, or is damaged at its start; save it as JPEG or PNG"


def _too_large(name: str, size: str, limit: int) -> PellucidError:
    return PellucidError(f"{name}: {size}, more than the {limit:,} pixels that are read; reduce it first")


def _check_size(image: Image.Image, name: str, limit: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise PellucidError(f"{name}: {width} × {height} pixels, which leaves nothing to see; save it again")
    if width * height > limit:
        raise _too_large(name, f"{width} × {height} pixels", limit)


def _from_pil(image: Image.Image, name: str, limit: int = MAX_PIXELS) -> Tensor:
    image.load()
    _check_size(image, name, limit)  # some formats learn their size only while decoding
    with suppress(Exception):  # damaged metadata say nothing about the pixels, which are read
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_deep(np.asarray(image), name)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return _channels_first(np.array(image.convert("RGB")))


def _from_deep(gray: np.ndarray, name: str) -> Tensor:
    """One channel of more than 8 bits: the file does not say what white is, so the range of its values does."""
    low, high = gray.min(), gray.max()
    if gray.dtype.kind == "f" and low >= 0 and high <= 1:
        return _channels_first(gray.astype(np.float32))
    if low >= 0 and high <= 255 and gray.dtype.kind != "u":
        return _channels_first(gray.round().astype(np.uint8))
    if low >= 0 and high <= 65535 and gray.dtype.kind != "f":
        return _channels_first((gray.astype(np.int64) >> 8).astype(np.uint8))
    raise PellucidError(
        f"{name}: values from {low:g} to {high:g} have no known white; save it with 8 or 16 bits a channel"
    )


def _channels_first(pixels: np.ndarray) -> Tensor:
    """(H, W) or (H, W, 3) as (3, H, W)."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels))
    return (tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor.expand(3, -1, -1)).contiguous()


def _from_array(array: np.ndarray) -> Tensor:
    shape = tuple(array.shape)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        remedy = (
            "; an array has its channels last: transpose(1, 2, 0)" if len(shape) == 3 and shape[0] in (1, 3, 4) else ""
        )
        raise PellucidError(f"array of shape {shape}: a photo is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4){remedy}")
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype.kind == "f":
        array = array.astype(np.float32)
    _check_values(
        torch.from_numpy(np.ascontiguousarray(array)) if array.dtype.kind in "uif" else None, f"{array.dtype} array"
    )
    if array.shape[2] == 4:
        array = _on_white(array)
    return _channels_first(array[:, :, 0] if array.shape[2] == 1 else array).clone()


def _on_white(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        image = Image.fromarray(np.ascontiguousarray(array))
        return np.array(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))
    alpha = array[:, :, 3:]
    return array[:, :, :3] * alpha + (1 - alpha)


def _from_tensor(tensor: Tensor) -> Tensor:
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3) or 0 in tensor.shape:
        last = tensor.ndim == 3 and tensor.shape[2] in (1, 3)
        remedy = "; a tensor has its channels first: permute(2, 0, 1)" if last else ""
        raise PellucidError(f"tensor of shape {tuple(tensor.shape)}: a photo is (3, H, W) or (1, H, W){remedy}")
    if tensor.is_floating_point():
        tensor = tensor.float()
    _check_values(tensor, f"{str(tensor.dtype).removeprefix('torch.')} tensor")
    return tensor.expand(3, -1, -1)


def _check_values(tensor: Tensor | None, name: str) -> None:
    if tensor is not None and tensor.dtype == torch.uint8:
        return
    if tensor is None or tensor.dtype != torch.float32:
        raise PellucidError(
            f"{name}: a photo is uint8 (0 to 255) or floating point (0 to 1); convert it to one of them"
        )
    low, high = (float(v) for v in torch.aminmax(tensor.detach()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise PellucidError(f"{name}: holds NaN or infinite values; a photo's are in [0, 1]")
    slack = 1e-5  # what arithmetic on valid photos leaves
    if low < -slack or high > 1 + slack:
        remedy = "divide by 255" if low >= 0 and 2 < high <= 255 else "scale them, or undo the normalisation"
        raise PellucidError(f"{name}: values from {low:g} to {high:g}; a photo's are in [0, 1]: {remedy}")
