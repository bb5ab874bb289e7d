"""The words of the video layer: small frozen types that readers, planner and writers share.

All but `Frame` go into the plan file (see `vsrpp_cli.records`), so their fields are plain
values, `Fraction`s, tuples and each other.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kind = Literal["video", "frames"]
"""Of an input or an output: a video, or a folder of frames, which may be a single image."""
StreamKind = Literal["video", "audio", "subtitle", "data", "attachment"]
Part = Literal[StreamKind, "cover", "chapters", "metadata"]
"""What an output may have besides its pictures, or an input."""
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
"""R, G and B of a picture, shape (3, H, W), C-contiguous: float32 in [0, 1], or uint16 where 65535
stands for 1, which takes half the memory."""


def white(values: Rgb) -> float:
    """Return what stands for 1 in a picture."""
    return 65535.0 if values.dtype == np.uint16 else 1.0


ASSUMED_RATE = Fraction(25)
"""Frames a second where nobody says, as FFmpeg assumes."""


class Frame(NamedTuple):
    """One picture on its way through the program."""

    pts: int
    """Presentation time in units of the source's time base."""
    rgb: NDArray[np.float32]
    """Shape (3, H, W), C-contiguous, R, G, B in [0, 1]: the coded signal, not linear light."""
    alpha: NDArray[np.float32] | None = None
    """Shape (H, W) in [0, 1], where the source has transparency."""


class FinalFrame(NamedTuple):
    """One picture at the output's size, which an encoder can take as it is."""

    pts: int
    """As of a `Frame`."""
    rgb: NDArray[np.uint16]
    """Shape (3, height, width), C-contiguous; 65535 stands for 1."""
    alpha: NDArray[np.float32] | None = None
    """Shape (H, W) in [0, 1], at any size."""


@dataclass(frozen=True, kw_only=True)
class ColorSpec:
    """How code values are to be read: FFmpeg's names of the code points of ITU-T H.273."""

    matrix: str
    """`bt709`, `smpte170m`, `bt470bg`, `bt2020nc`, `fcc`, `smpte240m` or `gbr` (no conversion)."""
    full_range: bool
    """True for full ("pc", 0..2^n-1), False for limited ("tv") range."""
    primaries: str = "unknown"
    transfer: str = "unknown"
    siting: str = "unspecified"
    """Chroma sample location: `left`, `center`, `topleft`, ... or `unspecified`."""
    guessed: tuple[str, ...] = ()
    """Which of the fields above the source left open, so that they were guessed."""


