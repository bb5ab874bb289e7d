"""Joining segments: exact times, and everything else of the source carried over."""

import io
import json
import shutil
import struct
import subprocess
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import pytest

from support.clips import write_clip
from support.joining import STREAMS, encode, produce, scan_of
from vsrpp_cli.errors import DiskFullError, EncoderError, StrictError
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.encode.output_errors import output_errors
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.mux.join import decoding_times, display_size, join
from vsrpp_cli.media.mux.stream_copy import MILLISECOND
from vsrpp_cli.media.mux.stream_selection import plan_streams
from vsrpp_cli.media.mux.timeline import timeline
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import OutputPlan, Scan
from vsrpp_cli.options import UpscaleOptions

MKV = STREAMS / "everything.mkv"
MP4 = STREAMS / "everything.mp4"
TICKS = Fraction(1, 90000)


def times(path, kind="video", index=0):
    """Return presentation times in seconds, in order, of what is not hidden."""
    with av.open(str(path)) as file:
        stream = file.streams.get({kind: index})[0]
        packets = [p for p in file.demux(stream) if p.size and not p.is_discard]
        return sorted(p.pts * stream.time_base for p in packets)


def payloads(path, kind="audio", index=0):
    with av.open(str(path)) as file:
        stream = file.streams.get({kind: index})[0]
        return [bytes(packet) for packet in file.demux(stream) if packet.size]


