"""A table of the peculiarities of file formats that FFmpeg reads, by demuxer."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DemuxerRow:
    """One file format; formats without a row have the defaults."""

    demuxer: str
    """FFmpeg's name."""
    exact_durations: bool = False
    """Whether files state the durations of frames; others only count frames or guess."""
    one_shape: bool = False
    """Whether the header states one shape of pixels for the whole track, which players use."""
    states_end: bool = False
    """Whether the stated duration of a track is the time of its end."""
    elementary: bool = False
    """Whether it is a stream without container and timestamps."""
    claims_alpha: bool = False
    """Whether pictures are reported as transparent although they may not be."""
    hides_torn: bool = False
    """Whether FFmpeg silently drops an incomplete last frame."""
    text: bool = False
    """Whether it reads text, not video."""


ROWS = (
    DemuxerRow(demuxer="mov,mp4,m4a,3gp,3g2,mj2", exact_durations=True, one_shape=True),
    DemuxerRow(demuxer="matroska,webm", exact_durations=True, one_shape=True, states_end=True),
    DemuxerRow(demuxer="gif", exact_durations=True, claims_alpha=True),
    DemuxerRow(demuxer="apng", exact_durations=True),
    DemuxerRow(demuxer="webp_anim", exact_durations=True),
    DemuxerRow(demuxer="tty", text=True),
    DemuxerRow(demuxer="yuv4mpegpipe", hides_torn=True),
    *(
        DemuxerRow(demuxer=name, elementary=True)
        for name in ("h264", "hevc", "vvc", "m4v", "mpegvideo", "obu", "h263")
    ),
)

_BY_NAME = {row.demuxer: row for row in ROWS}

REFUSED = frozenset({
    "concat", "dash", "dvdvideo", "hls", "image2", "imf", "mlv", "vobsub", "webm_dash_manifest",
    "ffmetadata", "lavfi", "rtp", "rtsp", "sap", "sdp",
    "alsa", "avfoundation", "dshow", "fbdev", "gdigrab", "kmsgrab", "oss", "pulse", "sndio",
    "v4l2", "video4linux2,v4l2", "vfwcap", "x11grab", "avisynth", "vapoursynth",
})  # fmt: skip
"""Demuxers that open other files or addresses, read devices, or run scripts. FFmpeg chooses the
demuxer by content, so a text file could make it read any files that it lists."""


def demuxer_row(demuxer: str) -> DemuxerRow:
    """Return the row of a demuxer; a row of defaults if it has none."""
    return _BY_NAME.get(demuxer) or DemuxerRow(demuxer=demuxer)
