"""A run as the driver sees it: its segments, and messages about them."""

import queue
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vsrpp_cli.errors import DeviceError
from vsrpp_cli.inference.machine.device import device_name, resolve_device
from vsrpp_cli.runs.cluster.board import Board
from vsrpp_cli.runs.cluster.order import Order
from vsrpp_cli.runs.cluster.seats import Needs
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.stop import StopToken
from vsrpp_cli.runs.work.segment import Computed, remove_partial
from vsrpp_cli.runs.work.workfolder import WorkFolder


@dataclass(frozen=True)
class Remark:
    """A sentence for the user."""

    text: str


News = Computed | Remark | Exception | float
"""A message to the run; a float is work done since the last one, in units of frames."""

AT_ONCE = 64
"""Most messages handled together: if the disk is full, the segments among them are lost."""


class Job:
    """One run. The crew's thread sends it messages, which the run's thread reads.

    Args:
        plan: the run.
        folder: its work folder, locked by the caller.
        indices: the segments to compute.
        stop: when set, no further segment is given out.
    """

    def __init__(
        self, plan: Plan, folder: WorkFolder, indices: Sequence[int], stop: StopToken
    ) -> None:
        self.plan, self.folder, self._stop = plan, folder, stop
        self._frames = {k: plan.segments[k].frames for k in indices}
        self.board = Board(self._frames)
        self.order = self._make_order()
        self.device = _own_device(plan)
        self.closed = False
        self.refused: dict[str, str] = {}
        """Nodes whose workers' frames would differ, and the reasons."""
        self._remarks: set[str] = set()
        self._told = dict.fromkeys(indices, 0.0)
        self._news: queue.SimpleQueue[News | None] = queue.SimpleQueue()

    def _make_order(self) -> Order:
        """Return the order, after writing its marker file, which `remove_partial` removes."""
        token = secrets.token_hex(8)
        marker = f"driver.part-{token}"
        (self.folder.segments / marker).write_text(marker, encoding="utf-8")
        return Order(token, self.plan, str(self.folder.path.absolute()), marker)

    def needs(self, workers: int | None) -> Needs:
        """Return the resources that its workers need."""
        kind = self.plan.compute.device.partition(":")[0]
        return Needs(kind, self.plan.compute.threads, self.plan.geometry.memory, workers)

    @property
    def gives(self) -> bool:
        """Whether segments may be given out."""
        return not self.closed and not self._stop.requested

    @property
    def over(self) -> bool:
        """Whether nothing more will be computed."""
        return self.board.empty or (self.board.idle and self._stop.requested)

    def tell(self, news: News) -> None:
        """Send a message to the run."""
        self._news.put(news)

    def remark(self, text: str) -> None:
        """Send a sentence for the user, unless it was sent before."""
        if text not in self._remarks:
            self._remarks.add(text)
            self.tell(Remark(text))

    def tell_progress(self, index: int, frames: float) -> None:
        """Report progress on a segment; nothing is reported twice after a worker was lost.

        Args:
            index: of the segment.
            frames: how much of it is done, in units of frames.
        """
        more = min(frames, self._frames[index]) - self._told[index]
        if more > 0:
            self._told[index] += more
            self.tell(more)

    def arrived(self, computed: Computed) -> None:
        """Report a segment that is in the work folder and waits to be committed."""
        index = computed.record["index"]
        self.tell_progress(index, self._frames[index])
        self.tell(computed)

    def end(self) -> None:
        """End the messages."""
        self._news.put(None)

    def news(self) -> Iterator[Remark | float | list[Computed] | Exception]:
        """Yield messages until the end; segments that are waiting are yielded as one list."""
        going_on = True
        while going_on:
            waiting = [self._news.get()]
            waiting += [self._news.get() for _ in range(min(self._news.qsize(), AT_ONCE - 1))]
            going_on = None not in waiting
            yield from (news for news in waiting if isinstance(news, Remark | float))
            if computed := [news for news in waiting if isinstance(news, Computed)]:
                yield computed
            yield from (news for news in waiting if isinstance(news, Exception))

    def clean_up(self) -> None:
        """Remove the marker, and partial files of lost workers."""
        remove_partial(self.folder)


def _own_device(plan: Plan) -> str:
    """Return the name of this machine's device that the plan uses; empty if it has none."""
    try:
        return device_name(resolve_device(plan.compute.device))
    except DeviceError:
        return ""
