"""Loops compiled by numba: at their first call, and kept on disk where there is a place for them.

What is kept is renewed when its own file changes, not when a function of another file that it calls does: whoever
changes such a function touches the callers, or clears ``__pycache__``.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code, which releases the interpreter's lock while it runs."""
    return _compiled(function)


def compiled_as_numpy_divides(function: Function) -> Function:
    """The same, where x / 0 is infinite or NaN and no error: loops that are free to divide vectorise."""
    return _compiled(function, error_model="numpy")


def _compiled(function: Any, **options: Any) -> Any:
    try:
        return njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # neither beside the source nor in the user's cache may anything be written
        return njit(nogil=True, **options)(function)
