"""ImageNet as a format."""

from pathlib import Path

from pellucid.data.formats import Format, Options
from pellucid.data.imagenet.layout import find_layout, looks_like_imagenet
from pellucid.data.imagenet.reading import read
from pellucid.data.imagenet.writing import write


def splits(path: Path, options: Options) -> list[str]:
    """The splits that have a list, else those that have a folder, else those that have a table."""
    return find_layout(path, options).splits


FORMAT = Format(
    name="imagenet",
    title="ImageNet",
    holds=frozenset({"boxes", "labels"}),
    recognises=looks_like_imagenet,
    splits=splits,
    read=read,
    inclusive=True,
    write=write,
    options={"task": "cls-loc (one class an image, mostly with boxes) or det, where both are there"},
)
