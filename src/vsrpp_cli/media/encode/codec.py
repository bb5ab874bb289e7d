"""Opens an encoder with given settings, and tests whether it works on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import av.logging
from av.codec.context import Flags

from vsrpp_cli.errors import EncoderError
from vsrpp_cli.media.color.convert import code_points, tag
from vsrpp_cli.media.types import ASSUMED_RATE, EncodeSettings
from vsrpp_cli.records import from_json, to_json

TRIAL_SIZE = (320, 256)
TRIAL_FRAMES = 3
TRIAL_SECONDS = 60
"""Longest time for three small frames; after it the driver counts as hanging."""

FASTEST_RATE = Fraction(240)
"""Highest frame rate that SVT-AV1 accepts; files with variable rates may state 1000."""

COMPLAINTS = ("Unknown option", "Error parsing option", "Invalid value for", "not found")
"""Parts of log messages by which encoders reject single parameters."""


def encoder_rate(settings: EncodeSettings) -> Fraction:
    """Return the frame rate to set for the encoder, which counts frames instead of time."""
    rate = settings.frame_rate or ASSUMED_RATE
    return min(max(rate.limit_denominator(65535), Fraction(1)), FASTEST_RATE)


def configure(codec: av.VideoCodecContext, settings: EncodeSettings) -> None:
    """Set all properties of an encoder that is not yet open."""
    codec.width, codec.height = settings.width, settings.height
    codec.pix_fmt = settings.pix_fmt
    rate = encoder_rate(settings)
    codec.time_base = 1 / rate
    codec.framerate = rate
    codec.sample_aspect_ratio = settings.sample_aspect_ratio
    codec.flags |= Flags.closed_gop | Flags.global_header
    codec.thread_count = settings.threads
    primaries, transfer, matrix, signal_range = code_points(settings.color)
    codec.color_primaries, codec.color_trc = primaries, transfer
    codec.colorspace, codec.color_range = matrix, signal_range
    codec.options = dict(settings.options)


def open_codec(codec: av.VideoCodecContext, settings: EncodeSettings) -> None:
    """Open a configured encoder.

    Raises:
        EncoderError: it refuses its settings or does not know one of its options.
    """
    # SVT-AV1 writes messages to the terminal by default; 1 restricts them to errors.
    os.environ.setdefault("SVT_LOG", "1")
    try:
        with _ordinary_priority():
            codec.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise EncoderError(
            f"{settings.codec} refuses {settings.pix_fmt} at {settings.width}x{settings.height} "
            f"with {_listed(settings.options)}: {_reason(error)}"
        ) from error
    # FFmpeg leaves unknown options in the dictionary instead of raising an error.
    if unknown := sorted(codec.options):
        raise EncoderError(f"{settings.codec} has no option {', '.join(unknown)}")


def _listed(options: tuple[tuple[str, str], ...]) -> str:
    return " ".join(f"{key}={value}" for key, value in options) or "no options"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


_TASKS = Path("/proc/self/task")
"""A folder for each thread of this process, on Linux."""


@contextmanager
def _ordinary_priority() -> Iterator[None]:
    """Undo SVT-AV1's change, as root, of the opening thread and its own threads to real time."""
    if not hasattr(os, "sched_setscheduler") or not _TASKS.is_dir():
        yield
        return
    before = _real_time_threads()
    try:
        yield
    finally:
        for thread in _real_time_threads() - before:
            try:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
            except OSError:  # it has ended, or we may not: then it cannot have been raised either
                continue


def _real_time_threads() -> set[int]:
    found = set()
    for name in _TASKS.iterdir():
        try:
            if os.sched_getscheduler(int(name.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                found.add(int(name.name))
        except OSError:
            continue
    return found


def try_out(settings: EncodeSettings, *, in_child: bool) -> None:
    """Encode three small frames to test whether the encoder and its options work here.

    Args:
        settings: of the run; only the size is reduced.
        in_child: whether to use a separate process, since a broken driver can crash or hang.

    Raises:
        EncoderError: something is refused; the message says what.
    """
    if not in_child:
        _encode_a_little(settings)
        return
    code = "from vsrpp_cli.media.encode.codec import _child; _child()"
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-c", code],
            input=json.dumps(to_json(settings)),
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd=Path.cwd().anchor,
        )
    except subprocess.TimeoutExpired as error:
        raise EncoderError(f"{settings.codec} hangs on this machine") from error
    if done.returncode:
        last = done.stdout.strip().splitlines()[-1:] or [f"it crashed ({done.returncode})"]
        raise EncoderError(
            f"{settings.codec} does not work on this machine: {last[0]}; it needs its hardware and "
            "driver (vsrpp doctor lists what works)"
        )


def _child() -> None:
    """Run in the process of `try_out`: read settings from stdin, write an error to stdout."""
    try:
        _encode_a_little(from_json(EncodeSettings, json.load(sys.stdin)))
    except EncoderError as error:
        # With usual options the cause is missing hardware or a missing driver.
        cause = error.__cause__
        sys.stdout.write(_reason(cause) if isinstance(cause, Exception) else str(error))
        sys.exit(1)


def _encode_a_little(settings: EncodeSettings) -> None:
    width, height = (
        min(least, size - size % 2 or size)
        for least, size in zip(TRIAL_SIZE, (settings.width, settings.height), strict=True)
    )
    small = replace(settings, width=width, height=height)
    level, skipping = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)  # else messages of an earlier trial may come late
    try:
        with av.logging.Capture() as logs:
            got = _trial_packets(small)
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skipping)
    for _, _, message in logs:
        if any(complaint in message for complaint in COMPLAINTS):
            raise EncoderError(f"{settings.codec}: {message.strip()}")
    if got != TRIAL_FRAMES:
        raise EncoderError(f"{settings.codec}: {TRIAL_FRAMES} frames in, {got} out")


def _trial_packets(settings: EncodeSettings) -> int:
    codec = cast("av.VideoCodecContext", av.CodecContext.create(settings.codec, "w"))
    configure(codec, settings)
    open_codec(codec, settings)
    try:
        got = 0
        for index in range(TRIAL_FRAMES):
            frame = av.VideoFrame(settings.width, settings.height, settings.pix_fmt)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts, frame.time_base = index, codec.time_base
            tag(frame, settings.color)
            got += len(codec.encode(frame))
        return got + len(codec.encode(None))
    except av.error.FFmpegError as error:
        raise EncoderError(f"{settings.codec} failed: {_reason(error)}") from error
