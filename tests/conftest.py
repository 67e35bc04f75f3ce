"""What tests of several rooms share: a photo, the embedded classifier, random networks that still behave."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from skimage import data
from torch import Tensor, nn

import pellucid
from pellucid.models.classification import Classifier

Shaken = Callable[..., nn.Module]


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder of a real data set, by its name; skips the test where it is missing."""

    def found(name: str) -> Path:
        path = Path(os.environ.get("PELLUCID_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / name
        if not path.is_dir():
            pytest.skip(f"the data set {name} is not there: set PELLUCID_DATA to the folder that holds it")
        return path

    return found


@pytest.fixture(scope="module")  # no longer: while it is there, no test of its thread can have an event loop of its own
def browser() -> Iterator[Any]:
    """A real Chromium, by Playwright; skips the test where there is none."""
    driver = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield started
        started.close()


@pytest.fixture(scope="session")
def chelsea() -> Tensor:
    """A photo of a tabby: uint8 (3, 300, 451)."""
    return torch.from_numpy(data.chelsea().transpose(2, 0, 1).copy())


@pytest.fixture(scope="session")
def embedded() -> Classifier:
    """The classifier whose weights come with the installation; a test must leave it as it is."""
    return pellucid.load()


@torch.no_grad()
def _shaken(network: nn.Module, seed: int = 0, *, double: bool = False) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.copy_(noise(module.running_mean) * 0.2)
            module.running_var.copy_(0.5 + noise(module.running_var).abs())
            module.weight.copy_(1 + noise(module.weight) * 0.2)
        if isinstance(getattr(module, "bias", None), Tensor):
            module.bias.copy_(noise(module.bias) * 0.2)
    return (network.double() if double else network).eval()


@pytest.fixture(scope="session")
def shaken() -> Shaken:
    """Gives a network biases and batch-normalisation statistics that are not 0 and 1, and sets it to evaluation."""
    return _shaken
