"""Compiled loops, also where nothing may be kept on disk."""

import pytest
from numba.core import caching

from pellucid.compiled import compiled, compiled_as_numpy_divides


def _half(value: float) -> float:
    return 1.0 / value


def _part(value: float) -> float:
    return 1.0 / value


def test_division():
    assert compiled(_half)(4.0) == 0.25
    with pytest.raises(ZeroDivisionError):
        compiled(_half)(0.0)
    assert compiled_as_numpy_divides(_part)(0.0) == float("inf")


def test_without_a_place_to_write(monkeypatch: pytest.MonkeyPatch):
    for name in ("_CacheImpl", "CacheImpl"):
        if hasattr(caching, name):
            monkeypatch.setattr(getattr(caching, name), "_locator_classes", [])
    assert compiled(_half)(8.0) == 0.125