@dataclass(frozen=True, kw_only=True)
class HdrMetadata:
    """SMPTE ST 2086 mastering display and CTA-861.3 content light level."""

    primaries: tuple[tuple[float, float], ...] = ()
    """CIE xy of red, green, blue, white point; empty where absent."""
    luminance: tuple[float, float] | None = None
    """Minimum and maximum of the mastering display, cd/m2."""
    max_cll: int | None = None
    max_fall: int | None = None


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Something of the source's pictures that the output does not keep."""

    kind: LossKind
    text: str
    """A sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class Spherical:
    """How pictures lie on a sphere around the viewer: 360-degree video."""

    projection: str
    """`equirectangular`, `tile` (a part of an equirectangular picture), `cubemap`, or others that
    can be read but not written."""
    rotation: tuple[int, ...] = (0, 0, 0)
    """Yaw, pitch and roll, degrees in units of 1/65536."""
    bounds: tuple[int, ...] = (0, 0, 0, 0)
    """What a `tile` lacks at the left, top, right and bottom, in units of the whole / 2^32."""
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
    """What `probe` found out about an input without decoding all of it.

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
    """The nine numbers of the display matrix, where there is one that is not the identity."""
    time_base: Fraction
    """Seconds per unit of `Frame.pts`."""
    frame_rate: Fraction | None
    """Nominal frames per second, a hint for muxers only; pts rule."""
    duration: Fraction | None
    """Seconds, as the container claims."""
    begin: Fraction | None = None
    """Seconds at which the earliest of its streams begins, as the container claims."""
    frame_estimate: int | None
    interlaced: FieldOrder = "progressive"
    """Which field comes first, if frames are made of fields."""
    hdr: HdrMetadata | None = None
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pixels that the container cuts off the decoded pictures: left, right, top, bottom."""
    stereo: str = ""
    """How two views lie in each picture (3D): FFmpeg's names of Matroska's stereo modes, `quincunx`
    or `multiview`; empty for one view."""
    spherical: Spherical | None = None
    streams: tuple[StreamInfo, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the user: what was guessed, or is odd."""
    losses: tuple[Loss, ...] = ()
    """What no video made from it keeps."""
    timing: Timing = "stream"
    """Where pts come from: the `stream`; for frames `file` (timestamps.txt), `fps` (told by the
    user) or `assumed`."""

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Width and height in pixels as the decoder gives the first picture, before cropping."""
        left, right, top, bottom = self.crop
        return self.width + left + right, self.height + top + bottom


@dataclass(frozen=True, kw_only=True)
class ClockJump:
    """A place where the source's clock jumps; what follows is moved to follow at once."""

    frame: int
    """Index in the input of the first frame behind it."""
    last: int
    first: int
    """Timestamps in the source's clock of the frames before and behind it."""
    shift: int
    """Units that are taken off the source's timestamps from here on, earlier jumps included."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What one pass over the whole input found: exactly the frames that reading will give."""

    pts: tuple[int, ...]
    """One per frame, strictly increasing, in the source's time base."""
    last_duration: int
    """Duration of the last frame in the same unit."""
    cuts: tuple[int, ...] = ()
    """Indices of the frames that begin a new scene (never 0)."""
    notes: tuple[str, ...] = ()
    """E.g. `12 damaged packets skipped`, `timestamps repaired`, `truncated after frame 812`."""
    first: int = 0
    """Frames of the input before the first of these: how many to pass over when reading on."""
    seekable: bool = False
    """Whether the input's own timestamps are `pts`, so that frames can be found by them."""
    checks: str = ""
    """Four hexadecimal digits per frame, a checksum of some of its rows: proves a seek right."""
    damaged: bool = False
    """Whether decoding met errors; one thread then conceals them the same way each time."""
    filters: tuple[str, ...] = ()
    """libavfilter filters that frames go through when read, e.g. bwdif."""
    origin: int = 0
    """What the input's clock shows where it begins: taken off all times."""
    jumps: tuple[ClockJump, ...] = ()
    """Where the input's clock jumps, in their order; `pts` have been moved already."""
    shapes: tuple[tuple[int, Fraction], ...] = ()
    """Frames at which the shape of the picture changes, and how many times wider than that of the
    source it is from there on."""

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.pts)

    @property
    def shown(self) -> tuple[int, ...]:
        """When each frame is shown, where the input's beginning is zero."""
        return tuple(value - self.origin for value in self.pts) if self.origin else self.pts

    def in_source(self, index: int) -> int:
        """Return the input's own timestamp of a frame, as far as it was only moved."""
        frame = self.first + index
        return self.pts[index] + next(
            (j.shift for j in reversed(self.jumps) if j.frame <= frame), 0
        )


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """Everything a segment writer needs, resolved once when the run is planned."""

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
    """Unit of the pts handed to the writer: the source's."""
    frame_rate: Fraction | None
    color: ColorSpec
    sample_aspect_ratio: Fraction = Fraction(1)
    display_matrix: tuple[int, ...] | None = None
    hdr: HdrMetadata | None = None
    stereo: str = ""
    """As in `SourceInfo`, where the container holds it."""
    spherical: Spherical | None = None
    threads: int = 1
    options: tuple[tuple[str, str], ...] = ()
    """Encoder options, complete: rate control, preset, parameters for determinism."""
    keep_alpha: bool = False
    dither: bool = False
    """Whether the source has more bits than the output, so that its ramps need dithering."""
    cut_start: bool = False
    cut_end: bool = False
    """Whether beginning or end of the source are left out on request, and its sound with them."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about what was chosen and why."""
    losses: tuple[Loss, ...] = ()
    """What of the source's pictures the output cannot keep; strict runs refuse these."""


@dataclass(frozen=True, kw_only=True)
class StreamChoice:
    """What becomes of one source stream (or chapters, metadata, ...) in the output."""

    source_index: int | None
    kind: Part
    action: Action
    codec: str | None = None
    """The codec transcoded to."""
    loss: bool = False
    """Whether something is lost that the user has not asked to leave out."""
    reason: str = ""
    """For the report, e.g. `MP4 cannot hold PGS subtitles`; empty for a plain copy."""


@dataclass(frozen=True, kw_only=True)
class OutputPlan:
    """The output side of a run's plan."""

    path: str
    encode: EncodeSettings
    streams: tuple[StreamChoice, ...] = ()
