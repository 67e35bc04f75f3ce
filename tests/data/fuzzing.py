"""Broken data sets by the thousand: valid ones of every format, mutated, opened and read to the end.

Run as a script it says how many were tried and what came out:

    python tests/data/fuzzing.py --seconds 300

What may come out is a data set or a PellucidError of one line. Anything else, and anything that takes more than
``LIMIT`` seconds, is a failure; the mutated folder is kept and named.
"""

import argparse
import random
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pellucid import PellucidError
from pellucid.data.converting import convert
from pellucid.data.opening import find_source, read_source

LIMIT = 10
SOURCES = {
    "coco": "scenes:n=3,seed=0,size=32,crowded=0.5",
    "panoptic": "scenes:n=2,seed=1,size=32",
    "voc": "scenes:n=3,seed=2,size=32",
    "yolo": "scenes:n=3,seed=3,size=32",
    "yolo,labels=segments": "scenes:n=3,seed=4,size=32",
    "yolo,labels=keypoints": "scenes:n=3,seed=5,size=32",
    "openimages": "scenes:n=3,seed=6,size=32",
    "imagenet": "scenes:n=3,seed=7,size=32",
    "masks": "scenes:n=3,seed=8,size=32",
}
"""What to write, and from what."""

PIECES = (
    *(b"null", b"-1", b"1e999", b"-1e999", b"NaN", b"nan", b"inf", b'"', b"'", b"[]", b"{}", b"[[", b"<", b">", b"/>"),
    *(
        b"\xff",
        b"\x00",
        b"\xef\xbb\xbf",
        b"\n",
        b",",
        b"0",
        b"9" * 400,
        b"../",
        b"/etc/passwd",
        b"&a;",
        b"\xc3\xa9",
        b" ",
    ),
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"true", b"2147483648", b"18446744073709551616", b"0.5", b"-0.25", b"1e-320"),
    *(
        b"<object>",
        b"</object>",
        b"<bndbox><xmin>",
        b'"segmentation": [[1,2]]',
        b'"counts": "~"',
        b"%s",
        b"- &a [*a]\n",
    ),
)


class TooSlow(BaseException):
    """A mutated data set took too long: no Exception, so that nothing catches it."""


def write_all(folder: Path) -> dict[str, Path]:
    """A valid data set of every format."""
    made = {}
    for name, source in SOURCES.items():
        format, _, option = name.partition(",")
        path = folder / name.replace(",", "-").replace("=", "-")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            convert(source, f"{format}:{path}" + (f",{option}" if option else ""))
        made[name] = path
    return made


def mutate(folder: Path, rng: random.Random) -> str:
    """Changes one to four files of a data set; says what was done."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        if not files:
            break
        # Annotations are broken more often than images.
        texts = [p for p in files if p.suffix.lower() not in (".png", ".jpg")]
        path = rng.choice(texts if texts and rng.random() < 0.8 else files)
        data = bytearray(path.read_bytes())
        kind = rng.choice(
            ("byte", "byte", "insert", "insert", "cut", "drop", "swap", "repeat", "remove", "empty", "folder")
        )
        at = rng.randrange(len(data)) if data else 0
        if kind == "remove":
            path.unlink()
        elif kind == "folder":
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(bytes(_changed(data, kind, at, rng)))
        done.append(f"{kind} at {at} of {path.relative_to(folder)}")
    return "; ".join(done)


def _changed(data: bytearray, kind: str, at: int, rng: random.Random) -> bytearray:
    if kind == "empty":
        return bytearray()
    if kind == "insert":
        data[at:at] = rng.choice(PIECES)
    elif not data:
        return data
    elif kind == "byte":
        for _ in range(rng.choice((1, 1, 3, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == "cut":
        del data[at:]
    elif kind == "drop":
        del data[at : at + rng.randint(1, 60)]
    elif kind == "repeat":
        data[at:at] = data[at : at + rng.randint(1, 200)] * rng.choice((1, 2, 50))
    else:
        end, other = at + rng.randint(1, 30), rng.randrange(len(data))
        data[at:end], data[other : other + end - at] = data[other : other + end - at], data[at:end]
    return data


def read_all(spec: str) -> str:
    """Opens every split and reads every sample: 'clean', 'defects noted' or 'refused'."""
    try:
        source = find_source(spec)
        outcome = "clean"
        for split in source.splits or [None]:
            dataset, defects = read_source(source, split)
            outcome = "defects noted" if len(defects) else outcome
            for sample in dataset:
                try:
                    _ = sample.image, sample.annotations
                except PellucidError as error:
                    _check(error)
                    outcome = "a sample refused"
        return outcome
    except PellucidError as error:
        _check(error)
        return "refused"


def _check(error: PellucidError) -> None:
    assert "\n" not in str(error), f"more than one line: {error!r}"
    assert len(str(error)) < 1500, f"too long: {str(error)[:200]!r}"


def trials(seed: int, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Endless trials: the format, what was done, and what came out (a traceback where it is a failure)."""
    rng = random.Random(seed)
    originals = write_all(folder / "valid")

    def too_slow(number: int, frame: object) -> None:
        raise TooSlow(f"more than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, too_slow)
    try:
        number = 0
        while True:
            number += 1
            name = rng.choice(list(originals))
            trial = folder / f"trial-{number}"
            shutil.copytree(originals[name], trial)
            done = mutate(trial, rng)
            signal.alarm(LIMIT)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    outcome = read_all(f"{name.partition(',')[0]}:{trial}" if rng.random() < 0.8 else str(trial))
            except (Exception, TooSlow):
                outcome = traceback.format_exc()
            finally:
                signal.alarm(0)
            if "\n" not in outcome:
                shutil.rmtree(trial)
            yield name, f"{trial}: {done}", outcome
    finally:
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Tries for some time, and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    failures = 0
    folder = Path(tempfile.mkdtemp(prefix="pellucid-fuzz-"))
    end = time.monotonic() + given.seconds
    for name, what, outcome in trials(given.seed, folder):
        failed = "\n" in outcome
        counts[name, "FAILED" if failed else outcome] += 1
        if failed:
            failures += 1
            print(f"{name}: {what}\n{outcome}", flush=True)
        if time.monotonic() > end:
            break
    for (name, outcome), count in sorted(counts.items()):
        print(f"{name:<24} {outcome:<18} {count:7,}")
    print(f"{counts.total():,} data sets tried, {failures} failures")
    if not failures:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
