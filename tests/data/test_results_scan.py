"""The compiled pass over results files: what it reads is exact, and what it does not read it leaves."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.data.coco.results_scan import scan

ENTRY = {"image_id": 1, "category_id": 2, "bbox": [0, 1.5, 2, 3], "score": 0.25}


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(-1e12, 1e12, allow_nan=False).filter(lambda v: v == 0 or abs(v) > 1e-40), max_size=8))
def test_every_double_is_read_to_the_last_bit(values):
    found = scan(json.dumps([ENTRY | {"score": v, "bbox": [v, 0.1, -v, 7]} for v in values]).encode())
    assert found is not None
    assert found[2].tolist() == values
    assert found[3].tolist() == [[v, 0.1, -v, 7] for v in values]


@settings(deadline=None, max_examples=300)
@given(st.from_regex(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_decimals_are_rounded_as_float_does_or_left(text):
    found = scan(f'[{{"image_id": 3, "category_id": 4, "bbox": [0, 0, 1, 1], "score": {text}}}]'.encode())
    assert found is None or found[2].tolist() == [float(text)]


def test_many_doubles_are_read():
    rng = np.random.default_rng(0)
    values = np.concatenate(
        (rng.random(20_000), rng.random(20_000).astype(np.float32) * 640.0, 2.0 ** np.arange(-40, 40))
    )
    found = scan(json.dumps([ENTRY | {"score": v} for v in values.tolist()]).encode())
    assert found is not None
    assert np.array_equal(found[2], values)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17])
def test_entries_in_any_layout(count):
    entries = [ENTRY | {"image_id": i, "category_id": -i} for i in range(count)]
    for text in (json.dumps(entries), json.dumps(entries, indent=3), json.dumps(entries, separators=(",", ":"))):
        found = scan(text.encode())
        assert found is not None
        assert found[0].tolist() == list(range(count))
        assert found[1].tolist() == [-i for i in range(count)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{}",
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "score": NaN}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2], "score": 1}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3, 4], "score": 1}]',
        '[{"image_id": 1.5, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1}]',
        '[{"image_id": "1", "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3]}]',
        '[{"image_id": 1, "image_id": 1, "bbox": [0, 1, 2, 3], "score": 1}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1, "area": 5}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 01}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1.}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1},]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1} {}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1}] x',
        '[{"image_id": 99999999999999999999, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "score": 1',
    ],
)
def test_what_is_unusual_is_left_to_others(text):
    assert scan(text.encode()) is None


def test_every_cut_file_is_left():
    text = json.dumps([ENTRY, ENTRY, ENTRY]).encode()
    assert all(scan(text[:end]) is None for end in range(len(text)))
    assert math.isclose(scan(text)[2].sum(), 0.75)
