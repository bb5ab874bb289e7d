"""Clips made by the tests, and tiny networks with random weights in the published format."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig

TINY = NetworkConfig(
    channels=8,
    blocks=1,
    deform_groups=2,
    extract_blocks=1,
    reconstruct_blocks=1,
    hr_channels=8,
    spynet=SpynetConfig(levels=2, kernel=3, widths=(4, 4)),
)


def tiny_checkpoint(path, *, config=TINY, seed=0, neutral=False):
    """Write a random network as a published `.pth` and return the path.

    A neutral one adds nothing to what it enlarges bilinearly, or hands through at the same size.
    """
    torch.manual_seed(seed)
    network = BasicVSRPP(config)
    if neutral:
        torch.nn.init.zeros_(network.conv_last.weight)
        torch.nn.init.zeros_(network.conv_last.bias)
    state = {f"generator.{k}": v for k, v in network.state_dict().items()}
    torch.save({"state_dict": state | {"step_counter": torch.tensor(1)}, "meta": {}}, path)
    return path


def moving_picture(index, width, height):
    """Return frame `index` of a smooth pattern that drifts: (H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x + 0.7 * index, y - 0.4 * index
    planes = [np.sin(x / 5) * np.cos(y / 7), np.sin((x + y) / 9), np.cos(x / 11 - y / 6)]
    return ((np.stack(planes, -1) + 1) * 110 + 17).astype(np.uint8)


def write_clip(
    path: Path,
    frames=24,
    size=(64, 64),
    *,
    pts=None,
    time_base=Fraction(1, 24),
    cuts=(),
    audio=False,
    codec="libx264",
    options=None,
):
    """Encode the moving picture; at each index of `cuts` the scene is replaced by its negative."""
    pts = list(range(frames)) if pts is None else pts
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options or {"preset": "ultrafast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.flags |= av.codec.context.Flags.frame_duration
        sound = container.add_stream("aac", rate=48_000, layout="mono") if audio else None
        for index in range(frames):
            picture = moving_picture(index, *size)
            if sum(index >= cut for cut in cuts) % 2:
                picture = 255 - picture[::-1]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = pts[index], time_base
            following = pts[index + 1] if index + 1 < frames else 2 * pts[-1] - pts[-2]
            frame.duration = following - pts[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            seconds = float((pts[-1] - pts[0]) * time_base) + 1 / 24
            _write_tone(container, sound, seconds)
    return path


def _write_tone(container, sound, seconds):
    samples = np.sin(np.arange(int(48_000 * seconds)) * (2 * np.pi * 440 / 48_000))
    for start in range(0, len(samples), 1024):
        block = samples[None, start : start + 1024].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        container.mux(sound.encode(frame))
    container.mux(sound.encode())
