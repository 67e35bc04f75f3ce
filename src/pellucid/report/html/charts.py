"""Charts of a report as inline SVG: their colours are the page's CSS variables, their texts are escaped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from pellucid.report.html.content import Bin, Calibration, Curves, Line, Value, Waterfall

FEW_LOST = 0.3
"""Where less than this share of all objects is lost, a waterfall's bars do not begin at 0."""

COLOURED = 10
"""How many lines of a chart get a colour of their own."""

POINTS = 400
"""The most points that a line is drawn with."""

_DASHES = ("none", "8 3", "2 3", "10 3 2 3", "14 4")
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class _Frame:
    """Where shares from 0 to 1 lie in a chart's own units."""

    left: float
    top: float
    width: float
    height: float

    def x(self, share: float) -> float:
        return self.left + self.width * share

    def y(self, share: float) -> float:
        return self.top + self.height * (1 - share)


_CURVES = _Frame(50, 34, 494, 320)
_RELIABILITY = _Frame(50, 34, 494, 270)
_COUNTS = _Frame(50, 366, 494, 62)


def number(value: float | None) -> str:
    """Three decimals, a true minus sign; a dash for NaN, infinities and None."""
    if value is None or not math.isfinite(value):
        return "–"
    written = f"{value:.3f}"
    return written.removeprefix("-") if float(written) == 0 else written.replace("-", "−")


def interval(value: Value, scale: float = 1.0) -> Markup:
    """A value on a line from 0 to ``scale``, and its 95 % interval as a band; as wide as its place on the page."""
    if not math.isfinite(value.value):
        return Markup("")
    parts = [_tag("rect", class_="track", x="0", y="6", width="100%", height="2")]
    words = f"{value.name} {number(value.value)} on a scale from 0 to {scale:g}"
    bounds = bounds_of(value)
    if bounds is not None:
        low, high = (percent_of(bound, scale) for bound in bounds)
        parts.append(
            _tag("rect", class_="band", x=f"{low:.2f}%", y="3", width=f"{high - low:.2f}%", height="8", rx="2")
        )
        words += f", 95 % interval {number(bounds[0])} to {number(bounds[1])}"
    middle = f"{percent_of(value.value, scale):.2f}%"
    parts.append(_tag("line", class_="mark", x1=middle, x2=middle, y1="0", y2="14"))
    return _tag("svg", *parts, class_="interval", role="img", aria_label=words, width="100%", height="14")


def bounds_of(value: Value) -> tuple[float, float] | None:
    """The 95 % interval of a value where it has one of finite numbers."""
    if value.low is None or value.high is None or not (math.isfinite(value.low) and math.isfinite(value.high)):
        return None
    return value.low, value.high


