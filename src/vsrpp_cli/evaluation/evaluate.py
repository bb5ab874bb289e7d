"""Measures models on a data set as the papers do."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.degrade import SCALE, degrade_8bit, downsampler
from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.evaluation.comparison.pictures import write_picture
from vsrpp_cli.evaluation.consistency import Motion, motion, warping_error
from vsrpp_cli.evaluation.methods import Bicubic, Method, Network
from vsrpp_cli.evaluation.protocols import Protocol, find_protocol, published
from vsrpp_cli.evaluation.results import Evaluation, MethodResult, SequenceResult, mean
from vsrpp_cli.evaluation.sequences import Sequence as Footage
from vsrpp_cli.evaluation.sequences import find_sequences, named_sequence, read_8bit
from vsrpp_cli.evaluation.web import KIND as WEB
from vsrpp_cli.evaluation.web import Degradation, Web, degrade_web
from vsrpp_cli.inference.session import ComputeSpec, Session, compute_spec
from vsrpp_cli.metrics import Channels, Picture, psnr, ssim, to_8bit
from vsrpp_cli.options import PrecisionWish, UpscaleOptions

TRUTH = "truth"

OnProgress = Callable[[str, str, int, int], None]
"""Called with the method, the sequence, its frames measured so far and its number of frames."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What to measure, and how."""

    models: tuple[str, ...] = ("compact",)
    """As in `UpscaleOptions.model`; each may be a chain, with commas."""
    protocol: str | None = None
    """A name in `PROTOCOLS`; None for none."""
    degradation: Degradation | None = None
    """None for the protocol's usual one, or `bi`."""
    crf: float | None = None
    blur: float | None = None
    noise: float | None = None
    """Strengths of `web`, see `Web`; None for its defaults."""
    low: Path | None = None
    """Folder with low-resolution sequences of the same names, instead of a degradation."""
    channels: Channels | None = None
    """None for the protocol's, or `y`."""
    border: int = 0
    """Pixels ignored on each side."""
    ordinary: bool = False
    """Whether to compute in the chunks and tiles of `upscale` instead of whole sequences."""
    only: tuple[str, ...] = ()
    """Names of sequences to restrict the evaluation to; empty for all."""
    frames: int | None = None
    """The largest number of frames of each sequence."""
    temporal: bool = True
    """Whether to measure temporal consistency."""
    save_frames: Path | None = None
    """Folder for PNG files of all results; None for none."""
    device: str = "auto"
    precision: PrecisionWish = "auto"
    threads: int | None = None
    ensemble: bool = False
    guard: bool = True
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """The resolved options, the same for all sequences."""

    protocol: Protocol | None
    kind: Degradation
    web: Web | None
    """The strength of `web`; None for another degradation."""
    low: Path | None
    channels: Channels
    border: int
    scale: int
    frames: int | None
    temporal: bool
    save: Path | None

    @property
    def centre_only(self) -> bool:
        """Whether only the middle frame of a sequence counts."""
        return self.protocol is not None and self.protocol.centre_only


def evaluate(
    dataset: Path, options: EvaluateOptions, *, on_progress: OnProgress | None = None
) -> Evaluation:
    """Measure models, and bicubic interpolation for comparison, against ground truth.

    Args:
        dataset: see `find_sequences`.
        options: what to measure.
        on_progress: called after each frame.

    Raises:
        VsrppError: the data set, the models or the device do not allow this.
    """
    protocol = find_protocol(options.protocol) if options.protocol else None
    kind = options.degradation or (protocol.kinds[0] if protocol else "bi")
    web = _web(options, kind)
    computing = _computing(options)
    compute = compute_spec(computing)
    footage = find_sequences(dataset, protocol, options.only)
    networks = _networks(options, computing, compute)
    setting = _resolved(options, protocol, kind, web, networks)
    methods: list[Method] = [Bicubic(setting.scale), *networks]
    results: dict[str, list[SequenceResult]] = {}
    for item in footage:
        for name, result in _measure_sequence(item, methods, setting, on_progress):
            results.setdefault(name, []).append(result)
    measured = [_method_result(method, results[method.name], setting) for method in methods]
    if TRUTH in results:
        measured.insert(0, MethodResult(method=TRUTH, sequences=tuple(results[TRUTH])))
    return Evaluation(
        dataset=str(dataset),
        protocol=options.protocol,
        degradation=_named(kind, web) if options.low is None else str(options.low),
        channels=setting.channels,
        border=setting.border,
        chunks="ordinary" if options.ordinary else "whole",
        device=compute.device,
        precision=compute.precision,
        threads=compute.threads,
        methods=tuple(measured),
        notes=tuple(_notes(results[methods[0].name], setting)),
    )


