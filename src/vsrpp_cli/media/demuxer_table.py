"""What is known of the kinds of files that FFmpeg reads, by its demuxers: one row each."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DemuxerRow:
    """One kind of files; the defaults hold for those without a row."""

    demuxer: str
    """FFmpeg's name."""
    exact_durations: bool = False
    """Whether files state how long a frame stays; others only count frames or guess."""
    one_shape: bool = False
    """Whether the header states one shape of pixels for a whole track, by which players go."""
    states_end: bool = False
    """Whether what is stated as a track's duration is when it ends."""
    elementary: bool = False
    """Whether it is a stream without container and timestamps."""
    claims_alpha: bool = False
    """Whether pictures are called transparent that need not be."""
    hides_torn: bool = False
    """Whether a last frame that was cut short is left away without a word."""
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
"""Demuxers that open further files or addresses, read devices, or run scripts. What a file is its
content says, not its name: a text that lists other files would be a video of whoever wrote it."""


def demuxer_row(demuxer: str) -> DemuxerRow:
    """Return what is known of the files that a demuxer reads."""
    return _BY_NAME.get(demuxer) or DemuxerRow(demuxer=demuxer)
