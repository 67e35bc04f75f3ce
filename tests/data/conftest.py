"""What tests of data sets share: where the real ones are, and small ones made up."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


def real(name: str) -> Path:
    """The folder of a real data set; skips the test where it is missing."""
    path = Path(os.environ.get("PELLUCID_DATA", ROOT / ".." / "shared" / "data")) / name
    if not path.is_dir():
        pytest.skip(f"the data set {name} is not there: set PELLUCID_DATA to the folder that holds it")
    return path


def photo(path: Path, size: tuple[int, int] = (60, 80), seed: int = 0) -> Path:
    """A small JPEG or PNG of (H, W) pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
