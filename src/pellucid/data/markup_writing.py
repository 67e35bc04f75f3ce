"""Writing the XML of Pascal VOC and ImageNet."""

import math
import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from pellucid.errors import PellucidError
from pellucid.structures import FLAGS, Annotations, Classes

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, however they are written (section 2.2)."""

_ALWAYS = ("truncated", "difficult", "occluded")
_RARELY = tuple(name for name in FLAGS if name not in _ALWAYS)


def plain(text: str) -> str:
    """A text on one line without what XML cannot hold, which becomes U+FFFD."""
    return " ".join(_FORBIDDEN.sub("\ufffd", text).split())


def plain_names(classes: Classes) -> list[str]:
    """The classes' names as files can hold them. Raises PellucidError where two become the same."""
    names = [plain(name) or f"class {at}" for at, name in enumerate(classes.names)]
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise PellucidError(f"classes: two are called '{twice}' once written; rename one of them")
    return names


def coordinate(value: float) -> str:
    """With four decimals at most, and none where it is whole. NaN and infinity as such: readers drop them."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value):
        return str(int(value))
    return f"{value:.4f}".rstrip("0").rstrip(".")


def annotation_text(
    annotations: Annotations,
    names: Sequence[str],
    *,
    folder: str,
    filename: str,
    first: int,
    segmented: bool = False,
    labels: Sequence[str] = (),
) -> str:
    """One image's XML.

    ``first``: the number of the first pixel; both corners are inside, so that xmax is x2 − 1 + ``first``. ``labels``:
    classes of the image as a whole. Where there are no instances, not even none, ``<boxed>0</boxed>`` says so.
    """
    H, W = annotations.size
    parts = [
        f"<annotation>\n\t<folder>{escape(plain(folder))}</folder>\n\t<filename>{escape(plain(filename))}</filename>\n"
        f"\t<size>\n\t\t<width>{W}</width>\n\t\t<height>{H}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
        f"\t<segmented>{int(segmented)}</segmented>\n"
    ]
    if annotations.instances is None:
        parts.append("\t<boxed>0</boxed>\n")
    parts += [f"\t<label>{escape(label)}</label>\n" for label in labels]
    found = annotations.instances
    if found is not None and len(found):
        escaped = [escape(name) for name in names]
        scores = [""] * len(found)
        if found.scores is not None:
            scores = [f"\t\t<score>{score:.9g}</score>\n" for score in found.scores.tolist()]
        usual = zip(*(getattr(found, flag).tolist() for flag in _ALWAYS), strict=True)
        rare = [""] * len(found)
        for flag in _RARELY:
            for row in getattr(found, flag).nonzero().flatten().tolist():
                rare[row] += f"\t\t<{flag}>1</{flag}>\n"
        boxes, row_labels = found.boxes.detach().double().tolist(), found.labels.tolist()
        for box, label, flags, more, score in zip(boxes, row_labels, usual, rare, scores, strict=True):
            x1, y1, x2, y2 = box
            truncated, difficult, occluded = flags
            parts.append(
                f"\t<object>\n\t\t<name>{escaped[label]}</name>\n\t\t<pose>Unspecified</pose>\n"
                f"\t\t<truncated>{truncated:d}</truncated>\n\t\t<difficult>{difficult:d}</difficult>\n"
                f"\t\t<occluded>{occluded:d}</occluded>\n{more}{score}"
                f"\t\t<bndbox>\n\t\t\t<xmin>{coordinate(x1 + first)}</xmin>\n"
                f"\t\t\t<ymin>{coordinate(y1 + first)}</ymin>\n\t\t\t<xmax>{coordinate(x2 - 1 + first)}</xmax>\n"
                f"\t\t\t<ymax>{coordinate(y2 - 1 + first)}</ymax>\n\t\t</bndbox>\n\t</object>\n"
            )
    parts.append("</annotation>\n")
    return "".join(parts)
