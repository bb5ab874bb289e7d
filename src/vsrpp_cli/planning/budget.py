"""How long chunks and how large tiles may be so that a run stays within its memory.

The memory of a worker is predicted by a model that is linear in frames and pixels; its coefficients
were fitted to measurements (`benchmarks/memory.py`, results in `docs/benchmarks.md`). Among all
geometries that fit, the one that computes least besides what is kept is taken. The outcome depends
on nothing but the arguments: not on what is free just now, nor on how many workers there are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Protocol

from vsrpp_cli.errors import OutOfMemoryError, UsageError
from vsrpp_cli.options import Precision, tile_size
from vsrpp_cli.planning.tiles import axis_length, check, padded, spans

ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}

TILE_OVERLAP = 24
"""Pixels, at the resolution features have, by which tiles reach beyond the middle of a border."""

LEAST_TILE_OVERLAPS = 6
"""Tiles nobody asked for have sides of at least so many overlaps: smaller ones begin to show."""

BASE = 800 << 20
"""Bytes of a process that has loaded everything and computed nothing."""
WEIGHTS = 4
WEIGHTS_BY_ELEMENT = 0.75
"""Bytes on a CPU for each byte of a file of weights, and for that and each byte of an element: the
weights themselves, the copy they are packed from, and as Winograd's convolution wants them, which
is four times as many. Fitted to a file of 176 MB; what the C library keeps of the copies differs
from run to run."""
FLOW_BYTES = 16
"""Bytes a chunk holds for each frame and pixel of the flow network: two flows, float32."""
CLIP_BYTES = 24
"""Bytes for each frame of a chunk and pixel: the decoded frame and the clip made of it."""
STORE_BYTES = 6
"""Bytes for each kept frame and output pixel where tiles or ensemble passes are put together."""
STEP_FEATURES = 14
"""Features' worth of memory that one step of a branch needs on top."""
FLOW_NETWORK_BYTES = 700
"""Bytes for each pixel of the flow network while it runs."""
SAMPLING_CHANNEL_BYTES = 84
SAMPLING_GROUP_BYTES = 216
"""What deformable sampling by torchvision, which computes in float32, needs on top for each pixel,
by channel (columns, the two features, the result) and by group (offsets and masks). Counted, not
measured; the kernels for CPUs need nothing like it."""
RECONSTRUCTION = 3.4
"""Copies of the `16 * hr_channels` elements a pixel at the output's size while reconstructing."""
PIPELINE_FRAMES = 6
"""Output frames, float32, on their way through queues and conversion."""
LANDING_FRAMES = 10
"""Output frames, float32, that a device's results need in pinned memory besides: three under way,
and torch rounds each block, on its way through the pipeline too, up to a power of two."""
ENCODER_FRAMES = 60
"""Output frames, 1.5 bytes a pixel, in an encoder's lookahead."""
MARGIN = 1.05

MOST_TILES = 8
"""Tiles computed together at most; more of them would not keep a GPU busier."""

GOOD_TILING = 1.2
"""Computed pixels for each one of the frame; tilings that cost more are the last resort."""
GOOD_OVERHEAD = 1.15
"""Computed frames for each kept one that segments are made long enough to keep to."""
GOOD_CONTEXT = 1.12
"""The same for chunks within a segment: context beyond the least must not make it more."""
LEAST_OVERLAP = 4
"""Frames of context below which borders of chunks begin to show."""
SEGMENT_FRAMES = 250
SEGMENT_SECONDS = 60