def floor_of(waterfall: Waterfall) -> int:
    """Where a waterfall's bars begin: 0, or, where so few objects are lost that none would be seen, a round number."""
    lost = waterfall.total - waterfall.found
    if not 0 < lost < FEW_LOST * waterfall.total:
        return 0
    step = 10 ** math.floor(math.log10(lost))
    return max(0, (waterfall.found - lost) // step * step)


def curve_chart(curves: Curves) -> Markup:
    """Precision against recall, a line a class; ``styles`` says which line looks how."""
    frame = _CURVES
    drawn = [
        _tag(
            "polyline",
            _tag("title", f"{line.name}: average precision {number(line.average_precision)}"),
            class_=f"line {style}",
            points=" ".join(f"{frame.x(r):.1f},{frame.y(p):.1f}" for r, p in thinned(line.points)),
            data_line=str(place),
            data_name=line.name,
            stroke_dasharray=dashes(place, len(curves.lines)),
        )
        for place, (line, style) in enumerate(zip(curves.lines, styles(len(curves.lines)), strict=True))
    ]
    # The greys lie underneath.
    drawn.sort(key=lambda line: 'class="line rest"' not in line)
    frame_data = {
        "data_left": frame.left,
        "data_top": frame.top,
        "data_width": frame.width,
        "data_height": frame.height,
    }
    best = max((line.average_precision for line in curves.lines if math.isfinite(line.average_precision)), default=None)
    words = f"Precision against recall at IoU {curves.threshold:.2f}, {len(curves.lines)} classes"
    return _tag(
        "svg",
        _tag("title", "Precision against recall"),
        _tag("desc", f"{words}; the best average precision is {number(best)}. The table below has the numbers."),
        *_axes(frame, "recall", "precision"),
        *drawn,
        _tag("circle", class_="dot", r="5", cx="0", cy="0", visibility="hidden"),
        class_="chart curves",
        viewBox="0 0 560 400",
        role="img",
        aria_label=words,
        **frame_data,
    )


def styles(count: int) -> list[str]:
    """The CSS class of each of ``count`` lines: of more than ten only the five best and the five worst have colours."""
    if count <= COLOURED:
        return [f"c{place}" for place in range(count)]
    half = COLOURED // 2
    first, last = [f"c{place}" for place in range(half)], [f"c{place}" for place in range(half, COLOURED)]
    return first + ["rest"] * (count - COLOURED) + last


def dashes(place: int, count: int) -> str:
    """The dash pattern of a line, which tells it from others where colours do not."""
    return _DASHES[place % len(_DASHES)] if styles(count)[place] != "rest" else "none"


def precision_at(line: Line, recall: float) -> float:
    """The highest precision at ``recall`` or beyond; NaN where the line ends before it."""
    return max((p for r, p in line.points if r >= recall), default=math.nan)


def thinned(points: Sequence[tuple[float, float]], most: int = POINTS) -> list[tuple[float, float]]:
    """At most ``most`` + 2 of the points: in each of equal steps of recall the lowest and the highest, and both ends.

    Points that are not finite are left out.
    """
    points = [point for point in points if all(map(math.isfinite, point))]
    if len(points) <= most:
        return points
    steps: dict[int, list[int]] = {}
    for place, (recall, _) in enumerate(points):
        steps.setdefault(int(recall * (most // 2 - 1)), []).append(place)

    def height(place: int) -> float:
        return points[place][1]

    kept = {0, len(points) - 1}
    for places in steps.values():
        kept |= {min(places, key=height), max(places, key=height)}
    return [points[place] for place in sorted(kept)]


def reliability_chart(calibration: Calibration) -> Markup:
    """How often detections are right against their score, a dot a bin; below, how many there are in each."""
    bins = filled(calibration)
    words = f"Share of right detections against their score; expected calibration error {number(calibration.error)}"
    return _tag(
        "svg",
        _tag("title", "Reliability diagram"),
        _tag("desc", f"{words}. The table below has the numbers."),
        *_axes(_RELIABILITY, None, "share that is right"),
        _tag("line", class_="ideal", **_ends(_RELIABILITY, (0, 0), (1, 1))),
        *(_gap(one) for one in bins),
        *_columns(bins),
        class_="chart reliability",
        viewBox="0 0 560 480",
        role="img",
        aria_label=words,
    )


def filled(calibration: Calibration) -> list[Bin]:
    """The bins that hold detections."""
    return [one for one in calibration.bins if one.count and math.isfinite(one.score) and math.isfinite(one.right)]


def _gap(one: Bin) -> Markup:
    """A dot at a bin's share, and a stem from there to where it should be."""
    frame = _RELIABILITY
    look = "sure" if one.score > one.right else "unsure"
    said = f"mean score {number(one.score)}, {number(one.right)} right, {one.count:,} detections"
    x, y = frame.x(one.score), frame.y(one.right)
    if look == "sure":
        dot = _tag("circle", _tag("title", said), class_="bin sure", cx=x, cy=y, r=6.0)
    else:
        dot = _tag("path", _tag("title", said), class_="bin unsure", d=f"M{x:.1f} {y - 8:.1f}l8 8l-8 8l-8 -8z")
    stem = _tag("line", class_=f"stem {look}", **_ends(frame, (one.score, one.score), (one.score, one.right)))
    return stem + dot


def _columns(bins: Sequence[Bin]) -> list[Markup]:
    """How many detections each bin holds, as columns with their numbers."""
    frame = _COUNTS
    most = max((one.count for one in bins), default=1)
    scores = sorted(one.score for one in bins)
    apart = min((after - before for before, after in pairwise(scores)), default=1.0)
    wide = frame.width * min(0.55 / max(len(bins), 10), max(0.9 * apart, 0.005))
    made = [
        _tag("text", "detections", class_="axis", x=0.0, y=frame.top - 26),
        _tag("line", class_="grid base", **_ends(frame, (0, 0), (1, 0))),
    ]
    for one in bins:
        high = max(frame.height * one.count / most, 1)
        x, y = frame.x(one.score), frame.y(0) - high
        made.append(_tag("rect", class_="column", x=x - wide / 2, y=y, width=wide, height=high))
        made.append(_tag("text", short(one.count), class_="count", x=x, y=y - 5))
    made += [_tag("text", f"{tick:g}", class_="tick x", x=frame.x(tick), y=frame.y(0) + 20) for tick in _TICKS]
    made.append(_tag("text", "score", class_="axis end", x=frame.x(1), y=frame.y(0) + 44))
    return made


def short(count: int) -> str:
    """A count in few letters: '950', '1.2k', '20k', '1.5M'."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.0f}{letter}" if count >= 10 * size else f"{count / size:.1f}{letter}"
    return str(count)


def _axes(frame: _Frame, x: str | None, y: str) -> list[Markup]:
    made = [_tag("line", class_="grid", **_ends(frame, (0, tick), (1, tick))) for tick in _TICKS]
    made += [_tag("text", f"{tick:g}", class_="tick y", x=frame.left - 9, y=frame.y(tick) + 5) for tick in _TICKS]
    made.append(_tag("text", y, class_="axis", x=0.0, y=frame.top - 16))
    if x is not None:
        made += [_tag("text", f"{tick:g}", class_="tick x", x=frame.x(tick), y=frame.y(0) + 20) for tick in _TICKS]
        made.append(_tag("text", x, class_="axis end", x=frame.x(1), y=frame.y(0) + 44))
    return made


def _ends(frame: _Frame, start: tuple[float, float], end: tuple[float, float]) -> dict[str, float]:
    return {"x1": frame.x(start[0]), "y1": frame.y(start[1]), "x2": frame.x(end[0]), "y2": frame.y(end[1])}


def percent_of(value: float, whole: float) -> float:
    """How much of a positive ``whole`` a value is, from 0 to 100; 0 for NaN and of nothing."""
    return round(min(max(100 * value / whole, 0.0), 100.0), 2) if whole > 0 and math.isfinite(value) else 0.0


def _tag(name: str, *inside: str, **attributes: str | float) -> Markup:
    """An element: texts and attributes escaped, numbers with one decimal; ``class_`` is class, ``a_b`` is a-b."""
    written = Markup("").join(
        Markup(' {}="{}"').format(
            key.rstrip("_").replace("_", "-"), value if isinstance(value, str) else f"{value:.1f}"
        )
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, Markup("").join(map(escape, inside)))
