"""PSNR and SSIM, held against scikit-image and the formulas written out."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vsrpp_cli.errors import UsageError
from vsrpp_cli.metrics import luma, psnr, ssim, to_8bit


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:83, 0:150]
    smooth = 128 + 80 * np.sin(x / 7 + y / 11) + random.normal(0, 12, (3, 83, 150))
    first = smooth.clip(0, 255).astype(np.uint8)
    second = (smooth + random.normal(0, 9, smooth.shape)).clip(0, 255).astype(np.uint8)
    return first, second


def reference_ssim(first, second):
    return structural_similarity(
        first,
        second,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


def reference_luma(picture):
    r, g, b = picture.astype(float) / 255
    return 65.481 * r + 128.553 * g + 24.966 * b + 16


def test_psnr_on_y_agrees_with_scikit_image(pair):
    expected = peak_signal_noise_ratio(*map(reference_luma, pair), data_range=255)
    assert psnr(*pair) == pytest.approx(expected, abs=1e-6)


def test_psnr_on_rgb_agrees_with_scikit_image(pair):
    expected = peak_signal_noise_ratio(*pair, data_range=255)
    assert psnr(*pair, channels="rgb") == pytest.approx(expected, abs=1e-6)


def test_ssim_on_y_agrees_with_scikit_image(pair):
    expected = reference_ssim(*map(reference_luma, pair))
    assert ssim(*pair) == pytest.approx(expected, abs=1e-6)


def test_ssim_on_rgb_is_the_mean_over_channels(pair):
    expected = np.mean([reference_ssim(*planes) for planes in zip(*pair, strict=True)])
    assert ssim(*pair, channels="rgb") == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_picture_as_small_as_its_window_is_the_formula(pair):
    first, second = (picture[:, :11, :11] for picture in pair)
    x, y = reference_luma(first), reference_luma(second)
    w = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    w = np.outer(w, w) / w.sum() ** 2
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * x * x).sum() - mx**2, (w * y * y).sum() - my**2, (w * x * y).sum() - mx * my
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(first, second) == pytest.approx(expected, abs=1e-9)


def test_a_border_is_left_out(pair):
    first, second = pair
    inside = first[:, 4:-4, 4:-4], second[:, 4:-4, 4:-4]
    assert psnr(first, second, border=4) == psnr(*inside)
    assert ssim(first, second, border=4) == ssim(*inside)


def test_equal_pictures_are_infinitely_alike(pair):
    assert psnr(pair[0], pair[0]) == math.inf
    assert ssim(pair[0], pair[0]) == pytest.approx(1)


def test_luma_spans_16_to_235():
    black_and_white = np.zeros((3, 1, 2), np.uint8)
    black_and_white[..., 1] = 255
    np.testing.assert_allclose(luma(black_and_white), [[16, 235]])


def test_rounding_to_8_bits_clips():
    values = np.array([-0.1, 0.0, 0.5 / 255 + 1e-6, 1.0, 1.2], dtype=np.float32)
    assert to_8bit(values).tolist() == [0, 0, 1, 255, 255]


def test_pictures_of_different_sizes_are_refused(pair):
    with pytest.raises(UsageError, match="150x83 and 149x83"):
        psnr(pair[0], pair[1][..., :-1])


def test_a_border_that_leaves_nothing_is_refused(pair):
    with pytest.raises(UsageError, match="border of 40"):
        ssim(*pair, border=40)


def test_unknown_channels_are_refused(pair):
    with pytest.raises(UsageError, match="'u'"):
        psnr(*pair, channels="u")