def choices(path, output, **options):
    info = probe(str(path))
    chosen = UpscaleOptions(**options)
    settings = resolve(info, chosen, output, scale=1, threads=1)
    return plan_streams(info, settings, chosen)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The Matroska source joined into each container."""
    folder = tmp_path_factory.mktemp("kept")
    outputs = {}
    for suffix in (".mkv", ".mp4", ".mov", ".webm"):
        outputs[suffix] = folder / f"o{suffix}"
        produce(MKV, outputs[suffix], options=UpscaleOptions(preset="veryfast"))
    return outputs


# Time


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_variable_rates_late_starts_and_b_frames_keep_every_time_exactly(suffix, tmp_path):
    pts = tuple(123457 + 3003 * i + (i * i * 37) % 1500 for i in range(20))
    scan = Scan(pts=pts, last_duration=777)
    info = replace(probe(str(MP4)), time_base=TICKS)
    produce(MP4, tmp_path / f"o{suffix}", scan=scan, info=info, segment=6)
    assert times(tmp_path / f"o{suffix}") == [p * TICKS for p in pts]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    "unit",
    [Fraction(1, 24), Fraction(1001, 30000), Fraction(1, 14_112_000), Fraction(1, 1_000_000_000)],
)
def test_any_time_base_is_kept(unit, suffix, tmp_path):
    step = round(Fraction(1, 24) / unit)
    pts = tuple(7 * step + 1 + i * step + (i % 3 if step > 3 else 0) for i in range(9))
    info = replace(probe(str(MP4)), time_base=unit)
    produce(MP4, tmp_path / f"o{suffix}", scan=Scan(pts=pts, last_duration=step), info=info)
    if suffix == ".mp4":
        assert times(tmp_path / "o.mp4") == [p * unit for p in pts]


def test_matroska_rounds_to_milliseconds(tmp_path):
    pts = tuple(123457 + 3003 * i + (i * i * 37) % 1500 for i in range(20))
    info = replace(probe(str(MP4)), time_base=TICKS)
    produce(MP4, tmp_path / "o.mkv", scan=Scan(pts=pts, last_duration=777), info=info)
    for found, exact in zip(times(tmp_path / "o.mkv"), pts, strict=True):
        assert abs(found - exact * TICKS) <= Fraction(1, 2000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_closer_than_a_millisecond_survive_segments(suffix, tmp_path):
    info = replace(probe(str(MP4)), time_base=Fraction(1, 1_000_000))
    scan = Scan(pts=(0, 700, 1400, 40_000, 80_000), last_duration=40_000)
    if suffix == ".mp4":
        produce(MP4, tmp_path / "o.mp4", scan=scan, info=info, segment=3)
        assert times(tmp_path / "o.mp4") == [Fraction(p, 1_000_000) for p in scan.pts]
    else:
        produce(MP4, tmp_path / "o.mkv", scan=scan, info=info, segment=3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_begins_before_zero_is_moved_up_together(suffix, tmp_path):
    source = scan_of(MP4)
    scan = replace(source, pts=tuple(p - 1024 for p in source.pts))
    output = tmp_path / f"o{suffix}"
    produce(MP4, output, scan=scan)
    assert times(output)[0] == 0
    moved = 1024 * probe(str(MP4)).time_base
    assert times(output, "audio")[0] - times(MP4, "audio")[0] == pytest.approx(moved, abs=1e-3)


def test_one_frame_alone(tmp_path):
    produce(MP4, tmp_path / "o.mp4", scan=scan_of(MP4, 0, 1))
    assert times(tmp_path / "o.mp4") == [0]


def test_decoding_times_increase_and_last_as_long_as_the_frames():
    pts = [0, 10, 15, 40, 90, 100]
    decoded = decoding_times(pts, 2, 5)
    assert decoded == sorted(set(decoded))
    assert decoded[-1] + 5 - decoded[0] == 100
    assert all(d <= p for d, p in zip(decoded, pts, strict=False))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_takes_sound_subtitles_and_chapters_with_it(suffix, tmp_path):
    info, scan = probe(str(MKV)), scan_of(MKV, 10, 22)
    options = UpscaleOptions(start=Fraction(2, 5), frames=12)
    output = tmp_path / f"o{suffix}"
    produce(MKV, output, options=options, scan=scan)
    start = scan.pts[0] * info.time_base
    end = (scan.pts[-1] + scan.last_duration) * info.time_base
    wanted = [t - start for t in times(MKV, "audio") if start <= t < end]
    found = times(output, "audio")
    assert found == pytest.approx(wanted, abs=1e-3)
    assert times(output)[0] == 0
    with av.open(str(output)) as file:
        chapters = [(c["metadata"]["title"], c["start"] * c["time_base"]) for c in file.chapters()]
        assert [title for title, _ in chapters] == ["One", "Two"]
        assert chapters[1][1] == pytest.approx(Fraction(1, 2) - start, abs=1e-3)


def test_without_a_cut_nothing_is_left_out():
    info = probe(str(MP4))
    settings = resolve(info, UpscaleOptions(), Path("o.mp4"), scale=1, threads=1)
    line = timeline(scan_of(MP4), settings, info.time_base)
    assert (line.shift, line.start, line.end) == (0, None, None)


# Streams


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_sound_is_copied_byte_by_byte(kept, suffix):
    assert payloads(kept[suffix]) == payloads(MKV)
    if suffix != ".mov":
        assert payloads(kept[suffix], index=1) == payloads(MKV, index=1)


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_sound_is_converted_where_the_container_refuses_it(kept, suffix):
    with av.open(str(kept[suffix])) as file:
        codecs = [stream.codec_context.name for stream in file.streams.audio]
        (length,) = {
            sum(frame.samples for frame in file.decode(file.streams.audio[1]))
            / file.streams.audio[1].rate
        }
    assert codecs == (["aac", "alac"] if suffix == ".mov" else ["opus", "opus"])
    assert length == pytest.approx(1.2, abs=0.03)


def test_a_lossless_conversion_keeps_every_sample(kept):
    def samples(path):
        with av.open(str(path)) as file:
            stream = file.streams.audio[1]
            resampler = av.AudioResampler(format="s32", layout="mono")
            frames = [f for g in file.decode(stream) for f in resampler.resample(g)]
        return np.concatenate([f.to_ndarray()[0] for f in frames])

    before, after = samples(MKV), samples(kept[".mov"])
    # FFmpeg 8.1 ends sound that begins late by as much too early when it reads MOV.
    early = 1012 if version("av") >= "19" else 0
    assert len(after) >= len(before) - early
    assert np.array_equal(before[: len(after)], after)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_languages_titles_and_dispositions_survive(kept, suffix):
    with av.open(str(kept[suffix])) as file:
        first, second = file.streams.audio
        assert first.language == {".mov": "ger"}.get(suffix, "deu")
        assert second.language == "eng"
        titled = "handler_name" if suffix in (".mp4", ".mov") else "title"
        assert second.metadata[titled] == "Comment"
        if suffix in (".mkv", ".mp4"):
            assert "comment" in second.disposition.name
        assert file.streams.subtitles[0].language == "fra"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_text_subtitles_keep_words_italics_and_times(kept, suffix):
    with av.open(str(kept[suffix])) as file:
        stream = file.streams.subtitles[0]
        stream.codec_context.open(strict=False)
        found = [
            (float(p.pts * stream.time_base), event.ass.decode())
            for p in file.demux(stream)
            if p.size
            for event in stream.codec_context.decode(p)
        ]
    spoken = [(t, text) for t, text in found if text.rsplit(",,", 1)[-1]]
    assert [t for t, _ in spoken] == pytest.approx([0.223, 0.823], abs=0.002)
    assert "Hello" in spoken[0][1]
    assert "\\i1" in spoken[0][1]
    assert "Wörld" in spoken[0][1]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_chapters_survive(kept, suffix):
    with av.open(str(kept[suffix])) as file:
        found = [(c["metadata"]["title"], c["end"] * c["time_base"]) for c in file.chapters()]
    assert found == [("One", Fraction(1, 2)), ("Two", Fraction(6, 5))]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_tags_of_the_file_survive(kept, suffix):
    with av.open(str(kept[suffix])) as file:
        tags = {key.lower(): value for key, value in file.metadata.items()}
    assert (tags["title"], tags["artist"]) == ("The Film", "Me")
    if suffix != ".mp4":  # beside cover art MP4 has room for known tags only
        assert tags["mykey"] == "odd value"


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_cover_art_survives(kept, suffix):
    for path in (MKV, kept[suffix]):
        with av.open(str(path)) as file:
            (cover,) = [s for s in file.streams.video if "attached_pic" in s.disposition.name]
            picture = next(bytes(p) for p in file.demux(cover) if p.size)
        if path == MKV:
            wanted = picture
    assert picture == wanted


def test_attachments_survive(kept):
    def fonts(path):
        with av.open(str(path)) as file:
            return [(a.name, a.mimetype, a.data) for a in file.streams.attachments]

    assert fonts(kept[".mkv"]) == fonts(MKV)
    assert fonts(MKV)


def test_what_a_container_cannot_hold_is_named_as_a_loss(tmp_path):
    found = {c.kind: c for c in choices(MKV, tmp_path / "o.webm") if c.loss}
    assert set(found) == {"audio", "attachment", "cover"}
    assert "WebM holds no attachments" in found["attachment"].reason


def test_strict_refuses_losses_and_names_them_all(tmp_path):
    with pytest.raises(StrictError, match=r"libopus.*attachments.*cover") as caught:
        choices(MKV, tmp_path / "o.webm", strict=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("source", "suffix"), [(MKV, ".mkv"), (MP4, ".mp4"), (MP4, ".mkv")])
def test_strict_accepts_what_is_kept(source, suffix, tmp_path):
    assert choices(source, tmp_path / f"o{suffix}", strict=True)


def test_what_is_not_wanted_is_left_out_and_no_loss(tmp_path):
    output = tmp_path / "o.mkv"
    options = UpscaleOptions(
        audio=False, subtitles=False, chapters=False, metadata=False, strict=True
    )
    plan = produce(MKV, output, options=options)
    assert not any(choice.loss for choice in plan.streams)
    with av.open(str(output)) as file:
        assert not file.streams.audio
        assert not file.streams.subtitles
        assert not file.chapters()
        assert "title" not in file.metadata


def test_an_output_of_frames_drops_the_sound_and_says_so(tmp_path):
    found = choices(MKV, tmp_path / "frames")
    assert {c.kind for c in found if c.loss} == {"audio", "subtitle"}


@pytest.mark.parametrize(
    ("codec", "suffix", "becomes"),
    [
        ("pcm_s24le", ".mp4", "alac"),
        ("wavpack", ".mp4", "alac"),
        ("pcm_s16le", ".webm", "libopus"),
        ("pcm_s16le", ".mov", None),
        ("alac", ".mp4", None),
        ("mp2", ".mp4", None),
    ],
)
def test_other_sound_is_copied_or_converted_and_as_long_as_before(codec, suffix, becomes, tmp_path):
    source = with_sound(tmp_path / "in.mkv", codec)
    output = tmp_path / f"o{suffix}"
    plan = produce(source, output)
    (choice,) = [c for c in plan.streams if c.kind == "audio"]
    assert choice.codec == becomes
    assert heard(output) == pytest.approx(heard(source), abs=0.03)


def pgs(objects):
    """Return a display set of PGS subtitles that shows so many (unspecified) objects."""
    shows = struct.pack(">HHBHBBBB", 64, 64, 0x10, 0, 0x80, 0, 0, objects)
    return b"\x16" + struct.pack(">H", len(shows)) + shows + b"\x80\0\0"


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        ([(200, 1), (1500, 0)], [(0, 1), (1000, 0)]),  # it shows at the start
        ([(200, 1), (300, 0), (1500, 1)], [(0, 0), (1000, 1)]),  # it is gone by then
        ([(200, 1)], [(0, 1)]),
        ([(200, 1), (500, 2), (900, 0)], [(0, 2), (400, 0)]),  # the next one shows there
    ],
)
def test_a_subtitle_picture_that_shows_at_the_start_stays(tmp_path, shown, kept):
    video = write_clip(tmp_path / "v.mkv", 40, pts=range(0, 2000, 50), time_base=MILLISECOND)
    source = tmp_path / "pgs.mkv"
    with av.open(str(video)) as file, av.open(str(source), "w") as output:
        pictures = output.add_stream_from_template(file.streams.video[0], opaque=True)
        subtitles = output.add_mux_stream("hdmv_pgs_subtitle")
        subtitles.time_base = MILLISECOND
        packets = [(p, pictures) for p in file.demux(video=0) if p.size]
        for time, objects in shown:
            packet = av.Packet(pgs(objects))
            packet.pts, packet.dts, packet.time_base = time, time, MILLISECOND
            packets.append((packet, subtitles))
        for packet, stream in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            packet.stream = stream
            output.mux(packet)
    output = tmp_path / "o.mkv"
    opened = open_source(source)
    options = UpscaleOptions(start=Fraction(1, 2), strict=True)
    scan = opened.scan(start=options.start, scenes=False)
    produce(source, output, options=options, scan=scan, info=opened.info)
    with av.open(str(output)) as file:
        found = [(p.pts, bytes(p)[13]) for p in file.demux(subtitles=0) if p.size]
    assert found == kept


@pytest.mark.parametrize(
    ("codec", "strict"),
    [("pcm_s16le", True), ("pcm_s24le", True), ("pcm_s32le", False), ("pcm_f32le", False)],
)
def test_pcm_in_mp4_is_such_as_older_players_read_rightly(codec, strict, tmp_path):
    source = with_sound(tmp_path / "in.mov", codec)
    output = tmp_path / "o.mp4"
    if not strict:
        with pytest.raises(StrictError, match="of 24 bits: many players read"):
            produce(source, output, options=UpscaleOptions(strict=True))
    produce(source, output, options=UpscaleOptions(strict=strict))
    assert loudness(output) == pytest.approx(loudness(source), abs=1e-4)
    produce(source, tmp_path / "o.mov", options=UpscaleOptions(strict=True))
    with av.open(str(tmp_path / "o.mov")) as file:
        assert file.streams.audio[0].codec_context.name == codec
    if shutil.which("ffmpeg") is None:
        return
    # FFmpeg 5, which some systems have, is such a player.
    command = ["ffmpeg", "-v", "error", "-i", str(output), "-map", "0:a", "-f", "f32le", "-"]
    played = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "f4")
    assert np.sqrt((played**2).mean()) == pytest.approx(loudness(source), abs=0.02)


def loudness(path):
    with av.open(str(path)) as file:
        resampler = av.AudioResampler("flt", "stereo", 48000)
        parts = [p.to_ndarray() for f in file.decode(audio=0) for p in resampler.resample(f)]
    return np.sqrt((np.concatenate(parts, 1) ** 2).mean())


def heard(path):
    with av.open(str(path)) as file:
        return sum(f.samples / f.sample_rate for f in file.decode(audio=0))


def with_sound(path, codec):
    """Write the MP4's video with a second of tone in another codec."""
    with av.open(str(MP4)) as source, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0], opaque=True)
        try:
            sound = output.add_stream(codec, rate=48000, layout="stereo")
        except ValueError:
            pytest.skip(f"Matroska as FFmpeg writes it takes no {codec}")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        tone = np.sin(np.arange(48000) / 20).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        resampler = av.AudioResampler(
            format=sound.codec_context.format.name,
            layout="stereo",
            rate=48000,
            frame_size=sound.codec_context.frame_size or 1024,
        )
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(sound.encode(part))
    return path


