"""Outlines of masks as SVG paths."""

import re

import numpy as np

from pellucid.report.outlines import outline_path
from pellucid.structures import Masks


def points(path: str) -> np.ndarray:
    return np.array([[float(v) for v in pair.split()] for pair in re.findall(r"[ML]([^MLZ]+)", path)])


def test_a_path_goes_around_the_mask() -> None:
    mask = np.zeros((1, 40, 60), dtype=bool)
    mask[0, 10:30, 20:50] = True
    (one,) = Masks.from_bool(mask)
    path = outline_path(one)
    assert path.startswith("M")
    assert path.endswith("Z")
    around = points(path)
    assert np.allclose(around.min(0), (20, 10), atol=0.6)
    assert np.allclose(around.max(0), (50, 30), atol=0.6)
    moved = points(outline_path(one, (2.0, 2.0), (30.0, 10.0)))
    assert np.allclose(moved.min(0), (2 * 20 - 30, 2 * 10 - 10), atol=1.2)
    assert np.allclose(moved.max(0), (2 * 50 - 30, 2 * 30 - 10), atol=1.2)


def test_a_hole_is_a_loop_of_its_own_and_nothing_is_no_path() -> None:
    mask = np.zeros((2, 40, 60), dtype=bool)
    mask[0, 5:35, 5:55] = True
    mask[0, 15:25, 20:40] = False
    ring, nothing = Masks.from_bool(mask)
    assert outline_path(ring).count("M") == outline_path(ring).count("Z") == 2
    assert outline_path(nothing) == ""
