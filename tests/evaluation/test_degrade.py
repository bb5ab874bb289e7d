"""BI and BD downsampling, held against the benchmark's own files and the formulas written out."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from support.places import SHARED
from vsrpp_cli.degrade import (
    bicubic_downsample,
    bicubic_upsample,
    blur_downsample,
    degrade_8bit,
    degrade_rgb,
)
from vsrpp_cli.errors import InputError, UnknownNameError

VID4 = SHARED / "data" / "vid4"


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8)


def keys(distance):
    d = abs(distance)
    if d <= 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


def imresize_row(row, scale):
    """MATLAB's published algorithm, one output value at a time."""
    size, count = len(row), math.ceil(len(row) * scale)
    stretch = min(scale, 1.0)
    mirrored = [*range(size), *reversed(range(size))]
    result = []
    for i in range(1, count + 1):
        centre = i / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(centre - 2 / stretch)
        taps = [(j, stretch * keys(stretch * (centre - j))) for j in range(left, left + 20)]
        total = sum(weight for _, weight in taps)
        result.append(sum(w * row[mirrored[(j - 1) % (2 * size)]] for j, w in taps) / total)
    return np.array(result)


@pytest.mark.skipif(not VID4.is_dir(), reason="the Vid4 benchmark is not here")
def test_bi_gives_every_low_resolution_frame_of_vid4_bit_for_bit():
    frames = sorted((VID4 / "GT").rglob("*.webp"))
    assert len(frames) == 171
    for path in frames:
        truth = np.asarray(Image.open(path)).transpose(2, 0, 1)
        expected = np.asarray(Image.open(VID4 / "BIx4" / path.relative_to(VID4 / "GT")))
        np.testing.assert_array_equal(
            degrade_8bit(truth, "bi"), expected.transpose(2, 0, 1), err_msg=str(path)
        )


@pytest.mark.parametrize("scale", [0.25, 0.5, 4])
def test_bicubic_follows_imresize_written_out(scale):
    row = np.random.default_rng(1).random(24)
    x = torch.from_numpy(np.repeat(row[None], 8, axis=0))
    ours = bicubic_upsample(x, 4) if scale == 4 else bicubic_downsample(x, round(1 / scale))
    np.testing.assert_allclose(ours[0].numpy(), imresize_row(row, scale), atol=1e-12)


def test_bd_is_a_12x12_gaussian_with_replicated_borders_sampled_from_the_second_pixel():
    frame = picture(16, 20)
    grid = np.arange(12) - 5.5
    kernel = np.exp(-(grid[:, None] ** 2 + grid[None] ** 2) / (2 * 1.6**2))
    kernel /= kernel.sum()
    padded = np.pad(frame.astype(float), ((0, 0), (5, 6), (5, 6)), mode="edge")
    expected = [
        [(padded[:, y : y + 12, x : x + 12] * kernel).sum((1, 2)) for x in range(1, 20, 4)]
        for y in range(1, 16, 4)
    ]
    ours = blur_downsample(torch.from_numpy(frame.astype(float)))
    np.testing.assert_allclose(ours.numpy(), np.array(expected).transpose(2, 0, 1), atol=1e-9)


@pytest.mark.parametrize("downsample", [bicubic_downsample, blur_downsample])
def test_a_linear_ramp_keeps_its_place(downsample):
    ramp = torch.arange(64.0).expand(1, 64, 64)
    middle = downsample(ramp)[0, 8, 5:11]
    torch.testing.assert_close(middle, torch.arange(5.0, 11) * 4 + 1.5, atol=1e-4, rtol=0)


def test_batches_of_clips_are_degraded_frame_by_frame_and_differentiably():
    clips = torch.rand(2, 3, 3, 16, 16, requires_grad=True)
    small = bicubic_downsample(clips, 4)
    assert small.shape == (2, 3, 3, 4, 4)
    torch.testing.assert_close(small[1, 2], bicubic_downsample(clips[1, 2], 4))
    small.sum().backward()
    torch.testing.assert_close(clips.grad.sum(), torch.tensor(2.0 * 3 * 3 * 4 * 4))


def test_autocast_does_not_cost_precision():
    x = torch.rand(3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(bicubic_downsample(x), bicubic_downsample(x.double()).float())


def test_rows_and_columns_beyond_a_multiple_are_left_off():
    frame = picture(19, 22)
    for kind in ("bi", "bd"):
        whole = degrade_8bit(frame[:, :16, :20], kind)
        assert whole.shape == (3, 4, 5)
        np.testing.assert_array_equal(degrade_8bit(frame, kind), whole)


@pytest.mark.parametrize("kind", ["bi", "bd"])
def test_float_frames_give_the_8_bit_values_exactly(kind):
    frame = picture(32, 32)
    rgb = (frame / 255).astype(np.float32)
    np.testing.assert_array_equal(
        degrade_rgb(rgb, kind, levels=255),
        (degrade_8bit(frame, kind) / 255).astype(np.float32),
    )


def test_unrounded_frames_stay_between_the_codes_and_inside_the_range():
    rgb = (picture(32, 32) > 127).astype(np.float32).copy()
    small = degrade_rgb(rgb, "bi")
    assert small.min() >= 0
    assert small.max() <= 1
    assert np.abs(small * 255 - np.rint(small * 255)).max() > 0.1


def test_unknown_kinds_and_tiny_frames_are_refused():
    with pytest.raises(UnknownNameError, match="'bx'"):
        degrade_8bit(picture(8, 8), "bx")
    with pytest.raises(InputError, match="3x2"):
        degrade_8bit(picture(2, 3), "bi")
