"""Search against a plain forward pass over the same photos: what it costs to rank all channels of six layers.

Claim: at most 1.15 × the no-grad forward pass, photos read and prepared in the same way. ``PELLUCID_DATA`` says where
coco_mini is; without it, parts of scikit-image's photos are searched. On a machine that does other work as well, run it
with OMP_WAIT_POLICY=PASSIVE: threads that wait by spinning cost more than what is compared.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

import pellucid
from pellucid.explain.forward import quick
from pellucid.explain.search import search
from pellucid.explain.search.reading import read_ahead
from pellucid.models import Classifier
from pellucid.structures import Photo, find_photos

from common import print_ratios, setup, timed

PHOTOS, BATCH = 200, 8
LAYERS = ["blocks.1", "blocks.2", "blocks.3", "blocks.4", "blocks.5", "blocks.6"]
WIDE = ["conv_stem", "blocks.1.0.bn1", "blocks.2.0.bn1", "blocks.3.1.bn1", "blocks.4.1.bn1", "bn2"]


def sample_photos(folder: Path) -> list[Path]:
    """The first 200 photos of coco_mini, else as many parts of sample photos, written to ``folder``."""
    place = Path(os.environ.get("PELLUCID_DATA", Path(__file__).parents[1] / "../shared/data")) / "coco_mini"
    if (place / "train2017").is_dir():
        return find_photos([place / "train2017", place / "val2017"])[:PHOTOS]
    samples = [Image.fromarray(sample()) for sample in (data.chelsea, data.astronaut, data.coffee, data.rocket)]
    for i in range(PHOTOS):
        sample = samples[i % len(samples)]
        box = (i % 50, i // 50, sample.width - i % 40, sample.height - i // 40)
        sample.crop(box).resize((640, 480)).save(folder / f"{i:03}.jpg")
    return find_photos([folder])


def forward(model: Classifier, paths: list[Photo]) -> None:
    """Every photo read ahead by a thread, as search does, and seen by the network to its end."""
    batch: list[Tensor] = []
    with torch.no_grad():
        for i, photo in enumerate(read_ahead(paths, BATCH, as_they_are=False), 1):
            if isinstance(photo, Tensor):
                batch.append(photo)
            if len(batch) == BATCH or i == len(paths):
                model.from_frame(quick(model.prepare(batch)[0]))
                batch = []


def forward_alone(network: nn.Module, frames: list[Photo]) -> None:
    """The network on frames that lie ready in memory."""
    with torch.no_grad():
        for start in range(0, len(frames), BATCH):
            network(quick(torch.stack([torch.as_tensor(frame) for frame in frames[start : start + BATCH]])))


def compare(title: str, plain: Callable[[], None], model: nn.Module, photos: list[Photo]) -> None:
    contestants: dict[str, Callable[[], object]] = {
        "plain forward pass, no grad": plain,
        "search, six layers": partial(search, model, photos, LAYERS, batch_size=BATCH),
        "search, six wide layers": partial(search, model, photos, WIDE, batch_size=BATCH),
        "search, six layers and all classes": partial(search, model, photos, LAYERS, classes=True, batch_size=BATCH),
    }
    print_ratios(title, timed(contestants, rounds=3), "plain forward pass, no grad")


def main() -> None:
    setup()
    model = pellucid.load()
    assert isinstance(model, Classifier)
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Photo] = list(sample_photos(Path(folder)))
        title = f"{len(paths)} photos, {model.name}, batch {BATCH}"
        compare(f"{title}, reading included", partial(forward, model, paths), model, paths)
        frames: list[Photo] = list(model.preprocessing.normalise(torch.cat([model.prepare([p])[0] for p in paths])))
    compare(f"{title}, the network alone", partial(forward_alone, model.network, frames), model.network, frames)


if __name__ == "__main__":
    main()
