"""Encoders that are set to take less memory: they work, take less, and say what it costs."""

from pathlib import Path

import pytest

from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.encode.codec import try_out
from vsrpp_cli.media.encode.encoder_memory import encoder_ways
from vsrpp_cli.media.encode.encoder_table import ROWS
from vsrpp_cli.media.encode.selection import is_present, resolve
from vsrpp_cli.options import UpscaleOptions

SOURCE = Path(__file__).parents[1] / "data" / "streams" / "everything.mp4"
RESTRAINED = [row for row in ROWS if row.memory.light and is_present(row)]


def ways(name="o.mkv", *, free=True, threads=4, **options):
    settings = resolve(
        probe(str(SOURCE)), UpscaleOptions(**options), Path(name), scale=4, threads=threads
    )
    return encoder_ways(settings, free=free)


@pytest.mark.parametrize("row", RESTRAINED, ids=lambda row: row.encoder)
@pytest.mark.parametrize("preset", ["fast", "slower"])
def test_an_encoder_that_looks_less_far_ahead_works_and_takes_less(row, preset):
    usual, lighter = ways(codec=row.encoder, preset=preset)
    assert lighter.memory < usual.memory
    assert "fewer frames ahead" in lighter.settings.notes[-1]
    assert lighter.settings.options != usual.settings.options
    try_out(lighter.settings, in_child=False)


def test_what_the_user_sets_is_left_alone():
    assert len(ways(codec="hevc", free=False)) == 1


def test_parameters_are_replaced_not_repeated():
    _, lighter = ways(codec="hevc")
    params = dict(lighter.settings.options)["x265-params"].split(":")
    assert "frame-threads=1" in params
    assert len({param.partition("=")[0] for param in params}) == len(params)


def test_deep_pictures_and_full_chroma_take_more():
    sizes = [
        ways(codec="hevc", pix_fmt=pix_fmt)[0].memory
        for pix_fmt in ("yuv420p", "yuv422p", "yuv444p", "yuv444p10le")
    ]
    assert sizes == sorted(sizes)
    assert sizes[3] > 3 * sizes[0]


def test_slow_presets_and_further_threads_take_more():
    assert ways(codec="h264", preset="veryslow")[0].memory > 2 * ways(codec="h264")[0].memory
    one, four = (ways(codec="hevc", threads=threads)[0].memory for threads in (1, 4))
    assert one < four


def test_images_are_written_one_by_one_where_memory_is_short(tmp_path):
    usual, lighter = ways(str(tmp_path / "frames"), threads=4)
    assert (usual.settings.threads, lighter.settings.threads) == (4, 1)
    assert lighter.memory < usual.memory / 2
