"""Defects of image files: missing, damaged, of another size, turned, of mixed kinds."""

from pellucid.data.checking.looks import Colours, Look
from pellucid.data.checking.places import listed
from pellucid.data.defects import Defects
from pellucid.data.records import Records


def check_missing(records: Records, title: str, defects: Defects) -> None:
    """Notes images without a file; where none has one, once for all."""
    missing = [i for i, file in enumerate(records.files) if not file]
    if missing and len(missing) == len(records.files):
        file = records.said_of(0)
        what = (
            f"none of its {len(missing):,} images was found, such as {records.names[0]}; only annotations were checked"
        )
        defects.add("missing image", file, title, what)
        return
    for image in missing:
        defects.add("missing image", *records.place(image), "no such image file")


def check_look(records: Records, image: int, look: Look, known: set[tuple[str, str]], defects: Defects) -> None:
    """Notes what is wrong with an image. ``known``: kinds and files that reading noted already."""
    file = records.files[image]
    if look.problem:
        if (look.problem, file) not in known:
            defects.add(look.problem, file, "", look.what)
        return
    H, W = look.shown
    h, w = records.sizes[image].tolist()
    if h > 0 and w > 0 and not look.fits((h, w)):
        said = records.said_of(image)
        defects.add("size disagrees", file, "", f"is {W} × {H} pixels, but {said} says {w} × {h}")
    if look.orientation != 1:
        what = f"its EXIF orientation is {look.orientation}: shown at {W} × {H}"
        if look.stored != look.shown:
            what += f", stored at {look.stored[1]} × {look.stored[0]}"
            if h > 0 and (h, w) == look.stored:
                what += " and annotated as stored"
        defects.add("rotated", file, "", what)


class Modes:
    """Which kinds of pixels the images have."""

    def __init__(self) -> None:
        self.names: dict[Colours, list[str]] = {}

    def add(self, name: str, look: Look) -> None:
        """Counts an image."""
        if not look.problem:
            self.names.setdefault(look.colours, []).append(name)

    def check(self, root: str, defects: Defects) -> None:
        """Notes that there are several kinds, once."""
        if len(self.names) < 2:
            return
        most, *others = sorted(self.names.items(), key=lambda entry: -len(entry[1]))
        parts = [f"{len(most[1]):,} in {most[0]}"]
        parts += [f"{len(names):,} in {colours} ({listed(names)})" for colours, names in others]
        defects.add("mixed modes", root, "", "of the images are " + ", ".join(parts))
