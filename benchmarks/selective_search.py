"""Selective search on the photos of coco_mini: seconds a photo on one core, boxes, and how many objects they find.

Arguments: the modes, ``fast`` if none is given. No peer to compare with: plain OpenCV has no ``ximgproc``. Needs the
data set coco_mini in the folder PELLUCID_DATA. An object is found where a box has an IoU of 0.5 or more with its box;
crowds are left out. ABO is the mean over all objects of the best IoU (Uijlings et al. average it over classes: MABO).
"""

import os
import statistics
import sys
import time
from pathlib import Path
from typing import get_args

import torch
from torchvision.ops import box_iou

import pellucid
from pellucid.ops.selective_search import selective_search
from pellucid.ops.selective_search.strategies import Mode
from pellucid.structures.boxes import box_areas

PHOTOS = 100
LIMITS = (500, 1000, 2000, None)


def main(mode: Mode) -> None:
    root = Path(os.environ.get("PELLUCID_DATA", "")) / "coco_mini"
    if not os.environ.get("PELLUCID_DATA") or not root.is_dir():
        print("skipped: coco_mini is not there; set PELLUCID_DATA to the folder that holds it")
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    data = pellucid.open_dataset(f"coco:{root / 'annotations' / 'instances_val2017.json'}")
    seconds, counts, areas = [], [], []
    best: dict[int | None, list[torch.Tensor]] = {limit: [] for limit in LIMITS}
    selective_search(data[0].image, mode)  # compiles
    for sample in data[:PHOTOS]:
        image = sample.image
        began = time.perf_counter()
        boxes = selective_search(image, mode)
        seconds.append(time.perf_counter() - began)
        counts.append(len(boxes))
        truths = sample.annotations.instances
        if truths is None:
            continue
        wanted = truths.boxes if truths.crowd is None else truths.boxes[~truths.crowd]
        areas.append(box_areas(wanted))
        overlaps = box_iou(wanted, boxes)
        for limit in LIMITS:
            best[limit].append(overlaps[:, :limit].amax(dim=1))
    large = torch.cat(areas) >= 32**2
    print(f"\nselective search, mode '{mode}', {len(seconds)} photos of coco_mini, one core")
    print(f"  {statistics.median(seconds):.2f} s a photo (median), {max(seconds):.2f} s at most")
    print(f"  {statistics.mean(counts):.0f} boxes a photo (mean), {min(counts)} to {max(counts)}")
    print(f"  {len(large)} objects, {int(large.sum())} of 32² pixels or more")
    for limit, overlaps_of in best.items():
        o = torch.cat(overlaps_of)
        found = (o >= 0.5).double()
        print(
            f"  {'all boxes' if limit is None else f'first {limit}':<12} recall {found.mean():.3f}, "
            f"of the larger objects {found[large].mean():.3f}; ABO {o.mean():.3f}, {o[large].mean():.3f}"
        )


if __name__ == "__main__":
    for chosen in get_args(Mode):
        if chosen in (sys.argv[1:] or ["fast"]):
            main(chosen)
