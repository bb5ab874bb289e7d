"""Records survive the way through JSON, and nothing else passes for one."""

import json
import time
from fractions import Fraction

import pytest

from vsrpp_cli.media.types import ColorSpec, EncodeSettings, HdrMetadata, OutputPlan, Scan
from vsrpp_cli.records import from_json, to_json

ENCODE = EncodeSettings(
    kind="video",
    container="mp4",
    codec="libx264",
    pix_fmt="yuv420p",
    width=64,
    height=48,
    time_base=Fraction(1, 90000),
    frame_rate=None,
    color=ColorSpec(matrix="bt709", full_range=False, guessed=("matrix",)),
    display_matrix=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    hdr=HdrMetadata(primaries=((0.1, 0.2), (0.3, 0.4)), luminance=(0.005, 1000.0)),
    options=(("crf", "16"),),
)


def through_text(record):
    return from_json(type(record), json.loads(json.dumps(to_json(record))))


@pytest.mark.parametrize(
    "record",
    [ENCODE, OutputPlan(path="a b.mp4", encode=ENCODE),
     Scan(pts=(0, 1001, 2002), last_duration=1001)],
)  # fmt: skip
def test_a_record_comes_back_equal(record):
    assert through_text(record) == record


def test_a_field_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match=r"^unknown: extra; known here: pts, last_duration, "):
        from_json(Scan, {"pts": [], "last_duration": 1, "extra": 1})


@pytest.mark.parametrize("data", [{"pts": [0]}, {"pts": [0], "last_duration": "1"}, [], None])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(ValueError, match=r"record|not a"):
        from_json(Scan, data)


@pytest.mark.parametrize("word", ["film", "", None, 1])
def test_a_word_that_is_none_of_those_there_are_is_refused_with_its_field(word):
    data = to_json(ENCODE) | {"kind": word}
    with pytest.raises(ValueError, match=f"kind is {word!r}, but must be one of video, frames"):
        from_json(EncodeSettings, data)


def test_half_a_million_timestamps_pass_quickly():
    scan = Scan(pts=tuple(range(0, 500_000 * 1001, 1001)), last_duration=1001)
    started = time.process_time()
    assert through_text(scan) == scan
    assert time.process_time() - started < 20  # a bound against quadratic behaviour, not a speed
