"""Gaussian blur and gaussian derivatives of images of several channels."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


def smoothed(channels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Each channel of (C, H, W) blurred; beyond the border the image goes on as its last pixel."""
    return np.stack([gaussian_filter(channel, sigma, mode="nearest") for channel in channels])


def derivatives(channels: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The gaussian derivatives along x and along y of each channel: (C, H, W) both."""
    along_x = [gaussian_filter(channel, sigma, order=(0, 1), mode="nearest") for channel in channels]
    along_y = [gaussian_filter(channel, sigma, order=(1, 0), mode="nearest") for channel in channels]
    return np.stack(along_x), np.stack(along_y)
