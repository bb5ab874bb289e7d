"""Sends files through Ray between the driver and nodes that do not share its disks."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vsrpp_cli.durable import disk_errors
from vsrpp_cli.errors import InputError, WorkerError
from vsrpp_cli.media.images.source import ImageSource
from vsrpp_cli.media.images.timestamps_file import NAME as TIMESTAMPS
from vsrpp_cli.runs.cluster.order import Accepted, source_key
from vsrpp_cli.runs.cluster.parcels import (
    Parcel,
    lay_out,
    pack,
    pack_whole,
    read_piece,
    write_piece,
)
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.work.segment import Computed
from vsrpp_cli.runs.work.workfolder import WorkFolder

AHEAD = 2
"""Pieces that are transferred to or from one worker at the same time."""

Ask = Callable[..., Awaitable[Any]]
"""Calls a method of a worker by its name."""


@dataclass(frozen=True)
class Goods:
    """Files that a worker lacks."""

    key: str
    """Identifies their content."""
    root: Path
    parcel: Parcel
    """Its files, below `root`."""


def goods_of(plan: Plan, path: str) -> Goods:
    """Return which files of a plan to send to a worker that does not see `path`.

    Raises:
        InputError: it cannot be sent: a pattern whose files stand in several folders.
    """
    for model in plan.models:
        if path == model.path:
            return Goods(model.sha256, Path(path).parent, pack_whole(Path(path)))
    root = Path(path).parent
    try:
        names = [file.relative_to(root).as_posix() for file in _files(plan)]
    except ValueError as error:
        raise InputError(
            f"{path}: its files stand in several folders, and cannot be sent to nodes that do not "
            "see them"
        ) from error
    return Goods(source_key(plan), root, pack(root, names))


def _files(plan: Plan) -> list[Path]:
    """Return the files of the plan's input."""
    source = plan.decoding.open(Path(plan.source.path))
    if not isinstance(source, ImageSource):
        return [Path(plan.source.path)]
    times = source.files[0].with_name(TIMESTAMPS)
    return [*source.files, *[times] * times.is_file()]


class Carrier:
    """Transfers files in pieces; what several workers of a node lack is sent to it once."""

    def __init__(self) -> None:
        self._sending: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def supply(self, ask: Ask, node: str, order: Any, plan: Plan) -> bool:
        """Send a worker what it lacks for a run; return whether it sees the work folder.

        Args:
            ask: calls a method of the worker.
            node: the worker's node.
            order: the order of the run, or a reference to it.
            plan: the plan of the run.

        Raises:
            VsrppError: what it lacks cannot be sent, or it cannot load it.
        """
        accepted: Accepted = await ask("accept", order)
        for path in accepted.lacking:
            async with self._sending[node, path]:
                # Another worker of the node may have it by now.
                if path in (await ask("accept", order)).lacking:
                    await self._send(ask, await asyncio.to_thread(goods_of, plan, path))
        if accepted.lacking:
            accepted = await ask("accept", order)
        if accepted.lacking:
            raise WorkerError(f"{', '.join(accepted.lacking)} changed on the way to a worker")
        return accepted.sees_folder

    async def _send(self, ask: Ask, goods: Goods) -> None:
        async def send(number: int) -> None:
            data = await asyncio.to_thread(read_piece, goods.root, goods.parcel, number)
            await ask("take_in", goods.key, number, data)

        await ask("expect", goods.key, goods.parcel)
        await _in_turn(send, goods.parcel.pieces)
        await ask("keep", goods.key)

    async def fetch(self, ask: Ask, computed: Computed, folder: WorkFolder) -> Computed:
        """Copy a segment that a worker has computed into the work folder.

        Raises:
            DiskFullError, UsageError: it cannot be written there.
        """
        root, made = folder.segments, computed.partial
        parcel: Parcel = await ask("pack", made)

        async def fetch(number: int) -> None:
            data = await ask("piece", made, number)
            await asyncio.to_thread(write_piece, root, parcel, number, data)

        with disk_errors(root):
            await asyncio.to_thread(lay_out, root, parcel)
            await _in_turn(fetch, parcel.pieces)
        await ask("discard", made)
        return replace(computed, partial=root / made.name)


async def _in_turn(carry: Callable[[int], Awaitable[None]], pieces: int) -> None:
    for first in range(0, pieces, AHEAD):
        await asyncio.gather(*map(carry, range(first, min(first + AHEAD, pieces))))
