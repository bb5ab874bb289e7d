"""Types of the media layer that readers, planner and writers share.

All but `Frame` and `FinalFrame` are frozen dataclasses stored in the plan file (see
`vsrpp_cli.records`), so their fields are plain values, `Fraction`s, tuples and each other.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kind = Literal["video", "frames"]
"""What an input or output is: a video, or frames (a folder of images or a single image)."""
StreamKind = Literal["video", "audio", "subtitle", "data", "attachment"]
Part = Literal[StreamKind, "cover", "chapters", "metadata"]
"""What an input or output may contain besides its pictures."""
Action = Literal["copy", "transcode", "drop"]
FieldOrder = Literal["progressive", "top", "bottom", "mixed"]
Timing = Literal["stream", "file", "fps", "assumed"]
LossKind = Literal[
    "depth",
    "chroma",
    "transparency",
    "hdr",
    "captions",
    "profile",
    "stereo",
    "spherical",
    "rotation",
    "tracks",
]
Rgb = NDArray[np.float32] | NDArray[np.uint16]
"""R, G and B of a picture, shape (3, H, W), C-contiguous: float32 in [0, 1], or uint16 in
[0, 65535], which takes half the memory."""


def white(values: Rgb) -> float:
    """Return the array's value for full intensity: 65535 for uint16, 1 for float32."""
    return 65535.0 if values.dtype == np.uint16 else 1.0


ASSUMED_RATE = Fraction(25)
"""Frames per second of a folder of frames without timestamps or `fps`; FFmpeg's default, too."""


class Frame(NamedTuple):
    """One decoded picture of the source, or one upscaled picture of any size."""

    pts: int
    """Presentation time in units of the source's time base."""
    rgb: NDArray[np.float32]
    """Shape (3, H, W), C-contiguous, R, G, B in [0, 1]: the coded signal, not linear light."""
    alpha: NDArray[np.float32] | None = None
    """Shape (H, W) in [0, 1]; None if the source has no transparency."""


class FinalFrame(NamedTuple):
    """One picture at the output's size; the writers do not resize its RGB."""

    pts: int
    """See `Frame.pts`."""
    rgb: NDArray[np.uint16]
    """Shape (3, height, width), C-contiguous, in [0, 65535]."""
    alpha: NDArray[np.float32] | None = None
    """Shape (H, W) in [0, 1], of any size; None if there is no transparency."""


@dataclass(frozen=True, kw_only=True)
class ColorSpec:
    """How sample values become colours: FFmpeg's names of the code points of ITU-T H.273."""

    matrix: str
    """`bt709`, `smpte170m`, `bt470bg`, `bt2020nc`, `fcc`, `smpte240m` or `gbr` (no conversion)."""
    full_range: bool
    """True for full ("pc", 0..2^n-1), False for limited ("tv") range."""
    primaries: str = "unknown"
    transfer: str = "unknown"
    siting: str = "unspecified"
    """Chroma sample location: `left`, `center`, `topleft`, ... or `unspecified`."""
    guessed: tuple[str, ...] = ()
    """Names of the fields above that the source did not specify and that were guessed."""


