"""Finds scenes and chunks of a stream while its frames arrive."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial

from vsrpp_cli.media.decode.scenes import AROUND, CutDetector
from vsrpp_cli.media.decode.streamed import Streamed
from vsrpp_cli.media.types import Frame
from vsrpp_cli.planning.chunks import Chunk, open_chunks


class LiveScenes(Iterator[Frame]):
    """The frames of a stream, read ahead as far as needed to know the next chunk.

    Args:
        source: the frames.
        detect: whether to look for cuts; otherwise the stream is one scene.
    """

    def __init__(self, source: Iterable[Streamed], *, detect: bool) -> None:
        self._source = iter(source)
        self._detector = CutDetector() if detect else None
        self._ahead: deque[Frame] = deque()
        self._taken = 0
        self._ended = False
        self._cuts: deque[int] = deque()

    def __next__(self) -> Frame:
        self._read_on(self._taken + 1)
        if not self._ahead:
            raise StopIteration
        self._taken += 1
        return self._ahead.popleft()

    def chunks(self, chunk: int, overlap: int) -> Iterator[Chunk]:
        """Yield chunks that span no cut; see `open_chunks`."""
        start = 0
        while self._within(start, start + 1) > start:
            reach = partial(self._within, start)
            for part in open_chunks(reach, chunk=chunk, overlap=overlap, first=start):
                yield part
                start = part.keep_stop

    def _within(self, start: int, stop: int) -> int:
        """Read until frames and cuts before `stop` are known.

        Returns `stop`, or the end of the scene that begins at `start` if that is earlier.
        """
        self._read_on(stop + AROUND if self._detector else stop)
        while self._cuts and self._cuts[0] <= start:
            self._cuts.popleft()
        end = min(stop, self._read)
        return min(end, self._cuts[0]) if self._cuts else end

    @property
    def _read(self) -> int:
        return self._taken + len(self._ahead)

    def _read_on(self, stop: int) -> None:
        while not self._ended and self._read < stop:
            item = next(self._source, None)
            if item is None:
                self._ended = True
                self._cuts.extend(self._detector.flush() if self._detector else ())
                return
            self._ahead.append(item.frame)
            self._cuts.extend(self._detector.push(item.luma) if self._detector else ())
