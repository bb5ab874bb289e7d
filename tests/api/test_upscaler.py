"""A loaded model in the hands of a script: frames of every kind, videos, and its memory."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from support.clips import tiny_checkpoint, write_clip
from support.commands import ffprobe, frame_hashes, vsrpp
from support.tiny import moving_frames
from vsrpp_cli import InputError, UpscaleOptions, Upscaler, UsageError
from vsrpp_cli.planning.budget import Geometry


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


@pytest.fixture(scope="module")
def upscaler(model):
    with Upscaler(model, device="cpu", precision="fp32", chunk=9, threads=1) as upscaler:
        yield upscaler


@pytest.fixture(scope="module")
def floats():
    """Three frames of 60x50, (3, H, W), in [0, 1]."""
    return moving_frames(3, 60, 50)


@pytest.fixture(scope="module")
def expected(upscaler, floats):
    return np.stack(list(upscaler.upscale_frames(floats)))


def last(frame):
    """Move the colours to the end."""
    return np.moveaxis(frame, 0, -1)


def whole(frame):
    return np.rint(frame * 255).astype(np.uint8)


KINDS = {
    "uint8": whole,
    "uint8, colours last": lambda f: whole(last(f)),
    "float16": lambda f: f.astype(np.float16),
    "float64, colours last": lambda f: last(f).astype(np.float64),
    "tensor": torch.from_numpy,
    "tensor, bfloat16": lambda f: torch.from_numpy(f).bfloat16(),
    "tensor, uint8, colours last": lambda f: torch.from_numpy(whole(last(f))),
    "tensor with a gradient": lambda f: torch.from_numpy(f).requires_grad_(),
    "image": lambda f: Image.fromarray(whole(last(f))),
}


def as_floats(frame):
    """Return whatever it is as (3, H, W) in [0, 1]."""
    array = frame.float().numpy() if isinstance(frame, torch.Tensor) else np.asarray(frame)
    array = array / 255 if array.max() > 1 else array
    return array if array.shape[0] == 3 else np.moveaxis(array, -1, 0)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_what_comes_out_is_of_the_kind_that_went_in(upscaler, floats, expected, make):
    given = [make(frame) for frame in floats]
    made = list(upscaler.upscale_frames(given))
    assert len(made) == 3
    for frame, right in zip(made, expected, strict=True):
        assert type(frame) is type(given[0]) or isinstance(frame, Image.Image)
        assert getattr(frame, "dtype", None) == getattr(given[0], "dtype", None)
        channels_last = isinstance(frame, Image.Image) or given[0].shape[-1] == 3
        assert np.asarray(np.shape(frame)).tolist() == (
            [200, 240, 3] if channels_last else [3, 200, 240]
        )
        np.testing.assert_allclose(as_floats(frame), right, atol=0.03)


def test_an_array_or_a_tensor_with_one_more_axis_holds_several_frames(upscaler, floats, expected):
    for clip in np.stack(floats), torch.from_numpy(np.stack(floats)):
        made = np.stack([np.asarray(frame) for frame in upscaler.upscale_frames(clip)])
        np.testing.assert_array_equal(made, expected)


def test_streams_of_unknown_length_are_read_as_needed(upscaler):
    frames = moving_frames(14)
    made = np.stack(list(upscaler.upscale_frames(iter(frames))))
    assert made.shape == (14, 3, 256, 256)
    read = []
    stream = upscaler.upscale_frames(read.append(n) or frame for n, frame in enumerate(frames))
    next(stream)
    assert len(read) <= 9
    assert list(upscaler.upscale_frames([])) == []


BAD = {
    "bytes as floats": (np.full((3, 64, 64), 128.0), r"from 128 to 128: must be in 0\.\.1"),
    "tensors likewise": (torch.full((3, 64, 64), 255.0), r"from 255 to 255: must be in 0\.\.1"),
    "no numbers": (np.full((3, 64, 64), np.nan), r"nan to nan: must be in 0\.\.1"),
    "grey": (np.zeros((64, 64)), r"shape \(64, 64\): must be RGB"),
    "alpha": (np.zeros((64, 64, 4), np.uint8), r"shape \(64, 64, 4\): must be RGB"),
    "16 bits": (np.zeros((64, 64, 3), np.uint16), r"array of uint16 .*must be uint8"),
    "whole numbers": (torch.zeros((3, 64, 64), dtype=torch.int64), r"torch.int64 .*must be uint8"),
    "image with alpha": (Image.new("RGBA", (64, 64)), r"mode RGBA .*convert\('RGB'\)"),
    "file name": ("frame.png", r"class builtins.str: must be a NumPy array"),
}  # fmt: skip


@pytest.mark.parametrize(("frame", "message"), BAD.values(), ids=BAD)
def test_other_frames_are_refused_in_one_line_that_says_what_they_are(upscaler, frame, message):
    with pytest.raises(InputError, match=message) as caught:
        list(upscaler.upscale_frames([frame]))
    assert "\n" not in str(caught.value)


def test_frames_of_different_kinds_are_refused(upscaler):
    small, wide = np.zeros((3, 64, 64)), np.zeros((3, 64, 65))
    for other in wide, torch.from_numpy(small), small.astype(np.float32):
        with pytest.raises(InputError, match=r"frame 1 is an? .*, the first one an? array"):
            list(upscaler.upscale_frames([small, other]))


def test_as_many_tiles_are_computed_together_as_planned(upscaler):
    geometry = Geometry(chunk=9, overlap=4, tile_w=64, tile_h=64, tile_overlap=8, memory=1, batch=3)
    assert upscaler._session.engine(geometry)._ladder.batch == 3


def test_at_the_end_of_the_with_the_networks_are_gone(model, floats):
    with Upscaler(model, device="cpu", precision="fp32", threads=1) as upscaler:
        frames = list(upscaler.upscale_frames(floats))
        network = weakref.ref(upscaler._session.networks[0])
        engine = weakref.ref(upscaler._session.engine(upscaler._session.geometry(60, 50)))
    del frames
    gc.collect()
    assert network() is None
    assert engine() is None
    with pytest.raises(UsageError, match="closed"):
        next(upscaler.upscale_frames(floats))


def test_a_video_is_upscaled_as_the_command_does_it(model, tmp_path, capsys):
    clip = write_clip(tmp_path / "in.mp4", 4)
    seen = []
    with Upscaler(model, device="cpu", precision="fp32", threads=1) as upscaler:
        report = upscaler.upscale_video(
            clip,
            tmp_path / "out.mp4",
            UpscaleOptions(height=128, encoder_options={"tune": "film"}),
            progress=True,
            on_progress=seen.append,
        )
    assert (report.status, report.frames, report.size) == ("done", 4, (128, 128))
    assert ffprobe(tmp_path / "out.mp4", "-show_streams")["streams"][0]["height"] == 128
    assert {"scan", "rehearse", "compute", "verify"} <= {record.phase for record in seen}
    assert "upscaling: 100%" in capsys.readouterr().err
    options = ("-m", model, "--device", "cpu", "--precision", "fp32", "--threads", 1)
    more = ("--height", 128, "--encoder-option", "tune=film")
    vsrpp("upscale", clip, tmp_path / "cli.mp4", *options, *more, check=0)
    assert frame_hashes(tmp_path / "out.mp4") == frame_hashes(tmp_path / "cli.mp4")


def test_options_of_the_upscaler_are_not_given_twice(upscaler, tmp_path):
    options = UpscaleOptions(model="compact", chunk=5, crf=20)
    with pytest.raises(UsageError, match=r"^`model`, `chunk`: .*give it there"):
        upscaler.upscale_video("in.mp4", tmp_path / "out.mp4", options)


def test_options_of_an_output_are_none_of_the_upscaler_s(model):
    with pytest.raises(TypeError, match="crf"):
        Upscaler(model, crf=3)


def test_pillow_is_not_imported_by_the_package():
    code = "import sys, vsrpp_cli; vsrpp_cli.Upscaler; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