@dataclass(frozen=True, kw_only=True)
class HdrMetadata:
    """SMPTE ST 2086 mastering display and CTA-861.3 content light level."""

    primaries: tuple[tuple[float, float], ...] = ()
    """CIE xy of red, green, blue and white point; empty if absent."""
    luminance: tuple[float, float] | None = None
    """Minimum and maximum of the mastering display, cd/m2."""
    max_cll: int | None = None
    """Maximum content light level, cd/m2."""
    max_fall: int | None = None
    """Maximum frame-average light level, cd/m2."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A property of the source's pictures that the output does not keep."""

    kind: LossKind
    text: str
    """A sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class Spherical:
    """The projection of 360-degree video."""

    projection: str
    """`equirectangular`, `tile` (a part of an equirectangular picture), `cubemap`, or another name
    of FFmpeg's, which can be read but not written."""
    rotation: tuple[int, ...] = (0, 0, 0)
    """Yaw, pitch and roll in units of 1/65536 degree."""
    bounds: tuple[int, ...] = (0, 0, 0, 0)
    """What a `tile` lacks at the left, top, right and bottom: fractions of the whole picture, in
    units of 2^-32."""
    padding: int = 0
    """Pixels by which each face of a `cubemap` is extended on its sides."""


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """One stream of the source other than the video track being upscaled."""

    index: int
    kind: StreamKind
    codec: str
    language: str | None = None
    title: str | None = None
    attached_picture: bool = False


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What opening an input finds without decoding all of it.

    Frame folders and single images use the same type, with `kind="frames"`.
    """

    path: str
    kind: Kind
    container: str
    """FFmpeg's name of the demuxer (`mov,mp4,...`, `matroska,webm`), or the image suffix."""
    stream_index: int
    codec: str
    width: int
    height: int
    """Size of the pictures in pixels, cropped, before rotation and sample aspect ratio."""
    pix_fmt: str
    bit_depth: int
    has_alpha: bool
    color: ColorSpec
    sample_aspect_ratio: Fraction
    display_matrix: tuple[int, ...] | None
    """The nine numbers of the display matrix; None if it is missing or the identity."""
    time_base: Fraction
    """Seconds per unit of `Frame.pts`."""
    frame_rate: Fraction | None
    """Nominal frames per second: a hint for muxers only, frames are shown at their pts."""
    duration: Fraction | None
    """Seconds, according to the container."""
    begin: Fraction | None = None
    """Start time of the earliest stream in seconds, according to the container."""
    frame_estimate: int | None
    """Number of frames, from the container's count or duration and rate; None if unknown."""
    interlaced: FieldOrder = "progressive"
    """Which field of an interlaced frame is shown first."""
    hdr: HdrMetadata | None = None
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pixels that the container cuts off the decoded pictures: left, right, top, bottom."""
    stereo: str = ""
    """How the two views of 3D video are arranged in each picture: FFmpeg's name of the Matroska
    stereo mode, `quincunx` or `multiview`; empty for one view."""
    spherical: Spherical | None = None
    streams: tuple[StreamInfo, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the user: what was guessed or is unusual."""
    losses: tuple[Loss, ...] = ()
    """What no output can keep."""
    timing: Timing = "stream"
    """Where pts come from: for videos the `stream`; for frames `file` (timestamps.txt), `fps` (the
    option) or `assumed` (`ASSUMED_RATE`)."""

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Width and height in pixels of the first decoded picture before cropping."""
        left, right, top, bottom = self.crop
        return self.width + left + right, self.height + top + bottom


@dataclass(frozen=True, kw_only=True)
class ClockJump:
    """A discontinuity of the source's timestamps; later frames are shifted to close it."""

    frame: int
    """Index in the input of the first frame after it."""
    last: int
    """Source timestamp of the frame before it."""
    first: int
    """Source timestamp of the frame after it."""
    shift: int
    """Units subtracted from the source's timestamps from here on, earlier jumps included."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What one pass over the input found: exactly the frames that `FrameSource.read` yields."""

    pts: tuple[int, ...]
    """One per frame, strictly increasing, in the source's time base."""
    last_duration: int
    """Duration of the last frame in the same unit."""
    cuts: tuple[int, ...] = ()
    """Indices of the frames that begin a new scene (never 0)."""
    notes: tuple[str, ...] = ()
    """E.g. `12 damaged packets skipped`, `timestamps repaired`, `truncated after frame 812`."""
    first: int = 0
    """Index in the input of the first of these frames."""
    seekable: bool = False
    """Whether `pts` are the input's own timestamps, so that frames can be sought by them."""
    checks: str = ""
    """Per frame four hexadecimal digits, a checksum of some of its rows; verifies a seek."""
    damaged: bool = False
    """Whether decoding met errors; frames are then read with one thread, which conceals errors the
    same way each time."""
    filters: tuple[str, ...] = ()
    """libavfilter filters applied to frames when they are read, such as bwdif."""
    origin: int = 0
    """Source timestamp of the input's beginning: subtracted from all times of the output."""
    jumps: tuple[ClockJump, ...] = ()
    """Discontinuities of the input's timestamps, in order; `pts` are corrected for them."""
    shapes: tuple[tuple[int, Fraction], ...] = ()
    """Frames at which the picture's shape changes, and its width from there on in multiples of the
    source's at the same height."""

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.pts)

    @property
    def shown(self) -> tuple[int, ...]:
        """Presentation times relative to the input's beginning, in units of the time base."""
        return tuple(value - self.origin for value in self.pts) if self.origin else self.pts

    def in_source(self, index: int) -> int:
        """Return the timestamp of a frame before `jumps` were corrected.

        Other repairs are not undone.
        """
        frame = self.first + index
        return self.pts[index] + next(
            (j.shift for j in reversed(self.jumps) if j.frame <= frame), 0
        )


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """Everything a segment writer needs, decided when the run is planned."""

    kind: Kind
    container: str
    """FFmpeg's muxer of the final file (`mp4`, `mov`, `matroska`, ...), or the image suffix."""
    codec: str
    """FFmpeg's encoder, or the image format (`png`)."""
    pix_fmt: str
    width: int
    height: int
    """Size of the output in pixels. Frames of another size are resized (antialiased Lanczos)."""
    time_base: Fraction
    """Seconds per unit of the pts given to the writer: the source's time base."""
    frame_rate: Fraction | None
    color: ColorSpec
    sample_aspect_ratio: Fraction = Fraction(1)
    display_matrix: tuple[int, ...] | None = None
    hdr: HdrMetadata | None = None
    stereo: str = ""
    """As in `SourceInfo`; empty if the container cannot store it."""
    spherical: Spherical | None = None
    threads: int = 1
    options: tuple[tuple[str, str], ...] = ()
    """All encoder options: rate control, preset, and what makes the result reproducible."""
    keep_alpha: bool = False
    """Whether transparency is encoded."""
    dither: bool = False
    """Whether to dither because the source has more bits per sample than the output."""
    cut_start: bool = False
    """Whether frames at the beginning of the source are left out on request, and their sound."""
    cut_end: bool = False
    """The same for the end."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about what was chosen and why."""
    losses: tuple[Loss, ...] = ()
    """What the output cannot keep of the source's pictures; an error if `strict` is set."""


@dataclass(frozen=True, kw_only=True)
class StreamChoice:
    """What is done with one source stream, the chapters or the metadata."""

    source_index: int | None
    """Index of the stream; None for chapters, metadata and the time code."""
    kind: Part
    action: Action
    codec: str | None = None
    """FFmpeg's encoder for `transcode`; None otherwise."""
    loss: bool = False
    """Whether something is lost that the user did not ask to leave out."""
    reason: str = ""
    """A sentence for the user, such as `MP4 cannot hold PGS subtitles`; empty for a plain copy."""


@dataclass(frozen=True, kw_only=True)
class OutputPlan:
    """The output side of a run's plan."""

    path: str
    encode: EncodeSettings
    streams: tuple[StreamChoice, ...] = ()
