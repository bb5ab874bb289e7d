"""Finds interlaced pictures by their flags and their content, and deinterlaces them."""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av.error
from av.filter import Graph
from av.video.frame import VideoFrame

from vsrpp_cli.media.color import pixels
from vsrpp_cli.media.color.convert import is_planar_yuv, luma, planar
from vsrpp_cli.media.types import FieldOrder
from vsrpp_cli.options import Deinterlace

MAX_HEIGHT = 1152
"""Most lines of interlaced video."""
SMALL_HEIGHT = 288
"""With fewer lines interlaced video is rare: without flags, moving pixels must confirm it."""
STILL = 3
"""A pixel that changes by at most so many code values of 8 bits in two frames does not move."""
FITTING_MOVING = 1.15
"""In interlaced video, lines of a neighbour fit moving pixels at most this much worse."""
MIN_EVIDENCE = 4
"""Pictures that must look interlaced before the content is believed."""
SHARE_INTERLACED = 0.25
"""Least share of interlaced pictures among those with a verdict; telecined film has 0.4."""
MIN_MOVING = 16
"""Pictures with a verdict that are needed to disbelieve flags."""
ONE_SIDED = 1.05
"""Ratio of the sums for the two orders of fields from which on the order is clear."""
FITTING = 1.3
"""In interlaced video, lines of a neighbour fit at most this much worse than the picture's own."""
PROGRESSIVE, TOP, BOTTOM, UNDETERMINED = range(4)
CYCLE, CYCLES = 5, 4
"""3:2 pulldown repeats every five frames, of which two are combed; four cycles are evaluated
together."""
COMBED = 0.9
"""Ratio by which lines of neighbours fit better in the combed frames than in the other three."""

ADVICE = "for best results restore the film frames first (ffmpeg -vf fieldmatch,decimate)"


class FilterChain:
    """A chain of libavfilter filters that returns one picture for each input picture.

    Args:
        filters: e.g. `bwdif=mode=send_frame:deint=all`.
    """

    def __init__(self, filters: Iterable[str]) -> None:
        self._filters = tuple(filters)
        self._graph: Graph | None = None
        self._shape: tuple[object, ...] = ()

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Add a picture; yield the pictures that are ready, if any."""
        frame = planar(frame)
        shape = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if shape != self._shape:
            yield from self.flush()
            self._graph, self._shape = self._build(frame), shape
        assert self._graph is not None
        self._graph.push(frame)
        yield from self._ready(self._graph)

    def flush(self) -> Iterator[VideoFrame]:
        """Yield the remaining pictures."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready(self._graph)
        self._graph, self._shape = None, ()

    @staticmethod
    def _ready(graph: Graph) -> Iterator[VideoFrame]:
        while True:
            try:
                yield graph.vpull()
            except (BlockingIOError, EOFError, av.error.BlockingIOError, av.error.EOFError):
                return

    def _build(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add(
                "buffer",
                video_size=f"{frame.width}x{frame.height}",
                pix_fmt=frame.format.name,
                time_base="1/1000",
                colorspace=str(int(frame.colorspace)),
                range=str(int(frame.color_range)),
            )
        ]
        for text in self._filters:
            name, _, arguments = text.partition("=")
            nodes.append(graph.add(name, arguments or None))
        nodes.append(graph.add("buffersink"))
        graph.link_nodes(*nodes).configure()
        return graph


def deinterlaced(frames: Iterable[VideoFrame], filters: Iterable[str]) -> Iterator[VideoFrame]:
    """Yield each frame filtered; without filters the frames themselves."""
    chosen = tuple(filters)
    return _filtered(frames, FilterChain(chosen)) if chosen else iter(frames)


def _filtered(frames: Iterable[VideoFrame], chain: FilterChain) -> Iterator[VideoFrame]:
    for count, frame in enumerate(frames):
        # Filters need increasing timestamps, which decoders do not guarantee.
        frame.pts = count
        yield from chain.push(frame)
    yield from chain.flush()


