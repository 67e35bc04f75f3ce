"""Against lucent: the same numbers make the same image, and the same activations the same diversity."""

import numpy as np
import pytest
import torch

from pellucid.explain.objectives import Pass
from pellucid.explain.synthesis.diversity import similarity
from pellucid.explain.synthesis.parametrisations import SPREAD, Fourier, Pixels

objectives = pytest.importorskip("lucent.optvis.objectives")
param = pytest.importorskip("lucent.optvis.param")

from .differences import LIMIT, relative  # noqa: E402


@pytest.mark.parametrize("decorrelate", [True, False])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (31, 28)])
def test_fourier_images(size, decorrelate):
    h, w = size
    torch.manual_seed(0)
    parameters, image = param.image(w, h, batch=2, fft=True, decorrelate=decorrelate)
    noise = parameters[0].detach() / SPREAD
    ours = Fourier(noise, h, w, decorrelate=decorrelate)
    assert relative(ours.images().detach(), image().detach()) < LIMIT


@pytest.mark.parametrize("decorrelate", [True, False])
def test_pixel_images(decorrelate):
    torch.manual_seed(0)
    parameters, image = param.image(20, 30, batch=2, fft=False, decorrelate=decorrelate, sd=1.0)
    ours = Pixels(parameters[0].detach() / SPREAD, decorrelate=decorrelate)
    assert relative(ours.images().detach(), image().detach()) < LIMIT


def test_diversity():
    activation = torch.randn(4, 12, 5, 5, generator=torch.Generator().manual_seed(0))
    theirs = objectives.diversity("a")(lambda layer: activation)
    forward = Pass({"a": activation}, None, torch.zeros(4, 3, 40, 40), None)
    ours = similarity("a")(forward).sum()
    np.testing.assert_allclose(float(ours), -float(theirs), rtol=1e-5)
