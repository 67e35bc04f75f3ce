"""Numbers and ids from what a file holds in their place, whatever that is."""

import math

MOST = 2**62
"""The largest id: beyond it no array of whole numbers has room."""


def number(value: object) -> float:
    """A number, NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    if isinstance(value, str) and "_" in value:  # which Python would take for digits set apart
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def whole(value: object) -> int | None:
    """A whole number of ordinary size, from a number or its text; None for what is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 20 or not text.lstrip("-").isdecimal():
            return None
        value = int(text) if text.isascii() else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) < MOST else None


def identity(value: object) -> int | str | None:
    """An id: a whole number, or a text that is none; None for anything else."""
    found = whole(value)
    if found is not None:
        return found
    return value if isinstance(value, str) and value and len(value) <= 200 else None
