"""Parametrisations: spectra, colour, starts, and magnitudes that stay."""

import math

import pytest
import torch

from pellucid.errors import PellucidError
from pellucid.explain.synthesis.parametrisations import (
    COLOUR,
    Fourier,
    Maco,
    Pixels,
    correlated,
    decorrelated,
    frequency_scale,
    natural_magnitude,
    sample_magnitude,
)


def noise(shape, seed=0):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))


def test_colour_matrix_is_the_published_one_with_longest_column_one():
    assert float(COLOUR.norm(dim=0).max()) == pytest.approx(1)
    published = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    torch.testing.assert_close(COLOUR * math.sqrt(0.26**2 + 2 * 0.27**2), published)


def test_decorrelating_is_the_inverse():
    planes = noise((3, 5, 6)).double()
    torch.testing.assert_close(decorrelated(correlated(planes)), planes)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (16, 11)])
def test_every_parametrisation_gives_images_of_its_size(size):
    h, w = size
    made = [
        Pixels(noise(Pixels.noise_shape(h, w))),
        Fourier(noise(Fourier.noise_shape(h, w)), h, w),
        Maco(noise(Maco.noise_shape(h, w)), h, w, sample_magnitude(h, w)),
    ]
    for parametrisation in made:
        images = parametrisation.images()
        assert images.shape == (2, 3, h, w)
        assert bool((images > 0).all())
        assert bool((images < 1).all())
        (gradient,) = torch.autograd.grad(images.square().sum(), parametrisation.parameter)
        assert bool(gradient.isfinite().all())


def test_fourier_scale_by_hand():
    scale = frequency_scale(4, 8)
    assert scale.shape == (4, 5)
    assert float(scale[0, 0]) == pytest.approx(math.sqrt(32) * 8)  # the constant counts as frequency 1/8
    assert float(scale[1, 2]) == pytest.approx(math.sqrt(32) / math.hypot(1 / 4, 2 / 8))


def test_fourier_starts_near_grey():
    images = Fourier(noise(Fourier.noise_shape(64, 64)), 64, 64).images().detach()
    assert float((images - 0.5).abs().mean()) < 0.05


@pytest.mark.parametrize("decorrelate", [True, False])
@pytest.mark.parametrize("size", [(12, 10), (9, 13)])
def test_a_start_is_what_the_images_are(size, decorrelate):
    h, w = size
    start = 0.1 + 0.8 * torch.rand(2, 3, h, w, generator=torch.Generator().manual_seed(1))
    pixels = Pixels(torch.zeros(2, *Pixels.noise_shape(h, w)), decorrelate=decorrelate, start=start)
    spectrum = torch.zeros(2, *Fourier.noise_shape(h, w))
    fourier = Fourier(spectrum, h, w, decorrelate=decorrelate, start=start)
    torch.testing.assert_close(pixels.images(), start, atol=1e-4, rtol=0)
    torch.testing.assert_close(fourier.images(), start, atol=1e-4, rtol=0)


def test_maco_keeps_every_magnitude_whatever_the_phases():
    h, w = 16, 12
    magnitude = sample_magnitude(h, w)
    images = Maco(noise(Maco.noise_shape(h, w), seed=5).double(), h, w, magnitude.double()).images()
    spectrum = torch.fft.rfft2(decorrelated(images.logit())).abs()
    inner = (slice(None), slice(1, h // 2), slice(1, w // 2))  # the edges of the half plane are their own mirror images
    for one in spectrum:
        ratio = one[inner] / magnitude[inner]
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=2e-3, atol=0)


def test_natural_magnitudes_fall_with_frequency():
    magnitude = sample_magnitude(64, 64)
    low, high = magnitude[:, 2, 2].mean(), magnitude[:, 25, 25].mean()
    assert float(low / high) > 10


def test_magnitude_of_no_photo_is_refused():
    with pytest.raises(PellucidError, match="at least one photo"):
        natural_magnitude([], 8, 8)
