"""A table of encoders: what they can write, and how `crf` and `preset` map to their options.

`crf` is on libx264's scale for all encoders: 0 (lossless or nearly so) to 51, 16 by default. Rows
have the factor to the encoder's own scale, chosen so that the default gives similar quality.
`preset` takes libx264's names for all encoders; an encoder's own names are passed through.
"""

from dataclasses import dataclass

from vsrpp_cli.media.coding_table import CodingRow, coding_row

PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
DEFAULT_PRESET = "medium"
DEFAULT_CRF = 16.0

Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How `crf` becomes an option of an encoder: `option` is `crf * factor`, at most `highest`."""

    option: str
    factor: float
    highest: float
    integer: bool = False
    lossless: Options = ()
    """Options to use instead at `crf=0`, if the encoder has a lossless mode."""


@dataclass(frozen=True, kw_only=True)
class EncoderMemory:
    """Memory of an encoder in bytes for each pixel of pictures in 4:2:0 at 8 bits.

    Measured by `benchmarks/encoder_memory.py`, rounded up.
    """

    usual: float
    """At presets up to `slow`, with one thread."""
    slow: float
    """At slower presets."""
    by_thread: float = 0.0
    """For each further thread."""
    lighter: Options = ()
    lighter_params: Options = ()
    """Options, and parameters in `EncoderRow.params`, for less look-ahead and fewer threads; empty
    if that saves little."""
    light: float = 0.0
    """Bytes with these, whatever the number of threads."""


@dataclass(frozen=True, kw_only=True)
class EncoderRow:
    """One encoder. Names are FFmpeg's."""

    encoder: str
    coding: str
    """The coding format that it writes: `h264`, `hevc`, `av1`, `vp9`, ..."""
    containers: tuple[str, ...]
    """Muxers that can hold it with exact timestamps, as tested."""
    alpha_containers: tuple[str, ...] = ()
    """Those of them that keep transparency."""
    pix_fmts: tuple[str, ...]
    """Pixel formats for the automatic choice, preferred ones first. `pix_fmt` may name others."""
    hardware: bool = False
    quality: Quality | None = None
    profiles: tuple[tuple[float, Options], ...] = ()
    """Instead of `quality`: pairs of the highest `crf` and the options up to it."""
    profiles_444: tuple[tuple[float, Options], ...] = ()
    """The same for 4:4:4, if that needs other options."""
    preset_option: str | None = None
    presets: tuple[str, ...] = ()
    """The encoder's own value for each of `PRESETS`; empty if they are the same."""
    own_presets: tuple[str, ...] = ()
    """Further values of `preset` that are passed through."""
    fixed: Options = ()
    """Options that are always set, for closed groups of pictures, determinism and quiet logs."""
    params: str | None = None
    """The option that takes `key=value:key=value`, if there is one."""
    fixed_params: Options = ()
    """Parameters in `params` that are always set."""
    threads_param: str | None = None
    """The parameter in `params` that limits threads, if `thread_count` is not enough."""
    max_threads: int = 16
    slices: tuple[tuple[int, str], ...] = ()
    """Pairs of a number of pixels and the number of slices for frames of at least that size, the
    largest first. More slices decode faster, fewer compress better."""
    hdr: str | None = None
    """Syntax of mastering metadata: `x265`, `x264` or `svt`; None if it cannot write them."""
    deepest: int = 10
    """Most bits a component that are chosen by default."""
    lossless: bool = False
    full_chroma_of_rgb: bool = False
    """Whether RGB sources become 4:4:4; otherwise they become 4:2:0, which players need."""
    limited_only: bool = False
    """Whether it cannot mark the full range, so that the limited range is written."""
    even: bool = False
    """Whether it refuses odd sizes if chroma is subsampled."""
    largest: int = 16384
    """Most pixels of a side."""
    smallest: int = 1
    """Least pixels of a side."""
    memory: EncoderMemory = EncoderMemory(usual=20, slow=20)
    """The machine's memory that it takes; a guess for hardware."""
    bits_per_pixel: float = 0.15
    """Of upscaled natural video at the default quality, an upper estimate."""

    @property
    def format(self) -> CodingRow:
        """The row of the format that it writes."""
        return coding_row(self.coding)


PLANAR = ("yuv420p", "yuv422p", "yuv444p")
PLANAR_10 = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
COMMON = ("mp4", "mov", "matroska")

X264 = EncoderRow(
    encoder="libx264",
    coding="h264",
    containers=COMMON,
    pix_fmts=(*PLANAR, *PLANAR_10),
    quality=Quality(option="crf", factor=1, highest=51),
    preset_option="preset",
    # The macroblock tree reads uninitialised memory: frames would differ from run to run.
    fixed=(("mbtree", "0"),),
    params="x264-params",
    fixed_params=(("open-gop", "0"),),
    hdr="x264",
    even=True,
    bits_per_pixel=0.10,
    memory=EncoderMemory(usual=50, slow=190),
)

