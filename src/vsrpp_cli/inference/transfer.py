"""Frames to the device and back again without waiting for it.

Copies from and to pinned memory run beside the network. torch recycles pinned blocks, and not
before the copies that use them are done, so these functions need no buffers of their own: as many
are in use as there are frames under way.
"""

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from vsrpp_cli.planning.tiles import Tile

AHEAD = 2
"""Frames that a GPU is given to compute before the one handed on is waited for."""


def arrange(clip: Tensor, tiles: Sequence[Tile]) -> Tensor:
    """Return tiles of a (T, 3, H, W) clip as (T, N, 3, h, w); not a copy if it is one whole."""
    if len(tiles) == 1:
        return _cut(clip, tiles[0]).contiguous().unsqueeze(1)
    return torch.stack([_cut(clip, tile) for tile in tiles], dim=1)


def upload(clip: Tensor, tiles: Sequence[Tile], device: torch.device) -> Tensor:
    """Return tiles of a clip on the device, where later work there will find them complete.

    Args:
        clip: shape (T, 3, H, W), on the CPU.
        tiles: N tiles of one size.
        device: any; where it is the CPU this is `arrange`.

    Returns:
        shape (T, N, 3, h, w).
    """
    if device.type != "cuda":
        return arrange(clip, tiles).to(device)
    return by_frames(clip, tiles, device)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on the device, where later work will find it complete."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def by_frames(clip: Tensor, tiles: Sequence[Tile], device: torch.device) -> Tensor:
    """Do what `upload` does frame by frame, through pinned memory if the device is a GPU."""
    sent: Tensor | None = None
    for i in range(len(clip)):
        cuts = [_cut(clip[i], tile) for tile in tiles]
        shape = len(cuts), *cuts[0].shape
        if sent is None:
            sent = torch.empty((len(clip), *shape), dtype=clip.dtype, device=device)
        staged = torch.empty(shape, dtype=clip.dtype, pin_memory=device.type == "cuda")
        sent[i].copy_(torch.stack(cuts, out=staged), non_blocking=True)
    assert sent is not None
    return sent


def _cut(frames: Tensor, tile: Tile) -> Tensor:
    return frames[..., tile.y.start : tile.y.stop, tile.x.start : tile.x.stop]


class Downloads:
    """Results on their way from the device, taken in the order they were put."""

    def __init__(self, device: torch.device, ahead: int | None = None) -> None:
        """Take results of one device.

        Args:
            device: where they are computed.
            ahead: how many may be under way; by default `AHEAD` for a GPU. Elsewhere none: what is
                put is there at once, and is handed through.
        """
        gpu = device.type == "cuda"
        self._ahead = ahead if ahead is not None else AHEAD if gpu else 0
        self._device = device
        self._waiting: deque[tuple[list[Tensor], torch.cuda.Event | None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether one should be taken before more is computed."""
        return len(self._waiting) > self._ahead

    def put(self, *tensors: Tensor) -> None:
        """Send tensors that belong together on their way; nothing may write to them any more."""
        if self._device.type != "cuda":
            self._waiting.append(([tensor.cpu() for tensor in tensors], None))
            return
        landing = [torch.empty(t.shape, dtype=t.dtype, pin_memory=True) for t in tensors]
        for to, tensor in zip(landing, tensors, strict=True):
            to.copy_(tensor, non_blocking=True)
        there = torch.cuda.Event()  # type: ignore[no-untyped-call]
        there.record(torch.cuda.current_stream(self._device))
        self._waiting.append((landing, there))

    def take(self) -> list[Tensor]:
        """Return the oldest, on the CPU, waiting for it if need be."""
        tensors, there = self._waiting.popleft()
        if there is not None:
            there.synchronize()
        return tensors
