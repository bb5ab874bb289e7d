"""Chooses encoder, container and settings of an output, once, before any work."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import av
import numpy as np
from av.codec.codec import UnknownCodecError

from vsrpp_cli.errors import EncoderError, UnknownNameError, UsageError
from vsrpp_cli.media.color.convert import rgb_to_frame
from vsrpp_cli.media.color.hdr import encoder_parameters
from vsrpp_cli.media.container_table import CONTAINERS, UNSUITABLE, Y4M, ContainerRow
from vsrpp_cli.media.decode.side_data import MULTIVIEW
from vsrpp_cli.media.encode.codec import TRIAL_SIZE, try_out
from vsrpp_cli.media.encode.encoder_table import (
    ALIASES,
    DEFAULT_CRF,
    DEFAULT_PRESET,
    PRESETS,
    ROWS,
    Y4M_FRAMES,
    EncoderRow,
    Options,
)
from vsrpp_cli.media.encode.h264_levels import h264_note
from vsrpp_cli.media.encode.output_size import output_shape
from vsrpp_cli.media.encode.pixel_formats import PixelFormat, closest, describe, even_multiples
from vsrpp_cli.media.images.format_table import image_row
from vsrpp_cli.media.images.pixels import encoder_format
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES
from vsrpp_cli.media.types import (
    ASSUMED_RATE,
    ColorSpec,
    EncodeSettings,
    Loss,
    SourceInfo,
    Spherical,
)
from vsrpp_cli.options import UpscaleOptions

TRIALS_AT_ONCE = 4
"""Processes that test hardware encoders at the same time."""


def resolve(
    info: SourceInfo, options: UpscaleOptions, output: Path, *, scale: int, threads: int
) -> EncodeSettings:
    """Return the encoder settings of a run, after a test of the encoder.

    Args:
        info: the source.
        options: what the user asked for.
        output: the output; its suffix names the container; no suffix or a folder means frames.
        scale: output size over input size of the networks.
        threads: of the encoder.

    Raises:
        UnknownNameError: there is no such codec, suffix or preset.
        UsageError: codec, container, pixel format and options contradict each other, or the encoder
            does not work on this machine.
    """
    if output.is_dir() or not output.suffix or output.suffix.lower() in IMAGE_SUFFIXES:
        return _resolve_frames(info, options, output, scale=scale, threads=threads)
    return _resolve_video(info, options, find_container(output), scale=scale, threads=threads)


def resolve_pipe(
    info: SourceInfo, options: UpscaleOptions, *, scale: int, threads: int
) -> EncodeSettings:
    """Return the settings for an output pipe in `options.format`, Y4M by default.

    Raises:
        UnknownNameError, UsageError: as for `resolve`.
    """
    if options.format not in (None, "y4m"):
        container = find_container(Path(f"pipe.{options.format}"))
        return _resolve_video(info, options, container, scale=scale, threads=threads)
    if options.codec is not None:
        raise UsageError(
            f"`codec={options.codec!r}`: Y4M holds frames as they are; give `format='mkv'`"
        )
    settings = _settings(info, options, Y4M, Y4M_FRAMES, scale=scale, threads=threads)
    lost = list(_lost_in_y4m(info))
    return replace(settings, losses=(*settings.losses, *lost))


def _lost_in_y4m(info: SourceInfo) -> Iterator[Loss]:
    if info.display_matrix is not None:
        yield Loss(kind="rotation", text="the rotation is dropped: Y4M has no place for it")
    if info.hdr is not None:
        yield Loss(kind="hdr", text="HDR metadata is dropped: Y4M has no place for it")


def _resolve_video(
    info: SourceInfo,
    options: UpscaleOptions,
    container: ContainerRow,
    *,
    scale: int,
    threads: int,
) -> EncodeSettings:
    candidates = _candidates(info, options, container)
    failed = []
    for row in candidates:
        try:
            settings = _settings(info, options, container, row, scale=scale, threads=threads)
            try_out(settings, in_child=row.hardware)
        except EncoderError as error:
            failed.append(str(error))
        else:
            return settings
    raise UsageError("; ".join(failed))


def find_container(output: Path) -> ContainerRow:
    """Return the container for the suffix of `output`.

    Raises:
        UnknownNameError: there is none.
    """
    for row in CONTAINERS:
        if output.suffix.lower() in row.suffixes:
            return row
    known = [suffix for row in CONTAINERS for suffix in row.suffixes]
    if reason := UNSUITABLE.get(output.suffix.lower()):
        raise UnknownNameError(f"{output.name}: {reason}; give .mkv or .mp4")
    raise UnknownNameError(
        f"{output.name}: no video format has the suffix {output.suffix!r}; there are "
        f"{', '.join(known)}, or a folder for frames"
    )


def _candidates(
    info: SourceInfo, options: UpscaleOptions, container: ContainerRow
) -> list[EncoderRow]:
    """Return the encoders to try, best first."""
    if options.codec is None:
        usual = _default_coding(info, container)
        # Options of encoders are meant for the usual one; without them any encoder is fine.
        told = options.encoder_options or options.pix_fmt or options.preset
        others = () if told else (coding for coding in container.codings if coding != usual)
        found = [row for coding in (usual, *others) for row in _rows(coding)]
    else:
        found = _rows(_canonical(options.codec))
        fitting = [row for row in found if container.muxer in row.containers]
        if not fitting:
            homes = sorted({c for row in found for c in row.containers})
            titles = [row.title for row in CONTAINERS if row.muxer in homes]
            raise UsageError(
                f"`codec={options.codec!r}`: {container.title} cannot hold {found[0].coding}; "
                f"give OUTPUT a suffix of {' or '.join(titles)}"
            )
        found = fitting
    present = [row for row in found if is_present(row)]
    # Hardware encoders are only used if named, or if there is no other.
    present = [row for row in present if not row.hardware] or present
    if not present:
        raise UsageError(
            f"this build of PyAV has no encoder for {found[0].coding}: see vsrpp doctor"
        )
    return present


def _default_coding(info: SourceInfo, container: ContainerRow) -> str:
    if info.has_alpha and container.alpha_coding:
        return container.alpha_coding
    shallow, deep = container.codings
    return deep if info.bit_depth > 8 else shallow


def _canonical(name: str) -> str:
    known = {row.encoder for row in ROWS} | {row.coding for row in ROWS}
    lower = name.lower()
    lower = ALIASES.get(lower, lower)
    if lower in known:
        return lower
    close = get_close_matches(lower, [*known, *ALIASES], 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    raise UnknownNameError(f"`codec={name!r}`: not known; {hint}")


def _rows(name: str) -> list[EncoderRow]:
    """Return the row of an encoder, or all rows of a coding, software first."""
    exact = [row for row in ROWS if row.encoder == name]
    return exact or [row for row in ROWS if row.coding == name]


def is_present(row: EncoderRow) -> bool:
    """Return whether this build of FFmpeg has the encoder; whether it works is not tested."""
    try:
        av.Codec(row.encoder, "w")
    except UnknownCodecError:
        return False
    return True


def try_all_encoders() -> dict[EncoderRow, str]:
    """Test every encoder of this build of FFmpeg with a few frames.

    Returns:
        the reason why each does not work on this machine; empty for those that work.
    """
    present = [row for row in ROWS if is_present(row)]
    # The threads only wait for processes.
    with ThreadPoolExecutor(TRIALS_AT_ONCE) as pool:
        waiting = {row: pool.submit(_trial, row) for row in present if row.hardware}
        return {row: waiting[row].result() if row.hardware else _trial(row) for row in present}


def _trial(row: EncoderRow) -> str:
    settings = EncodeSettings(
        kind="video",
        container=row.containers[0],
        codec=row.encoder,
        pix_fmt=row.pix_fmts[0],
        width=TRIAL_SIZE[0],
        height=TRIAL_SIZE[1],
        time_base=1 / ASSUMED_RATE,
        frame_rate=ASSUMED_RATE,
        color=_color(
            ColorSpec(matrix="bt709", full_range=False),
            row.pix_fmts[0],
            limited_only=row.limited_only,
        ),
    )
    settings = replace(settings, options=_options(row, settings, UpscaleOptions()))
    try:
        try_out(settings, in_child=row.hardware)
    except EncoderError as error:
        return str(error)
    return ""


def _settings(
    info: SourceInfo,
    options: UpscaleOptions,
    container: ContainerRow,
    row: EncoderRow,
    *,
    scale: int,
    threads: int,
) -> EncodeSettings:
    pix_fmt = _pix_fmt(info, options, row, container.muxer)
    shape = output_shape(info, options, scale=scale, multiples=even_multiples(pix_fmt, row.even))
    _check_size(row, shape.width, shape.height)
    settings = EncodeSettings(
        kind="video",
        container=container.muxer,
        codec=row.encoder,
        pix_fmt=pix_fmt,
        width=shape.width,
        height=shape.height,
        time_base=info.time_base,
        frame_rate=info.frame_rate,
        color=_color(info.color, pix_fmt, limited_only=row.limited_only),
        sample_aspect_ratio=shape.sample_aspect_ratio,
        display_matrix=info.display_matrix,
        hdr=info.hdr,
        stereo=info.stereo if info.stereo in container.stereo else "",
        spherical=_mapping(info, container, shape.width),
        threads=max(1, min(threads, row.max_threads)),
        keep_alpha=info.has_alpha
        and describe(pix_fmt).alpha
        and container.muxer in row.alpha_containers,
        dither=info.bit_depth > describe(pix_fmt).depth,
        cut_start=options.start is not None,
        cut_end=options.end is not None or options.frames is not None,
        notes=shape.notes,
    )
    settings = replace(settings, options=_options(row, settings, options))
    return replace(
        settings,
        notes=settings.notes + _notes(info, options, row, settings),
        losses=_losses(info, options, container, row, settings),
    )


def _pix_fmt(info: SourceInfo, options: UpscaleOptions, row: EncoderRow, container: str) -> str:
    if options.pix_fmt is not None:
        formats = av.Codec(row.encoder, "w").video_formats or ()
        offered = [f.name for f in formats if f.components]  # the others are hardware surfaces
        offered = offered or list(row.pix_fmts)
        if options.pix_fmt not in offered:
            raise UsageError(
                f"`pix_fmt={options.pix_fmt!r}`: {row.encoder} takes {', '.join(offered)}"
            )
        _try_conversion(options.pix_fmt, info.color)
        return options.pix_fmt
    wanted = _wanted(info, row)
    return closest(
        replace(wanted, alpha=wanted.alpha and container in row.alpha_containers), row.pix_fmts
    )


def _try_conversion(pix_fmt: str, color: ColorSpec) -> None:
    """Raise UsageError if pictures cannot be converted to a format that the encoder accepts."""
    spec = _color(color, pix_fmt, limited_only=False)
    rgb_to_frame(np.zeros((3, 16, 16), np.float32), pix_fmt, spec)


def _wanted(info: SourceInfo, row: EncoderRow) -> PixelFormat:
    """Return the pixel format that this encoder should come closest to."""
    source = replace(describe(info.pix_fmt), depth=info.bit_depth, alpha=info.has_alpha)
    wanted = replace(source, depth=min(source.depth, max(8, row.deepest)))
    if row.lossless:
        return wanted
    # For players, RGB and grey become 4:2:0; RGB in ProRes keeps full chroma. Alpha is kept.
    if source.rgb or source.gray:
        chroma = 1 if row.full_chroma_of_rgb and source.rgb else 2
        wanted = replace(wanted, rgb=False, gray=False, chroma_x=chroma, chroma_y=chroma)
    if (wanted.chroma_x, wanted.chroma_y) not in ((1, 1), (2, 1), (2, 2)):
        # 4:1:1 of DV and others: at the larger size 4:2:0 has more chroma samples than the source.
        wanted = replace(wanted, chroma_x=2, chroma_y=2)
    return wanted


def _color(source: ColorSpec, pix_fmt: str, *, limited_only: bool) -> ColorSpec:
    """Return the colour tags of the output: those of the source, completed."""
    form = describe(pix_fmt)
    if form.rgb:
        spec = replace(source, matrix="gbr", full_range=True)
    elif source.matrix == "gbr":
        wide = source.primaries == "bt2020"
        spec = replace(source, matrix="bt2020nc" if wide else "bt709", full_range=False)
    else:
        spec = source
    primaries, transfer = USUAL.get(spec.matrix, ("bt709", "bt709"))
    return replace(
        spec,
        primaries=spec.primaries if spec.primaries != "unknown" else primaries,
        full_range=spec.full_range and not limited_only,
        transfer=spec.transfer if spec.transfer != "unknown" else transfer,
        siting=_siting(spec.siting, form),
        guessed=(),
    )


USUAL = {
    "bt709": ("bt709", "bt709"),
    "smpte170m": ("smpte170m", "smpte170m"),
    "bt470bg": ("bt470bg", "smpte170m"),
    "smpte240m": ("smpte240m", "smpte240m"),
    "bt2020nc": ("bt2020", "bt2020-10"),
}
"""Primaries and transfer that players assume for a matrix."""


def _siting(siting: str, form: PixelFormat) -> str:
    subsampled = not form.rgb and not form.gray and form.chroma_x > 1
    if not subsampled:
        return "unspecified"
    return "left" if siting == "unspecified" else siting


def _check_size(row: EncoderRow, width: int, height: int) -> None:
    if min(width, height) < row.smallest:
        raise EncoderError(
            f"{width}x{height} is below the {row.smallest} pixels a side of {row.encoder}"
        )
    if max(width, height) > row.largest:
        others = sorted({r.coding for r in ROWS if not r.hardware and r.largest > row.largest})
        raise UsageError(
            f"{width}x{height} is beyond the {row.largest} pixels a side of {row.encoder}: "
            f"give `height`, or `codec` {' or '.join(others) or 'of frames'}"
        )


def _options(row: EncoderRow, settings: EncodeSettings, options: UpscaleOptions) -> Options:
    """Return the encoder's options, complete: quality, preset, the row's, HDR, the user's."""
    chosen = dict(row.fixed)
    full_chroma = describe(settings.pix_fmt).chroma_x == 1
    chosen.update(_quality(row, options.crf, full_chroma=full_chroma))
    chosen.update(_preset(row, options.preset))
    if settings.color.siting != "unspecified":
        chosen["chroma_sample_location"] = settings.color.siting
    pixels = settings.width * settings.height
    if slices := next((count for least, count in row.slices if pixels >= least), None):
        chosen["slices"] = slices
    params = dict(row.fixed_params)
    if row.threads_param:
        params[row.threads_param] = str(settings.threads)
    params.update(encoder_parameters(row.hdr, settings.hdr))
    known = {o.name for o in _known_options(row.encoder)}
    for key, value in options.encoder_options:
        if key == row.params:
            params.update(_parsed(value))
        elif key not in known and row.params:
            params[key] = value
        else:
            chosen[key] = value
    if row.params and params:
        chosen[row.params] = ":".join(f"{key}={value}" for key, value in params.items())
    return tuple(chosen.items())


