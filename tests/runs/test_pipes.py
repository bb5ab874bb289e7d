"""`vsrpp upscale` between other programs: what comes, what goes, and who goes away."""

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import numpy as np
import psutil
import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP, assert_one_line, ffprobe, frame_hashes, vsrpp
from support.events import assert_events, events_of
from support.piping import ffmpeg, piped, streaming
from vsrpp_cli.media.decode.scenes import ANALYSIS_SIZE, CutDetector
from vsrpp_cli.media.decode.streamed import Streamed
from vsrpp_cli.media.types import Frame
from vsrpp_cli.runs.streaming.scenes import LiveScenes

WAIT = 60
"""Seconds after which a process hangs, however loaded the machine is."""
HEADER = b"YUV4MPEG2 W32 H32 F25:1 Ip A1:1 C420jpeg\n"
FRAME = b"FRAME\n" + bytes(32 * 32 * 3 // 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


@pytest.fixture(scope="module")
def options(model):
    return ["-m", str(model), "--threads", "1", "--precision", "fp32"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip with a cut, as Y4M."""
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder / "in.mp4", 20, (64, 48), cuts=(11,))
    path = folder / "in.y4m"
    path.write_bytes(ffmpeg("-i", folder / "in.mp4", "-f", "yuv4mpegpipe", "-"))
    return path


def md5s(data):
    text = ffmpeg("-i", "-", "-f", "framemd5", "-", given=data).decode()
    return [line.split(",")[5].strip() for line in text.splitlines() if line[:1] != "#"]


@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p10le"])
def test_a_y4m_round_trip_is_frame_exact_against_the_file_way(clip, options, tmp_path, kind):
    deep = tmp_path / "in.y4m"
    as_y4m = ("-f", "yuv4mpegpipe", "-strict", "-1")
    deep.write_bytes(ffmpeg("-i", clip, "-pix_fmt", kind, *as_y4m, "-"))
    vsrpp("upscale", deep, tmp_path / "o.mkv", "--codec", "ffv1", *options, check=0)
    due = [md5 for _, md5 in frame_hashes(tmp_path / "o.mkv")]
    assert ffprobe(tmp_path / "o.mkv", "-show_streams")["streams"][0]["pix_fmt"] == kind
    make = ["ffmpeg", "-v", "error", "-i", deep, *as_y4m, "-"]
    sink = ["ffmpeg", "-v", "error", "-i", "-", "-f", "framemd5", "-"]
    with (
        subprocess.Popen(make, stdout=subprocess.PIPE) as source,
        streaming("-", "-", *options, stdin=source.stdout, stdout=subprocess.PIPE) as ours,
    ):
        text = subprocess.run(sink, stdin=ours.stdout, capture_output=True, text=True, check=True)
    assert (source.returncode, ours.returncode) == (0, 0)
    found = [x.split(",")[5].strip() for x in text.stdout.splitlines() if x[:1] != "#"]
    assert len(found) == 20
    assert found == due


def test_the_stream_says_events_without_a_total_and_ends_with_its_result(clip, options):
    done = piped("-", "-", *options, "--progress", "json", given=clip.read_bytes())
    events = events_of(done.stderr)
    assert_events(events, "result")
    steps = [e for e in events if e["event"] == "progress"]
    assert {(e["phase"], e["total"]) for e in steps} == {("compute", None)}
    assert steps[0]["done"] == 0
    result = events[-1]
    assert (result["output"], result["report"]["frames"]) == ("-", 20)
    assert result["report"]["output_bytes"] == len(done.stdout)


@pytest.mark.parametrize(("name", "muxer"), [("mkv", "matroska"), ("mp4", "mp4")])
def test_format_names_the_container(clip, options, tmp_path, name, muxer):
    done = piped("-", "-", "--format", name, *options, given=clip.read_bytes())
    (tmp_path / "o").write_bytes(done.stdout)
    probed = ffprobe(tmp_path / "o", "-show_format", "-show_streams", "-count_frames")
    assert muxer in probed["format"]["format_name"]
    assert (probed["streams"][0]["width"], probed["streams"][0]["nb_read_frames"]) == (256, "20")


def test_a_file_goes_into_a_pipe_and_a_pipe_into_a_file(clip, options, tmp_path):
    by_pipe = piped(clip, "-", *options)
    assert by_pipe.returncode == 0, by_pipe.stderr
    target = tmp_path / "o.mkv"
    with (
        clip.open("rb") as file,
        streaming("/dev/stdin", target, "--codec", "ffv1", *options, stdin=file) as process,
    ):
        assert process.wait(WAIT) == 0
    assert md5s(target.read_bytes()) == md5s(by_pipe.stdout)
    refused = piped("-", target, *options, given=clip.read_bytes())
    assert refused.returncode == 2
    assert "exists" in refused.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.mkv"]


def test_raw_frames_come_from_a_file_or_a_pipe(clip, options, tmp_path):
    raw = tmp_path / "in.yuv"
    raw.write_bytes(ffmpeg("-i", clip, "-f", "rawvideo", "-"))
    described = ["--raw", "64x48@24:yuv420p"]
    from_file = piped(raw, "-", *described, "--frames", 3, *options)
    from_pipe = piped("-", "-", *described, "--frames", 3, *options, given=raw.read_bytes())
    assert from_file.returncode == from_pipe.returncode == 0, from_file.stderr
    assert from_file.stdout == from_pipe.stdout
    assert len(md5s(from_pipe.stdout)) == 3


def test_fifos_are_pipes(clip, options, tmp_path):
    ends = tmp_path / "in", tmp_path / "out"
    for end in ends:
        os.mkfifo(end)
    with streaming(*ends, "--frames", 2, *options) as ours:
        feeder = threading.Thread(target=_fill, args=(ends[0], clip.read_bytes()))
        feeder.start()
        data = ends[1].read_bytes()
        assert ours.wait(WAIT) == 0
        feeder.join()
    assert len(md5s(data)) == 2


def _fill(path, data):
    with suppress(BrokenPipeError), path.open("wb") as file:
        file.write(data)


def test_an_input_that_ends_amid_a_frame_is_an_error_that_keeps_what_was_whole(
    clip, options, tmp_path
):
    torn = clip.read_bytes()[:-100]
    done = piped("-", "-", *options, given=torn)
    assert done.returncode == 3
    assert "19 frames before are written" in assert_one_line(done)
    assert len(md5s(done.stdout)) == 19
    kept = piped("-", tmp_path / "o.mkv", *options, "--progress", "json", given=torn)
    event = events_of(kept.stderr)[-1]
    assert (kept.returncode, event["kind"], event["report"]["frames"]) == (3, "InputError", 19)
    assert len(md5s((tmp_path / "o.mkv").read_bytes())) == 19


SLEEPER = (
    "import sys, time; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1])); sys.stdout.flush(); "
    "time.sleep(600)"
)
"""Writes and then does nothing: there to be killed."""
SHORT = ["--chunk", "2", "--overlap", "0"]
BRIEF = 5
"""Seconds of CPU time for what takes one on a machine that does nothing else."""


@contextmanager
def ending_soon(process):
    """Assert that a process that is waited for in the block takes little time to end."""
    then = sum(psutil.Process(process.pid).cpu_times()[:2]) + _of_ended_children()
    yield
    assert _of_ended_children() - then < BRIEF


def _of_ended_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_killed_writer_ends_the_stream(options):
    part = (HEADER + 12 * FRAME + FRAME[:100]).hex()
    with (
        subprocess.Popen([sys.executable, "-c", SLEEPER, part], stdout=subprocess.PIPE) as writer,
        streaming("-", "-", *options, *SHORT, stdin=writer.stdout, stdout=subprocess.PIPE,
                  stderr=subprocess.PIPE) as ours,
    ):  # fmt: skip
        writer.stdout.close()
        assert ours.stdout.read(10) == b"YUV4MPEG2 "
        with ending_soon(ours):
            writer.kill()
            rest, said = ours.communicate(timeout=WAIT)
    assert ours.returncode == 3
    assert b"12 frames before are written" in said
    assert rest.count(b"FRAME\n") == 12


@pytest.mark.parametrize("idle", [True, False])
def test_a_killed_reader_ends_the_stream_with_141_quietly(options, idle):
    """Also while nothing comes that could be written."""
    with (
        streaming("-", "-", *options, *SHORT, "-q", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                  stderr=subprocess.PIPE) as ours,
        subprocess.Popen([sys.executable, "-c", SLEEPER, ""], stdin=ours.stdout,
                         stdout=subprocess.DEVNULL) as reader,
    ):  # fmt: skip
        ours.stdout.close()
        ours.stdin.write(HEADER + 4 * FRAME)
        ours.stdin.flush()
        feeder = threading.Thread(target=_feed, args=(ours.stdin, 0 if idle else 10**6))
        feeder.start()
        with ending_soon(ours):
            reader.kill()
            assert ours.wait(WAIT) == 141
        feeder.join()
        assert ours.stderr.read() == b""
        with suppress(BrokenPipeError):
            ours.stdin.close()


def _feed(file, frames):
    with suppress(BrokenPipeError):
        for _ in range(frames):
            file.write(FRAME)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_stream_after_what_was_read(options, tmp_path, number, code):
    target = tmp_path / "o.mkv"
    with streaming("-", target, *options, *SHORT, "--progress", "json", stdin=subprocess.PIPE,
                   stderr=subprocess.PIPE) as ours:  # fmt: skip
        ours.stdin.write(HEADER + 6 * FRAME)
        ours.stdin.flush()
        for line in ours.stderr:
            if json.loads(line).get("done"):
                ours.send_signal(number)
                break
        assert ours.wait(WAIT) == code
        events = events_of(ours.stderr.read().decode())
    assert events[-1]["report"]["status"] == "interrupted"
    assert len(md5s(target.read_bytes())) == events[-1]["report"]["frames"] > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_does_not_grow_with_the_stream(model):
    command = [VSRPP, "upscale", "-", "-", "-m", str(model), "--threads", "1", "--precision",
               "fp32", "--chunk", "24", "--overlap", "2", "-q"]  # fmt: skip
    process = psutil.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    used = []
    with process:
        reader = threading.Thread(target=_drain, args=(process.stdout,))
        reader.start()
        process.stdin.write(HEADER)
        for _ in range(2000):
            process.stdin.write(FRAME)
            used.append(process.memory_info().rss / 2**20)
        process.stdin.close()
        assert process.wait() == 0
        reader.join()
    # What a process holds moves by a chunk's frames from one moment to the next: medians, of a
    # stretch of several chunks, tell that from growth.
    early, late = statistics.median(used[250:500]), statistics.median(used[-250:])
    print("MiB before frame 500 and frame 2,000:", early, late)  # noqa: T201 - for `pytest -rP`
    assert late <= early + 20


def _drain(file):
    while file.read(1 << 16):
        pass


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["-", "-", "--resume"], 2, "--resume is for files"),
        (["-", "-", "--segment", "5"], 2, "--segment is for files"),
        (["-", "-", "--workers", "2"], 2, "--workers is for files"),
        (["-", "-", "--work-dir", "w"], 2, "--work-dir is for files"),
        (["-", "o.mkv", "--format", "mkv"], 2, "--format mkv is for pipes"),
        (["-", "-", "--format", "avi"], 2, "--format"),
        (["-", "-", "--codec", "ffv1"], 2, "--format mkv"),
        (["-", "-", "--crf", "20"], 2, "--crf"),
        (["-", "-", "--raw", "64x48"], 2, "WIDTHxHEIGHT@FPS:PIXFMT"),
        (["-", "-", "--report", "-"], 2, "give its name"),
        (["-", "frames", ""], 2, "not a folder"),
        (["-", "o.xyz"], 2, "no video format"),
        (["-", "no/o.mkv"], 2, "is no folder"),
        (["-", "-", "--start", "99"], 2, "no frame between"),
        (["-", "-", "--dry-run"], 3, "only vsrpp upscale"),
    ],
)
def test_what_a_stream_cannot_do_is_said_in_one_line(
    clip, options, tmp_path, monkeypatch, args, code, message
):
    monkeypatch.chdir(tmp_path)
    args = [a for a in args if a]
    done = piped(*args, *options, "-q", given=clip.read_bytes())
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.stderr
    assert_one_line(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"), [(b"", "is empty"), (b"hello " * 100, "-: is "), (HEADER, "first frame")]
)
def test_what_is_no_video_ends_with_3(options, given, message):
    done = piped("-", "-", *options, given=given)
    assert (done.returncode, done.stdout) == (3, b"")
    assert message in assert_one_line(done)


@pytest.mark.parametrize("command", [["plan", "-"], ["plan", "-", "o.mkv"]])
def test_other_commands_say_that_they_take_no_pipe(command):
    assert "only vsrpp upscale" in vsrpp(*command, check=3).stderr


def test_losses_are_said_before_and_strict_refuses_them(options, tmp_path):
    film = write_clip(tmp_path / "in.mkv", 3, audio=True)
    done = piped("-", "-", *options, given=film.read_bytes())
    assert "note: audio dropped" in done.stderr
    refused = piped("-", "-", "--strict", *options, given=film.read_bytes())
    assert (refused.returncode, refused.stdout) == (6, b"")


# Scenes


def streamed(levels):
    for index, level in enumerate(levels):
        noise = np.random.default_rng(level).integers(0, 255, ANALYSIS_SIZE, np.uint8)
        yield Streamed(Frame(index, np.zeros((3, 1, 1), np.float32)), noise)


def cuts_of(levels):
    detector = CutDetector()
    found = [cut for item in streamed(levels) for cut in detector.push(item.luma)]
    return [0, *found, *detector.flush()]


@pytest.mark.parametrize("scene", [1, 4, 5, 6, 7, 8, 30])
def test_chunks_of_a_stream_span_no_cut_and_keep_each_frame_once(scene):
    levels = [index // scene for index in range(60)]
    starts = cuts_of(levels)
    chunks = list(LiveScenes(streamed(levels), detect=True).chunks(6, 2))
    kept = [i for chunk in chunks for i in range(chunk.keep_start, chunk.keep_stop)]
    assert kept == list(range(60))
    for chunk in chunks:
        assert not any(chunk.start < cut < chunk.stop for cut in starts)
        assert chunk.carries == (chunk.start not in starts)
        assert chunk.stop - chunk.start <= 6


def test_a_stream_is_read_no_further_than_a_chunk_needs():
    read = []

    def source():
        for item in streamed([0] * 100):
            read.append(item.frame.pts)
            yield item

    scenes = LiveScenes(source(), detect=True)
    next(scenes.chunks(6, 2))
    assert len(read) == 9
    assert next(scenes).pts == 0
