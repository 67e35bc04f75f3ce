"""The format ``masks``: images with a mask each, whose values or colours are classes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid.data.building import RecordsBuilder
from pellucid.data.dataset import Dataset
from pellucid.data.defects import Defects
from pellucid.data.folders.values import TABLES, Values, meaning, read_mask
from pellucid.data.formats import Format, Options, Progress
from pellucid.data.images import ImageFinder, ImageStore, inside, oriented_size, photos_in
from pellucid.data.records import Records
from pellucid.data.splits import split_named
from pellucid.data.tables import numbered_lines
from pellucid.data.voc.maps import palette
from pellucid.errors import PellucidError, nearest
from pellucid.structures import IGNORE, Annotations

SPLITS = ("train", "training", "val", "valid", "validation", "test", "trainval")
_IMAGES = ("images", "image", "imgs", "img", "JPEGImages", "leftImg8bit")
_MASKS = (
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "annotation",
    "annot",
    "SegmentationClass",
    "gt",
    "targets",
)
_ENDINGS = ("", "_mask", "_label", "_labels", "_L", "_gt", "_seg", "-mask", "_annotation")

_VALUES = ("numbers", "colours")
_VOID = (224, 224, 192)
"""The colour of no class, as in VOC's pictures."""

Pair = tuple[str, str, str]
"""The name of an image, its file, and its mask's file; '' where there is none."""


def _folders(root: Path, split: str | None, options: Options) -> tuple[Path, Path] | None:
    """The folders of the images and of the masks of a split, None where there are none."""
    if "images" in options or "masks" in options:
        images = root / options.get("images", "images")
        masks = root / options.get("masks", "masks")
        for key, folder in (("images", images), ("masks", masks)):
            if not folder.is_dir():
                raise PellucidError(f"{key}={options.get(key, key)}: no such folder in {root}")
        return (images / split, masks / split) if split and (images / split).is_dir() else (images, masks)
    guesses: list[tuple[Path, Path]] = []
    for name in (split,) if split else ():
        guesses += [(root / name, root / f"{name}{end}") for end in ("annot", "_annot", "_labels", "_masks", "_mask")]
        guesses += [(root / i / name, root / m / name) for i in _IMAGES for m in _MASKS]
        guesses += [(root / name / i, root / name / m) for i in _IMAGES for m in _MASKS]
    guesses += [(root / i, root / m) for i in _IMAGES for m in _MASKS]
    for images, masks in guesses:
        if images.is_dir() and masks.is_dir() and photos_in(images) and photos_in(masks):
            return images, masks
    return None


def _lists(root: Path) -> dict[str, Path]:
    return {name: root / f"{name}.txt" for name in SPLITS if (root / f"{name}.txt").is_file()}


def _splits(path: Path, options: Options) -> list[str]:
    if not path.is_dir():
        return []
    lists = _lists(path)
    if lists:
        return list(lists)
    whole = _folders(path, None, options)
    return [name for name in SPLITS if (found := _folders(path, name, options)) is not None and found != whole]


def _recognises(path: Path) -> bool:
    if not path.is_dir():
        return False
    return any(_folders(path, split, {}) for split in (None, *SPLITS))


def read(path: Path, split: str | None, defects: Defects, options: Options) -> Records:
    """The records of one split. Raises PellucidError where there is no image with a mask."""
    if not path.is_dir():
        raise PellucidError(f"{path}: is a file; give the folder that holds the images and the masks")
    known = _splits(path, options)
    split = split_named(split, known, path) if split else (known[0] if len(known) == 1 else None)
    pairs = _pairs(path, split, defects, options)
    masks = [Path(mask) for _, _, mask in pairs if mask]
    if not masks:
        raise PellucidError(f"{path}: no image with a mask of the same name; say images=FOLDER and masks=FOLDER")
    # The meaning is read from the masks of all splits, so that an index means the same in each.
    others = [p for name in known if name != split for _, _, p in _pairs(path, name, Defects(0), options) if p]
    values = meaning(_all_masks(masks, others), path, options.get("classes"), options.get("names"))
    if values.cut:
        defects.add("lossy masks", path, masks[0].parent.name, "JPEG has blurred their values: cut at 128", "mended")
    builder = RecordsBuilder()
    kept: list[str] = []
    for name, file, mask in pairs:
        if not mask:
            defects.add("missing annotation", path, name, "has no mask of the same name", "dropped")
            continue
        try:
            size = oriented_size(Path(file))
        except PellucidError as error:
            defects.add("damaged image", file, "", str(error).removeprefix(f"{file}: "), "dropped")
            continue
        builder.image(name, file, mask, size)
        kept.append(mask)
    if not kept:
        raise PellucidError(f"{path}: no image of the split can be read; restore them from the source")
    records = builder.finish(values.classes, ("semantic",))
    records.semantic = MaskReader(kept, values)
    return records


def _all_masks(masks: list[Path], others: list[str]) -> list[Path]:
    """All masks, in an order that does not depend on the split."""
    return sorted({*masks, *map(Path, others)})