def _known_options(encoder: str) -> Sequence[av.codec.context.CodecOption]:
    supported = av.CodecContext.create(encoder, "w").supported_options
    return (*supported.private, *supported.generic)


def _parsed(params: str) -> dict[str, str]:
    """Return `a=1:b=2` as a dictionary; a key alone is switched on."""
    pairs = (part.partition("=") for part in params.split(":") if part)
    return {key: value or "1" for key, _, value in pairs}


def _quality(row: EncoderRow, crf: float | None, *, full_chroma: bool) -> Options:
    value = DEFAULT_CRF if crf is None else crf
    if profiles := (full_chroma and row.profiles_444) or row.profiles:
        return next(options for limit, options in profiles if value <= limit)
    if row.quality is None:
        if crf is not None:
            raise UsageError(f"`crf={crf:g}`: {row.encoder} is lossless and has no quality to set")
        return ()
    if value == 0 and row.quality.lossless:
        return row.quality.lossless
    own = min(value * row.quality.factor, row.quality.highest)
    return ((row.quality.option, str(round(own)) if row.quality.integer else f"{own:g}"),)


def _preset(row: EncoderRow, preset: str | None) -> Options:
    if row.preset_option is None:
        if preset is not None:
            raise UsageError(f"`preset={preset!r}`: {row.encoder} has none")
        return ()
    name = preset or DEFAULT_PRESET
    if name in PRESETS:
        own = row.presets[PRESETS.index(name)] if row.presets else name
    elif name in row.own_presets:
        own = name
    else:
        also = f" or {row.own_presets[0]} to {row.own_presets[-1]}" if row.own_presets else ""
        raise UnknownNameError(f"`preset={name!r}`: {row.encoder} has {', '.join(PRESETS)}{also}")
    return ((row.preset_option, own),)