class NetworkSize(Protocol):
    """What has to be known of a network's configuration."""

    @property
    def channels(self) -> int:
        """Channels of features."""

    @property
    def hr_channels(self) -> int:
        """Channels at the output's size."""

    @property
    def deform_groups(self) -> int:
        """Groups of channels that are sampled alike."""

    @property
    def held_channels(self) -> int:
        """Channels, at the features' size, that a chunk holds of each frame."""

    @property
    def carried_channels(self) -> int:
        """Channels, at the features' size, that are carried over a chunk's border."""

    @property
    def scale(self) -> int:
        """Output size over input size."""

    @property
    def multiple_of(self) -> int:
        """Sides of clips are multiples of this; features have a side smaller by as much."""

    @property
    def minimum(self) -> int:
        """The smallest side of a clip."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a run's frames are cut in time and space."""

    chunk: int
    """Frames one network call sees at most, overlap included."""
    overlap: int
    """Frames of context beside kept ones."""
    tile_w: int | None
    tile_h: int | None
    """Size of a tile in input pixels, overlap included; None for whole frames."""
    tile_overlap: int
    """Input pixels by which tiles reach beyond the middle of the border to the next one."""
    memory: int
    """Bytes one worker is predicted to need at most, on the machine and on the device together."""
    batch: int = 1
    """Tiles computed together."""

    @property
    def tile(self) -> tuple[int, int] | None:
        """Width and height of a tile, or None for whole frames."""
        if self.tile_w is None or self.tile_h is None:
            return None
        return self.tile_w, self.tile_h


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be computed, and on what."""

    width: int
    height: int
    """Size of the input frames in pixels."""
    networks: tuple[NetworkSize, ...]
    """The chain of networks, in order."""
    precision: Precision
    weights: int
    """Bytes of the files of weights."""
    ensemble: bool = False
    longest: int | None = None
    """Frames of the longest scene, if known: no chunk needs to be longer."""
    device_memory: int | None = None
    """Bytes the device has of its own; None where it shares the machine's."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What of the geometry is given."""

    overlap: int
    """Frames of context beside kept ones."""
    cap: int
    """Chunks that see more frames are not worth their memory."""
    overlap_given: bool = False
    """Whether the user wants so much context and no less; otherwise short chunks have less."""
    chunk: int | None = None
    tile: str = "auto"
    """As `--tile` has it."""
    tile_overlap: int | None = None


@dataclass(frozen=True)
class Need:
    """Bytes needed by one worker."""

    host: int
    device: int
    """0 where the device shares the machine's memory; it is part of `host` then."""

    def fits(self, limit: int, device_memory: int | None) -> bool:
        """Tell whether this is within the limits."""
        return self.host <= limit and self.device <= (device_memory or 0)


def choose_geometry(work: Work, wishes: Wishes, limit: int) -> Geometry:
    """Return the geometry that computes least within `limit` bytes of the machine's memory.

    Chunks that come out long get the context that is wanted, short ones at least `LEAST_OVERLAP`.

    Raises:
        OutOfMemoryError: not even the smallest chunks and tiles fit.
        UsageError: a tile or overlap that was asked for cannot be.
    """
    overlap = wishes.tile_overlap
    if overlap is None:
        overlap = TILE_OVERLAP * requirement(work.networks)[1]
    least = wishes
    if not wishes.overlap_given:
        least = replace(wishes, overlap=min(LEAST_OVERLAP, wishes.overlap))
    fitting = []
    for tile in _tiles(work, wishes, overlap):
        if chunk := _longest_chunk(work, least, tile, overlap, limit):
            in_space = prod(_cut(work, tile, overlap)) / prod(frame_size(work))
            whole = work.longest is not None and work.longest <= chunk
            in_time = 1.0 if whole else chunk / (chunk - least.overlap)
            rank = in_space > GOOD_TILING, in_time > GOOD_CONTEXT, in_space * in_time, -chunk
            fitting.append((rank, chunk, tile))
    if not fitting:
        raise _too_little(work, least, overlap, limit)
    _, chunk, tile = min(fitting, key=lambda option: option[0])
    batch = _batch(work, chunk, tile, overlap, limit)
    need = predict(work, chunk, tile, overlap, batch)
    return Geometry(
        chunk=chunk,
        overlap=_context(chunk, least.overlap, wishes.overlap),
        tile_w=tile and tile[0],
        tile_h=tile and tile[1],
        tile_overlap=overlap,
        memory=need.host + need.device,
        batch=batch,
    )


def _batch(work: Work, chunk: int, tile: tuple[int, int] | None, overlap: int, limit: int) -> int:
    """Return how many tiles to compute together: 1 where the device has no memory of its own."""
    if work.device_memory is None:
        return 1
    count = _cut(work, tile, overlap)[1]
    most = 1
    for batch in range(2, min(count, MOST_TILES) + 1):
        if predict(work, chunk, tile, overlap, batch).fits(limit, work.device_memory):
            most = batch
    # No more than are needed to go through all tiles in as few batches.
    return ceil(count / ceil(count / most))


