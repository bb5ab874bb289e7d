"""Make the picture of docs/models.md: one scene made small in three ways, and made large again.

    python docs/make_model_pictures.py bird.mp4 docs/images/models.jpg

VIDEO is any sharp clip; the published picture is of `bird.mp4` from iagoCL/graxONo (CC0). Prints
the mean PSNR (dB, Y) of each way over the frames.
"""

import argparse
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vsrpp_cli.api.upscaler import Upscaler
from vsrpp_cli.degrade import bicubic_upsample, degrade_rgb
from vsrpp_cli.media.source import open_source
from vsrpp_cli.metrics import psnr, to_8bit

Frames = list[NDArray[np.float32]]
"""Each of shape (3, H, W), RGB, [0, 1]."""

LABEL = 18
"""Height of the lines of text, in pixels."""


def read(path: Path, start: Fraction, frames: int) -> Frames:
    """Return some frames of a video, cut to multiples of four pixels."""
    source = open_source(path)
    scan = source.scan(scenes=False, start=start, frames=frames)
    pictures = [frame.rgb for frame in source.read(scan, 0, scan.frames)]
    return [p[:, : p.shape[1] // 4 * 4, : p.shape[2] // 4 * 4] for p in pictures]


def compressed(frames: Frames) -> Frames:
    """Return the frames after H.264 at a low quality (CRF 29), as web video has it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.mp4"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=25, options={"crf": "29"})
            stream.height, stream.width = frames[0].shape[1] // 2 * 2, frames[0].shape[2] // 2 * 2
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                picture = to_8bit(frame)[:, : stream.height, : stream.width].transpose(1, 2, 0)
                frame_of_video = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
                file.mux(stream.encode(frame_of_video))
            file.mux(stream.encode())
        source = open_source(path)
        scan = source.scan(scenes=False)
        return [frame.rgb for frame in source.read(scan, 0, scan.frames)]


def bicubic(frames: Frames) -> Frames:
    """Return the frames four times larger by interpolation."""
    return [bicubic_upsample(torch.from_numpy(f)).clamp(0, 1).numpy() for f in frames]


def nearest(frames: Frames) -> Frames:
    """Return the frames with every pixel four times as large."""
    return [f.repeat(4, 1).repeat(4, 2) for f in frames]


def upscaled(model: Upscaler, frames: Frames) -> Frames:
    """Return the frames four times larger by a model."""
    return list(model.upscale_frames(frames))


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--start", type=Fraction, default=Fraction(1), help="seconds")
    parser.add_argument("--frames", type=int, default=7)
    parser.add_argument("--crop", type=int, nargs=4, metavar=("X", "Y", "W", "H"),
                        default=(500, 190, 240, 180))  # fmt: skip
    chosen = parser.parse_args()
    originals = read(chosen.video, chosen.start, chosen.frames)
    small = [degrade_rgb(f, "bi", levels=255) for f in originals]
    inputs = {
        "BI": small,
        "BD": [degrade_rgb(f, "bd", levels=255) for f in originals],
        "BI, compressed": compressed(small),
    }
    models = {name: Upscaler(name) for name in ("compact", "compact-web")}
    ways: dict[str, Callable[[Frames], Frames]] = {
        "input, pixels enlarged": nearest,
        "bicubic": bicubic,
        **{name: partial(upscaled, model) for name, model in models.items()},
    }
    x, y, w, h = chosen.crop
    sheet = Image.new("RGB", (w * (len(ways) + 1), (h + LABEL) * len(inputs)), "white")
    for row, (kind, frames) in enumerate(inputs.items()):
        results = {name: way(frames) for name, way in ways.items()}
        for column, (name, pictures) in enumerate({**results, "original": originals}.items()):
            text = f"{kind}: {name}" if column == 0 else name
            if name in ("bicubic", *models):
                text += f", {mean_psnr(pictures, originals):.2f} dB"
                print(f"{kind:16} {text}")
            crop = to_8bit(pictures[len(pictures) // 2])[:, y : y + h, x : x + w]
            place = (column * w, row * (h + LABEL))
            ImageDraw.Draw(sheet).text((place[0] + 4, place[1] + 3), text, fill="black")
            sheet.paste(Image.fromarray(crop.transpose(1, 2, 0)), (place[0], place[1] + LABEL))
    sheet.save(chosen.picture, quality=90, subsampling=0)


def mean_psnr(pictures: Frames, originals: Frames) -> float:
    """Return the mean PSNR on Y where both have pixels, 8 of them left out on each side."""
    values = []
    for picture, original in zip(pictures, originals, strict=True):
        height, width = picture.shape[1:]
        values.append(psnr(to_8bit(picture), to_8bit(original[:, :height, :width]), border=8))
    return float(np.mean(values))


if __name__ == "__main__":
    main()
