"""Segments: every frame once, in closed groups, resized where needed, never half-written."""

import os
import resource
import signal
from dataclasses import replace

import av
import numpy as np
import pytest

from support.joining import STREAMS, encode, picture
from vsrpp_cli.errors import DiskFullError, EncoderError
from vsrpp_cli.media.color.convert import frame_to_alpha, frame_to_rgb
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.encode.writer import SegmentWriter
from vsrpp_cli.media.output.protocol import output_of
from vsrpp_cli.media.types import FinalFrame, Frame, OutputPlan, Scan
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.resample import RowFitter, fit


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return settings_for(tmp_path_factory.mktemp("o") / "o.mkv")


def settings_for(output, **options):
    info = probe(str(STREAMS / "everything.mp4"))
    return resolve(info, UpscaleOptions(**options), output, scale=2, threads=2)


def decoded(path):
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def test_a_segment_holds_every_frame_once_and_in_order(settings, tmp_path):
    scan = Scan(pts=tuple(range(0, 60, 5)), last_duration=5)
    (path,) = encode(tmp_path, scan, settings, 12)
    frames = decoded(path)
    assert len(frames) == 12
    for index, frame in enumerate(frames):
        given = picture(index, settings.width, settings.height)
        assert np.abs(frame_to_rgb(frame, settings.color) - given).mean() < 0.01


def test_a_writer_counts_its_frames(settings, tmp_path):
    output = output_of(OutputPlan(path="out.mp4", encode=settings))
    writer = output.open_writer(tmp_path / "s.mkv")
    writer.write(Frame(7, picture(0, settings.width, settings.height)))
    assert writer.close() == 1
    assert output.segment_suffix == ".mkv"


def test_a_segment_begins_with_a_key_frame_and_decodes_alone(settings, tmp_path):
    scan = Scan(pts=tuple(range(10)), last_duration=1)
    for path in encode(tmp_path, scan, settings, 4):
        assert decoded(path)[0].key_frame


def test_leaving_without_closing_removes_the_file(settings, tmp_path):
    path = tmp_path / "s.mkv"
    with SegmentWriter(path, settings) as writer:
        writer.write(Frame(0, picture(0, settings.width, settings.height)))
    assert not path.exists()


def test_an_option_nobody_knows_is_an_error_and_leaves_nothing(settings, tmp_path):
    wrong = replace(settings, options=(*settings.options, ("nonsense", "1")))
    with pytest.raises(EncoderError, match="no option nonsense"):
        SegmentWriter(tmp_path / "s.mkv", wrong)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_one_clear_error(settings, tmp_path):
    with pytest.raises(EncoderError, match="No such file"):
        SegmentWriter(tmp_path / "missing" / "s.mkv", settings)


def test_the_opening_thread_keeps_its_ordinary_priority(tmp_path):
    settings = settings_for(tmp_path / "o.mkv", codec="av1")
    scan = Scan(pts=(0, 1, 2), last_duration=1)
    encode(tmp_path, scan, settings)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.fixture
def small_files():
    """Let files of this process grow to 20 kB only, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_no_room_is_a_disk_full_error(tmp_path):
    settings = settings_for(tmp_path / "o.mkv", codec="ffv1")
    scan = Scan(pts=tuple(range(40)), last_duration=1)
    with pytest.raises(DiskFullError, match="full"):
        encode(tmp_path, scan, settings, 40)
    assert not list(tmp_path.iterdir())


def test_frames_of_another_size_are_resized(settings, tmp_path):
    path = tmp_path / "s.mkv"
    large = picture(0, settings.width * 2, settings.height * 2)
    with SegmentWriter(path, settings) as writer:
        writer.write(Frame(0, large))
        writer.close()
    (frame,) = decoded(path)
    assert (frame.width, frame.height) == (settings.width, settings.height)
    means = large.reshape(3, settings.height, 2, settings.width, 2).mean((2, 4))
    assert np.abs(frame_to_rgb(frame, settings.color) - means).mean() < 0.01


def test_one_pixel_too_few_is_repeated_instead_of_resampled():
    given = picture(0, 9, 7)
    fitted = fit(given, 10, 8)
    assert np.array_equal(fitted[:, :7, :9], given)
    assert np.array_equal(fitted[:, 7], fitted[:, 6])
    assert np.array_equal(fitted[:, :, 9], fitted[:, :, 8])


@pytest.mark.parametrize("codec", ["ffv1", "vp9", "prores"])
def test_transparency_is_scaled_and_kept(codec, tmp_path):
    pix_fmt = {"ffv1": "yuva444p", "vp9": "yuva420p", "prores": "yuva444p10le"}[codec]
    info = replace(probe(str(STREAMS / "everything.mp4")), has_alpha=True)
    output = tmp_path / ("o.mov" if codec == "prores" else "o.mkv")
    options = UpscaleOptions(codec=codec, pix_fmt=pix_fmt)
    settings = resolve(info, options, output, scale=2, threads=1)
    ramp = np.tile(np.linspace(0, 1, 80, dtype=np.float32), (48, 1))
    path = tmp_path / "s.mkv"
    with SegmentWriter(path, settings) as writer:
        writer.write(Frame(0, picture(0, settings.width, settings.height), ramp))
        writer.close()
    assert np.abs(alpha_of(path, codec) - np.linspace(0, 1, 160)).max() < 0.03


def alpha_of(path, codec):
    """Return the first row of the first frame's alpha; VP9 needs another decoder for it."""
    with av.open(str(path)) as file:
        if codec == "vp9":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            packets = [packet for packet in file.demux(video=0) if packet.size]
            frame = next(iter(f for p in packets for f in decoder.decode(p)))
        else:
            frame = next(file.decode(video=0))
    return frame_to_alpha(frame)[0]


def test_pictures_fitted_row_by_row_are_those_fitted_whole():
    given = picture(0, 90, 70)
    for wanted in ((70, 90), (71, 91), (35, 45), (33, 120), (140, 90)):
        fitter = RowFitter((70, 90), wanted)
        done, made = 0, []
        for rows in (1, 13, 40, 69, 70):
            ready, top = fitter.ready(rows), fitter.first(done)
            made.append(fitter.rows(given[:, top:rows], top, done, ready))
            done = ready
        assert np.array_equal(np.concatenate(made, 1), fit(given, wanted[1], wanted[0]))


@pytest.mark.parametrize("codec", ["ffv1", "png"])
def test_final_frames_are_encoded_as_they_are(codec, tmp_path):
    """In 16 bits a picture is the same as in floats, but for a code value here and there."""
    made = []
    output = tmp_path / ("o" if codec == "png" else "o.mkv")
    settings = settings_for(output, codec=codec)
    rgb = picture(3, settings.width, settings.height)
    for number, frame in enumerate((Frame(0, rgb), FinalFrame(0, in_16_bits(rgb)))):
        output_plan = OutputPlan(path=str(output), encode=settings)
        writer = output_of(output_plan).open_writer(tmp_path / f"{number}")
        writer.write(frame)
        writer.close()
        made.append(read_back(tmp_path / f"{number}"))
    assert np.abs(made[0] - made[1]).max() <= 1
    assert (made[0] != made[1]).mean() < 0.01


def in_16_bits(rgb):
    return (rgb * 65535 + 0.5).astype(np.uint16)


def read_back(path):
    """Return the code values of the first frame of a segment."""
    path = next(path.iterdir()) if path.is_dir() else path
    with av.open(str(path)) as file:
        return next(file.decode(video=0)).to_ndarray().astype(int)
