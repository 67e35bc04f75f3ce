"""Whether a synthesised image excites its channel more than any photo does.

Claim: for at least 90 % of 50 channels, drawn with a fixed seed from all stages of the embedded network, the channel's
mean activation on its synthesised image is above that on the best crop of a data set: every photo's receptive field
where the channel is strongest (the best nine), resized to the same size, and every whole photo.
"""

import os
import random
from pathlib import Path

import torch
import torch.nn.functional as F

import pellucid
from pellucid import explain
from pellucid.explain.forward import objective_values
from pellucid.explain.subject import Subject
from pellucid.structures import read_photo

from common import setup

CHANNELS = 50
SIZE = 128
DATA = Path(os.environ.get("PELLUCID_DATA", Path(__file__).parents[2] / "shared" / "data")) / "coco_mini" / "val2017"


def crop(photo: str, box: tuple[float, float, float, float]) -> torch.Tensor:
    """(1, 3, SIZE, SIZE) in [0, 1]: a box of a photo, widened to whole pixels."""
    image = read_photo(photo).float() / 255
    x1, y1, x2, y2 = int(box[0]), int(box[1]), int(box[2] + 0.999), int(box[3] + 0.999)
    part = image[:, y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    return F.interpolate(part[None], (SIZE, SIZE), mode="bilinear", antialias=True)


def main() -> None:
    setup()
    if not DATA.is_dir():
        print(f"{DATA}: not here; set PELLUCID_DATA to the folder of data sets")
        return
    model = pellucid.load()
    counts = {f"blocks.{i}": n for i, n in enumerate((16, 24, 40, 80, 112, 192, 320))}
    every = [(layer, index) for layer, count in counts.items() for index in range(count)]
    drawn = random.Random(0).sample(every, CHANNELS)
    objectives = [explain.channel(layer, index) for layer, index in drawn]
    found = explain.search(model, DATA, layers=list(counts), objectives=objectives)
    above = 0
    for at in range(0, CHANNELS, 10):
        made = explain.synthesize(model, objectives[at : at + 10], size=SIZE)
        for (layer, index), objective, value in zip(drawn[at:], objectives[at:], made.values.tolist(), strict=False):
            crops = torch.cat([crop(hit.photo, hit.box) for hit in found.top(layer, index)])
            best_crop = float(objective_values(Subject.of_frames(model, crops), crops, [objective]).max())
            best_photo = found.top_objective(str(objective))[0].value
            won = value > max(best_crop, best_photo)
            above += won
            figures = f"synthesised {value:8.2f}   best crop {best_crop:8.2f}   best photo {best_photo:8.2f}"
            print(f"  {objective!s:<14} {figures}   {'above' if won else 'BELOW'}", flush=True)
    print(f"\n{above} of {CHANNELS} channels: the synthesised image is above the best crop and the best photo")


if __name__ == "__main__":
    main()
