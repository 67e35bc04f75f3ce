"""Open Images as a format."""

from pathlib import Path

from pellucid.data.formats import Format, Options
from pellucid.data.openimages.boxes import FLAG_COLUMNS
from pellucid.data.openimages.layout import find_layout, looks_like_openimages
from pellucid.data.openimages.reading import read
from pellucid.data.openimages.writing import write


def splits(path: Path, options: Options) -> list[str]:
    """The splits that have a table."""
    return find_layout(path, options).splits


FORMAT = Format(
    name="openimages",
    title="Open Images",
    holds=frozenset({"boxes", "labels", "masks"}),
    flags=frozenset(FLAG_COLUMNS.values()),
    recognises=looks_like_openimages,
    splits=splits,
    read=read,
    write=write,
    options={
        "classes": "a table in the data set's folder of class ids and names, instead of class-descriptions…csv",
        "sizes": "a table in it with ImageID,Width,Height: needed where the images are not there",
    },
)