def _context(chunk: int, least: int, wanted: int) -> int:
    """Return frames of context for chunks of so many frames: as wanted where that costs little."""
    bearable = int(chunk * (1 - 1 / GOOD_CONTEXT))
    return max(least, min(wanted, bearable))


def requirement(networks: Iterable[NetworkSize]) -> tuple[int, int]:
    """Return the smallest side, and what sides are multiples of, in input pixels, for a chain."""
    minimum, multiple, scale = 1, 1, 1
    for network in networks:
        minimum = max(minimum, -(-network.minimum // scale))
        multiple = max(multiple, -(-network.multiple_of // scale))
        scale *= network.scale
    return minimum, multiple


def frame_size(work: Work) -> tuple[int, int]:
    """Return width and height of the input frames once they are padded."""
    minimum, multiple = requirement(work.networks)
    return padded(work.width, minimum, multiple), padded(work.height, minimum, multiple)


def predict(
    work: Work, chunk: int, tile: tuple[int, int] | None, tile_overlap: int, batch: int = 1
) -> Need:
    """Return the peak memory of a worker, which also decodes, converts and encodes.

    Args:
        work: what is computed.
        chunk: frames one network call sees.
        tile: width and height of tiles in input pixels, or None for whole frames.
        tile_overlap: in input pixels.
        batch: tiles computed together.
    """
    need = predict_engine(work, chunk, tile, tile_overlap, batch)
    output = work.width * work.height * prod(network.scale for network in work.networks) ** 2
    frames = PIPELINE_FRAMES + (0 if work.device_memory is None else LANDING_FRAMES)
    around = frames * 12 * output + int(ENCODER_FRAMES * 1.5 * output)
    return replace(need, host=int(need.host + MARGIN * around))


def predict_engine(
    work: Work, chunk: int, tile: tuple[int, int] | None, tile_overlap: int, batch: int = 1
) -> Need:
    """Return the peak memory of computing alone; arguments as for `predict`."""
    frame = prod(frame_size(work))
    pixels, passes = _cut(work, tile, tile_overlap)
    passes *= 8 if work.ensemble else 1
    scale = prod(network.scale for network in work.networks)
    network = _network_bytes(work, chunk, pixels, passes, batch)
    host = BASE + _weight_bytes(work) + chunk * CLIP_BYTES * frame
    if passes > 1:
        host += chunk * STORE_BYTES * frame * scale**2
    if work.device_memory is None:
        return Need(int(MARGIN * (host + network)), 0)
    return Need(int(MARGIN * host), int(MARGIN * (network + work.weights)))


def _weight_bytes(work: Work) -> int:
    """Return what the weights need on the machine."""
    if work.device_memory is not None:
        return 2 * work.weights
    return int((WEIGHTS + WEIGHTS_BY_ELEMENT * ELEMENT_BYTES[work.precision]) * work.weights)


def segment_frames(geometry: Geometry, seconds_per_frame: float) -> int:
    """Return how many frames a segment should keep at most.

    About 250 frames or a minute of work, whatever is less, but at least so many that the overlaps
    of a segment amid a long scene do not cost more than they must: 15 percent, or, where chunks are
    too short for that, three percent on top of what chunks cost anyway. Always whole chunks.
    """
    wanted = min(SEGMENT_FRAMES, max(1, int(SEGMENT_SECONDS / max(seconds_per_frame, 1e-6))))
    step = geometry.chunk - geometry.overlap
    bearable = max(GOOD_OVERHEAD, 1.03 * geometry.chunk / step)
    # n whole chunks see n * chunk frames and keep n * step less what the first spends on context.
    least = max(1, ceil(bearable * geometry.overlap / (bearable * step - geometry.chunk)))
    count = max(min(least, SEGMENT_FRAMES // step), (wanted + geometry.overlap) // step, 1)
    return count * step - geometry.overlap


def workers_that_fit(geometry: Geometry, limit: int) -> int:
    """Return how many workers of this geometry the machine's memory holds; at least one."""
    return max(1, limit // max(1, geometry.memory))


def _network_bytes(work: Work, chunk: int, pixels: int, passes: int, batch: int) -> int:
    """Return what the networks of the chain need for tiles of `pixels` input pixels."""
    element = ELEMENT_BYTES[work.precision]
    apart = work.device_memory is not None
    # What is computed from is on the machine in any case, and on such a device as well.
    held, peaks, scale = apart * chunk * 12 * pixels * batch, [0], 1
    for network in work.networks:
        inner = batch * pixels * scale**2 // network.multiple_of**2
        feature = network.channels * element * inner
        features = chunk * (network.held_channels * element + FLOW_BYTES) * inner
        step = STEP_FEATURES * feature + apart * _sampling_bytes(network, inner)
        flow = FLOW_NETWORK_BYTES * inner
        output = int(RECONSTRUCTION * 16 * network.hr_channels * element * inner)
        peaks.append(features + max(step, flow, output))
        held += passes * network.carried_channels * element * inner // batch
        if network is not work.networks[-1]:
            # The next network's clip is this one's output.
            held += chunk * 12 * batch * pixels * (scale * network.scale) ** 2
        scale *= network.scale
    return held + max(peaks)


def _sampling_bytes(network: NetworkSize, pixels: int) -> int:
    """Return what deformable sampling needs on top where torch does it in float32."""
    if not network.deform_groups:
        return 0
    each = SAMPLING_CHANNEL_BYTES * network.channels + SAMPLING_GROUP_BYTES * network.deform_groups
    return each * pixels


def _cut(work: Work, tile: tuple[int, int] | None, tile_overlap: int) -> tuple[int, int]:
    """Return pixels of one tile and the number of tiles."""
    minimum, multiple = requirement(work.networks)
    size = frame_size(work)
    pixels, count = 1, 1
    for side, length in zip(size, tile or size, strict=True):
        along = spans(side, length, tile_overlap, multiple, minimum)
        pixels *= along[0].stop
        count *= len(along)
    return pixels, count


def _tiles(work: Work, wishes: Wishes, overlap: int) -> Sequence[tuple[int, int] | None]:
    """Return the tile sizes to choose from, None for whole frames."""
    minimum, multiple = requirement(work.networks)
    if wishes.tile == "off":
        return (None,)
    size = frame_size(work)
    if (given := tile_size(wishes.tile)) is not None:
        check(given, overlap, minimum)
        return (None if given[0] >= size[0] and given[1] >= size[1] else given,)
    least = max(minimum, LEAST_TILE_OVERLAPS * overlap)
    widths, heights = (_lengths(side, overlap, multiple, least) for side in size)
    return [None, *((w, h) for w in widths for h in heights if (w, h) != size)]


def _lengths(size: int, overlap: int, multiple: int, least: int) -> list[int]:
    found, count = [size], 2
    while (length := axis_length(size, count, overlap, multiple)) >= least and length < found[-1]:
        found.append(length)
        count += 1
    return found


def _longest_chunk(
    work: Work, wishes: Wishes, tile: tuple[int, int] | None, overlap: int, limit: int
) -> int | None:
    """Return the frames of the longest chunk that fits, or None if none does."""
    low, high = _chunk_range(work, wishes)

    def fits(chunk: int) -> bool:
        return predict(work, chunk, tile, overlap).fits(limit, work.device_memory)

    if not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _chunk_range(work: Work, wishes: Wishes) -> tuple[int, int]:
    least = 2 * wishes.overlap + 1
    if wishes.chunk is not None:
        if wishes.chunk < least:
            raise UsageError(
                f"`chunk={wishes.chunk}` leaves no frame between overlaps of {wishes.overlap}: "
                f"give at least {least}"
            )
        return wishes.chunk, wishes.chunk
    return least, max(least, min(wishes.cap, work.longest or wishes.cap))


def _too_little(work: Work, wishes: Wishes, overlap: int, limit: int) -> OutOfMemoryError:
    chunk = _chunk_range(work, wishes)[0]
    tile, need = min(
        ((tile, predict(work, chunk, tile, overlap)) for tile in _tiles(work, wishes, overlap)),
        key=lambda option: (option[1].device, option[1].host),
    )
    tiles = f"tiles of {tile[0]}x{tile[1]}" if tile else "whole frames"
    available = f"{limit / 2**30:.1f} GiB are allowed"
    if work.device_memory is not None:
        available += f", the device has {work.device_memory / 2**30:.1f} GiB"
    return OutOfMemoryError(
        f"frames of {work.width}x{work.height} do not fit into memory: even chunks of {chunk} "
        f"frames in {tiles} need {(need.host + need.device) / 2**30:.1f} GiB, but {available}; "
        "raise `memory_limit`, or give a smaller `chunk` or `tile`"
    )