def _notes(
    info: SourceInfo, options: UpscaleOptions, row: EncoderRow, settings: EncodeSettings
) -> tuple[str, ...]:
    notes = []
    if row.format.has_levels:
        notes += h264_note(settings.width, settings.height, info.frame_rate)
    playable = row.format.hardware_pix_fmts or (settings.pix_fmt,)
    if settings.pix_fmt not in playable and options.pix_fmt is None:
        notes.append(
            f"{settings.pix_fmt} as in the source: hardware decodes {row.format.title} in yuv420p "
            "only, which `pix_fmt='yuv420p'` gives; HEVC is decoded in more (`codec='hevc'`)"
        )
    if options.codec is None and row.format.why_for_depth and info.bit_depth > 8:
        notes.append(
            f"the source has {info.bit_depth} bits a component: "
            f"encoded as {row.format.why_for_depth}"
        )
    if info.timing == "assumed":
        notes.append(
            f"neither `fps` nor timestamps.txt: taken as {info.frame_rate} frames a second"
        )
    if row.hardware:
        notes.append(f"{row.encoder} may give slightly different files from run to run")
    return tuple(notes)


def _losses(
    info: SourceInfo,
    options: UpscaleOptions,
    container: ContainerRow,
    row: EncoderRow,
    settings: EncodeSettings,
) -> tuple[Loss, ...]:
    """Return the losses of picture properties that the user has not asked for."""
    have, source = describe(settings.pix_fmt), describe(info.pix_fmt)
    layout = _layout_losses(info, settings.stereo, settings.spherical, container.title)
    losses = [*info.losses, *layout]
    if options.pix_fmt is None and info.bit_depth > have.depth and have.depth < 10:
        losses.append(_fewer_bits(info, have.depth, row.encoder))
    if info.has_alpha and not settings.keep_alpha:
        losses.append(_opaque(f"{row.coding} in {container.title}"))
    colorful = options.pix_fmt is None and not source.rgb and not source.gray
    if colorful and (have.chroma_x, have.chroma_y) > (source.chroma_x, source.chroma_y):
        text = f"{source.subsampling} chroma becomes {have.subsampling} ({row.encoder})"
        losses.append(Loss(kind="chroma", text=text))
    return tuple(losses)


