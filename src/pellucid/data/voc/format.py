"""Pascal VOC as a format."""

from pathlib import Path

from pellucid.data.formats import Format, Options
from pellucid.data.voc.layout import find_layout, looks_like_voc
from pellucid.data.voc.reading import read
from pellucid.data.voc.writing import write


def splits(path: Path, options: Options) -> list[str]:
    """The splits that have a list, or a folder: train, val, test first; trainval, which repeats them, after those."""
    return find_layout(path, options).splits


FORMAT = Format(
    name="voc",
    title="Pascal VOC",
    holds=frozenset({"boxes", "masks", "semantic"}),
    recognises=looks_like_voc,
    splits=splits,
    read=read,
    inclusive=True,
    write=write,
    options={
        "boxes": "1-based (VOC's own), 0-based (continuous, as CVAT writes them), or auto: by what the files hold",
        "classes": "a file in the data set's folder with a class a line, in order; classes.txt or labels.txt if there",
        "kind": "segmentation: the splits of ImageSets/Segmentation, with masks and maps; detection: those of Main",
        "year": "which of several years in a VOCdevkit, as in year=2007",
    },
)
