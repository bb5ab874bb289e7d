"""`benchmarks/around.py`, which `end_to_end.py` measures the parts around the network with."""

from pathlib import Path

import numpy as np

from support.benchmarks import script
from support.places import ROOT
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.source import open_source
from vsrpp_cli.options import UpscaleOptions

around = script("around")
EXAMPLE = ROOT / "examples" / "chickens.mp4"


def frames(clip, count):
    source = open_source(clip)
    return list(source.read(source.scan(scenes=False, frames=count), 0, count))


def test_a_clip_is_repeated_across_and_down(tmp_path):
    (large,) = frames(around.mosaic(EXAMPLE, 3, 1, tmp_path / "large.mp4"), 1)
    (small,) = frames(EXAMPLE, 1)
    assert large.rgb.shape == (3, 540, 960)
    for row in range(3):
        for column in range(3):
            part = large.rgb[:, 180 * row :, 320 * column :][:, :180, :320]
            assert np.abs(part - small.rgb).mean() < 0.01


def test_each_part_takes_time_and_presets_are_compared(tmp_path):
    settings = resolve(
        open_source(EXAMPLE).info, UpscaleOptions(), Path("out.mp4"), scale=1, threads=1
    )
    made = frames(EXAMPLE, 2)
    rows = dict(around.parts(EXAMPLE, made, settings, ["veryfast", "medium"], tmp_path / "a.mkv"))
    assert list(rows) == [
        "decoding",
        "conversion to RGB",
        "conversion to code values",
        "encoding, libx264, preset medium",
        "encoding, libx264, preset veryfast",
    ]
    assert min(rows.values()) >= 0
    assert len(frames(tmp_path / "a.mkv", 2)) == 2
