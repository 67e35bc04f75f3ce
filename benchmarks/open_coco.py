"""Opening a COCO file of val2017's size. Claim: no slower than pycocotools' COCO(), with at most half its memory.

Each contestant opens the file in processes of its own. Time is the opening alone, imports not counted; memory is by how
much the process's resident size has grown afterwards, with the data set still open.
"""

import gc
import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil

from val2017 import make

from common import setup

ROUNDS = 7


def ours(path: Path) -> object:
    from pellucid import open_dataset

    return open_dataset(f"coco:{path}")


def pycocotools(path: Path) -> object:
    import contextlib
    import io

    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


CONTESTANTS = {"pellucid": ours, "pycocotools": pycocotools}


def _measure(name: str, path: Path, small: Path) -> tuple[float, float]:
    setup()
    CONTESTANTS[name](small)  # imports, and whatever the first call alone costs
    gc.collect()
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    opened = CONTESTANTS[name](path)
    seconds = time.perf_counter() - began
    gc.collect()
    grown = (psutil.Process().memory_info().rss - before) / 2**20
    del opened
    return seconds, grown


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "instances_val.json", Path(folder) / "small.json"
        make(path)
        small.write_text('{"images": [], "annotations": [], "categories": []}')
        print(f"opening {path.stat().st_size / 1e6:.1f} MB, 5,000 images, 36,000 annotations")
        context = multiprocessing.get_context("spawn")
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTESTANTS}
        for _ in range(ROUNDS):
            for name in CONTESTANTS:
                with ProcessPoolExecutor(1, context) as fresh:
                    found[name].append(fresh.submit(_measure, name, path, small).result())
        for name, measured in found.items():
            seconds = statistics.median(s for s, _ in measured)
            grown = statistics.median(m for _, m in measured)
            times = statistics.median(a[0] / b[0] for a, b in zip(measured, found["pycocotools"], strict=True))
            memory = statistics.median(a[1] / b[1] for a, b in zip(measured, found["pycocotools"], strict=True))
            print(f"  {name:<14} {seconds:7.3f} s {times:6.2f} ×   {grown:8.1f} MiB {memory:6.2f} ×")


if __name__ == "__main__":
    main()