# Shape of pixels


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(12, 11), (2880, 1584)), (Fraction(8, 9), (640, 540))]
)
def test_display_sizes_have_exactly_the_shape_shown(aspect, size):
    width, height = (2640, 1584) if aspect > 1 else (640, 480)
    assert display_size(width, height, aspect) == size


def test_matroska_tells_the_shape_of_pixels_for_codecs_that_cannot(tmp_path):
    source = replace(probe(str(MP4)), sample_aspect_ratio=Fraction(12, 11))
    output = tmp_path / "o.webm"
    produce(MP4, output, info=source)
    with av.open(str(output)) as file:
        assert file.streams.video[0].sample_aspect_ratio == Fraction(12, 11)
        assert len(list(file.decode(video=0))) == 30


# Errors


def test_missing_frames_are_noticed(tmp_path):
    info, scan = probe(str(MP4)), scan_of(MP4)
    settings = resolve(info, UpscaleOptions(), tmp_path / "o.mp4", scale=1, threads=1)
    segments = encode(tmp_path, scan, settings, 10)
    plan = OutputPlan(path="o.mp4", encode=settings)
    with pytest.raises(EncoderError, match="20 frames of 30"):
        join(segments[:-1], scan, info, plan, tmp_path / "o.mp4")


def test_segments_of_other_settings_are_noticed(tmp_path):
    info, scan = probe(str(MP4)), scan_of(MP4)
    settings = resolve(info, UpscaleOptions(), tmp_path / "o.mp4", scale=1, threads=1)
    other = resolve(info, UpscaleOptions(codec="hevc"), tmp_path / "o.mp4", scale=1, threads=1)
    first, *_ = encode(tmp_path, scan, settings, 15)
    first = first.rename(tmp_path / "first.mkv")
    _, second = encode(tmp_path, scan, other, 15)
    plan = OutputPlan(path="o.mp4", encode=settings)
    with pytest.raises(EncoderError, match="other parameters"):
        join([first, second], scan, info, plan, tmp_path / "o.mp4")


def test_no_space_is_a_disk_full_error_that_says_how_much_is_free(tmp_path):
    with pytest.raises(DiskFullError, match="bytes free"), output_errors(tmp_path / "o", "x"):
        raise OSError(28, "No space left on device")


FFPROBE = shutil.which("ffprobe")


@pytest.mark.skipif(FFPROBE is None, reason="an independent look needs ffprobe")
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_an_independent_tool_sees_the_same_streams(kept, suffix):
    done = subprocess.run(
        [FFPROBE, "-v", "error", "-show_streams", "-of", "json", str(kept[suffix])],
        capture_output=True,
        check=True,
    )
    kinds = [s["codec_type"] for s in json.load(io.BytesIO(done.stdout))["streams"]]
    assert not done.stderr
    assert kinds.count("audio") == 2
    assert kinds.count("subtitle") == 2
    assert kinds[0] == "video"
