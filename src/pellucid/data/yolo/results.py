"""YOLO's predictions: a folder of text files, named as the images, without images or class names beside them."""

from pathlib import Path

from pellucid.data.dataset import Dataset
from pellucid.data.defects import Defects
from pellucid.data.images import stem_of
from pellucid.data.records import RecordDataset
from pellucid.data.tables import names_in
from pellucid.data.yolo.format import Reading
from pellucid.data.yolo.layout import Layout
from pellucid.structures import ObjectColumns


def results_folder(path: Path, dataset: Dataset) -> Path | None:
    """The folder of text files for images of a data set: ``path``, or ``labels`` in it; None where there are none."""
    wanted = {f"{stem_of(name)}.txt" for name in dataset.names}
    return next((folder for folder in (path / "labels", path) if wanted & set(names_in(folder))), None)


def result_columns(folder: Path, dataset: Dataset, defects: Defects) -> ObjectColumns:
    """What the files of a folder say of the images of a data set: class, box and score a line (``save_txt`` with
    ``save_conf``), or an outline; sizes and the meaning of class numbers are the data set's.

    Files of unknown images are noted in ``defects`` and passed over; an image without a file shows nothing.
    """
    layout = Layout(folder, {}, list(dataset.classes.names))
    reading = Reading(layout, defects)
    stems = [stem_of(name) for name in dataset.names]
    for index, stem in enumerate(stems):
        size = dataset.size(index)
        file = folder / f"{stem}.txt"
        reading.builder.image(dataset.names[index], "", str(file), size)
        reading.lines(file, size)
    known = {f"{stem}.txt" for stem in stems} | {"classes.txt", "labels.txt"}
    for name in names_in(folder):
        if name.endswith(".txt") and name not in known:
            defects.add("unknown image", folder, name, f"is of no image in {dataset.title}", "dropped")
    records = reading.builder.finish(dataset.classes, {"boxes", "masks"} if reading.segments else {"boxes"})
    made = RecordDataset(records, title=str(folder), format="yolo", split=None, root=folder, defects=defects)
    return made.columns()