def _web(options: EvaluateOptions, kind: Degradation) -> Web | None:
    """Return the strength of `web`, None for another degradation.

    Raises:
        UnknownNameError: there is no such degradation.
        UsageError: a strength is out of its range, or given for another degradation.
    """
    strengths = {"crf": options.crf, "blur": options.blur, "noise": options.noise}
    given = {name: value for name, value in strengths.items() if value is not None}
    if kind == WEB and options.low is None:
        return Web(**given)
    if kind != WEB:
        downsampler(kind)
    if given:
        raise UsageError(f"`{min(given)}` belongs to `degradation={WEB!r}`")
    return None


def _named(kind: Degradation, web: Web | None) -> str:
    if web is None:
        return kind
    parts = [f"crf {web.crf:g}"]
    parts += [
        f"{name} {value:g}" for name, value in (("blur", web.blur), ("noise", web.noise)) if value
    ]
    return f"{kind}, {', '.join(parts)}"


def _computing(options: EvaluateOptions) -> UpscaleOptions:
    return UpscaleOptions(
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        ensemble=options.ensemble,
        guard=options.guard,
    )


def _networks(
    options: EvaluateOptions, computing: UpscaleOptions, compute: ComputeSpec
) -> list[Network]:
    """Return the models; numbers are added to repeated names."""
    kind = compute.device.partition(":")[0]
    names: Counter[str] = Counter()
    networks = []
    for text in options.models:
        chain = resolve_chain(text, device_kind=kind, offline=options.offline)
        name = "+".join(Path(model.name).stem for model in chain)
        names[name] += 1
        numbered = name if names[name] == 1 else f"{name}-{names[name]}"
        session = Session(chain, computing, compute)
        networks.append(Network(numbered, session, ordinary=options.ordinary))
    return networks


def _resolved(
    options: EvaluateOptions,
    protocol: Protocol | None,
    kind: Degradation,
    web: Web | None,
    networks: Sequence[Network],
) -> _Setting:
    scales = {network.scale for network in networks} or {SCALE}
    if len(scales) > 1:
        raise UsageError(
            f"models of different scales ({', '.join(map(str, sorted(scales)))}) cannot be "
            "measured together: evaluate them one by one"
        )
    scale = scales.pop()
    if scale == 1 and options.low is None:
        raise UsageError(
            "a model whose output has its input's size needs damaged sequences to restore: "
            "give their folder with `low`"
        )
    return _Setting(
        protocol=protocol,
        kind=kind,
        web=web,
        low=options.low,
        channels=options.channels or (protocol.channels if protocol else "y"),
        border=options.border,
        scale=scale,
        frames=options.frames,
        temporal=options.temporal,
        save=options.save_frames,
    )