X265 = EncoderRow(
    encoder="libx265",
    coding="hevc",
    containers=COMMON,
    pix_fmts=(*PLANAR, *PLANAR_10, "yuv420p12le", "yuv422p12le", "yuv444p12le"),
    quality=Quality(option="crf", factor=1, highest=51),
    preset_option="preset",
    params="x265-params",
    fixed_params=(("log-level", "error"), ("open-gop", "0"), ("frame-threads", "2")),
    threads_param="pools",
    hdr="x265",
    even=True,
    bits_per_pixel=0.06,
    memory=EncoderMemory(
        usual=190,
        slow=320,
        by_thread=15,
        lighter_params=(("rc-lookahead", "10"), ("frame-threads", "1")),
        light=130,
    ),
)

SVT_AV1 = EncoderRow(
    encoder="libsvtav1",
    coding="av1",
    containers=("mp4", "matroska", "webm"),
    pix_fmts=("yuv420p", "yuv420p10le"),
    quality=Quality(option="crf", factor=1.25, highest=63, integer=True),
    preset_option="preset",
    presets=("12", "11", "10", "9", "8", "6", "5", "4", "3", "1"),
    own_presets=tuple(str(n) for n in range(14)),
    params="svtav1-params",
    smallest=16,  # with smaller sizes version 4 writes out of bounds and crashes the process
    threads_param="lp",
    max_threads=6,
    hdr="svt",
    even=True,
    bits_per_pixel=0.05,
    memory=EncoderMemory(
        usual=220,
        slow=300,
        by_thread=100,
        lighter_params=(("lookahead", "0"), ("lp", "1")),
        light=160,
    ),
)

VP9 = EncoderRow(
    encoder="libvpx-vp9",
    coding="vp9",
    containers=("mp4", "matroska", "webm"),
    alpha_containers=("matroska", "webm"),
    pix_fmts=(*PLANAR, "yuva420p"),
    quality=Quality(
        option="crf", factor=1.35, highest=63, integer=True, lossless=(("lossless", "1"),)
    ),
    preset_option="cpu-used",
    presets=("5", "5", "5", "4", "3", "2", "1", "1", "0", "0"),
    own_presets=tuple(str(n) for n in range(-8, 9)),
    fixed=(
        ("b", "0"),
        ("deadline", "good"),
        ("row-mt", "0"),
        ("tile-columns", "2"),
        ("auto-alt-ref", "1"),
        ("lag-in-frames", "25"),
    ),
    deepest=8,
    largest=65535,
    bits_per_pixel=0.06,
    memory=EncoderMemory(usual=120, slow=120, lighter=(("lag-in-frames", "4"),), light=70),
)

PRORES = EncoderRow(
    encoder="prores_ks",
    coding="prores",
    containers=("mov", "matroska"),
    alpha_containers=("mov", "matroska"),
    pix_fmts=("yuv422p10le", "yuv444p10le", "yuva444p10le"),
    profiles=(
        (18, (("profile", "hq"),)),
        (24, (("profile", "standard"),)),
        (30, (("profile", "lt"),)),
        (51, (("profile", "proxy"),)),
    ),
    profiles_444=((8, (("profile", "4444xq"),)), (51, (("profile", "4444"),))),
    fixed=(("vendor", "apl0"),),
    limited_only=True,
    full_chroma_of_rgb=True,
    bits_per_pixel=3.0,
    memory=EncoderMemory(usual=5, slow=5),
)

FFV1 = EncoderRow(
    encoder="ffv1",
    coding="ffv1",
    containers=("matroska",),
    alpha_containers=("matroska",),
    pix_fmts=(
        *PLANAR,
        *PLANAR_10,
        *("yuv420p12le", "yuv422p12le", "yuv444p12le"),
        *("yuv420p16le", "yuv422p16le", "yuv444p16le"),
        *("yuva420p", "yuva422p", "yuva444p", "yuva420p10le", "yuva422p10le", "yuva444p10le"),
        *("bgr0", "gbrp10le", "gbrp12le", "gbrp16le", "bgra", "gbrap10le", "gbrap12le"),
        *("gbrap16le", "gray", "gray10le", "gray12le", "gray16le"),
    ),
    fixed=(("level", "3"), ("g", "1"), ("coder", "1"), ("context", "1"), ("slicecrc", "1")),
    deepest=16,
    lossless=True,
    largest=65535,
    slices=((1280 * 720, "16"), (0, "4")),
    bits_per_pixel=10.0,
    memory=EncoderMemory(usual=40, slow=40),
)

