import numpy as np
from skimage.color import rgb2lab

from pellucid.report.colours import around_grey, heat_ramp, muted, overlay, signed


def test_no_heat_is_the_muted_photo():
    photo = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert (overlay(photo, np.zeros((5, 7))) == muted(photo)).all()
    assert (overlay(photo, np.full((5, 7), np.nan)) == muted(photo)).all()
    assert (overlay(photo, np.full((5, 7), 9.0)) == overlay(photo, np.ones((5, 7)))).all()


def test_more_heat_is_lighter_over_a_mid_grey_photo():
    lightness = rgb2lab(heat_ramp(256, 1))[0, :, 0]
    smooth = np.convolve(lightness, np.ones(9) / 9, mode="valid")
    assert (np.diff(smooth[40:]) > 0).all()
    assert lightness[-1] > lightness[0] + 50


def test_signed_values_are_neutral_at_zero_and_mirror_images_about_it():
    picture = signed(np.array([[-2.0, 0.0, 2.0, 1e-9]]))[0].astype(int)
    assert np.ptp(picture[1]) <= 2
    assert picture[0, 2] > picture[0, 0]
    assert picture[2, 0] > picture[2, 2]
    assert (picture[3] == picture[1]).all()
    assert (signed(np.zeros((2, 2))) == picture[1]).all()


def test_rgb_values_stand_around_mid_grey():
    assert around_grey(np.array([[[0.0, -0.5, 0.5]]])).tolist() == [[[128, 1, 255]]]
    assert (around_grey(np.zeros((2, 2, 3))) == 128).all()
