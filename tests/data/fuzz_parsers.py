"""Coverage-guided fuzzing of the parsers, with atheris: one parser a run, from a valid file of it.

    uv run --group fuzz python tests/data/fuzz_parsers.py coco -max_total_time=300

Parsers: coco, panoptic, voc, yolo, yaml, classes, runs, polygons. Anything but a result or a PellucidError of one
line is a crash, which atheris reports with its input.
"""

import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pellucid.data", "pellucid.structures", "defusedxml"]):
    from pellucid.data.converting import convert
    from pellucid.data.folders.values import _parse_table
    from pellucid.data.opening import find_source, read_source
    from pellucid.structures import Polygons, RunLengths

from pellucid import PellucidError

SCENES = "scenes:n=2,seed=0,size=24,crowded=0.5"


def in_one_line(work: Callable[[], object]) -> None:
    """Does it; lets a PellucidError of one line pass."""
    try:
        work()
    except PellucidError as error:
        if "\n" in str(error):
            raise RuntimeError(f"more than one line: {error!r}") from error


def dataset(format: str, pattern: str, folder: Path) -> tuple[Callable[[bytes], None], bytes]:
    """A target that opens a data set with one of its files replaced, and that file's valid content."""
    convert(SCENES, f"{format}:{folder / format}")
    file = next(iter(sorted((folder / format).glob(pattern))))

    def target(data: bytes) -> None:
        file.write_bytes(data)
        source = find_source(f"{format}:{folder / format}")
        for split in source.splits or [None]:
            found, _ = read_source(source, split)
            for sample in found:
                in_one_line(lambda sample=sample: sample.annotations)

    return target, file.read_bytes()


def classes(folder: Path) -> tuple[Callable[[bytes], None], bytes]:
    """A list of class names with colours."""
    path = folder / "classes.txt"

    def target(data: bytes) -> None:
        path.write_bytes(data)
        _parse_table(path)

    return target, b"name,r,g,b\nroad 1 2 3\n0 sky\n"


def runs(folder: Path) -> tuple[Callable[[bytes], None], bytes]:
    """COCO's compressed run lengths."""
    return lambda data: RunLengths.from_text(data, (40, 50)).to_mask().sum(), b"06:1000oh0"  # type: ignore[return-value]


def polygons(folder: Path) -> tuple[Callable[[bytes], None], bytes]:
    """Polygons from bytes as numbers."""

    def target(data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        points = [provider.ConsumeFloat() for _ in range(provider.ConsumeIntInRange(0, 12))]
        Polygons.from_lists([points], (30, 30)).to_mask()

    return target, b"\x08" + b"\x00" * 64


TARGETS: dict[str, Callable[[Path], tuple[Callable[[bytes], None], bytes]]] = {
    "coco": lambda folder: dataset("coco", "annotations/*.json", folder),
    "panoptic": lambda folder: dataset("panoptic", "annotations/*.json", folder),
    "voc": lambda folder: dataset("voc", "Annotations/*.xml", folder),
    "yolo": lambda folder: dataset("yolo", "labels/train/*.txt", folder),
    "yaml": lambda folder: dataset("yolo", "data.yaml", folder),
    "classes": classes,
    "runs": runs,
    "polygons": polygons,
}


def main() -> None:
    """Fuzzes the parser that is named first."""
    warnings.simplefilter("ignore")
    name, *rest = sys.argv[1:]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        target, seed = TARGETS[name](folder)
        corpus = folder / "corpus"
        corpus.mkdir()
        (corpus / "seed").write_bytes(seed)

        def one(data: bytes) -> None:
            in_one_line(lambda: target(data))

        atheris.Setup([sys.argv[0], *rest, str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