NVENC_PRESETS = ("p1", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p7", "p7")
NVENC_OWN = tuple(f"p{n}" for n in range(1, 8))
NVENC_FIXED = (("rc", "vbr"), ("b", "0"), ("tune", "hq"), ("strict_gop", "1"), ("forced-idr", "1"))
QSV_PRESETS = (*["veryfast"] * 3, "faster", "fast", "medium", "slow", "slower", *["veryslow"] * 2)
AMF_PRESETS = (*["speed"] * 4, *["balanced"] * 2, *["quality"] * 4)

HARDWARE = (
    EncoderRow(
        encoder="h264_nvenc",
        coding="h264",
        containers=COMMON,
        pix_fmts=("yuv420p", "yuv444p"),
        hardware=True,
        quality=Quality(option="cq", factor=1.2, highest=51),
        preset_option="preset",
        presets=NVENC_PRESETS,
        own_presets=NVENC_OWN,
        fixed=NVENC_FIXED,
        deepest=8,
        even=True,
        largest=4096,
    ),
    EncoderRow(
        encoder="hevc_nvenc",
        coding="hevc",
        containers=COMMON,
        pix_fmts=("yuv420p", "yuv444p", "p010le"),
        hardware=True,
        quality=Quality(option="cq", factor=1.2, highest=51),
        preset_option="preset",
        presets=NVENC_PRESETS,
        own_presets=NVENC_OWN,
        fixed=NVENC_FIXED,
        even=True,
        largest=8192,
    ),
    EncoderRow(
        encoder="av1_nvenc",
        coding="av1",
        containers=("mp4", "matroska", "webm"),
        pix_fmts=("yuv420p", "p010le"),
        hardware=True,
        quality=Quality(option="cq", factor=1.4, highest=63),
        preset_option="preset",
        presets=NVENC_PRESETS,
        own_presets=NVENC_OWN,
        fixed=NVENC_FIXED,
        even=True,
        largest=8192,
    ),
    *(
        EncoderRow(
            encoder=f"{coding}_qsv",
            coding=coding,
            containers=containers,
            pix_fmts=("nv12", "p010le")[: 1 + (coding != "h264")],
            hardware=True,
            quality=Quality(option="global_quality", factor=1.2, highest=51, integer=True),
            preset_option="preset",
            presets=QSV_PRESETS,
            deepest=8 if coding == "h264" else 10,
            even=True,
            largest=4096 if coding == "h264" else 8192,
        )
        for coding, containers in (
            ("h264", COMMON),
            ("hevc", COMMON),
            ("av1", ("mp4", "matroska", "webm")),
        )
    ),
    *(
        EncoderRow(
            encoder=f"{coding}_amf",
            coding=coding,
            containers=containers,
            pix_fmts=("yuv420p", "p010le")[: 1 + (coding != "h264")],
            hardware=True,
            quality=Quality(option="qvbr_quality_level", factor=1.2, highest=51, integer=True),
            preset_option="quality",
            presets=AMF_PRESETS,
            own_presets=("speed", "balanced", "quality"),
            fixed=(("rc", "qvbr"),),
            deepest=8 if coding == "h264" else 10,
            even=True,
            largest=4096 if coding == "h264" else 8192,
        )
        for coding, containers in (
            ("h264", COMMON),
            ("hevc", COMMON),
            ("av1", ("mp4", "matroska", "webm")),
        )
    ),
    *(
        EncoderRow(
            encoder=f"{coding}_videotoolbox",
            coding=coding,
            containers=COMMON,
            pix_fmts=("yuv420p", "p010le")[: 1 + (coding != "h264")],
            hardware=True,
            # Constant quality on Apple silicon: 1 to 100 (best), in units of FF_QP2LAMBDA.
            profiles=tuple(
                (crf, (("flags", "+qscale"), ("global_quality", str(118 * max(1, 100 - 2 * crf)))))
                for crf in range(52)
            ),
            fixed=(("allow_sw", "0"),),
            deepest=8 if coding == "h264" else 10,
            even=True,
            largest=4096 if coding == "h264" else 8192,
        )
        for coding in ("h264", "hevc")
    ),
)

ROWS = (X264, X265, SVT_AV1, VP9, PRORES, FFV1, *HARDWARE)

_BY_ENCODER = {row.encoder: row for row in ROWS}


def encoder_row(encoder: str) -> EncoderRow:
    """Return the row of an encoder; `encoder` is FFmpeg's name."""
    return _BY_ENCODER[encoder]


ALIASES = {
    "h.264": "h264",
    "avc": "h264",
    "x264": "libx264",
    "h265": "hevc",
    "h.265": "hevc",
    "x265": "libx265",
    "svtav1": "libsvtav1",
    "svt-av1": "libsvtav1",
    "libvpx": "libvpx-vp9",
    "prores_ks": "prores",
}

Y4M_FORMATS = (
    "gray",
    *(f"gray{bits}le" for bits in (9, 10, 12, 16)),
    *PLANAR,
    "yuv411p",
    *(f"{name}{bits}le" for bits in (9, 10, 12, 14, 16) for name in PLANAR),
)
Y4M_FRAMES = EncoderRow(
    encoder="rawvideo",
    coding="rawvideo",
    containers=("yuv4mpegpipe",),
    pix_fmts=Y4M_FORMATS,
    deepest=16,
    lossless=True,
)
"""Uncompressed frames in Y4M."""
