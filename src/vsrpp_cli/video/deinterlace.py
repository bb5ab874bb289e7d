"""Finding interlaced pictures, by their flags and by what is in them, and deinterlacing them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import av.error
from av.filter import Graph
from av.video.frame import VideoFrame

from vsrpp_cli.video.color import planar

MAX_HEIGHT = 1152
"""There is no interlaced video with more lines."""
MIN_EVIDENCE = 8
"""Frames that must show something before it is believed."""
SHARE_INTERLACED = 0.25
"""Of the pictures with a verdict; telecined film has 0.4."""
SHARE_PROGRESSIVE = 0.98
"""Above this share, pictures flagged as interlaced are believed to be progressive."""
CYCLE = 5
"""3:2 pulldown repeats every five frames, two of them combed."""

ADVICE = "for best results restore the film frames first (ffmpeg -vf fieldmatch,decimate)"


class FilterChain:
    """A chain of libavfilter filters that gives one picture for each.

    Args:
        filters: such as `bwdif=mode=send_frame:deint=all`.
    """

    def __init__(self, filters: Iterable[str]) -> None:
        self._filters = tuple(filters)
        self._graph: Graph | None = None
        self._shape: tuple[object, ...] = ()

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Yield the pictures that are ready after this one, if any."""
        frame = planar(frame)
        shape = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if shape != self._shape:
            yield from self.flush()
            self._graph, self._shape = self._build(frame), shape
        assert self._graph is not None
        self._graph.push(frame)
        yield from self._ready(self._graph)

    def flush(self) -> Iterator[VideoFrame]:
        """Yield what is left."""
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
    """Yield each frame filtered; without filters, the frames themselves."""
    chosen = tuple(filters)
    if not chosen:
        yield from frames
        return
    chain = FilterChain(chosen)
    for count, frame in enumerate(frames):
        # The chain wants timestamps that increase, which decoders do not promise.
        frame.pts = count
        yield from chain.push(frame)
    yield from chain.flush()


@dataclass(frozen=True)
class Verdict:
    """What to do about interlacing in a file."""

    kind: str
    """`progressive`, `top`, `bottom` or `mixed`."""
    filters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class FieldStatistics:
    """Collects how frames are flagged and what libavfilter's `idet` makes of their pictures."""

    frames: int = 0
    flagged: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    """Verdicts on pictures: `tff`, `bff`, `progressive`, `undetermined`."""
    _combed: bytearray = field(default_factory=bytearray)
    _idet: FilterChain = field(default_factory=lambda: FilterChain(["idet"]))

    def push(self, frame: VideoFrame) -> None:
        """Take the next frame."""
        self.frames += 1
        self.flagged += frame.interlaced_frame
        if frame.height <= MAX_HEIGHT and not frame.format.is_rgb and frame.height > 16:
            frame.pts = self.frames
            for done in self._idet.push(frame):
                self._count(done)

    def _count(self, frame: VideoFrame) -> None:
        verdict = frame.metadata.get("lavfi.idet.multiple.current_frame", "undetermined")
        self.seen[verdict] = self.seen.get(verdict, 0) + 1
        single = frame.metadata.get("lavfi.idet.single.current_frame", "undetermined")
        self._combed.append({"progressive": 0, "tff": 1, "bff": 1}.get(single, 2))

    def decide(self, mode: str) -> Verdict:
        """Return what to do.

        Args:
            mode: `auto`, `off` or `bwdif`.
        """
        for done in self._idet.flush():
            self._count(done)
        kind, order = self._kind()
        notes = [*self._telecine()] if kind != "progressive" else []
        if mode == "bwdif":
            return Verdict(kind, (*order, "bwdif=mode=send_frame:deint=all"), tuple(notes))
        if kind == "progressive":
            return Verdict(kind, (), tuple(self._flags_note()))
        count = f"{self.flagged} of {self.frames} frames" if self.flagged else "frames"
        if mode == "off":
            notes.insert(0, f"{count} are interlaced and stay combed: --deinterlace auto helps")
            return Verdict(kind, (), tuple(notes))
        found = "" if self.flagged else " (found in the pictures, the file does not say so)"
        notes.insert(0, f"{count} are interlaced{found}: deinterlaced with bwdif")
        which = "all" if order else "interlaced"
        return Verdict(kind, (*order, f"bwdif=mode=send_frame:deint={which}"), tuple(notes))

    def _kind(self) -> tuple[str, tuple[str, ...]]:
        """Return the kind, and the filter that sets the field order where flags are silent."""
        top, bottom = self.seen.get("tff", 0), self.seen.get("bff", 0)
        interlaced, determined = top + bottom, top + bottom + self.seen.get("progressive", 0)
        name = "bottom" if bottom > top else "top"
        if self.flagged:
            if self._believed_progressive(interlaced, determined):
                return "progressive", ()
            return ("mixed" if self.flagged < 0.9 * self.frames else name), ()
        if (
            interlaced >= MIN_EVIDENCE
            and interlaced >= SHARE_INTERLACED * determined
            and max(top, bottom) >= 4 * min(top, bottom)
        ):
            return name, ("setfield=bff" if bottom > top else "setfield=tff",)
        return "progressive", ()

    @staticmethod
    def _believed_progressive(interlaced: int, determined: int) -> bool:
        return (
            determined >= 4 * MIN_EVIDENCE
            and determined - interlaced >= SHARE_PROGRESSIVE * determined
        )

    def _flags_note(self) -> Iterator[str]:
        if self.flagged:
            yield (
                f"{self.flagged} of {self.frames} frames are flagged as interlaced, but the "
                "pictures are progressive: left as they are (--deinterlace bwdif insists)"
            )

    def _telecine(self) -> Iterator[str]:
        """Say so where two of every five frames are combed, always the same two."""
        cycles = [self._combed[i : i + CYCLE] for i in range(0, len(self._combed) - CYCLE, CYCLE)]
        known = [bytes(c) for c in cycles if 2 not in c]
        patterns = {bytes(1 if i in (k, (k + 1) % 5) else 0 for i in range(5)) for k in range(5)}
        if len(known) >= 3 and sum(c in patterns for c in known) >= 0.7 * len(known):
            yield f"looks like telecined film (3:2 pulldown): {ADVICE}"
