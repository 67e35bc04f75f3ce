"""Parametrisations: from a few numbers that are optimised to an image in [0, 1].

What an ascent finds depends on the space it climbs in: in pixels the steepest way is high-frequency noise; in Fourier
space with 1/f scaling and decorrelated colour, the way that looks natural is as steep as any (Olah et al. 2017).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pellucid.errors import PellucidError

SPREAD = 0.01
"""The standard deviation of what an ascent starts from."""

_CORRELATION = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
# The square root of the colour covariance of ImageNet, scaled so that its longest column has length 1.
COLOUR = _CORRELATION / _CORRELATION.norm(dim=0).max()


def correlated(planes: Tensor) -> Tensor:
    """Decorrelated colour planes (…, 3, h, w) as red, green and blue before the sigmoid."""
    return torch.einsum("rc,...chw->...rhw", COLOUR.to(planes), planes)


def decorrelated(colours: Tensor) -> Tensor:
    """The inverse of :func:`correlated`."""
    return torch.einsum("cr,...rhw->...chw", torch.linalg.inv(COLOUR.double()).to(colours), colours)


def _unsquashed(images: Tensor) -> Tensor:
    """What the sigmoid makes the images of; pure black and white are drawn in a little, where it still has a slope."""
    return images.clamp(0.01, 0.99).logit()


class Parametrisation(ABC):
    """Numbers to optimise, and the images (N, 3, h, w) in [0, 1] that they stand for."""

    parameter: Tensor

    @abstractmethod
    def images(self) -> Tensor:
        """The images as they now are, with their graph."""


class Pixels(Parametrisation):
    """Every pixel is a number of its own: sigmoid(colour · x)."""

    def __init__(self, noise: Tensor, *, decorrelate: bool = True, start: Tensor | None = None) -> None:
        self.decorrelate = decorrelate
        planes = SPREAD * noise
        if start is not None:
            planes = planes + _as_planes(start, decorrelate)
        self.parameter = planes.requires_grad_()

    @staticmethod
    def noise_shape(height: int, width: int) -> tuple[int, ...]:
        """What one image's noise must be."""
        return (3, height, width)

    def images(self) -> Tensor:
        planes = self.parameter
        return (correlated(planes) if self.decorrelate else planes).sigmoid()


class Fourier(Parametrisation):
    """Every frequency is a number of its own, scaled by 1/f: sigmoid(colour · inverse FFT / 4)."""

    def __init__(
        self, noise: Tensor, height: int, width: int, *, decorrelate: bool = True, start: Tensor | None = None
    ) -> None:
        self.size = (height, width)
        self.decorrelate = decorrelate
        self.scale = frequency_scale(height, width).to(noise)[..., None]
        spectrum = SPREAD * noise
        if start is not None:
            planes = 4 * _as_planes(start, decorrelate)
            spectrum = spectrum + torch.view_as_real(torch.fft.rfft2(planes)) / self.scale
        self.parameter = spectrum.requires_grad_()

    @staticmethod
    def noise_shape(height: int, width: int) -> tuple[int, ...]:
        """What one image's noise must be: real and imaginary part of half the plane of frequencies."""
        return (3, height, width // 2 + 1, 2)

    def images(self) -> Tensor:
        spectrum = torch.view_as_complex(self.parameter * self.scale)
        planes = torch.fft.irfft2(spectrum, s=self.size) / 4
        return (correlated(planes) if self.decorrelate else planes).sigmoid()


def frequency_scale(height: int, width: int) -> Tensor:
    """(h, w//2 + 1): √(wh) / max(f, 1/max(w, h)), f the frequency in cycles a pixel, after the 1/f of photos."""
    rows = torch.fft.fftfreq(height)[:, None]
    columns = torch.fft.rfftfreq(width)[None]
    frequency = (rows.square() + columns.square()).sqrt()
    return (height * width) ** 0.5 / frequency.clamp(min=1 / max(height, width))


class Maco(Parametrisation):
    """Only phases are optimised; the magnitude of every frequency is that of natural photos (Fel et al. 2023).

    The planes are brought to mean 0 and deviation 1 before colour and sigmoid, so that contrast stays what it is.
    """

    def __init__(self, noise: Tensor, height: int, width: int, magnitude: Tensor, start: Tensor | None = None) -> None:
        self.size = (height, width)
        self.magnitude = magnitude.to(noise)
        phase = noise
        if start is not None:
            phase = torch.fft.rfft2(_as_planes(start, True)).angle() + 0.0 * noise
        self.parameter = phase.clone().requires_grad_()

    @staticmethod
    def noise_shape(height: int, width: int) -> tuple[int, ...]:
        """What one image's noise must be: a phase for each frequency."""
        return (3, height, width // 2 + 1)

    def images(self) -> Tensor:
        planes = torch.fft.irfft2(torch.polar(self.magnitude.expand_as(self.parameter), self.parameter), s=self.size)
        centred = planes - planes.mean((1, 2, 3), keepdim=True)
        return correlated(centred / (centred.std((1, 2, 3), keepdim=True) + 1e-4)).sigmoid()


def natural_magnitude(photos: Sequence[Tensor], height: int, width: int) -> Tensor:
    """(3, h, w//2 + 1): the mean magnitude spectrum of photos (3, H, W) in [0, 1], in decorrelated colour.

    Each photo gives its largest central crop of the right shape and that crop's mirror images, so that no direction is
    preferred that the photos do not prefer. Raises PellucidError where there is no photo.
    """
    if not photos:
        raise PellucidError("MACO: give at least one photo to take the magnitude spectrum of")
    spectra = []
    for photo in photos:
        H, W = photo.shape[-2:]
        scale = min(H / height, W / width)
        crop_height, crop_width = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (H - crop_height) // 2, (W - crop_width) // 2
        crop = photo[:, top : top + crop_height, left : left + crop_width].float()[None]
        resized = torch.nn.functional.interpolate(crop, (height, width), mode="bilinear", antialias=True)[0]
        planes = decorrelated(_unsquashed(resized))
        # A smooth edge, so that the jump from one side of the crop to the other does not show as a cross.
        window = torch.hann_window(height, periodic=False)[:, None] * torch.hann_window(width, periodic=False)
        centred = (planes - planes.mean((1, 2), keepdim=True)) * window
        spectra += [torch.fft.rfft2(version).abs() for version in (centred, centred.flip(-1))]
    return torch.stack(spectra).mean(0)


@lru_cache(maxsize=8)
def sample_magnitude(height: int, width: int) -> Tensor:
    """The magnitude spectrum of the photos that scikit-image brings along."""
    from skimage import data

    photos = [data.astronaut(), data.chelsea(), data.coffee()]
    return natural_magnitude([torch.from_numpy(p.copy()).permute(2, 0, 1) / 255 for p in photos], height, width)


def _as_planes(images: Tensor, decorrelate: bool) -> Tensor:
    planes = _unsquashed(images)
    return decorrelated(planes) if decorrelate else planes
