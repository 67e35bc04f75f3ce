"""The XML of Pascal VOC and ImageNet, one file an image: read by a parser that no file can harm, and written."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from pellucid.data.building import RecordsBuilder
from pellucid.data.defects import Defects
from pellucid.data.images import oriented_size
from pellucid.data.numbers import number
from pellucid.errors import PellucidError
from pellucid.structures import FLAG_BITS, Classes

Corners: TypeAlias = tuple[float, float, float, float]
Counting: TypeAlias = Callable[[Corners, tuple[int, int]], Corners]
"""Makes xyxy of a file's xmin, ymin, xmax, ymax, given the image's size (H, W): how a format counts pixels."""

MAX_SIDE = 1_000_000
"""The greatest width or height, in pixels, that a file may state."""

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_KEPT = {"name", "score", *FLAG_BITS}


class MarkedObject(NamedTuple):
    """One object: its class's name, its corners as they stand (NaN for what is no number; None where there is no box),
    its flags (see ``FLAG_BITS``) and its score, if it has one."""

    name: str
    corners: Corners | None
    flags: int
    score: float | None


@dataclass
class Marked:
    """What a file says. ``size``: (H, W), zeros where it says none; ``bad_size``: what stands there instead.

    ``labels``: names of classes in the image as a whole; ``boxed``: False where nobody looked for objects. Both are
    Pellucid's own.
    """

    filename: str = ""
    size: tuple[int, int] = (0, 0)
    bad_size: str = ""
    objects: list[MarkedObject] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    boxed: bool = True


class MarkupError(PellucidError):
    """A file that cannot be read. ``kind``: the kind of defect that it is."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


class _Parts:
    """Takes the parser's events and keeps what is wanted. No tree is built: depth and size of a file cost nothing."""

    def __init__(self) -> None:
        self.marked = Marked()
        self.path: list[str] = []
        self.text: list[str] = []
        self.fields: dict[str, str] = {}
        self.box: dict[str, str] | None = None
        self.sides: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def close(self) -> None:
        """The parser asks its target for this."""

    def on_start(self, tag: str, attributes: object) -> None:
        path = self.path
        if not path and tag != "annotation":
            raise MarkupError("malformed", f"its root is <{tag[:80]}>, not <annotation>")
        path.append(tag)
        self.text.clear()
        if tag == "bndbox" and len(path) == 3 and path[1] == "object" and self.box is None:
            self.box = {}

    def on_end(self, tag: str) -> None:
        path = self.path
        path.pop()
        depth = len(path)
        if depth == 3:
            if path[2] == "bndbox" and path[1] == "object" and self.box is not None and tag in _SIDES:
                self.box.setdefault(tag, "".join(self.text))
        elif depth == 2:
            if path[1] == "object":
                if tag in _KEPT:
                    self.fields.setdefault(tag, "".join(self.text))
            elif path[1] == "size" and tag in ("width", "height"):
                self.sides.setdefault(tag, "".join(self.text))
        elif depth == 1:
            if tag == "object":
                self.end_object()
            elif tag == "filename" and not self.marked.filename:
                self.marked.filename = "".join(self.text).strip()
            elif tag == "label":
                self.marked.labels.append("".join(self.text).strip())
            elif tag == "boxed":
                self.marked.boxed = "".join(self.text).strip() != "0"
        elif depth == 0:
            self.end_file()
        self.text.clear()

    def end_object(self) -> None:
        fields, box = self.fields, self.box
        corners = None
        if box is not None:
            get = box.get
            corners = (number(get("xmin")), number(get("ymin")), number(get("xmax")), number(get("ymax")))
        flags = 0
        for name, text in fields.items():
            if text != "0" and name in FLAG_BITS and _is_set(text):
                flags |= FLAG_BITS[name]
        name = fields.get("name", "").strip()
        score = number(fields["score"]) if "score" in fields else None
        # A name is kept once, not once an object.
        self.marked.objects.append(MarkedObject(self.names.setdefault(name, name), corners, flags, score))
        self.fields, self.box = {}, None

    def end_file(self) -> None:
        width, height = self.sides.get("width", "0"), self.sides.get("height", "0")
        sides = number(height), number(width)
        if all(0 <= side <= MAX_SIDE and side == int(side) for side in sides):
            H, W = (int(side) for side in sides)
            self.marked.size = (H, W) if H and W else (0, 0)
        else:
            self.marked.bad_size = f"{width.strip()[:20]} × {height.strip()[:20]}"


def _is_set(text: str) -> bool:
    text = text.strip().lower()
    return text in ("1", "true", "yes") or abs(number(text)) > 0


def read_marked(path: str) -> Marked:
    """Reads one file.

    Document types and entities are refused, whatever they say: no annotation has one. Raises MarkupError for what is
    missing, no file, no XML, or not an annotation.
    """
    parts = _Parts()
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise MarkupError("unreadable", "is no regular file")
        with open(path, "rb") as file:
            parser = DefusedXMLParser(target=parts, forbid_dtd=True)
            expat = parser.parser
            expat.StartElementHandler = parts.on_start
            expat.EndElementHandler = parts.on_end
            expat.CharacterDataHandler = parts.text.append
            while chunk := file.read(1 << 20):
                parser.feed(chunk)
            parser.close()
    except MarkupError:
        raise
    except DefusedXmlException as error:
        raise MarkupError("unreadable", "holds a document type or an entity, which is refused") from error
    except OSError as error:
        raise MarkupError("unreadable", f"cannot be read ({error.strerror or error})") from error
    except Exception as error:  # expat's own, and those of Python's decoders for the encodings that a file may name
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise MarkupError("unreadable", f"is no whole XML file ({reason})") from error
    return parts.marked


def stated_size(marked: Marked, file: str, image: str, defects: Defects) -> tuple[int, int]:
    """(H, W) as the file says, else as the image does, which is noted; zeros where neither says."""
    if marked.size != (0, 0):
        return marked.size
    kind = "malformed" if marked.bad_size else "missing key"
    what = f"is {marked.bad_size}" if marked.bad_size else "is not given"
    size = (0, 0)
    if image:
        try:
            size = oriented_size(Path(image))
        except PellucidError as error:
            defects.add("damaged image", image, "", str(error).removeprefix(f"{image}: "))
            return size
    defects.add(kind, file, "<size>", what, "mended" if image else "kept")
    return size


@dataclass(frozen=True)
class NumberedItems:
    """What messages call a row: its number in its file, from 1, and its class."""

    numbers: list[int]
    labels: list[int]
    classes: Classes

    def __call__(self, row: int) -> str:
        return f"object {self.numbers[row] + 1} ({self.classes[self.labels[row]]})"


def add_objects(
    builder: RecordsBuilder,
    marked: Marked,
    index: Mapping[str, int],
    counting: Counting,
    file: str,
    defects: Defects,
    size: tuple[int, int],
) -> list[int]:
    """Adds a file's objects to the image last begun; gives the number of each in the file, from 0.

    Objects without a name or a box, and those of a class that ``index`` lacks, are noted and dropped.
    """
    numbers = []
    for at, found in enumerate(marked.objects):
        name, corners, flags, score = found
        label = index.get(name)
        if label is None or corners is None:
            item = f"object {at + 1}" + (f" ({name[:80]})" if name else "")
            if name and corners is not None:
                defects.add("unknown class", file, item, "its class is not in the list", "dropped")
            else:
                what = "has no <bndbox>" if name else "has no <name>"
                defects.add("missing key", file, item, what, "dropped")
            continue
        builder.object(counting(corners, size), label, flags, score=score)
        numbers.append(at)
    return numbers
