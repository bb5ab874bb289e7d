"""Predicts the peak memory of a worker.

The model is linear in frames and pixels. Its coefficients are fitted to measurements
(`benchmarks/memory.py`, results in `docs/benchmarks.md`) or counted from what is held.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, prod, sqrt
from typing import Protocol

from vsrpp_cli.options import Precision
from vsrpp_cli.planning.tiles import padded, spans

ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}

BASE = 800 << 20
"""Bytes of a process that has loaded everything and computed nothing."""
WEIGHTS = 4
WEIGHTS_BY_ELEMENT = 0.75
"""On a CPU, weights take `WEIGHTS + WEIGHTS_BY_ELEMENT * element size` bytes for each byte of their
files: the weights, the copy they are packed from, and their form for Winograd's convolution, which
has four times as many values. Fitted to a file of 176 MB; how much of the freed copies the C
library keeps differs from run to run."""
FLOW_BYTES = 16
"""Bytes a chunk holds for each frame and pixel of the flow network: two flows, float32."""
GRAPH_FEATURES = 7
"""Features that recorded steps are given, the spatial ones, the branches' and those of two frames
before, and that they make, at most."""
PICTURE_BYTES = 12
"""Bytes for each pixel of a picture in float32."""
FINAL_BYTES = 6
"""Bytes for each pixel of a picture in 16 bits, finished or being put together from tiles."""
FINISHING_BYTES = 24 << 20
"""Bytes for the rows that are being resized and rounded."""
FITTING_ROWS = 6
"""Input rows of the resize filter for one output row, times the factor by which it shrinks."""
DECODER_BYTES = 40
"""Bytes that a decoder holds for each input pixel: reference frames of 8 bits a component, and one
frame for each thread."""
PASSING_FRAMES = 3
"""Frames between engine and encoder besides the queue: one at each end, one being encoded."""
LANDING_FRAMES = 10
"""Frames of pinned memory that the results of a device need: three are on their way, and torch
rounds each block up to a power of two. An upper limit: contributions from tiles have 16 bits and
cover only the tiles computed together."""
MARGIN = 1.05
"""Factor of safety on everything predicted."""


class NetworkSize(Protocol):
    """What the prediction needs of a network's configuration."""

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
        """Channels, at the resolution of features, that a chunk holds for each frame."""

    @property
    def carried_channels(self) -> int:
        """Channels, at the resolution of features, that are carried to the next chunk."""

    @property
    def scale(self) -> int:
        """Output size over input size."""

    @property
    def multiple_of(self) -> int:
        """Sides of clips are multiples of this; features are smaller by the same factor."""

    @property
    def minimum(self) -> int:
        """The smallest side of a clip in pixels."""


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Temporary memory of a network's parts, besides what a chunk holds."""

    step_features: float
    """Memory of one step of a branch, in feature maps."""
    sampling_channel: float
    sampling_group: float
    """Additional bytes of deformable sampling for each pixel, by channel (columns, the two
    features, the result) and by group (offsets and masks)."""
    flow_network: float
    """Bytes for each pixel of the flow network."""
    reconstruction: float
    """Number of copies of the `16 * hr_channels` elements a pixel at the size of the output."""

    def recorded(self, network: NetworkSize, element: int) -> float:
        """Return the bytes that steps recorded at one size hold, for each pixel of features."""
        buffers = GRAPH_FEATURES * network.channels * element + FLOW_BYTES
        return self.step(network, element) + buffers

    def step(self, network: NetworkSize, element: int) -> float:
        """Return the bytes of a branch's step for each pixel of features."""
        sampling = self.sampling_group * network.deform_groups
        if network.deform_groups:
            sampling += self.sampling_channel * network.channels
        return self.step_features * network.channels * element + sampling

    def most(self, network: NetworkSize, element: int) -> float:
        """Return the bytes of the part that needs most, for each pixel of features."""
        output = self.reconstruction * 16 * network.hr_channels * element
        return max(self.step(network, element), self.flow_network, output)


HOST = Coefficients(
    step_features=14, sampling_channel=0, sampling_group=0, flow_network=700, reconstruction=3.4
)
"""For the CPU kernels; fitted to the measurements of `benchmarks/memory.py`."""
DEVICE = Coefficients(
    step_features=14, sampling_channel=84, sampling_group=216, flow_network=700, reconstruction=3.4
)
"""Of torch's operators on a device with memory of its own, where torchvision samples in float32.
Counted, not measured; `benchmarks/gpu.py --fit` measures them and prints what to put here."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """The output of a run that writes its frames."""

    width: int
    height: int
    """Size of the output in pixels."""
    encoders: tuple[int, ...] = (0,)
    """Bytes the encoder takes: first with the settings asked for, then with each alternative that
    takes less."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run computes, and on which machine."""

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
    """Bytes of the device's own memory; None where it shares the machine's."""
    writing: Writing | None = None
    """None where frames are returned to the caller as the network makes them."""
    graphs: bool = False
    """Whether branches are recorded, which takes memory of their own."""

    @property
    def scale(self) -> int:
        """The factor by which the chain enlarges width and height."""
        return prod(network.scale for network in self.networks)

    @property
    def final_pixels(self) -> int:
        """Pixels of a finished frame."""
        if self.writing is not None:
            return self.writing.width * self.writing.height
        return self.width * self.height * self.scale**2