@dataclass(frozen=True)
class Verdict:
    """Whether a file is interlaced, and the filters to apply."""

    kind: FieldOrder
    filters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class FieldStatistics:
    """Collects flags of frames, and measurements of their lines.

    Attributes:
        frames: number of frames seen.
        flagged: number of frames flagged as interlaced.
        verdicts: for each picture but the first and the last: 0 progressive, 1 top field first,
            2 bottom field first, 3 undetermined.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.flagged = 0
        self.verdicts = bytearray()
        self._proven = 0
        self._fits = array("f")
        self._last: deque[pixels.Plane] = deque(maxlen=3)

    def push(self, frame: VideoFrame) -> None:
        """Take the next frame."""
        self.frames += 1
        self.flagged += frame.interlaced_frame
        if frame.height > MAX_HEIGHT or not is_planar_yuv(frame.format):
            return
        plane = luma(frame)
        if self._last and self._last[-1].shape != plane.shape:
            self._last.clear()
        self._last.append(plane)
        if len(self._last) == 3:
            before, now, after = self._last
            still = STILL << (frame.format.components[0].bits - 8)
            sums = pixels.field_differences(before, now, after, frame.width, still)
            self.verdicts.append(_verdict(*sums[:3]))
            self._proven += self.verdicts[-1] in (TOP, BOTTOM) and (
                frame.height >= SMALL_HEIGHT or _moves_as_fields(*sums[3:])
            )
            self._fits.append(min(sums[:2]) / max(sums[2], 1.0))

    def decide(self, mode: Deinterlace) -> Verdict:
        """Return the verdict for the whole file.

        Args:
            mode: the option `deinterlace`.
        """
        kind, parity = self._kind()
        notes = [*self._telecine()] if kind != "progressive" else []
        if mode == "bwdif":
            return Verdict(kind, (_bwdif(parity, "all"),), tuple(notes))
        if kind == "progressive":
            return Verdict(kind, (), tuple(self._flags_note()))
        count = f"{self.flagged} of {self.frames} frames" if self.flagged else "frames"
        if mode == "off":
            notes.insert(0, f"{count} are interlaced and stay combed: `deinterlace='auto'` helps")
            return Verdict(kind, (), tuple(notes))
        found = "" if self.flagged else " (found in the pictures, the file does not say so)"
        notes.insert(0, f"{count} are interlaced{found}: deinterlaced with bwdif")
        which = "interlaced" if self.flagged else "all"
        return Verdict(kind, (_bwdif(parity, which),), tuple(notes))

    def _kind(self) -> tuple[FieldOrder, str]:
        """Return the field order, and bwdif's name for it; `auto` means by the flags."""
        top, bottom = self.verdicts.count(TOP), self.verdicts.count(BOTTOM)
        interlaced = top + bottom
        determined = interlaced + self.verdicts.count(PROGRESSIVE)
        name: FieldOrder = "bottom" if bottom > top else "top"
        # The content is more reliable than flags, which encoders often set wrongly.
        sure = interlaced >= MIN_EVIDENCE and max(top, bottom) >= 4 * min(top, bottom)
        parity = {"top": "tff", "bottom": "bff"}[name] if sure else "auto"
        if self.flagged:
            if interlaced < MIN_EVIDENCE and determined >= MIN_MOVING:
                return "progressive", "auto"
            return ("mixed" if self.flagged < 0.9 * self.frames else name), parity
        if sure and self._proven >= max(MIN_EVIDENCE, SHARE_INTERLACED * determined):
            return name, parity
        return "progressive", "auto"

    def _flags_note(self) -> Iterator[str]:
        if self.flagged:
            yield (
                f"{self.flagged} of {self.frames} frames are flagged as interlaced, but the "
                "pictures are progressive: left as they are (`deinterlace='bwdif'` insists)"
            )

    def _telecine(self) -> Iterator[str]:
        """Yield a note if the same two of every five frames are combed."""
        size = CYCLE * CYCLES
        windows = [self._fits[i : i + size] for i in range(0, len(self._fits) - size + 1, size)]
        if windows and 2 * sum(map(_pulled_down, windows)) > len(windows):
            yield f"looks like telecined film (3:2 pulldown): {ADVICE}"


def _bwdif(parity: str, which: str) -> str:
    return f"bwdif=mode=send_frame:parity={parity}:deint={which}"


def _pulled_down(fits: Sequence[float]) -> bool:
    """Return whether lines of neighbours fit best in two adjacent frames of every five."""
    means = [sum(fits[k::CYCLE]) / CYCLES for k in range(CYCLE)]
    order = sorted(range(CYCLE), key=means.__getitem__)
    adjacent = (order[0] - order[1]) % CYCLE in (1, CYCLE - 1)
    return adjacent and means[order[1]] < COMBED * means[order[2]]


def _verdict(first: float, second: float, own: float) -> int:
    """Return a verdict on a picture from the first three sums of `field_differences`.

    In interlaced video a field fits as well to the field before it, in the previous picture, as to
    the one after it, in the same picture. In progressive video the picture's own lines fit best.
    """
    low, high = min(first, second), max(first, second)
    if high > ONE_SIDED * low and low < FITTING * own:
        return TOP if first > second else BOTTOM
    return PROGRESSIVE if low > FITTING * own else UNDETERMINED


def _moves_as_fields(first: float, second: float, own: float) -> bool:
    """Return whether moving pixels fit lines of neighbours as well as the picture's own.

    Needed for small drawn pictures: still detail there outweighs motion, and objects that move
    vertically by a line a frame fit the lines of one neighbour better, as fields do.
    """
    return min(first, second) < FITTING_MOVING * own
