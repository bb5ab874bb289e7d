"""A run as the driver sees it: its segments, and the calls that report on them."""

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
    """What a user should know."""

    text: str


News = Computed | Remark | Exception | float
"""What a job tells: a float is frames' worth of work done since the last one."""

AT_ONCE = 64
"""News looked at together at most: a full disk loses the segments among them."""


class Job:
    """One run. Its news are made in the crew's thread and read in the run's.

    Args:
        plan: the run.
        folder: its work folder, held by the caller.
        indices: the segments to compute.
        stop: when set, no further segment is given out.
    """

    def __init__(
        self, plan: Plan, folder: WorkFolder, indices: Sequence[int], stop: StopToken
    ) -> None:
        self.plan, self.folder, self._stop = plan, folder, stop
        self._frames = {
            k: plan.segments[k].keep_stop - plan.segments[k].keep_start for k in indices
        }
        self.board = Board(self._frames)
        self.order = self._make_order()
        self.device = _own_device(plan)
        self.closed = False
        self.refused: dict[str, str] = {}
        """Nodes whose workers would give other frames, and why."""
        self._remarks: set[str] = set()
        self._told = dict.fromkeys(indices, 0.0)
        self._news: queue.SimpleQueue[News | None] = queue.SimpleQueue()

    def _make_order(self) -> Order:
        """Leave a marker that `remove_partial` removes, as it does what workers leave."""
        token = secrets.token_hex(8)
        marker = f"driver.part-{token}"
        (self.folder.segments / marker).write_text(marker, encoding="utf-8")
        return Order(token, self.plan, str(self.folder.path.absolute()), marker)

    def needs(self, workers: int | None) -> Needs:
        """Return what its workers are to have."""
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
        """Tell the run something."""
        self._news.put(news)

    def remark(self, text: str) -> None:
        """Tell what a user should know, once."""
        if text not in self._remarks:
            self._remarks.add(text)
            self.tell(Remark(text))

    def tell_progress(self, index: int, frames: float) -> None:
        """Report progress on a segment; what was reported before a worker was lost still counts.

        Args:
            index: of the segment.
            frames: done of it, in frames' worth of work.
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
        """Tell that there will be no more news."""
        self._news.put(None)

    def news(self) -> Iterator[Remark | float | list[Computed] | Exception]:
        """Yield news until the end, waiting for them; segments that wait together come together."""
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
        """Remove the marker and what lost workers have left."""
        remove_partial(self.folder)


def _own_device(plan: Plan) -> str:
    """Return what the device that the plan names is called here; empty if it is not here."""
    try:
        return device_name(resolve_device(plan.compute.device))
    except DeviceError:
        return ""