@dataclass(frozen=True)
class Thrift:
    """How memory is saved at the cost of other things."""

    scratch: bool = False
    """Whether finished frames and the states carried from chunk to chunk are kept in files."""
    encoder: int = 0
    """Index of the encoder's settings, see `Writing.encoders`."""

    @property
    def queues(self) -> tuple[int, int]:
        """Most frames that are read ahead, and most that wait for the encoder."""
        return (1, 1) if self.scratch else (4, 3)


PLAIN = Thrift()


@dataclass(frozen=True)
class Need:
    """Bytes needed by one worker."""

    host: int
    device: int
    """0 where the device shares the machine's memory; it is part of `host` then."""

    def fits(self, limit: int, device_memory: int | None) -> bool:
        """Return whether both are within their limits."""
        return self.host <= limit and self.device <= (device_memory or 0)


def requirement(networks: Iterable[NetworkSize]) -> tuple[int, int]:
    """Return a chain's smallest side and the number that sides are multiples of, input pixels."""
    minimum, multiple, scale = 1, 1, 1
    for network in networks:
        minimum = max(minimum, -(-network.minimum // scale))
        multiple = max(multiple, -(-network.multiple_of // scale))
        scale *= network.scale
    return minimum, multiple


def frame_size(work: Work) -> tuple[int, int]:
    """Return width and height of the padded input frames."""
    minimum, multiple = requirement(work.networks)
    return padded(work.width, minimum, multiple), padded(work.height, minimum, multiple)


@dataclass(frozen=True, slots=True)
class Cut:
    """How a frame is cut into tiles, in input pixels."""

    width: int
    height: int
    """Size of a tile."""
    count: int

    @property
    def pixels(self) -> int:
        """Pixels of one tile."""
        return self.width * self.height


def cut(work: Work, tile: tuple[int, int] | None, tile_overlap: int) -> Cut:
    """Return how frames are cut into tiles of at most `tile` (width, height); None for no tiles."""
    minimum, multiple = requirement(work.networks)
    columns, rows = (
        spans(side, length, tile_overlap, multiple, minimum)
        for side, length in zip(frame_size(work), tile or frame_size(work), strict=True)
    )
    return Cut(columns[0].stop, rows[0].stop, len(columns) * len(rows))


def predict(
    work: Work,
    chunk: int,
    tile: tuple[int, int] | None,
    tile_overlap: int,
    batch: int = 1,
    thrift: Thrift = PLAIN,
) -> Need:
    """Return the peak memory of a worker, which also decodes, converts and encodes.

    Args:
        work: what is computed.
        chunk: frames one network call sees.
        tile: width and height of tiles in input pixels, or None for whole frames.
        tile_overlap: in input pixels.
        batch: tiles computed together.
        thrift: how memory is saved.
    """
    need = predict_engine(work, chunk, tile, tile_overlap, batch, thrift)
    around = _reading_bytes(work, thrift)
    around += _writing_bytes(work, cut(work, tile, tile_overlap), thrift)
    return replace(need, host=int(need.host + MARGIN * around))


def predict_engine(
    work: Work,
    chunk: int,
    tile: tuple[int, int] | None,
    tile_overlap: int,
    batch: int = 1,
    thrift: Thrift = PLAIN,
    coefficients: Coefficients | None = None,
) -> Need:
    """Return the peak memory of computing alone; arguments as for `predict`.

    `coefficients` are `HOST` or `DEVICE`, by where it is computed, unless given.
    """
    if coefficients is None:
        coefficients = HOST if work.device_memory is None else DEVICE
    chunk = min(chunk, work.longest or chunk)
    tiles = cut(work, tile, tile_overlap)
    # With a GPU the machine holds no clip: frames are sent to the device one by one.
    clip = prod(frame_size(work)) + (tiles.pixels if work.device_memory is None else 0)
    network = _network_bytes(work, chunk, tiles, batch, thrift, coefficients)
    host = BASE + _weight_bytes(work) + chunk * PICTURE_BYTES * clip
    host += _store_bytes(work, chunk, tiles, thrift)
    if work.device_memory is None:
        return Need(int(MARGIN * (host + network)), 0)
    return Need(int(MARGIN * host), int(MARGIN * (network + work.weights)))


def scratch_bytes(work: Work, chunk: int, tile: tuple[int, int] | None, tile_overlap: int) -> int:
    """Return the bytes in the files of a worker with `Thrift.scratch`."""
    chunk = min(chunk, work.longest or chunk)
    tiles = cut(work, tile, tile_overlap)
    frames = FINAL_BYTES * work.final_pixels * chunk if _passes(work, tiles) > 1 else 0
    element, scale, carried = ELEMENT_BYTES[work.precision], 1, 0
    for network in work.networks:
        inner = tiles.pixels * scale**2 // network.multiple_of**2
        carried += (network.carried_channels * element + FLOW_BYTES) * inner
        scale *= network.scale
    return int(MARGIN * (frames + carried * _carrying(work, chunk, tiles)))


def _passes(work: Work, tiles: Cut) -> int:
    """Return how many times the networks run over a chunk: once for each tile and view."""
    return tiles.count * (8 if work.ensemble else 1)


def _carrying(work: Work, chunk: int, tiles: Cut) -> int:
    """Return how many passes leave a state for the next chunk."""
    return 0 if work.longest is not None and work.longest <= chunk else _passes(work, tiles)


def _reading_bytes(work: Work, thrift: Thrift) -> int:
    """Return the bytes of decoding, and of frames on their way to the engine."""
    on_their_way = thrift.queues[0] + 2
    return work.width * work.height * (PICTURE_BYTES * on_their_way + DECODER_BYTES)


def _writing_bytes(work: Work, tiles: Cut, thrift: Thrift) -> int:
    """Return the bytes of frames on their way from the engine into the file."""
    made = PICTURE_BYTES * work.width * work.height * work.scale**2
    together = _passes(work, tiles) > 1
    landing = 0
    if work.device_memory is not None:
        landing = LANDING_FRAMES * (made // 2 if together else made)
    if work.writing is None:
        return landing + 2 * made
    # The frame converted to the encoder's pixel format: at most 16 bits a component.
    final = FINAL_BYTES * work.final_pixels
    waiting = (thrift.queues[1] + PASSING_FRAMES) * (final if together else made)
    resizing = 0 if together or work.final_pixels * PICTURE_BYTES == made else made + 2 * final
    return landing + waiting + resizing + final + work.writing.encoders[thrift.encoder]


def _shapes(work: Work, tiles: Cut, batch: int) -> int:
    """Return how many shapes the networks meet: of batches, and of tiles turned round."""
    turned = work.ensemble and tiles.width != tiles.height
    return (2 if turned else 1) * (2 if tiles.count % batch else 1)


def _store_bytes(work: Work, chunk: int, tiles: Cut, thrift: Thrift) -> int:
    """Return the bytes of frames that are being put together, until they leave."""
    if _passes(work, tiles) == 1:
        return 0
    width, height = (side * work.scale for side in frame_size(work))
    smaller = max(1.0, sqrt(width * height / work.final_pixels))
    rows = min(height, tiles.height * work.scale + ceil(FITTING_ROWS * smaller))
    finished = 0 if thrift.scratch else work.final_pixels
    return chunk * FINAL_BYTES * (width * rows + finished) + FINISHING_BYTES


def _weight_bytes(work: Work) -> int:
    """Return the bytes of the weights in the machine's memory."""
    if work.device_memory is not None:
        return 2 * work.weights
    return int((WEIGHTS + WEIGHTS_BY_ELEMENT * ELEMENT_BYTES[work.precision]) * work.weights)


def _network_bytes(
    work: Work, chunk: int, tiles: Cut, batch: int, thrift: Thrift, coefficients: Coefficients
) -> int:
    """Return the bytes of the networks of the chain for the tiles computed together."""
    element = ELEMENT_BYTES[work.precision]
    apart = work.device_memory is not None
    passes = _carrying(work, chunk, tiles)
    if thrift.scratch:  # only the old and the new states of the tiles being computed
        passes = min(passes, 2 * batch)
    # The input clip; on the machine it is counted elsewhere.
    held, peaks, scale = apart * chunk * PICTURE_BYTES * tiles.pixels * batch, [0], 1
    for network in work.networks:
        inner = batch * tiles.pixels * scale**2 // network.multiple_of**2
        features = chunk * (network.held_channels * element + FLOW_BYTES) * inner
        peaks.append(features + int(inner * coefficients.most(network, element)))
        if work.graphs:
            held += int(
                _shapes(work, tiles, batch) * inner * coefficients.recorded(network, element)
            )
        held += passes * network.carried_channels * element * inner // batch
        if network is not work.networks[-1]:
            # The next network's clip is this one's output.
            held += chunk * 12 * batch * tiles.pixels * (scale * network.scale) ** 2
        scale *= network.scale
    return held + max(peaks)
