"""The range over orders of equal scores, against all orders tried one by one."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.metrics.detection import tie_orders
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.metrics.detection.protocol import Figure
from pellucid.metrics.detection.protocols import COCO, OPEN_IMAGES, VOC2007, VOC2012, custom
from pellucid.metrics.detection.score import DetectionScore
from pellucid.metrics.detection.ties import tie_range
from pellucid.structures import Annotations, Classes, Instances

ONE = Classes(("cell",))
SIZE = (100, 100)


def said(boxes, scores=None, marks=None):
    """Annotations of boxes x1, y1, x2, y2, all of one class."""
    n = len(boxes)
    return Annotations(
        SIZE,
        ONE,
        instances=Instances(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.zeros(n, dtype=torch.int64),
            scores=None if scores is None else torch.tensor(scores, dtype=torch.float64),
            **{name: torch.tensor(flags, dtype=torch.bool) for name, flags in (marks or {}).items()},
        ),
    )


def scored(images, protocol):
    """The score of images, each (truth boxes, detected boxes, their scores, marks of the truths)."""
    evaluator = DetectionEvaluator(ONE, protocol)
    for i, (truths, boxes, scores, marks) in enumerate(images):
        evaluator.add(str(i), said(truths, marks=marks), said(boxes, scores), id=i)
    return evaluator.score()


def by_force(images, protocol):
    """Figure → its least and greatest value over every order of every tie."""
    scores = [s for _, _, found, _ in images for s in found]
    runs = [[i for i, s in enumerate(scores) if s == value] for value in sorted(set(scores), reverse=True)]
    seen: dict[str, list[float]] = {}
    for orders in itertools.product(*(itertools.permutations(run) for run in runs)):
        place = {i: rank for rank, i in enumerate(itertools.chain(*orders))}
        new, at = [], 0
        for truths, boxes, found, marks in images:
            new.append((truths, boxes, [1 - place[at + i] / 64 for i in range(len(found))], marks))
            at += len(found)
        for name, value in scored(new, protocol).summary.items():
            seen.setdefault(name, []).append(value)
    return {name: (min(values), max(values)) for name, values in seen.items()}


def check(images, protocol, *, exact=()):
    """No order leads out of the range; its ends are reached where it says so."""
    score = scored(images, protocol)
    ranges, forced = tie_range(score), by_force(images, protocol)
    for name, (low, high) in forced.items():
        found = ranges[name]
        if math.isnan(low):
            assert math.isnan(found.low)
            assert math.isnan(found.high)
            continue
        assert found.value == score.summary[name]
        assert found.low <= found.value <= found.high
        assert found.low <= low + 1e-12
        assert found.high >= high - 1e-12
        if found.exact:
            assert found.low == pytest.approx(low, abs=1e-12), name
            assert found.high == pytest.approx(high, abs=1e-12), name
        assert found.exact or name not in exact, name
    return ranges


HERE, ALSO, THERE, FAR = (0, 0, 20, 20), (0, 0, 20, 16), (50, 50, 70, 70), (80, 0, 99, 19)
AP50 = custom((0.5,), figures=(Figure("AP", "AP"),), limits=(None,), areas={"all": (0.0, math.inf)})
SEVERAL = custom(
    (0.4, 0.6, 0.8),
    figures=(
        Figure("AP", "AP", limit=3),
        Figure("AP60", "AP", 0.6, limit=3),
        Figure("AP_small", "AP", area="small", limit=3),
        *(Figure(f"AR{n}", "AR", limit=n) for n in (1, 2, 3)),
        Figure("AR60", "AR", 0.6, limit=1),
    ),
    limits=(1, 2, 3),
    areas={"all": (0.0, 1e10), "small": (0.0, 300.0)},
)


def test_right_and_wrong_of_two_images():
    # One right and one wrong, tied, one truth: precision 1 or 1/2.
    images = [([HERE], [HERE], [0.5], None), ([], [FAR], [0.5], None)]
    found = check(images, AP50, exact=("AP",))["AP"]
    assert (found.low, found.high, found.exact) == (pytest.approx(0.5), pytest.approx(1.0), True)


def test_inside_an_image_the_one_that_reaches_no_truth_may_stand_anywhere():
    found = check([([HERE], [FAR, HERE], [0.5, 0.5], None)], SEVERAL, exact=("AP", "AP60", "AR1", "AR3"))
    assert (found["AR1"].low, found["AR1"].high) == (0.0, 1.0)
    assert (found["AR3"].low, found["AR3"].high) == (1.0, 1.0)
    assert (found["AP"].low, found["AP"].high) == (pytest.approx(0.5), pytest.approx(1.0))


def test_two_on_one_truth():
    # Whoever is first takes it at 0.5: the other is wrong after it, and cannot be wrong before it.
    found = check([([HERE], [HERE, ALSO], [0.5, 0.5], None), ([THERE], [THERE], [0.4], None)], AP50)["AP"]
    assert found.high == found.value
    assert not found.exact


def test_a_taker_that_leaves_nothing_for_the_other():
    # The wide one may take either truth, and prefers the one that alone the narrow one reaches.
    truths = [(0, 0, 20, 20), (8, 0, 28, 20)]
    wide, narrow = (2, 0, 22, 20), (0, 0, 16, 20)
    found = check([(truths, [wide, narrow], [0.5, 0.5], None)], AP50)["AP"]
    assert found.low < found.high


def test_a_limit_that_cuts_a_tie():
    images = [([HERE], [FAR, THERE, ALSO, HERE], [0.5] * 4, None)]
    found = check(images, SEVERAL)
    assert found["AR3"].low == 1.0  # with three of four one of the two is left, and reaches it up to 0.8 at least
    assert found["AR1"].low == 0.0
    assert found["AR1"].high == 1.0


@pytest.fixture(params=[120, 0])
def orders(request, monkeypatch):
    """All orders tried, and none, so that bounds must do."""
    monkeypatch.setattr(tie_orders, "MOST_ORDERS", request.param)
    tie_orders._rankings.cache_clear()
    yield request.param
    tie_orders._rankings.cache_clear()


def test_what_a_limit_cuts_off_may_be_ignored_or_wrong(orders):
    # Three of four stay: at best the two on the crowd and one that is wrong, before the right one of the other image.
    images = [
        ([HERE], [FAR, HERE, THERE, HERE], [0.5] * 4, {"crowd": [True]}),
        ([THERE], [THERE], [0.4], {"crowd": [False]}),
    ]
    found = check(images, SEVERAL)["AP60"]
    assert found.high == pytest.approx(1 / 2)
    # As a bound: what reaches the crowd could be wrong if another took it, which only truths that are no crowds forbid.
    assert found.low == pytest.approx(1 / 3 if orders else 1 / 4)


def test_what_a_limit_cuts_off_where_there_is_no_truth(orders):
    # The great ones do not count among the small.
    great, small = (0, 0, 50, 50), (60, 60, 70, 70)
    images = [([], [small, great, small, great], [0.5] * 4, None), ([small], [small], [0.4], None)]
    found = check(images, SEVERAL)["AP_small"]
    assert (found.low, found.high) == (pytest.approx(1 / 3), pytest.approx(1 / 2))


def test_thresholds_that_want_other_orders():
    # At 0.4 the first takes the truth from the second, at 0.6 it does not reach it: there the second is right. The tied
    # one of the other image is right at 0.4 alone.
    loose, close = (0, 0, 20, 9), (0, 0, 20, 14)
    images = [
        ([HERE], [loose, close], [0.9, 0.5], None),
        ([HERE], [(0, 0, 20, 10)], [0.5], None),
    ]
    found = check(images, SEVERAL)
    assert not found["AP"].exact
    assert found["AP60"].exact
    assert found["AP"].high > by_force(images, SEVERAL)["AP"][1] + 0.01


def test_crowds_ignore_what_they_take():
    images = [([HERE, THERE], [HERE, ALSO, THERE], [0.5, 0.5, 0.5], {"crowd": [True, False]})]
    check(images, SEVERAL)


def test_boxes_around_groups():
    images = [
        ([HERE, THERE], [HERE, ALSO, THERE, FAR], [0.5] * 4, {"group_of": [True, False]}),
        ([], [FAR], [0.5], None),
    ]
    check(images, OPEN_IMAGES)


def test_without_ties_the_range_is_the_value():
    generator = np.random.default_rng(0)
    images = []
    for _ in range(20):
        corners = generator.uniform(0, 60, (6, 2))
        truths = np.concatenate((corners, corners + 30), 1)
        boxes = truths + generator.normal(0, 4, truths.shape)
        images.append((truths.tolist(), boxes.tolist(), generator.random(6).tolist(), None))
    score = scored(images, COCO)
    for name, found in tie_range(score).items():
        value = score.summary[name]
        assert found.exact
        assert np.array_equal([found.low, found.value, found.high], [value] * 3, equal_nan=True)


def test_nothing_detected():
    found = tie_range(scored([([HERE], [], [], None)], COCO))
    assert (found["AP"].low, found["AP"].high, found["AP"].exact) == (0.0, 0.0, True)
    assert math.isnan(found["AP_large"].low)
    assert found["AP_large"].record() == {"low": None, "value": None, "high": None, "exact": True}


BOX = st.sampled_from([HERE, ALSO, (0, 0, 16, 20), (3, 0, 23, 20), (8, 0, 28, 20), THERE, (52, 50, 70, 70), FAR])
IMAGE = st.tuples(
    st.lists(BOX, max_size=3),
    st.lists(st.tuples(BOX, st.sampled_from([0.9, 0.5])), max_size=5),
)
DATA = st.lists(IMAGE, min_size=1, max_size=3).filter(lambda data: 1 <= sum(len(found) for _, found in data) <= 5)


def unpacked(data, marks=False):
    return [
        (
            truths,
            [box for box, _ in found],
            [score for _, score in found],
            {"crowd": [box == FAR for box in truths], "difficult": [box == THERE for box in truths]} if marks else None,
        )
        for truths, found in data
    ]


@settings(deadline=None, max_examples=40)
@given(DATA, st.booleans())
def test_no_order_leads_out_of_the_range(data, marks):
    check(unpacked(data, marks), SEVERAL)


@settings(deadline=None, max_examples=20)
@given(DATA, st.sampled_from([VOC2007, VOC2012, AP50]), st.booleans())
def test_no_order_leads_out_of_the_range_of_other_protocols(data, protocol, marks):
    check(unpacked(data, marks), protocol)


@settings(deadline=None, max_examples=25)
@given(data=DATA, most=st.sampled_from([0, 1, 2]))
def test_bounds_hold_where_orders_are_too_many_to_try(data, most):
    before = tie_orders.MOST_ORDERS
    tie_orders._rankings.cache_clear()
    try:
        tie_orders.MOST_ORDERS = most
        check(unpacked(data, True), SEVERAL)
    finally:
        tie_orders.MOST_ORDERS = before
        tie_orders._rankings.cache_clear()


def test_many_ties_in_an_image_are_bounded():
    boxes = [(x, 0, x + 20, 20) for x in range(8)]
    images = [([HERE, (6, 0, 26, 20)], boxes, [0.5] * 8, None)]
    protocol = custom((0.5,), figures=(Figure("AP", "AP"), Figure("AR", "AR")), limits=(None,))
    found = tie_range(scored(images, protocol))
    assert not found["AP"].exact
    assert found["AP"].low <= found["AP"].value <= found["AP"].high <= 1


def test_a_score_without_matches_is_told():
    with pytest.raises(PellucidError, match="holds no matches"):
        tie_range(DetectionScore("coco", "COCO, boxes", {}))


def test_what_a_limit_of_the_image_cut_off_is_beyond_knowledge():
    images = [([HERE], [HERE, FAR], [0.5, 0.4], None)]
    several = custom((0.5,), figures=(Figure("AP", "AP"),), limits=(None,), per_image=2)
    assert not tie_range(scored(images, several))["AP"].exact
    assert tie_range(scored([([HERE], [HERE], [0.5], None)], several))["AP"].exact