def _measure_sequence(
    footage: Footage,
    methods: Sequence[Method],
    setting: _Setting,
    on_progress: OnProgress | None,
) -> Iterator[tuple[str, SequenceResult]]:
    """Yield each method's result on one sequence; first the consistency of the truth itself."""
    truth = read_8bit(footage.path, setting.frames)
    low, truth = _low_frames(footage, truth, setting)
    wanted = [truth[len(truth) // 2]] if setting.centre_only else truth

    def measured(name: str, pictures: Iterator[Picture]) -> Iterator[Picture]:
        for done, picture in enumerate(pictures, 1):
            yield picture
            if on_progress is not None:
                on_progress(name, footage.name, done, len(wanted))

    motions: list[Motion] = []
    if setting.temporal and len(wanted) > 1:
        pairs = pairwise(measured(TRUTH, iter(wanted)))
        motions = [motion(_tensor(a), _tensor(b)) for a, b in pairs]
        yield TRUTH, _judge(footage.name, iter(wanted), None, motions, setting)
    for method in methods:
        pictures = measured(method.name, _outputs(method, low, setting))
        if setting.save is not None:
            pictures = _saved(pictures, setting.save / method.name / footage.name)
        yield method.name, _judge(footage.name, pictures, wanted, motions, setting)


def _low_frames(
    footage: Footage, truth: list[Picture], setting: _Setting
) -> tuple[list[Picture], list[Picture]]:
    """Return the low-resolution frames, and the truth cropped to their size times the scale."""
    if setting.low is None and setting.web is not None:
        low = degrade_web(truth, setting.web, setting.scale)
    elif setting.low is None:
        assert setting.kind != WEB
        low = [degrade_8bit(frame, setting.kind, setting.scale) for frame in truth]
    else:
        place = named_sequence(setting.low, footage.name)
        low = read_8bit(place.path, setting.frames)
        if len(low) != len(truth):
            raise InputError(f"{place.path}: {len(low)} frames for {len(truth)} of the truth")
    height, width = (side * setting.scale for side in low[0].shape[1:])
    beyond = [have - want for have, want in zip(truth[0].shape[1:], (height, width), strict=True)]
    if not all(0 <= excess < setting.scale for excess in beyond):
        raise InputError(
            f"{footage.name}: frames of {low[0].shape[2]}x{low[0].shape[1]} do not belong to "
            f"truth of {truth[0].shape[2]}x{truth[0].shape[1]} at scale {setting.scale}"
        )
    return low, [frame[:, :height, :width] for frame in truth]


def _outputs(method: Method, low: list[Picture], setting: _Setting) -> Iterator[Picture]:
    if not setting.centre_only:
        yield from map(to_8bit, method.run(low))
        return
    # The middle frame occurs twice, at t // 4 from each end of the t frames: average both.
    results = list(method.run([*low, *reversed(low)]))
    quarter = len(results) // 4
    yield to_8bit((results[quarter] + results[-1 - quarter]) * np.float32(0.5))


def _judge(
    name: str,
    pictures: Iterator[Picture],
    truth: Sequence[Picture] | None,
    motions: Sequence[Motion],
    setting: _Setting,
) -> SequenceResult:
    """Measure pictures against the truth, and the consistency of consecutive pictures."""
    signal, similarity, warping, squared = [], [], [], []
    before: Tensor | None = None
    count = 0
    for count, picture in enumerate(pictures, 1):
        if truth is not None:
            pair = picture, truth[count - 1]
            signal.append(psnr(*pair, channels=setting.channels, border=setting.border))
            similarity.append(ssim(*pair, channels=setting.channels, border=setting.border))
        if motions:
            now = _tensor(picture)
            if before is not None and (error := warping_error(before, now, motions[count - 2])):
                warping.append(error.pixels)
                squared.append(error.squared)
            before = now
    return SequenceResult(
        sequence=name,
        frames=count,
        psnr=mean(signal),
        ssim=mean(similarity),
        warping=mean(warping),
        warping_squared=mean(squared),
    )


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(picture).float() / 255


def _saved(pictures: Iterator[Picture], folder: Path) -> Iterator[Picture]:
    for index, picture in enumerate(pictures):
        write_picture(folder / f"{index:08d}.png", picture)
        yield picture


def _method_result(
    method: Method, sequences: Sequence[SequenceResult], setting: _Setting
) -> MethodResult:
    row = method.row if isinstance(method, Network) and setting.low is None else None
    score = published(row, setting.protocol, setting.kind)
    return MethodResult(
        method=method.name,
        sequences=tuple(sequences),
        fps=method.fps,
        events=method.events,
        published_psnr=score.psnr if score else None,
        published_ssim=score.ssim if score else None,
    )


def _notes(sequences: Sequence[SequenceResult], setting: _Setting) -> list[str]:
    """Return sentences on how the conditions differ from those of published results."""
    protocol = setting.protocol
    if protocol is None:
        return []
    notes = []
    frames = sum(result.frames for result in sequences)
    if (len(sequences), frames) != (protocol.sequence_count, protocol.frame_count):
        notes.append(
            f"{protocol.title} has {protocol.sequence_count} sequences with "
            f"{protocol.frame_count} measured frames; these are {len(sequences)} with {frames}"
        )
    if (setting.channels, setting.border) != (protocol.channels, protocol.border):
        notes.append(
            f"{protocol.title} is published for channels {protocol.channels} and a border of "
            f"{protocol.border}, these are {setting.channels} and {setting.border}"
        )
    return notes
