"""Transfers frames to the device and back without waiting for it.

Copies from and to pinned memory run in parallel to the network. torch reuses a pinned block only
after the copies that use it are done, so these functions need no buffers of their own.
"""

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from vsrpp_cli.inference.tiling import pad
from vsrpp_cli.planning.tiles import Tile

AHEAD = 2
"""Frames that the GPU computes ahead of the one that is being waited for."""


Size = tuple[int, int]
"""Width and height."""


def arrange(frames: Sequence[Tensor], size: Size, tiles: Sequence[Tile]) -> Tensor:
    """Return tiles of frames as one clip on the CPU; arguments and result as for `upload`."""
    made = torch.empty(_shape(frames, tiles), dtype=frames[0].dtype)
    for frame, into in zip(frames, made, strict=True):
        torch.stack(_cuts(frame, size, tiles), out=into)
    return made


def upload(
    frames: Sequence[Tensor], size: Size, tiles: Sequence[Tile], device: torch.device
) -> Tensor:
    """Return tiles of frames on the device, perhaps before the copy is done.

    Operations queued on the device afterwards see complete data.

    Args:
        frames: T frames of shape (3, H, W), float32, on the CPU.
        size: width and height that they are padded to first.
        tiles: N tiles of equal size, of the padded frames.
        device: any; for the CPU this is `arrange`.

    Returns:
        shape (T, N, 3, h, w).
    """
    if device.type != "cuda":
        return arrange(frames, size, tiles).to(device)
    return by_frames(frames, size, tiles, device)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on the device, perhaps before the copy is done (see `upload`)."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def by_frames(
    frames: Sequence[Tensor], size: Size, tiles: Sequence[Tile], device: torch.device
) -> Tensor:
    """Do the same as `upload`, frame by frame, through pinned memory if the device is a GPU."""
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
    """A queue of results on their way from the device."""

    def __init__(self, device: torch.device, ahead: int | None = None) -> None:
        """Make an empty queue.

        Args:
            device: where results are computed.
            ahead: how many may be on their way; by default `AHEAD` for a GPU and none for other
                devices, whose results are available at once.
        """
        gpu = device.type == "cuda"
        self._ahead = ahead if ahead is not None else AHEAD if gpu else 0
        self._device = device
        self._waiting: deque[tuple[list[Tensor], torch.cuda.Event | None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether a result should be taken before more is computed."""
        return len(self._waiting) > self._ahead

    def put(self, *tensors: Tensor) -> None:
        """Begin to copy tensors that belong together; they must not be modified afterwards."""
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
        """Return the oldest entry, on the CPU; wait for its copy if necessary."""
        tensors, there = self._waiting.popleft()
        if there is not None:
            there.synchronize()
        return tensors
