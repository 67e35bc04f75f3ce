"""Work that releases the interpreter's lock, shared out between the processor's cores."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def cores() -> int:
    """How many of the processor's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[int, int], object], count: int, least: int = 2_000) -> None:
    """Calls ``work(begin, end)`` over ``count`` things, in shares of ``least`` or more for each core."""
    shares = max(1, min(cores(), count // least))
    if shares == 1:
        work(0, count)
        return
    cuts = [count * i // (shares * 4) for i in range(shares * 4 + 1)]
    with ThreadPoolExecutor(shares) as pool:
        for done in [pool.submit(work, a, b) for a, b in pairwise(cuts)]:
            done.result()