def _pairs(root: Path, split: str | None, defects: Defects, options: Options) -> list[Pair]:
    lists = _lists(root)
    found = _folders(root, split, options)
    if split in lists:
        return _listed(root, lists[split], found, defects)
    if found is None:
        return []
    images, masks = found
    finder = ImageFinder([masks])
    return [(name, str(images / name), _mask_of(finder, Path(name).stem)) for name in photos_in(images)]


def _mask_of(finder: ImageFinder, stem: str) -> str:
    return next((found for end in _ENDINGS if (found := finder.find(stem + end))), "")


def _listed(root: Path, path: Path, found: tuple[Path, Path] | None, defects: Defects) -> list[Pair]:
    """The pairs of a list: 'image mask' a line, or an image's name or stem alone."""
    lines = numbered_lines(path, "the list of images")
    folders = (root, root) if found is None else found
    images, masks = ImageFinder([folders[0], root]), ImageFinder([folders[1], root])
    made: dict[str, Pair] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        bad = [word for word in words[:2] if not inside(word)]
        if bad:
            defects.add(
                "outside folder", path, f"line {number}", f"{bad[0][:100]!r} leads out of the folder", "dropped"
            )
            continue
        image = images.find(words[0])
        mask = masks.find(words[1]) if len(words) > 1 else _mask_of(masks, Path(words[0]).stem)
        name = Path(image or words[0]).name
        if not image:
            defects.add("missing image", path, f"line {number}", f"{words[0][:100]} was not found", "dropped")
        elif image in made:
            defects.add("duplicate image", path, f"line {number}", f"{words[0][:100]} was listed before", "dropped")
        else:
            made[image] = (name, image, mask)
    return list(made.values())


class MaskReader:
    """The semantic map of each image, from its mask file."""

    def __init__(self, files: list[str], values: Values) -> None:
        self.files = files
        self.values = values

    def __call__(self, index: int, size: tuple[int, int]) -> Tensor:
        """int64 (H, W). Raises PellucidError where the mask cannot be read or is of another size."""
        path = Path(self.files[index])
        pixels = read_mask(path)
        if pixels.shape[:2] != tuple(size):
            H, W = pixels.shape[:2]
            raise PellucidError(f"{path}: is {W} × {H} pixels, its image {size[1]} × {size[0]}; make the mask anew")
        return torch.from_numpy(self.values.decode(pixels))

    def unknown(self, index: int) -> list[str]:
        """The values in an image's mask that are no class."""
        return self.values.unknown(read_mask(Path(self.files[index])))


def write(
    dataset: Dataset, folder: Path, split: str, store: ImageStore, options: Options, progress: Progress | None
) -> None:
    """Writes one split: ``images/SPLIT/``, ``masks/SPLIT/`` with PNGs, and classes.txt with names and colours.

    ``values``: numbers (the default), with a palette so that they can be looked at and 255 for no class, or colours.
    Raises PellucidError for more than 254 classes.
    """
    classes = dataset.classes
    values = options.get("values", _VALUES[0])
    if values not in _VALUES:
        raise PellucidError(f"masks: values={values}{nearest(values, _VALUES)}; give {' or '.join(_VALUES)}")
    if len(classes) >= IGNORE:
        raise PellucidError(f"masks: {len(classes)} classes; a mask of 8 bits has room for 254")
    colours = classes.colours
    if len({*colours, _VOID}) <= len(classes):  # not one for each, or not told apart
        colours = tuple((r, g, b) for r, g, b in palette()[1 : len(classes) + 1].tolist())
    lines = [f"{name} {r} {g} {b}" for name, (r, g, b) in zip(classes, colours, strict=True)]
    if values == "colours":
        lines.append("void " + " ".join(map(str, _VOID)))
    images, masks = folder / "images" / split, folder / "masks" / split
    masks.mkdir(parents=True, exist_ok=True)
    (folder / TABLES[0]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    flat = [v for colour in colours for v in colour]
    flat += [0] * (3 * IGNORE - len(flat)) + list(_VOID)
    for index, sample in enumerate(dataset):
        name = store.name(sample, images)
        store.put(sample, images / name)
        image = Image.fromarray(_semantic(sample.annotations, sample.name).numpy().astype(np.uint8))
        image.putpalette(flat)  # makes a palette image of the grey one
        image = image.convert("RGB") if values == "colours" else image
        image.save((masks / name).with_suffix(".png"))
        if progress is not None:
            progress(index + 1, len(dataset))


def _semantic(said: Annotations, name: str) -> Tensor:
    if said.semantic is not None:
        return said.semantic
    if said.panoptic is not None:
        return said.panoptic.semantic()
    raise PellucidError(f"{name}: has no semantic map, which masks are made of; convert to another format")


FORMAT = Format(
    name="masks",
    title="images with masks of class numbers or colours",
    holds=frozenset({"semantic"}),
    recognises=_recognises,
    splits=_splits,
    read=read,
    write=write,
    options={
        "images": "the folder of the images",
        "masks": "the folder of the masks",
        "classes": "a file with a class a line: name, or name r g b",
        "values": "when writing: numbers (the default) or colours",
        "names": "the classes' names in order of the values, with + between them",
    },
)