def _fewer_bits(info: SourceInfo, depth: int, holder: str) -> Loss:
    text = f"{info.bit_depth} bits a component become {depth} ({holder})"
    return Loss(kind="depth", text=text)


def _opaque(holder: str) -> Loss:
    return Loss(kind="transparency", text=f"transparency is dropped ({holder} holds none)")


def _mapping(info: SourceInfo, container: ContainerRow, width: int) -> Spherical | None:
    """Return the source's spherical mapping for another width; None if it cannot be stored."""
    mapping = info.spherical
    if mapping is None or mapping.projection not in container.projections:
        return None
    return replace(mapping, padding=round(mapping.padding * width / info.width))


def _layout_losses(
    info: SourceInfo, stereo: str, spherical: Spherical | None, title: str
) -> Iterator[Loss]:
    """Yield losses of the 3D layout and of the spherical mapping."""
    if info.stereo == MULTIVIEW:
        text = "the second view of 3D video (MV-HEVC) is dropped: only the first one is decoded"
        yield Loss(kind="stereo", text=text)
    elif info.stereo != stereo:
        text = f"the 3D layout ({info.stereo}) is dropped: {title} has no place for it"
        yield Loss(kind="stereo", text=text)
    if info.spherical is not None and spherical is None:
        projection = info.spherical.projection
        text = f"the spherical mapping ({projection}) is dropped: {title} has no place for it"
        yield Loss(kind="spherical", text=text)


