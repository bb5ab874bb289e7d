"""Looking at the finished file: is it what the plan says?"""

from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from vsrpp_cli.errors import VerificationError
from vsrpp_cli.video.timeline import timeline
from vsrpp_cli.video.types import EncodeSettings, OutputPlan, Scan, SourceInfo


def verify(
    path: Path, scan: Scan, source: SourceInfo, output: OutputPlan, *, decode: bool
) -> list[str]:
    """Compare a joined file with the plan.

    Args:
        path: the file (or folder of frames), not under its final name yet.
        scan: the run's frames.
        source: the input.
        output: from the plan.
        decode: also decode all of the video, from end to end.

    Returns:
        Sentences for the user.

    Raises:
        VerificationError: names the first difference.
    """
    if output.encode.kind == "frames":
        from vsrpp_cli.video.frames_output import verify_frames  # noqa: PLC0415 - videos do without

        return verify_frames(path, scan, source, output, decode=decode)
    try:
        with av.open(str(path)) as file:
            _verify_streams(file, output)
            _verify_picture(file, output.encode)
            _verify_times(file, scan, source, output.encode)
        if decode:
            with av.open(str(path)) as file:
                _verify_decoding(file, scan, source, output.encode)
    except (av.error.FFmpegError, OSError) as error:
        raise VerificationError(f"the output cannot be read back: {error.strerror}") from error
    return []


def _verify_streams(file: InputContainer, output: OutputPlan) -> None:
    """Check how many streams of each kind there are."""
    pictures = [s for s in file.streams.video if not is_cover(s)]
    if len(pictures) != 1 or pictures[0].index != 0:
        raise VerificationError(f"the output has {len(pictures)} video streams instead of one")
    for kind, found in (
        ("audio", len(file.streams.audio)),
        ("subtitle", len(file.streams.subtitles)),
    ):
        wanted = sum(c.kind == kind and c.action != "drop" for c in output.streams)
        if found != wanted:
            raise VerificationError(f"the output has {found} {kind} streams instead of {wanted}")


def opaque(pix_fmt: str) -> str:
    """Return the pixel format without transparency and range, which not every header tells."""
    return pix_fmt.replace("yuvj", "yuv").replace("yuva", "yuv")


def is_cover(stream: av.VideoStream) -> bool:
    """Return whether a video stream is cover art."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _verify_picture(file: InputContainer, settings: EncodeSettings) -> None:
    """Check size, pixel format, colour tags and pixel shape."""
    codec = file.streams.video[0].codec_context
    found = {
        "size": (codec.width, codec.height),
        "pixel format": opaque(codec.pix_fmt or ""),
    }
    wanted: dict[str, object] = {
        "size": (settings.width, settings.height),
        "pixel format": opaque(settings.pix_fmt),
    }
    for name, value in found.items():
        if value != wanted[name]:
            raise VerificationError(f"the output's {name} is {value} instead of {wanted[name]}")


def _verify_times(
    file: InputContainer, scan: Scan, source: SourceInfo, settings: EncodeSettings
) -> None:
    stream = file.streams.video[0]
    found = sorted(p.pts for p in file.demux(stream) if p.pts is not None and p.size)
    _compare_times(found, stream.time_base or Fraction(1), scan, source, settings)


def _compare_times(
    found: list[int], unit: Fraction, scan: Scan, source: SourceInfo, settings: EncodeSettings
) -> None:
    if len(found) != scan.frames:
        raise VerificationError(f"the output has {len(found)} frames instead of {scan.frames}")
    line = timeline(scan, settings, source.time_base)
    for index, (pts, wanted) in enumerate(zip(found, scan.pts, strict=True)):
        exact = (wanted - line.shift) * source.time_base
        # Half a unit is what rounding to the container's unit may cost; more is an error.
        if abs(pts * unit - exact) * 2 > unit:
            raise VerificationError(
                f"frame {index} is shown at {float(pts * unit):.6f} s instead of {float(exact):.6f}"
            )


def _verify_decoding(
    file: InputContainer, scan: Scan, source: SourceInfo, settings: EncodeSettings
) -> None:
    stream = file.streams.video[0]
    stream.thread_type = "AUTO"
    found: list[int] = []
    for frame in file.decode(stream):
        if frame.is_corrupt or frame.pts is None:
            raise VerificationError(f"frame {len(found)} of the output is damaged")
        found.append(frame.pts)
    _compare_times(found, stream.time_base or Fraction(1), scan, source, settings)
