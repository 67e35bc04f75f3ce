"""Images that a data set speaks of but does not have."""

from pellucid.data.defects import Defects
from pellucid.data.records import Records


def drop_missing(records: Records, defects: Defects) -> None:
    """Drops the images that have no file, noting each, unless none has one.

    Annotations alone, without any image, are a legitimate use: scoring needs no pixels. Then all are kept as they are,
    and nothing is noted.
    """
    missing = [index for index, file in enumerate(records.files) if not file]
    if not missing or len(missing) == len(records.files):
        return
    for index in missing:
        defects.add("missing image", records.said_of(index), records.names[index], "no such image file", "dropped")
    records.keep_images([index for index, file in enumerate(records.files) if file])