def _resolve_frames(
    info: SourceInfo, options: UpscaleOptions, output: Path, *, scale: int, threads: int
) -> EncodeSettings:
    """Return the settings for a folder of frames or a single image."""
    for name, value in (("crf", options.crf), ("preset", options.preset)):
        if value is not None:
            raise UsageError(f"`{name}={value!r}`: is for videos, the output is frames")
    kind = _image_format(options, output)
    row = image_row(kind)
    depth = 16 if info.bit_depth > 8 and row.deep_layouts else 8
    alpha = info.has_alpha and row.alpha
    gray = describe(info.pix_fmt).gray and row.deep_layouts is not None
    shape = output_shape(info, options, scale=scale, multiples=(1, 1))
    losses = [*_layout_losses(info, "", None, kind.upper())]
    if info.bit_depth > depth:
        losses.append(_fewer_bits(info, depth, kind))
    if info.has_alpha and not alpha:
        losses.append(_opaque(kind))
    if info.hdr:
        losses.append(Loss(kind="hdr", text="images have no place for HDR metadata"))
    notes = shape.notes
    if info.kind == "video" and not output.suffix and not output.is_dir():
        becomes = f"a folder of {kind.upper()} frames without sound"
        notes += (f"{output.name} has no suffix: {becomes}; a video is e.g. {output.name}.mp4",)
    return EncodeSettings(
        kind="frames",
        container=kind,
        codec=kind,
        pix_fmt=options.pix_fmt or encoder_format(kind, bit_depth=depth, gray=gray, alpha=alpha),
        width=shape.width,
        height=shape.height,
        time_base=info.time_base,
        frame_rate=info.frame_rate,
        color=replace(info.color, matrix="gbr", full_range=True, siting="unspecified", guessed=()),
        sample_aspect_ratio=shape.sample_aspect_ratio,
        display_matrix=info.display_matrix,
        threads=threads,
        options=options.encoder_options,
        keep_alpha=alpha,
        cut_start=options.start is not None,
        cut_end=options.end is not None or options.frames is not None,
        notes=notes,
        losses=tuple(losses),
    )


def _image_format(options: UpscaleOptions, output: Path) -> str:
    """Return the image format: `codec`, else that of the output's suffix, else PNG."""
    kinds = sorted(set(IMAGE_SUFFIXES.values()))
    named = None if output.is_dir() else IMAGE_SUFFIXES.get(output.suffix.lower())
    if options.codec is not None:
        asked = IMAGE_SUFFIXES.get(f".{options.codec.lower()}", options.codec.lower())
        if asked not in kinds:
            raise UnknownNameError(
                f"`codec={options.codec!r}`: frames are written as one of {', '.join(kinds)}"
            )
        if named and asked != named:
            raise UsageError(f"`codec={options.codec!r}` contradicts the name {output.name}")
        return asked
    return named or "png"  # JPEG, which is lossy, only on request
