"""Images that a data set speaks of but does not have."""

from pellucid.data.defects import Defects
from pellucid.data.records import Records


def drop_missing(records: Records, defects: Defects) -> None:
    """Drops the images that have no file, noting each, unless none has one.

    Annotations alone, without any image, are a legitimate use: scoring needs no pixels. Then all are kept as they are,
    and nothing is noted, but for those whose size is not known either.
    """
    missing = {index for index, file in enumerate(records.files) if not file}
    if len(missing) == len(records.files):
        missing = {index for index in missing if 0 in records.sizes[index]}
    for index in sorted(missing):
        defects.add("missing image", records.said_of(index), records.names[index], "no such image file", "dropped")
    if missing:
        records.keep_images([index for index in range(len(records.files)) if index not in missing])
