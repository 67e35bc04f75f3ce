"""Schedules against torch's own, and what torch has not."""

import pytest
import torch
from torch.optim import lr_scheduler

from pellucid.training.recipe import Schedule
from pellucid.training.schedules import factor, momentum, warmup_steps


def _rates(make, steps: int) -> tuple[list[float], list[float]]:
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimiser)
    rates, betas = [], []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        betas.append(optimiser.param_groups[0]["betas"][0])
        optimiser.step()
        scheduler.step()
    return rates, betas


@pytest.mark.parametrize("steps", [10, 57, 400])
def test_they_are_torchs_own(steps: int) -> None:
    cosine, _ = _rates(lambda o: lr_scheduler.CosineAnnealingLR(o, steps, eta_min=0.1), steps)
    assert [factor(Schedule("cosine", floor=0.1), i, steps) for i in range(steps)] == pytest.approx(cosine, abs=1e-9)
    milestones = [steps // 2, steps * 3 // 4]
    stepped, _ = _rates(lambda o: lr_scheduler.MultiStepLR(o, milestones), steps)
    own = Schedule("step", milestones=[float(m) for m in milestones])
    assert [factor(own, i, steps) for i in range(steps)] == pytest.approx(stepped, abs=1e-9)
    cycle, betas = _rates(lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=steps), steps)
    own = Schedule("one_cycle", cycle_momentum=True)
    assert [factor(own, i, steps) for i in range(steps)] == pytest.approx(cycle, abs=1e-9)
    assert [momentum(own, i, steps) for i in range(steps)] == pytest.approx(betas, abs=1e-9)


def test_warm_up_rises_to_the_schedule() -> None:
    schedule = Schedule("cosine", warmup=4, warmup_start=0.2)
    assert [factor(schedule, i, 14) for i in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factor(schedule, 9, 14) == pytest.approx(0.5)
    assert warmup_steps(Schedule(warmup=0.25), 40) == 10
    assert warmup_steps(Schedule(warmup=500), 40) == 39


def test_milestones_as_shares_and_one_step() -> None:
    schedule = Schedule("step", milestones=[0.5, 0.8], gamma=0.1)
    assert [factor(schedule, i, 10) for i in (0, 4, 5, 7, 8, 9)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    for name in ("cosine", "one_cycle", "step", "constant"):
        for steps in (1, 2, 3):
            assert all(0 < factor(Schedule(name), i, steps) <= 1 for i in range(steps))
    assert momentum(Schedule("one_cycle"), 0, 10) is None
