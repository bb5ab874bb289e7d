"""Follows the sample aspect ratio within a stream; recordings may change from 4:3 to 16:9.

PyAV does not expose a frame's own sample aspect ratio, and the decoder's is that of a later frame,
by as many as it holds back. When the decoder's changes, frames are therefore passed through a
filter whose output is as wide as their pixels, until the new shape arrives.
"""

from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsrpp_cli.media.demuxer_table import demuxer_row

UNITS = 1000
"""Width of the filter's output for square pixels."""
SIDE = 16
"""Side of the part of a frame that is filtered, pixels."""

SAME = Fraction(1, 100)
"""Differences of shape below this come from rounding."""


class PixelShapes:
    """Follows the sample aspect ratio through a stream.

    Args:
        stream: the one that frames are decoded from.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._fixed = demuxer_row(stream.container.format.name).one_shape
        self._known = [self._decoders()]
        self._now: Fraction | None = None
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()

    def of(self, frame: VideoFrame) -> Fraction:
        """Return width over height of the pixels of the frame that was decoded last."""
        ahead = self._decoders()
        if self._fixed or ahead == self._now:
            return ahead
        if ahead not in self._known:
            self._known.append(ahead)
        width = self._measured(frame)
        self._now = min(self._known, key=lambda aspect: abs(aspect * UNITS - width))
        return self._now

    def _decoders(self) -> Fraction:
        return Fraction(self._stream.codec_context.sample_aspect_ratio or 1)

    def _measured(self, frame: VideoFrame) -> int:
        kind = frame.width, frame.height, frame.format.name
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = _meter(frame), kind
        pts, frame.pts = frame.pts, None
        self._graph.push(frame)
        frame.pts = pts
        return self._graph.vpull().width


def _meter(frame: VideoFrame) -> Graph:
    graph = Graph()
    graph.threads = 1
    size = f"{frame.width}x{frame.height}"
    graph.link_nodes(
        graph.add("buffer", video_size=size, pix_fmt=frame.format.name, time_base="1/1000"),
        graph.add("crop", f"w=min(iw\\,{SIDE}):h=min(ih\\,{SIDE}):x=0:y=0"),
        graph.add("scale", f"w=max(1\\,{UNITS}*sar):h={SIDE}:eval=frame:flags=neighbor"),
        graph.add("buffersink"),
    ).configure()
    return graph
