"""Generated scenes: images a second on one core, with all that is said of them.

Claim: at least 200 images/s at 128 pixels with the default settings. Image and annotations are both made.
"""

import statistics
from functools import partial

import torch

from pellucid.data.scenes import open_scenes

from common import timed

IMAGES, ROUNDS = 100, 5
TEXTS = ["size=128", "size=256", "easy,size=128", "hard,size=128", "hard,size=256"]


def generate(text: str) -> None:
    for sample in open_scenes(f"{text},n={IMAGES}"):
        _ = sample.image, sample.annotations


def main() -> None:
    torch.set_num_threads(1)
    seconds = timed({text: partial(generate, text) for text in TEXTS}, ROUNDS)
    print(f"\nGenerated scenes, {IMAGES} images a round, one thread")
    for text, mine in seconds.items():
        rates = [IMAGES / s for s in mine]
        print(f"  scenes:{text:<16} {statistics.median(rates):7.0f} images/s   ({min(rates):.0f} to {max(rates):.0f})")


if __name__ == "__main__":
    main()
