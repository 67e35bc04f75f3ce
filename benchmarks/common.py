"""What the benchmarks share: networks with the same weights for every contestant, and paired timing."""

import statistics
import time
import warnings
from collections.abc import Callable, Mapping

import timm
import torch
from torch import Tensor, nn

THREADS = 2


def setup() -> None:
    """The same conditions for everyone: two threads, a fixed seed, no chatter."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore")


def resnet50() -> nn.Module:
    """ResNet-50 with random weights, as captum needs it: every ReLU a module of its own, none in place."""
    network = timm.create_model("resnet50").eval()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network


def batch(images: int) -> Tensor:
    """Random images (N, 3, 224, 224)."""
    return torch.randn(images, 3, 224, 224)


def timed(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant, all of them in turn in every round, so that a busy moment hits everyone alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for work in contestants.values():
        work()  # warm up
    for _ in range(rounds):
        for name, work in contestants.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def print_ratios(title: str, seconds: dict[str, list[float]], baseline: str) -> None:
    """A line a contestant: median seconds, and the median of its ratio to the baseline in the same round."""
    print(f"\n{title}")
    for name, mine in seconds.items():
        ratios = [a / b for a, b in zip(mine, seconds[baseline], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {name:<34} {statistics.median(mine):8.3f} s   {statistics.median(ratios):7.2f} ×   ({spread})")


def print_rates(title: str, seconds: dict[str, list[float]], baseline: str, steps: int) -> None:
    """A line a contestant: steps a second, and the median of its speed against the baseline's in the same round."""
    print(f"\n{title}")
    for name, mine in seconds.items():
        ratios = [b / a for a, b in zip(mine, seconds[baseline], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rate = steps / statistics.median(mine)
        print(f"  {name:<40} {rate:7.2f} steps/s {statistics.median(ratios):6.2f} ×  ({spread})")
