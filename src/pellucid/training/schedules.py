"""Schedules as functions of the step alone: a resumed training needs to know nothing but where it is."""

import math

from pellucid.training.recipe import Schedule


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by in ``step`` (from 0) of ``steps``.

    After the warm-up these are torch's ``CosineAnnealingLR``, ``MultiStepLR`` and ``OneCycleLR`` (cosine, two phases),
    stepped once a step.
    """
    if schedule.name == "one_cycle":
        return _one_cycle(step, steps, schedule.peak, 1 / schedule.start_divisor, 1.0, _end(schedule))
    begin = warmup_steps(schedule, steps)
    if step < begin:
        return schedule.warmup_start + (1 - schedule.warmup_start) * step / begin
    if schedule.name == "cosine":
        done = (step - begin) / max(1, steps - begin)
        return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * done)) / 2
    if schedule.name == "step":
        passed = sum(step >= (m if m >= 1 else math.ceil(m * steps)) for m in schedule.milestones)
        return float(schedule.gamma**passed)
    return 1.0


def momentum(schedule: Schedule, step: int, steps: int) -> float | None:
    """The momentum in a step, None where it stays what it is."""
    if schedule.name != "one_cycle" or not schedule.cycle_momentum:
        return None
    return _one_cycle(step, steps, schedule.peak, 0.95, 0.85, 0.95)


def warmup_steps(schedule: Schedule, steps: int) -> int:
    """How many steps the warm-up takes, never all of them."""
    wanted = schedule.warmup if schedule.warmup >= 1 else schedule.warmup * steps
    return min(round(wanted), max(0, steps - 1))


def _end(schedule: Schedule) -> float:
    return 1 / schedule.start_divisor / schedule.end_divisor


def _one_cycle(step: int, steps: int, peak: float, begin: float, top: float, end: float) -> float:
    # Smith, Super-Convergence (2018), annealed by cosines; the ends of the two phases are as torch has them.
    first = peak * steps - 1
    if step <= first:
        return _between(begin, top, step / first)
    last = steps - 1
    return _between(top, end, min(1.0, (step - first) / (last - first)) if last > first else 1.0)


def _between(a: float, b: float, share: float) -> float:
    return b + (a - b) / 2 * (1 + math.cos(math.pi * share))
