"""Large results files of boxes, read in one compiled pass over their bytes; whatever is unusual is left to others.

A file of half a million detections is most of the work of scoring them. What is read here is exact to the last bit, as
``float`` reads it, or is not read at all.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled
from pellucid.threads import cores

_LOWEST, _HIGHEST = -60, 30

Boxes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Image ids, category ids, scores, and boxes (M, 4)."""


def _powers() -> NDArray[np.float64]:
    """The powers of ten, each as the sum of two doubles: exact to 106 bits."""
    made = []
    for exponent in range(_LOWEST, _HIGHEST + 1):
        exact = Fraction(10) ** exponent
        high = float(exact)
        made.append((high, float(exact - Fraction(high))))
    return np.array(made)


_POWERS = _powers()


def scan(data: bytes) -> Boxes | None:
    """The entries of a list of flat objects with image_id, category_id, score and bbox; None for anything else."""
    view = np.frombuffer(data, dtype=np.uint8)
    shares = cores()
    start = data.find(b"[")
    stop = data.rfind(b"]")
    if start < 0 or stop < 0 or data[:start].strip(b" \t\r\n\xef\xbb\xbf") or data[stop + 1 :].strip(b" \t\r\n"):
        return None
    cuts = [start + 1]
    for share in range(1, shares):
        cut = data.find(b"{", max(cuts[-1], len(data) * share // shares), stop)
        cuts.append(stop if cut < 0 else cut)
    cuts.append(stop)

    def work(share: int) -> Boxes | None:
        begin, end = cuts[share], cuts[share + 1]
        most = data.count(b"{", begin, end)
        ids, numbers = np.empty((2, most), dtype=np.int64), np.empty((most, 5))
        count = _scan(view, begin, end, end == stop, _POWERS, ids, numbers)
        return None if count != most else (ids[0], ids[1], numbers[:, 0], numbers[:, 1:])

    with ThreadPoolExecutor(shares) as pool:
        parts = list(pool.map(work, range(shares)))
    whole = [part for part in parts if part is not None]
    if len(whole) < shares:
        return None
    images, categories, scores, boxes = (np.concatenate(columns) for columns in zip(*whole, strict=True))
    return images, categories, scores, boxes


@compiled
def _blank(data: NDArray, at: int, end: int) -> int:
    while at < end and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@compiled
def _whole(data: NDArray, at: int, end: int) -> tuple[int, int]:
    """A whole number and where it ends; −1 for what is none of up to 18 digits."""
    minus = bool(at < end and data[at] == 45)
    at += minus
    begin, value = at, 0
    while at < end and 48 <= data[at] <= 57:
        value = value * 10 + int(data[at] - 48)
        at += 1
    if at == begin or at - begin > 18 or (at - begin > 1 and data[begin] == 48):
        return 0, -1
    if at < end and (data[at] == 46 or data[at] == 101 or data[at] == 69):
        return 0, -1
    return (-value if minus else value), at


@compiled
def _number(data: NDArray, at: int, end: int, powers: NDArray) -> tuple[float, int]:
    """A number, rounded to the nearest double, and where it ends; −1 for what is none, or hard to round."""
    minus = bool(at < end and data[at] == 45)
    at += minus
    begin, digits, exponent, length = at, np.uint64(0), 0, 0
    while at < end and 48 <= data[at] <= 57:
        digits = digits * np.uint64(10) + np.uint64(data[at] - 48)
        length += bool(digits > 0)
        at += 1
    if at == begin or (at - begin > 1 and data[begin] == 48):
        return 0.0, -1
    if at < end and data[at] == 46:
        at += 1
        point = at
        while at < end and 48 <= data[at] <= 57:
            digits = digits * np.uint64(10) + np.uint64(data[at] - 48)
            length += bool(digits > 0)
            at += 1
        if at == point:
            return 0.0, -1
        exponent = point - at
    if length > 19:  # more than a number of 64 bits holds
        return 0.0, -1
    if at < end and (data[at] == 101 or data[at] == 69):
        at += 1
        down = at < end and data[at] == 45
        if at < end and (data[at] == 45 or data[at] == 43):
            at += 1
        begin, said = at, 0
        while at < end and 48 <= data[at] <= 57 and at - begin < 4:
            said = said * 10 + int(data[at] - 48)
            at += 1
        if at == begin or (at < end and 48 <= data[at] <= 57):
            return 0.0, -1
        exponent += -said if down else said
    value, sure = _rounded(digits, exponent, powers)
    if not sure:
        return 0.0, -1
    return (-value if minus else value), at


@compiled
def _rounded(digits: np.uint64, exponent: int, powers: NDArray) -> tuple[float, bool]:
    """digits · 10^exponent as the nearest double, and whether it surely is the nearest."""
    if digits == 0:
        return 0.0, True
    if digits < np.uint64(1 << 53) and -22 <= exponent <= 0:
        return float(digits) / powers[-exponent - _LOWEST, 0], True  # both exact, so the quotient is rounded once
    if exponent < _LOWEST or exponent > _HIGHEST:
        return 0.0, False
    upper, lower = float(digits >> np.uint64(32)) * 4294967296.0, float(digits & np.uint64(0xFFFFFFFF))
    high = upper + lower
    low = lower - (high - upper)
    power, rest = powers[exponent - _LOWEST, 0], powers[exponent - _LOWEST, 1]
    # The product of two doubles as the sum of two (Dekker 1971).
    product = high * power
    a = high * 134217729.0
    high_a = a - (a - high)
    high_b = high - high_a
    b = power * 134217729.0
    power_a = b - (b - power)
    power_b = power - power_a
    error = ((high_a * power_a - product) + high_a * power_b + high_b * power_a) + high_b * power_b
    error += high * rest + low * power
    value = product + error
    left = error - (value - product)
    if abs(left) < value * 2.7e-17:  # less than half of the distance to the next double, wherever it lies
        return value, True
    half = np.spacing(value) / 2
    if left < 0 and math.frexp(value)[0] == 0.5:  # a power of two has a nearer neighbour below
        half /= 2
    return value, abs(left) < half * (1 - 1e-9)


@compiled
def _scan(data: NDArray, begin: int, end: int, last: bool, powers: NDArray, ids: NDArray, numbers: NDArray) -> int:
    """Reads objects from ``begin`` to ``end``; how many, −1 at the first thing that is unusual.

    ``last``: whether nothing may follow the last object, else a comma.
    """
    count, at = 0, _blank(data, begin, end)
    while at < end:
        if data[at] != 123 or count == ids.shape[1]:
            return -1
        at = _blank(data, at + 1, end)
        seen = 0
        while True:
            if at >= end or data[at] != 34:
                return -1
            key = at + 1
            at = key
            while at < end and data[at] != 34:
                if data[at] == 92:
                    return -1
                at += 1
            length = at - key
            at = _blank(data, at + 1, end)
            if at >= end or data[at] != 58:
                return -1
            at = _blank(data, at + 1, end)
            if length == 8 and data[key] == 105 and data[key + 6] == 105 and data[key + 5] == 95:  # image_id
                ids[0, count], at = _whole(data, at, end)
                seen += 1
            elif length == 11 and data[key] == 99 and data[key + 8] == 95:  # category_id
                ids[1, count], at = _whole(data, at, end)
                seen += 16
            elif length == 5 and data[key] == 115 and data[key + 1] == 99:  # score
                numbers[count, 0], at = _number(data, at, end, powers)
                seen += 256
            elif length == 4 and data[key] == 98 and data[key + 1] == 98:  # bbox
                if at >= end or data[at] != 91:
                    return -1
                for side in range(4):
                    at = _blank(data, at + 1, end)
                    numbers[count, 1 + side], at = _number(data, at, end, powers)
                    if at < 0:
                        return -1
                    at = _blank(data, at, end)
                    if at >= end or data[at] != (93 if side == 3 else 44):
                        return -1
                at += 1
                seen += 4096
            else:
                return -1
            if at < 0:
                return -1
            at = _blank(data, at, end)
            if at >= end:
                return -1
            if data[at] == 44:
                at = _blank(data, at + 1, end)
                continue
            if data[at] != 125:
                return -1
            break
        if seen != 4369:  # each of the four once
            return -1
        count += 1
        at = _blank(data, at + 1, end)
        if at < end:
            if data[at] != 44:
                return -1
            at = _blank(data, at + 1, end)
            if at >= end and last:
                return -1
        elif not last:
            return -1
    return count
