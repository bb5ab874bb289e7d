"""Frames to the device and back again without waiting for it.

Copies from and to pinned memory run beside the network. torch recycles pinned blocks, and not
before the copies that use them are done, so these functions need no buffers of their own: as many
are in use as there are frames under way.
"""

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from vsrpp_cli.inference.tiling import pad
from vsrpp_cli.planning.tiles import Tile

AHEAD = 2
"""Frames that a GPU is given to compute before the one handed on is waited for."""


Size = tuple[int, int]
"""Width and height."""


def arrange(frames: Sequence[Tensor], size: Size, tiles: Sequence[Tile]) -> Tensor:
    """Return tiles of frames as one clip on the CPU; arguments and result as of `upload`."""
    made = torch.empty(_shape(frames, tiles), dtype=frames[0].dtype)
    for frame, into in zip(frames, made, strict=True):
        torch.stack(_cuts(frame, size, tiles), out=into)
    return made


def upload(
    frames: Sequence[Tensor], size: Size, tiles: Sequence[Tile], device: torch.device
) -> Tensor:
    """Return tiles of frames on the device, where later work there will find them complete.

    Args:
        frames: T of shape (3, H, W), float32, on the CPU.
        size: width and height that they are padded to first.
        tiles: N tiles of one size, of the padded frames.
        device: any; where it is the CPU this is `arrange`.

    Returns:
        shape (T, N, 3, h, w).
    """
    if device.type != "cuda":
        return arrange(frames, size, tiles).to(device)
    return by_frames(frames, size, tiles, device)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on the device, where later work will find it complete."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def by_frames(
    frames: Sequence[Tensor], size: Size, tiles: Sequence[Tile], device: torch.device
) -> Tensor:
    """Do what `upload` does frame by frame, through pinned memory if the device is a GPU."""
    made = torch.empty(_shape(frames, tiles), dtype=frames[0].dtype, device=device)
    for frame, into in zip(frames, made, strict=True):
        staged = torch.empty(into.shape, dtype=into.dtype, pin_memory=device.type == "cuda")
        torch.stack(_cuts(frame, size, tiles), out=staged)
        into.copy_(staged, non_blocking=True)
    return made


def _shape(frames: Sequence[Tensor], tiles: Sequence[Tile]) -> tuple[int, ...]:
    one = tiles[0]
    return len(frames), len(tiles), 3, one.y.stop - one.y.start, one.x.stop - one.x.start


def _cuts(frame: Tensor, size: Size, tiles: Sequence[Tile]) -> list[Tensor]:
    padded = pad(frame, *size)
    return [padded[:, t.y.start : t.y.stop, t.x.start : t.x.stop] for t in tiles]


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
