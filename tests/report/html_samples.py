"""Contents of a report, made by hand."""

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from pellucid.report.html.content import (
    Bin,
    Calibration,
    Case,
    Confusion,
    Content,
    Curves,
    ErrorType,
    Explained,
    Gallery,
    Line,
    Marked,
    Scores,
    Stage,
    Table,
    Value,
    Waterfall,
)

NASTY = "</script><script>window.broken=1</script> & \"double\" 'single' {{ 7 * 7 }} <!--"
NAMES = (NASTY, "cat", "{% raise %}")
REASONS = ("no anchor", "scored too low", "suppressed")
GALLERIES: tuple[Gallery, ...] = ("wrong", "missed", "right")


def picture(seed: int, kind: str = "JPEG") -> bytes:
    """A small picture that differs from those of other seeds."""
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 4 if kind == "PNG" else 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).resize((80, 60)).save(written, format=kind)
    return written.getvalue()


def case(number: int, gallery: Gallery, **changes: Any) -> Case:
    """The ``number``-th case: classes, sizes, types and reasons take turns."""
    missed, label = gallery == "missed", NAMES[number % 3]
    kind = {"missed": "Miss", "right": "Right"}.get(gallery, ("Cls", "Bkg", "Loc")[number % 3])
    marked = (
        Marked("truth", (22.0, 12.0, 60.0, 48.0), label),
        Marked("kept" if missed else "said", (20.0, 10.0, 58.0, 50.0), label, 0.875, "M20 10L58 10L40 50Z"),
        Marked("near", (-4.0, 40.0, 20.0, 70.0), NASTY),
    )
    values: dict[str, Any] = {
        "gallery": gallery,
        "kind": kind,
        "label": label,
        "score": None if missed else 0.5 + number / 1000,
        "size": ("small", "medium", "large")[number % 3],
        "image": f"{'left' if number % 2 else 'right'}/{NASTY if number == 0 else ''}{number:04d}.jpg",
        "sentence": f"Sentence {number}: {label}.",
        "picture": picture(2 * number),
        "width": 80,
        "height": 60,
        "boxes": marked,
        "explained": Explained(
            "ODAM", picture(2 * number + 1, "PNG"), f"the score of {label}", {NASTY: f"{number} %"}, number % 2 == 0
        ),
        "way": (("class", f"step {number}"), ("anchor", NASTY)),
        "reason": REASONS[number % 3] if missed else "",
    }
    return Case(**(values | changes))


def full(cases: tuple[Case, ...] | None = None) -> Content:
    """A content that has every part: six cases a gallery, nasty names wherever there is a name."""
    if cases is None:
        cases = tuple(case(6 * place + i, gallery) for place, gallery in enumerate(GALLERIES) for i in range(6))
    points = tuple((k / 50, 1 - (k / 50) ** 2 / 2) for k in range(1, 46))
    return Content(
        title=f"model {NASTY}",
        data=f"data {NASTY}",
        facts=(("images", "312"), (NASTY, NASTY)),
        scores=(
            Scores("coco", NASTY, (Value("AP", 0.4125, 0.3871, 0.4409), Value("ARs", math.nan)), f"note {NASTY}"),
            Scores("voc", "VOC", (Value("mAP", 0.6543),)),
        ),
        curves=Curves(0.5, tuple(Line(name, points, 0.9 - k / 10) for k, name in enumerate(NAMES))),
        errors=(
            ErrorType("Cls", "wrong class", 61, 0.0421, "the class is not right"),
            ErrorType("Bkg", NASTY, 1210, math.nan, NASTY),
        ),
        waterfall=Waterfall(
            1000, 700, 0.5, (Stage(REASONS[0], 101, 899), Stage(NASTY, 199, 700), Stage(REASONS[2], 0, 700))
        ),
        calibration=Calibration((Bin(0.1, 0.2, 1234), Bin(math.nan, math.nan, 0), Bin(0.9, 0.7, 56)), 0.0832),
        confusion=Confusion(NAMES, ((41, 2, 0, 3), (0, 52, 5, 6), (7, 0, 63, 8), (9, 10, 11, 0)), 0.5, 0.3),
        per_class=Table(
            "By class",
            ("class", "objects", "AP"),
            ((NASTY, 30, 0.25), ("cat", 1200, math.nan), ("{% raise %}", 4, 0.75), ("dog", 100, 0.5)),
        ),
        breakdowns=(Table("By size", ("size", "AP"), (("small", 0.125), (NASTY, 0.625))),),
        trust=Table("", ("method", "inside"), (("ODAM", 0.671), (NASTY, 0.1)), f"about {NASTY}"),
        cases=cases,
        left_out=("Keypoints: the data has none.", NASTY),
    )
